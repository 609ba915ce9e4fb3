"""Whether a study's own files agree with the records of its runs, and with each other.

A record is believed: its manifest vouches for it, and its id follows from what was asked. What a
plan, a selection or a lock says of a run is compared with it. This holds for files under a seal
too, and it is all that there is to hold files of before seals to.
"""

import hashlib
from collections.abc import Iterator, Mapping
from math import fsum
from typing import Any

from kdgap.advice import command
from kdgap.errors import StoreDamagedError
from kdgap.files import entries, read_bytes
from kdgap.notice import codes
from kdgap.spec.identity import configuration_id, configuration_taught_by, slot_name
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec
from kdgap.spec.slot import Slot
from kdgap.spec.study import Selection, StudySpec, preregistered
from kdgap.store.notices import of_plan
from kdgap.store.preregistration import POST_HOC, is_whole
from kdgap.store.seal import is_sealed
from kdgap.store.study import (
    LOCKED,
    PLAN,
    PREREGISTRATION,
    SELECTION,
    STUDY,
    StudyDirectory,
)
from kdgap.store.witness import Witnesses, as_recorded, recorded_facts


def audit(
    directory: StudyDirectory, plan: Mapping[str, Any], witnesses: Witnesses
) -> tuple[list[str], list[str]]:
    """Look at all of a study's own files.

    Returns:
        What is wrong, a line each; and what could not be vouched for, as it is not sealed.
    """
    faults = [*plan_faults(directory, plan, witnesses), *_study_file(directory, plan)]
    try:
        faults += selection_faults(directory, plan, witnesses)
    except StoreDamagedError as error:
        faults.append(str(error))
    faults += [*_locked_faults(directory, plan, witnesses), *_registration(directory, plan)]
    return faults, _unsealed(directory, plan)


# The plan


def plan_faults(
    directory: StudyDirectory, plan: Mapping[str, Any], witnesses: Witnesses
) -> Iterator[str]:
    """Name each run of whom the plan and its record say different things."""
    expected = _Expected(StudySpec.model_validate(plan["study"]), witnesses)
    for planned in plan["runs"]:
        witness = witnesses.get(planned["id"])
        for what in _unlike(planned, witness.spec, expected) if witness else ():
            yield (
                f"{directory.path / PLAN}: says another {what} of run {planned['id'][:12]} than its"
                f" record{directory.again()}"
            )


Names = tuple[str | None, str]
"""A teacher's and a student's, in `models`."""


class _Expected:
    """What a study and its records say of slots and configurations, worked out once."""

    def __init__(self, study: StudySpec, witnesses: Witnesses) -> None:
        self._study, self._witnesses = study, witnesses
        self.models = {name: model.model_dump() for name, model in study.models.items()}
        self._configurations: dict[str, str] = {}
        self._names: dict[str, set[Names]] = {}
        self._seeds: dict[tuple[str, str], set[int]] = {}

    def configuration(self, spec: RunSpec) -> str | None:
        """Return the digest of a run's configuration; None without its teacher's record."""
        trains = spec.teacher.run if spec.teacher else None
        if trains is None:
            return configuration_taught_by(spec, None)
        if trains not in self._witnesses:
            return None
        if trains not in self._configurations:
            self._configurations[trains] = configuration_id(self._witnesses[trains].spec, None)
        return configuration_taught_by(spec, self._configurations[trains])

    def method(self, name: str) -> str:
        """Return the registered method behind a name of the study."""
        return self._study.method_of(name)

    def names(self, role: str) -> set[Names]:
        """Return the teachers and students that the study has in a role."""
        if role not in self._names:
            self._names[role] = _asked(role, self._study)
        return self._names[role]

    def seeds(self, role: str, ablation: str) -> set[int]:
        """Return the seeds that the study has in a role; none in a role that there is not."""
        key = role, ablation
        if key not in self._seeds:
            self._seeds[key] = set(_seeds(*key, self._study))
        return self._seeds[key]


