"""What is on disk of a plan: done, failed, held by others, ready to be trained, still closed."""

from collections.abc import Callable
from typing import Any

from kdgap.store.locks import is_held
from kdgap.store.record import FAILURE, LOCK, MANIFEST, TEST, RunDirectory
from kdgap.store.study import StudyDirectory, failure_text
from kdgap.study.plan import Plan, PlannedRun


def spent_attempts(lines: list[dict[str, Any]], *, held: bool = False) -> int:
    """Return how many attempts in a row have failed or died without getting any further.

    A polite stop costs nothing, and neither does a death after progress was saved.

    Args:
        lines: what `attempts.jsonl` holds.
        held: whether the last attempt is going on right now.
    """
    spent, place, begun = 0, None, False
    for line in lines:
        if "began" in line:
            spent += begun  # the one before ended without a word: killed, or out of memory
            if place is not None and line["from"] > place:
                spent = 0
            place, begun = line["from"], True
        else:
            begun = False
            spent += line.get("ended") == "failed"
    return spent + (begun and not held)


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
        self._damaged: set[str] = set()
        self._opened: set[str] = set()
        self._spent: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._held: set[str] = set()

    def look(self, plan: Plan) -> None:
        """Look at every planned run that is not known to be done."""
        self._failed.clear()
        self._held.clear()
        for planned in plan.runs.values():
            if planned.id in self._done or planned.id in self._damaged:
                continue
            self._look_at(planned)

    def _look_at(self, planned: PlannedRun) -> None:
        directory = self._directory.run(planned.path)
        path = directory.path
        if path.is_symlink() or (path / MANIFEST).exists():
            # Verified once, when first seen: a damaged record is named and never used.
            state = self._directory.status(planned.path).state
            (self._done if state == "done" else self._damaged).add(planned.id)
            if state == "done" and (path / TEST).exists():
                self._opened.add(planned.id)
            return
        held = is_held(path / LOCK)
        if held:
            self._held.add(planned.id)
        if (path / FAILURE).exists() and not held:
            reason = failure_text(directory)
            spent = spent_attempts(directory.attempts())
            if reason.startswith("diverged") or spent >= self._allowed:
                self._failed[planned.id] = reason
        self._spent[planned.id] = spent_attempts(directory.attempts(), held=held)

    def forget(self, planned: PlannedRun) -> None:
        """Look at a run again the next time."""
        self._done.discard(planned.id)

    def is_done(self, planned: PlannedRun) -> bool:
        """Whether a verified record is there."""
        return planned.id in self._done

    def is_over(self, planned: PlannedRun) -> bool:
        """Whether nothing will happen to the run any more."""
        return planned.id in self._done | self._damaged or planned.id in self._failed

    def attempts(self, planned: PlannedRun) -> int:
        """Return how many attempts were spent without progress."""
        return self._spent.get(planned.id, 0)

    def blocked(self, planned: PlannedRun) -> bool:
        """Whether the run's teacher will never be there."""
        teacher = planned.teacher
        return teacher is not None and (teacher in self._failed or teacher in self._damaged)

    def given_up(self, plan: Plan) -> set[str]:
        """Return the runs that will never be done: failed, damaged or blocked."""
        blocked = {p.id for p in plan.runs.values() if self.blocked(p)}
        return set(self._failed) | self._damaged | blocked

    def is_ready(self, planned: PlannedRun) -> bool:
        """Whether the run can be trained now, or is being trained; its lock tells."""
        if self.is_over(planned):
            return False
        return planned.teacher is None or planned.teacher in self._done

    def still_ready(self, planned: PlannedRun) -> bool:
        """Look again at a run whose lock was just taken."""
        path = self._directory.run(planned.path).path
        if (path / MANIFEST).exists():
            self._look_at(planned)
            return False
        return True

    def waiting(self, plan: Plan, asked: Callable[[PlannedRun], bool]) -> bool:
        """Whether others are at work on what this runner was asked to do, or on what it needs.

        Args:
            plan: the plan as it is known.
            asked: whether a run is this runner's business.
        """
        mine = [p for p in plan.runs.values() if asked(p)]
        needed = {p.id for p in mine} | {p.teacher for p in mine if p.teacher}
        if plan.open_slots:  # what selection decides may become this runner's business
            needed |= {p.id for p in plan.of_role("selection")}
        return bool(needed & self._held)

    def closed_doors(self, plan: Plan, roles: tuple[str, ...]) -> list[PlannedRun]:
        """Return the finished runs whose test record is missing, baselines before finals."""
        closed = [
            planned
            for planned in plan.runs.values()
            if set(planned.roles) & set(roles) and planned.id in self._done - self._opened
        ]
        return [p for p in closed if p.id not in self._held]

    def door_is_open(self, planned: PlannedRun) -> None:
        """Note that a test record is there."""
        self._opened.add(planned.id)

    def baseline_of(self, planned: PlannedRun, plan: Plan) -> PlannedRun | None:
        """Return the plain run of the same student, recipe, data and seed."""
        run = planned.run
        for other in plan.of_role("baseline"):
            mine = (other.run.model, other.run.seed, other.run.data)
            if mine == (run.model, run.seed, run.data):
                return other
        return None
