"""Evidence from a study of ours: `plan.json`, `selection.json` and verified records."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from kdgap import bulk
from kdgap.advice import command
from kdgap.errors import KdgapError, StoreDamagedError, one_line
from kdgap.judge.evidence import (
    Candidate,
    Evidence,
    Run,
    Tuning,
    label_of,
)
from kdgap.judge.recorded import History, Scores, Validation
from kdgap.notice import Notice, codes
from kdgap.spec.claims import Claim, Statistics
from kdgap.spec.method_card import MethodCard, read_cards
from kdgap.spec.run import DataSpec
from kdgap.spec.slot import Slot
from kdgap.store.audit import plan_faults, selection_faults
from kdgap.store.notices import of_plan, of_runs, recorded
from kdgap.store.preregistration import CHANGED_BY_HAND, LOST, is_whole, judged_otherwise
from kdgap.store.progress import standing
from kdgap.store.record import Record
from kdgap.store.study import PLAN, StudyDirectory
from kdgap.store.witness import Witness, as_recorded, recorded_facts


@bulk.kept()
def study_evidence(directory: StudyDirectory) -> Evidence:
    """Read a study; every record is verified, and what is damaged is named and left out.

    Raises:
        BadInputError: there is no study here.
        StoreDamagedError: one of the study's own files is damaged.
    """
    plan = directory.plan()
    try:
        return _evidence(directory, plan)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise StoreDamagedError(
            f"{directory.path / PLAN}: is missing something or damaged"
            f" ({type(error).__name__}: {one_line(error, 120)}){directory.again()}"
        ) from None


def _evidence(directory: StudyDirectory, plan: Mapping[str, Any]) -> Evidence:
    study, records = plan["study"], _Records(directory)
    runs = _standing([_run(directory, planned, records) for planned in plan["runs"]])
    faults = [
        *plan_faults(directory, plan, records.witnesses),
        *selection_faults(directory, plan, records.witnesses),
    ]
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise StoreDamagedError(f"{faults[0]}{more}")
    claims, notices = _registered(directory, study)
    methods = read_cards(plan.get("methods", {}))
    return Evidence(
        name=study["name"],
        path=str(directory.path),
        origin="study",
        runs=runs,
        models=plan.get("models", {}),
        primary=study["finals"]["primary"],
        statistics=Statistics.model_validate(study["statistics"]),
        paired=True,
        description=study["description"],
        methods=methods,
        tunings=_tunings(directory, plan, methods),
        claims=tuple(Claim.model_validate(claim) for claim in study["claims"]),
        locked_claims=claims,
        notices=_notices(plan, notices, runs),
        provenance=_provenance(directory, plan, runs, records),
        slots=_slots(plan),
        changes={
            name: ", ".join(
                f"{field} becomes {value}" for field, value in ablation["change"].items()
            )
            for name, ablation in study.get("ablations", {}).items()
        },
        chosen_on=(study["selection"] or {}).get("split", "val"),
        images=records.images,
        train_images=_train_images(directory, records),
        open_runs=plan["open_runs"],
        title=study.get("title"),
        paper=study.get("paper"),
        main_claim=study.get("main_claim"),
    )


def _notices(
    plan: Mapping[str, Any], registered: Iterable[Notice], runs: Iterable[Run]
) -> tuple[Notice, ...]:
    """Return what the plan says, and of the rest what it has no words for yet."""
    planned = of_plan(plan)
    known = codes(planned)
    of_single_runs = [notice for run in runs for notice in run.notices if notice.code not in known]
    more = [notice for notice in registered if notice.code not in known]
    return (*planned, *dict.fromkeys(more), *of_runs(of_single_runs))


def _registered(
    directory: StudyDirectory, study: Mapping[str, Any]
) -> tuple[tuple[dict[str, Any], ...] | None, list[Notice]]:
    """Return the claims as locked before the first test, and what is judged otherwise."""
    locked = directory.locked("preregistration")
    if locked is None:
        return None, [LOST] if directory.tested() else []
    if not is_whole(locked):
        return None, [CHANGED_BY_HAND]
    content, notices = locked["content"], list[Notice]()
    if content.get("statistics", study["statistics"]) != study["statistics"]:
        notices.append(judged_otherwise("statistics"))
    if content.get("finals", study["finals"])["primary"] != study["finals"]["primary"]:
        notices.append(judged_otherwise("primary"))
    return tuple(content.get("claims", ())), notices


class _Records:
    """Reads the records of a study, each once, and keeps what they say of its other files."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory = directory
        self.witnesses: dict[str, Witness] = {}
        self.images: int | None = None
        self.data: Mapping[str, Any] | None = None
        self.code: dict[str, Any] | None = None

    def read(self, planned: Mapping[str, Any]) -> Record:
        """Return a verified record.

        Raises:
            KdgapError: it is damaged, or another run.
        """
        record = self._directory.record(planned["path"])
        if record.id != planned["id"]:
            raise StoreDamagedError(f"{record.path}: holds run {record.id[:12]}")
        self.witnesses[record.id] = Witness.of(record)
        self.code = self.code or record.run.get("provenance")
        if self.images is None and record.test is not None:
            self.images = record.test["images"]
        if self.data is None and planned["roles"] != ["ablation"]:  # which may change it
            self.data = record.run["spec"]["data"]
        return record


