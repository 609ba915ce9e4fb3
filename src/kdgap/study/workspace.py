"""A study at hand: its specification, its directory, and the plan as far as it is known."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdgap import yamlio
from kdgap.data import DATASETS, Shape
from kdgap.errors import BadInputError, StoreDamagedError, one_line
from kdgap.files import json_text, make_folder, write_atomic
from kdgap.methods import METHODS
from kdgap.methods.method import card_of
from kdgap.models import MODELS
from kdgap.notice import Notice, written
from kdgap.planning.cost import Cost, costs_of, staged_cohorts
from kdgap.planning.notices import post_hoc, protocol_notices
from kdgap.planning.plan import Parameters, Plan, SlotKey, count_runs
from kdgap.planning.planner import plan_study
from kdgap.planning.tasks import assumed_weights
from kdgap.running.places import Origin, Places, moved
from kdgap.spec.complaints import Where
from kdgap.spec.slot import PLAIN
from kdgap.spec.study import StudySpec, preregistered, protocol
from kdgap.spec.study_file import read_study
from kdgap.store.locks import probe_locks, wait_for_lock
from kdgap.store.notices import of_plan
from kdgap.store.preregistration import content_hash, is_whole
from kdgap.store.study import CHANGE, PLAN, PLAN_LOCK, SELECTION, STUDY, StudyDirectory
from kdgap.study.inventory import Inventory
from kdgap.study.listed import expected_shape, listed_shape, refuse_other_classes, refuse_start
from kdgap.study.selection import Selected, Selector


@dataclass
class Workspace:
    """One study with its directory.

    Attributes:
        study: what was asked.
        where: tells where a key was given, for error messages.
        directory: where it is run.
        text: the study file as it was read, with the overrides; None if read from the directory.
        recorded: the study as `plan.json` keeps it: its paths as they were first written.
        begun: the directory in which it was begun, and how its own was named there.
    """

    study: StudySpec
    where: Where
    directory: StudyDirectory
    text: str | None = None
    recorded: StudySpec | None = None
    begun: dict[str, str] = field(default_factory=dict)
    inventory: Inventory = field(init=False)
    selector: Selector = field(init=False)
    _listed: Shape | None = field(default=None, init=False)
    _plans: list[tuple[object, Plan]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.inventory = Inventory(self.directory, self.study.budgets.attempts)
        self.selector = Selector(self.directory)

    def plan(self) -> tuple[Plan, Selected]:
        """Look at the disk, and plan with the winners that the finished runs determine."""
        shape = self.shape()
        bare = self._planned({}, shape)
        self.inventory.look(bare)
        selected = self.selector.select(bare, self.inventory.given_up(bare))
        plan = self._planned(self._decided(bare) | selected.winners, shape)
        self.inventory.look(plan, besides=bare)
        return plan, selected

    def _planned(self, winners: dict[SlotKey, Parameters], shape: Shape | None) -> Plan:
        """Return the plan with these winners: one of the last two, where it is that."""
        for known, plan in self._plans:
            if known == (winners, shape):
                return plan
        plan = plan_study(self.study, self.where, winners, shape)
        self._plans = [*self._plans[-1:], ((winners, shape), plan)]
        return plan

    def _decided(self, bare: Plan) -> dict[SlotKey, Parameters]:
        """Return registered winners among whose candidates a record is damaged now.

        They were chosen when it was whole, and their finals stay in the plan while it is trained
        again.
        """
        locked = self.directory.locked("preregistration")
        winners = locked["content"]["winners"] if locked and is_whole(locked) else []
        known = {(w["teacher"], w["student"], w["method"]): w["parameters"] for w in winners}
        return {
            choice.key: known[choice.key]
            for choice in bare.choices
            if known.get(choice.key) in choice.candidates
            and any(run in self.inventory.damaged for runs in choice.runs for run in runs)
        }

    def shape(self) -> Shape | None:
        """Return the data's numbers and sizes: known, or locked by an earlier run here, or listed.

        Raises:
            BadInputError: what is listed is certain to be refused.
        """
        known = DATASETS[self.study.data.name].shape
        if known is not None:
            return known
        locked = self.directory.locked("data")
        if locked is None:
            if self._listed is None:
                self._listed = listed_shape(self.study.data, self.where)
                refuse_other_classes(self.study, self._listed)
            return self._listed or expected_shape(self.study.data)
        shape = locked["shape"]
        return Shape(**{**shape, "image_size": tuple(shape["image_size"])})

    def preregistration(self, plan: Plan) -> dict[str, Any]:
        """Return what the first final's door locks: the whole protocol, and the winners."""
        content = {**preregistered(self.study), "winners": winners_of(plan)}
        return {"sha256": content_hash(content), "content": content}

    def notices(self, plan: Plan) -> list[Notice]:
        """Return what a reader must know before believing the study's numbers."""
        locked = self.directory.locked("preregistration")
        changed = [] if locked is None else post_hoc(locked, self.preregistration(plan), plan)
        return protocol_notices(self.study, plan) + changed