def _unlike(planned: Mapping[str, Any], spec: RunSpec, expected: _Expected) -> Iterator[str]:
    """Name what a plan says of a finished run that its record does not."""
    trains = spec.teacher.run if spec.teacher else None
    if planned["seed"] != spec.seed:
        yield "seed"
    if planned.get("parameters", {}) != dict(spec.method.parameters):
        yield "configuration (parameters)"
    if planned["teacher"] != trains:
        yield "teacher"
    if expected.configuration(spec) not in (None, planned["cell"]):
        yield "configuration (cell)"
    if planned["path"] != f"runs/{slot_name(spec)}/{spec.seed}-{planned['id'][:8]}":
        yield "path"
    if set(planned["roles"]) != {slot["role"] for slot in planned["slots"]}:
        yield "role"
    for slot in planned["slots"]:
        yield from _misplaced(Slot.read(slot), spec, expected)


def _as_asked(model: ModelSpec, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a study would have asked for to get a network.

    Of its own code that is nothing, and how a given teacher sees images may be left to its card.
    """
    fields = model.model_dump(exclude={"code"})
    if asked is not None and "input" not in asked:
        fields.pop("input", None)
    return fields


def _misplaced(slot: Slot, spec: RunSpec, expected: _Expected) -> Iterator[str]:
    """Name what a slot says that its run's record, or the study, does not."""
    if expected.method(slot.method) != spec.method.name:
        yield f"method ({slot.method})"
    models = expected.models
    asked = models.get(slot.teacher) if slot.teacher else None
    if asked != (_as_asked(spec.teacher.model, asked) if spec.teacher else None):
        yield f"teacher ({slot.teacher})"
    changed = slot.role == "ablation" and slot.arm == "changed"
    if slot.student not in models or (
        models[slot.student] != _as_asked(spec.model) and not changed
    ):
        yield f"student ({slot.student})"
    named = (slot.teacher, slot.student) in expected.names(slot.role)
    if not named or spec.seed not in expected.seeds(slot.role, slot.ablation):
        yield f"role ({slot.role})"


def _asked(role: str, study: StudySpec) -> set[Names]:
    """Return the teachers and students that a study has in a role."""
    pairs: set[Names] = {(pair.teacher, pair.student) for pair in study.pairs}
    alone: dict[str, set[Names]] = {
        "teacher": {(None, pair.teacher) for pair in study.pairs},
        "baseline": {(None, pair.student) for pair in study.pairs},
    }
    if role == "ablation":
        return pairs | alone["teacher"] | alone["baseline"]
    # A method without a teacher has runs of the student alone.
    return alone.get(role, pairs | alone["baseline"])


def _seeds(role: str, ablation_name: str, study: StudySpec) -> list[int]:
    """Return the seeds that a study has in a role; none in a role that there is not."""
    ablation = study.ablations.get(ablation_name)
    return {
        "teacher": study.teachers.seeds,
        "selection": study.selection.seeds if study.selection else [],
        "baseline": study.finals.seeds,
        "final": study.finals.seeds,
        "ablation": ablation.seeds if ablation else [],
    }.get(role, [])


def _study_file(directory: StudyDirectory, plan: Mapping[str, Any]) -> Iterator[str]:
    path, expected = directory.path / STUDY, plan.get("study_file")
    if expected is None:
        return
    try:
        digest = hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError as error:
        yield f"{path}: {error.strerror}{directory.again(own=False)}"
        return
    if digest != expected:
        yield f"{path}: is not what {PLAN} was made from{directory.again(own=False)}"


# Selection


def selection_faults(
    directory: StudyDirectory, plan: Mapping[str, Any], witnesses: Witnesses
) -> Iterator[str]:
    """Choose again from the records, and name what `selection.json` says otherwise.

    Raises:
        StoreDamagedError: the file itself is damaged.
    """
    path, asked = directory.path / SELECTION, StudySpec.model_validate(plan["study"]).selection
    selection, complete = directory.selection(), plan["selection_complete"]
    if selection is None:
        if complete and asked:
            yield f"{path}: is gone, though selection is over{directory.again()}"
        return
    again = f"; `{command('run', directory.path)}` chooses again"
    for key in ("metric", "split", "seeds") if complete and asked else ():
        if selection.get(key) != getattr(asked, key):
            yield f"{path}: another {key} than {PLAN} says{again}"
    for choice in selection["choices"]:
        for what in _unlike_scores(choice, asked, witnesses):
            yield (
                f"{path}: {choice['student']} from {choice['teacher']} by {choice['method']}:"
                f" {what}{again}"
            )
    if complete:
        chosen = {_key(entry): entry.get("winner") for entry in selection["choices"]}
        winners = {_key(winner): winner.get("parameters") for winner in plan["winners"]}
        if {key: winner for key, winner in chosen.items() if winner is not None} != winners:
            yield f"{path}: its winners are not those of {PLAN}{again}"


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return (entry.get("teacher"), entry.get("student"), entry.get("method"))


def _unlike_scores(
    choice: Mapping[str, Any], asked: Selection | None, witnesses: Witnesses
) -> Iterator[str]:
    """Name what a choice says that follows otherwise from the records of its candidates."""
    candidates, metric = choice.get("candidates", []), asked.metric if asked else "best_val_acc"
    if choice["tried"] != len(candidates):
        yield "tried is not the number of candidates"
    for candidate in candidates:
        known = [witnesses[run] for run in candidate["runs"] if run in witnesses]
        if not known or len(known) < len(candidate["runs"]):
            continue  # not finished, or damaged: there is nothing to hold it to
        parameters = candidate["parameters"]
        if any(dict(witness.spec.method.parameters) != parameters for witness in known):
            yield "a candidate's parameters are not those of its runs"
        scores = [witness.scores[metric] for witness in known]
        if None in scores or candidate["score"] != fsum(s or 0.0 for s in scores) / len(scores):
            yield "a candidate's score is not that of its runs"
    rated = [entry["score"] for entry in candidates if entry["score"] is not None]
    if rated and any(entry["runs"] for entry in candidates):
        best = next(entry for entry in candidates if entry["score"] == max(rated))
        if choice.get("winner") != best["parameters"]:
            yield "its winner is not the best candidate"


# What is locked


def _locked_faults(
    directory: StudyDirectory, plan: Mapping[str, Any], witnesses: Witnesses
) -> Iterator[str]:
    folder = directory.path / LOCKED
    locked: dict[str, Any] = {}
    for path in entries(folder, "*.json"):
        try:
            locked[path.stem] = directory.locked(path.stem)
        except StoreDamagedError as error:
            locked[path.stem] = None
            yield f"{error}; remove it: `{command('run', directory.path)}` locks it again"
    expected = recorded_facts(plan, witnesses)
    if is_sealed(plan):
        expected["format"] = {1}  # the first thing that a study locks
    for name, values in expected.items():
        if name not in locked:
            if name.startswith(("normalisation-", "view-")):
                continue  # studies of before did not lock it
            again = f"`{command('run', directory.path)}` locks it again"
            yield f"{folder / name}.json: is gone; {again}"
        elif locked[name] is not None and {as_recorded(locked[name])} != values:
            yield f"{folder / name}.json: is not what the records of the runs say"


def _registration(directory: StudyDirectory, plan: Mapping[str, Any]) -> Iterator[str]:
    path = directory.path / LOCKED / f"{PREREGISTRATION}.json"
    locked = directory.locked(PREREGISTRATION)
    if locked is None:
        if directory.tested():
            yield f"{path}: is gone, though finals were tested; nothing is confirmatory without it"
        return
    if not is_whole(locked):
        yield f"{path}: is not what was locked before the first final was tested"
        return
    now = dict(preregistered(StudySpec.model_validate(plan["study"])))
    if not plan.get("open"):
        now["winners"] = plan["winners"]
    for key, value in now.items():
        if locked["content"].get(key) != value and f"{POST_HOC}{key}" not in codes(of_plan(plan)):
            yield (
                f"{path}: says another {key} than {PLAN}, which does not say post hoc"
                f"{directory.again()}"
            )


def _unsealed(directory: StudyDirectory, plan: Mapping[str, Any]) -> list[str]:
    """Name files of before seals: what only they say could have been changed without a trace."""
    old = [] if is_sealed(plan) else [PLAN]
    try:
        selection = directory.selection()
    except StoreDamagedError:
        selection = None
    old += [SELECTION] if selection is not None and not is_sealed(selection) else []
    old += [] if plan.get("study_file") else [STUDY]
    if not old:
        return []
    return [
        f"{directory.path}: {', '.join(old)}: not sealed, written by an earlier kdgap; only the"
        f" records vouch for what they say{directory.again()}"
    ]