def _run(directory: StudyDirectory, planned: Mapping[str, Any], records: _Records) -> Run:
    slots = tuple(Slot.read(slot) for slot in planned["slots"])
    known: dict[str, Any] = {
        "id": planned["id"],
        "configuration": planned["cell"],
        "seed": planned["seed"],
        "slots": slots,
        "parameters": planned.get("parameters", {}),
        "teacher": planned["teacher"],
        "paths": (planned["path"],),
    }
    place = directory.run(planned["path"])
    if not place.is_done():
        status = directory.status(planned["path"], verify=False)
        return Run(**known, state=status.state, remark=status.remark)
    try:
        record = records.read(planned)
        results, test = record.results, record.test or {}
        environment = record.run["environment"]
        return Run(
            **known,
            state="done",
            epochs=results.get("epochs"),
            validation=Validation(
                {
                    "best": results["best_val_acc"],
                    "best_epoch": results.get("best_val_epoch"),
                    "last": results.get("last_val_acc"),
                }
            ),
            test=_scores(test),
            baseline_test=_scores(test.get("baseline", {})),
            teacher_accuracy=test.get("teacher", {}).get("accuracy"),
            history=History(results["history"]),
            notices=recorded(results),
            environment=", ".join(f"{key} {value}" for key, value in environment.items()),
        )
    except (KdgapError, KeyError, TypeError, AttributeError) as error:
        return Run(**known, state="damaged", remark=str(error))


def _train_images(directory: StudyDirectory, records: _Records) -> int | None:
    shape = (directory.locked("data") or {}).get("shape")
    if shape is None or records.data is None:
        return None
    return DataSpec.model_validate(records.data).train_images(shape["train"])


def _scores(test: Mapping[str, Any]) -> dict[str, Scores]:
    return {name: Scores(test[name]) for name in ("best", "last") if name in test}


def _standing(runs: list[Run]) -> tuple[Run, ...]:
    """Return the runs; those whose teacher failed as blocked."""
    states = {run.id: run.state for run in runs}
    updated = []
    for run in runs:
        state, remark = standing(run.state, run.remark, states.get(run.teacher or "", "done"))
        updated.append(replace(run, state=state, remark=remark) if state != run.state else run)
    return tuple(updated)


def _slots(plan: Mapping[str, Any]) -> tuple[Slot, ...]:
    planned = [slot for run in plan["runs"] for slot in run["slots"]]
    still_open = [{k: v for k, v in slot.items() if k != "runs"} for slot in plan.get("open", ())]
    return tuple(dict.fromkeys(Slot.read(slot) for slot in [*planned, *still_open]))


def _tunings(
    directory: StudyDirectory, plan: Mapping[str, Any], methods: Mapping[str, MethodCard]
) -> tuple[Tuning, ...]:
    selection = directory.selection() or {"choices": []}
    asked = plan["study"]["selection"] or {}
    return tuple(
        Tuning(
            teacher=choice["teacher"],
            student=choice["student"],
            method=choice["method"],
            candidates=tuple(map(_candidate, choice.get("candidates", ()))),
            winner=choice.get("winner"),
            seeds=tuple(asked.get("seeds", ())),
            split=asked.get("split", "val"),
            metric=asked.get("metric", "best_val_acc"),
            label=label_of(choice["method"], methods),
        )
        for choice in selection["choices"]
        if choice["tried"] > 1
    )


def _candidate(tried: Mapping[str, Any]) -> Candidate:
    return Candidate(tried["parameters"], tuple(tried.get("runs") or ()), tried.get("score"))


def _provenance(
    directory: StudyDirectory, plan: Mapping[str, Any], runs: tuple[Run, ...], records: _Records
) -> dict[str, Any]:
    """Return code, libraries and data of the study, from one of its records.

    Raises:
        StoreDamagedError: what is locked of the data is damaged, or not what the records say.
    """
    study, data = plan["study"], directory.locked("data")
    facts = recorded_facts(plan, records.witnesses).get("data", set())
    if facts and facts != {as_recorded(data)}:
        how = "is gone" if data is None else "is not what the records say; remove it"
        again = f"`{command('run', directory.path)}` locks it again"
        raise StoreDamagedError(f"{directory.path}/locked/data.json: {how}: {again}")
    provenance: dict[str, Any] = {
        "environments": sorted({run.environment for run in runs if run.environment}),
        "data": study["data"],
        "precision": study["precision"],
        "recipe": study["recipe"],
        "teachers": study["teachers"],
        "data_fingerprint": data,
        "preregistration": (directory.locked("preregistration") or {}).get("sha256"),
    }
    if records.code is not None:
        provenance["code"] = records.code
    return provenance