def winners_of(plan: Plan) -> list[dict[str, Any]]:
    """Return the winners in plain types."""
    return [
        {"teacher": t, "student": s, "method": m, "parameters": parameters}
        for (t, s, m), parameters in plan.winners.items()
    ]


def open_study(
    target: Path,
    overrides: Mapping[str, object] | None = None,
    out: Path | None = None,
    places: Places | None = None,
) -> Workspace:
    """Open a study from its file, or from the directory it was run in.

    Args:
        target: a study file, or a study directory.
        overrides: `key.path` → value; only with a file.
        out: the study directory; None = `runs/NAME`.
        places: where data and teachers are on this machine.

    Raises:
        BadInputError: no such study, or something is wrong with it.
    """
    places = places or Places()
    if target.is_dir():
        if overrides or out:
            raise BadInputError(
                f"{target}: --set and --out go with a study file; where things are on this machine"
                " is said with --data-root and --teacher-weights"
            )
        return _reopened(target, places)
    text = yamlio.text_of(target)
    return written_study(text, yamlio.parse(text, str(target)), overrides, out, places)


def written_study(
    text: str,
    document: yamlio.Document,
    overrides: Mapping[str, object] | None = None,
    out: Path | None = None,
    places: Places | None = None,
) -> Workspace:
    """Return a study from its text, and the document it was parsed to. See `open_study`.

    Raises:
        BadInputError: something is wrong with it.
    """
    places = places or Places()
    study, where = read_study(document, overrides or {})
    asked, study = study, places.applied(study)
    given = {**(overrides or {}), **places.overrides(asked, study)}
    changes = [f"{CHANGE}{key}={json_text(value, indent=None)}\n" for key, value in given.items()]
    lines = text.splitlines(keepends=True)  # what an earlier start put before it goes
    text = "".join([*changes, *dropwhile(lambda line: line.startswith(CHANGE), lines)])
    out = out or Path("runs") / study.name
    begun = {"in": str(Path.cwd()), "as": str(out)}
    return Workspace(study, where, StudyDirectory(out), text, begun=begun)


def _reopened(path: Path, places: Places) -> Workspace:
    """Open a study from its directory, wherever that is by now."""
    directory = StudyDirectory(path)
    plan = directory.plan()
    try:
        recorded = StudySpec.model_validate(plan["study"])
    except (KeyError, ValidationError) as error:
        text = one_line(error, 120)
        raise StoreDamagedError(f"{path / PLAN}: holds no study ({text})") from None
    begun = plan.get("begun")
    begun = begun if isinstance(begun, dict) else {}
    named = begun.get("as", f"runs/{recorded.name}")  # as it is by default
    origin = Origin(path, str(named), begun.get("in"))
    weights = {name: origin.find(file) for name, file in recorded.teachers.weights.items()}
    relocated = moved(recorded, origin.find(recorded.data.root), weights)
    return Workspace(
        places.applied(relocated), lambda _: str(path), directory, recorded=recorded, begun=begun
    )


def start_study(workspace: Workspace, say: Callable[[str], None]) -> StudyDirectory:
    """Make the study's directory, or go on in it; return it with its `plan.json` written.

    Raises:
        BadInputError: the directory cannot be written, belongs to something else, or its file
            system cannot lock.
    """
    directory, path = workspace.directory, workspace.directory.path
    replace = workspace.text is not None
    refuse_start(directory, workspace.study.data, workspace.where, replace=replace)
    plan, selected = workspace.plan()
    make_folder(path)
    probe_locks(path)
    directory.lock_fact("format", 1)  # which also finds out whether the disk can lock facts
    _refuse_other_teachers(directory, plan)
    for notice in of_plan(write_plan(workspace, plan, selected, replace=replace)):
        say(f"note: {notice.text}")
    return directory


