"""What is on disk of a plan: done, failed, held by others, ready to be trained, still closed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from kdgap.errors import KdgapError
from kdgap.planning.cost import joined
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec
from kdgap.spec.study import STAGES
from kdgap.store.locks import holder, is_held
from kdgap.store.record import FAILURE, LOCK, MANIFEST, Record, RunDirectory
from kdgap.store.state import newest_place
from kdgap.store.study import StudyDirectory


def spent_attempts(
    lines: Sequence[Mapping[str, Any]], *, held: bool = False, place: list[int] | None = None
) -> int:
    """Return how many attempts in a row have failed or died without getting any further.

    A polite stop costs nothing, and neither does a death after progress was saved.

    Args:
        lines: what `attempts.jsonl` holds.
        held: whether the last attempt is going on right now.
        place: epoch and step of the newest saved state.
    """
    spent, start, begun = 0, [0, 0], False
    for line in lines:
        if "began" in line:
            spent += begun  # the one before ended without a word: killed, or out of memory
            if line["from"] > start:
                spent = 0
            start, begun = line["from"], True
        else:
            begun = False
            spent += line.get("ended") == "failed"
    if begun and place is not None and place > start:
        return 0
    return spent + (begun and not held)


Weights = tuple[str, str, str]
"""A run's id and the hashes of its best and last weights."""


def give_up(directory: RunDirectory, attempts: int) -> None:
    """Record that a run was tried often enough; the caller holds its lock."""
    if not (directory.path / FAILURE).exists():
        directory.fail({"reason": f"died in {attempts} attempts without a word"}, {})