def _refuse_other_teachers(directory: StudyDirectory, plan: Plan) -> None:
    """Refuse a teacher's file that holds other weights than the study began with."""
    for planned in plan.runs.values():
        teacher = planned.run.teacher
        if teacher is not None and teacher.run is None:
            name = next(slot.teacher for slot in planned.slots if slot.teacher)
            locked = directory.locked(f"teacher-{name}")
            if locked not in (None, teacher.weight_hash):
                raise BadInputError(
                    f"{teacher.weights}: not the weights of {name} that this study began with"
                    f" (hash {str(teacher.weight_hash)[:12]}, locked {str(locked)[:12]}); bring"
                    " them back, or use another --out"
                )


def stand_in(workspace: Workspace, plan: Plan) -> Plan:
    """Return the plan with each undecided winner taken as the first candidate.

    For counting and estimating only: candidates of one method cost the same.
    """
    winners = {choice.key: choice.candidates[0] for choice in plan.choices} | plan.winners
    return plan_study(workspace.study, workspace.where, winners, workspace.shape())


def write_plan(
    workspace: Workspace,
    plan: Plan,
    selected: Selected,
    *,
    replace: bool,
    pause: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write `plan.json`, the study's file and the selection that has ended; return the plan's data.

    `plan.json` comes last: it holds the hash of the study's file.

    Unless told to `replace` another study, a study that was changed meanwhile is refused. No other
    runner writes between this look and the writing.
    """
    directory, data = workspace.directory, plan_data(workspace, plan, selected)
    recorded = workspace.recorded or workspace.study
    with wait_for_lock(directory.path / PLAN_LOCK, pause):
        before = None if replace else directory.plan()
        current = StudySpec.model_validate(before["study"]) if before else None
        if current is not None and protocol(current) != protocol(recorded):
            raise BadInputError(
                f"{directory.path}: another `kdgap run` has changed the study meanwhile;"
                " start this one again"
            )
        if selected.complete:
            directory.write(SELECTION, selected.report)
        text = None if workspace.text is None else workspace.text.encode()
        if text is not None:
            write_atomic(directory.path / STUDY, text)
            data["study_file"] = hashlib.sha256(text).hexdigest()
        elif before is not None:
            data["study_file"] = before.get("study_file")
        directory.write(PLAN, data)
    return data


def plan_data(workspace: Workspace, plan: Plan, selected: Selected) -> dict[str, Any]:
    """Return what `plan.json` holds: all that reading a study needs of the training wing."""
    shape = workspace.shape()
    full = stand_in(workspace, plan) if plan.open_slots else plan
    costs = {} if shape is None else costs_of(full.runs.values(), shape)
    weights = {} if shape is None else assumed_weights(staged_cohorts(full), shape)
    return {
        "study": (workspace.recorded or workspace.study).model_dump(mode="json"),
        "begun": workspace.begun,
        "counts": count_runs(workspace.study),
        "selection_complete": selected.complete,
        "winners": winners_of(plan),
        "runs": [
            {
                "id": planned.id,
                "path": planned.path,
                "cell": planned.configuration,
                "seed": planned.run.seed,
                "teacher": planned.teacher,
                "roles": planned.roles,
                "slots": [slot.written() for slot in planned.slots],
                "parameters": dict(planned.run.method.parameters),
                "flops": costs[planned.id].train_flops if costs else None,
                "seconds": weights.get(planned.id),
            }
            for planned in plan.runs.values()
        ],
        "open": [{**slot.written(), "runs": count} for slot, count in plan.open_slots.items()],
        "open_runs": len(full.runs) - len(plan.runs),
        "open_flops": sum(c.train_flops for key, c in costs.items() if key not in plan.runs),
        "open_seconds": sum(s for key, s in weights.items() if key not in plan.runs),
        "methods": {
            PLAIN: METHODS[PLAIN].about().written(),
            **{
                name: card_of(name, workspace.study.method_of(name)).written()
                for name in workspace.study.methods
            },
        },
        "models": {
            name: {
                **model.model_dump(),
                "citation": MODELS[model.name].citation,
                **_model_cost(full, costs, name),
            }
            for name, model in workspace.study.models.items()
        },
        "cohorts": len(staged_cohorts(full)),
        "notices": written(workspace.notices(plan)),
    }


def _model_cost(plan: Plan, costs: dict[str, Cost], name: str) -> dict[str, int]:
    for planned in plan.runs.values():
        if costs and any(slot.student == name for slot in planned.slots):
            cost = costs[planned.id]
            return {"parameters": cost.parameters, "flops": cost.forward_flops}
    return {}