class Inventory:
    """Looks at the runs of a plan; what is done once stays done, and is not looked at again.

    Args:
        directory: the study's directory.
        allowed: how many attempts a run has.
    """

    def __init__(self, directory: StudyDirectory, allowed: int) -> None:
        self._directory, self._allowed = directory, allowed
        self._done: set[str] = set()
        self._tested: set[str] = set()
        self._weights: dict[str, Weights] = {}
        self._beside: dict[str, Weights | None] = {}
        self._spent: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._held: set[str] = set()
        self.damaged: dict[str, str] = {}

    def look(self, plan: Plan, besides: Plan | None = None) -> None:
        """Look at every planned run that is not known to be done.

        Args:
            plan: names the runs.
            besides: a plan that was looked at just now.
        """
        if besides is None:
            self._failed.clear()
            self._held.clear()
        seen = {} if besides is None else besides.runs
        for planned in plan.runs.values():
            if planned.id in self._done or planned.id in self.damaged or planned.id in seen:
                continue
            self.look_at(planned)

    def look_at(self, planned: PlannedRun, *, mine: bool = False) -> None:
        """Look at one run.

        Args:
            planned: the run.
            mine: whether this runner holds its lock, so that nobody is at work on it.
        """
        directory = self._directory.run(planned.path)
        path = directory.path
        if not path.exists() and directory.link() is None:
            self._spent[planned.id] = 0
            return
        held = not mine and is_held(path / LOCK)
        lost = not held and directory.lost_manifest()
        if directory.link() or lost or (path / MANIFEST).exists():
            # Verified once, when first seen: a damaged record is named and never used.
            try:
                record = self._directory.record(planned.path)
            except KdgapError as error:
                self.damaged[planned.id] = str(error)
                return
            self._done.add(planned.id)
            self._note(record)
            return
        if held:
            self._held.add(planned.id)
        lines = directory.attempts()
        self._spent[planned.id] = spent_attempts(
            lines, held=held, place=newest_place(path) if lines else None
        )
        if (path / FAILURE).exists() and not held:
            reason = directory.failure()
            if directory.repeats() or self._spent[planned.id] >= self._allowed:
                self._failed[planned.id] = reason

    def _note(self, record: Record) -> None:
        """Note a finished run's weights, and the baseline's that its test record speaks of."""
        results = record.results
        self._weights[record.id] = (
            record.id,
            results["weight_hash_best"],
            results["weight_hash_last"],
        )
        if record.test is not None and record.tested:
            self._tested.add(record.id)
            beside = record.test.get("baseline")
            self._beside[record.id] = beside and (
                beside["run_id"],
                beside["best"]["weight_hash"],
                beside["last"]["weight_hash"],
            )

    def damage(self, planned: PlannedRun, text: str) -> None:
        """Note that a record turned out to be damaged: it is left alone from now on."""
        self._done.discard(planned.id)
        self.damaged[planned.id] = text

    def note_held(self, planned: PlannedRun) -> None:
        """Note that somebody else took a run first."""
        self._held.add(planned.id)

    def is_held(self, planned: PlannedRun) -> bool:
        """Whether somebody else on a shared folder was at work on it when it was looked at."""
        return planned.id in self._held

    def is_done(self, planned: PlannedRun) -> bool:
        """Whether a verified record is there."""
        return planned.id in self._done

    def is_settled(self, planned: PlannedRun) -> bool:
        """Whether it is done or failed for good; what is damaged will be trained again."""
        return planned.id in self._done or planned.id in self._failed

    def is_over(self, planned: PlannedRun) -> bool:
        """Whether nothing will happen to the run any more."""
        identifier = planned.id
        return identifier in self._done or identifier in self.damaged or identifier in self._failed

    def attempts(self, planned: PlannedRun) -> int:
        """Return how many attempts were spent without progress."""
        return self._spent.get(planned.id, 0)

    def alone(self, planned: PlannedRun) -> bool:
        """Whether a run has died so often that it must not take others with it any more."""
        return self.attempts(planned) >= max(1, self._allowed - 1)

    def blocked(self, planned: PlannedRun) -> bool:
        """Whether the run's teacher failed, so that it can never be trained."""
        return planned.teacher in self._failed

    def given_up(self, plan: Plan) -> set[str]:
        """Return the runs that will never be done: failed, or blocked by a teacher that did.

        Damaged ones are not among them: they are trained again once they are removed, so what
        waits for them, such as selection, goes on waiting.
        """
        return set(self._failed) | {p.id for p in plan.runs.values() if self.blocked(p)}

    def is_ready(self, planned: PlannedRun) -> bool:
        """Whether the run can be trained now, or is being trained; its lock tells."""
        if self.is_over(planned):
            return False
        return planned.teacher is None or planned.teacher in self._done

    def still_ready(self, planned: PlannedRun) -> bool:
        """Look again at a run whose lock was just taken: others may have ended it since."""
        self.look_at(planned, mine=True)
        return not self.is_over(planned)

    def groups(
        self, ready: Sequence[PlannedRun], stages: Collection[str]
    ) -> Iterator[list[list[PlannedRun]]]:
        """Yield, stage by stage, what may be trained as one cohort each, where there is anything.

        Args:
            ready: runs that can be trained now.
            stages: the stages, and ablations by their names, that are to be done.
        """
        for roles in STAGES.values():
            mine = [p for p in ready if p.is_of(stages, roles)]
            if mine:
                alone = [p for p in mine if self.alone(p)]
                rest = [p for p in mine if not self.alone(p)]
                guests = [p for p in ready if p.is_of(stages) and not self.alone(p)]
                yield [[p] for p in alone] + joined(rest, guests)

    def waiting_for(self, plan: Plan, stages: Collection[str]) -> list[str]:
        """Return who is at work on what this runner was asked to do, or on what it needs.

        Args:
            plan: the plan as it is known.
            stages: the stages, and ablations by their names, that this runner does.
        """
        mine = [p for p in plan.runs.values() if p.is_of(stages)]
        needed = {p.id for p in mine} | {p.teacher for p in mine if p.teacher}
        if plan.open_slots:  # what selection decides may become this runner's business
            needed |= {p.id for p in plan.of_role("selection")}
        held = [plan.runs[identifier] for identifier in self._held if identifier in needed]
        return sorted({holder(self._directory.run(p.path).path / LOCK) for p in held})

    def closed_doors(
        self, plan: Plan, roles: tuple[str, ...]
    ) -> list[tuple[PlannedRun, PlannedRun | None]]:
        """Return the finished runs in these roles that are to be tested, each with its baseline.

        Only a final has one: the plain run of the same student, data and seed.
        """
        plain = {_likeness(other): other for other in reversed(plan.of_role("baseline"))}
        closed = []
        for planned in plan.runs.values():
            if set(planned.roles) & set(roles):
                baseline = plain.get(_likeness(planned)) if "final" in planned.roles else None
                if self.is_closed(planned, baseline):
                    closed.append((planned, baseline))
        return closed

    def is_closed(self, planned: PlannedRun, baseline: PlannedRun | None) -> bool:
        """Whether a run is finished, and its test record is missing or not up to date.

        A final's is not where its baseline is finished and not the one that the record speaks of.
        """
        if planned.id not in self._done:
            return False
        beside = self._weights[baseline.id] if baseline and self.is_done(baseline) else None
        return planned.id not in self._tested or beside not in (None, self._beside[planned.id])


def _likeness(planned: PlannedRun) -> tuple[ModelSpec, int, DataSpec]:
    return planned.run.model, planned.run.seed, planned.run.data
