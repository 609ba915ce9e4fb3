"""When the test doors of a study's runs open: selection is over, and the protocol is locked."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kdgap.errors import KdgapError, StoreDamagedError
from kdgap.study.bench import Bench
from kdgap.study.evaluation import open_recorded, recorded_states
from kdgap.study.live import Live
from kdgap.study.plan import Plan, PlannedRun
from kdgap.study.selection import Selected
from kdgap.study.teacher import TeacherWeights
from kdgap.study.workspace import Workspace

if TYPE_CHECKING:
    from kdgap.study.door import Answers

ROLES = ("final", "baseline", "teacher", "ablation")
"""Roles whose runs are tested; a run with several is tested in the first of them."""


class Doors:
    """Opens the doors that may be opened, each once.

    Args:
        workspace: the study.
        bench: its data.
        live: where this runner says what it is doing.
        teacher: opens the teacher of a run of a plan; None if its record is damaged.
        damaged: told of a record that turned out to be damaged.
        pause: raises `StoppedError` when it is time to stop.
    """

    def __init__(
        self,
        workspace: Workspace,
        bench: Bench,
        live: Live,
        teacher: Callable[[Plan, PlannedRun], TeacherWeights | None],
        damaged: Callable[[PlannedRun, KdgapError], None],
        pause: Callable[[], None],
    ) -> None:
        self._workspace, self._bench, self._live = workspace, bench, live
        self._teacher, self._damaged, self._pause = teacher, damaged, pause
        self._directory, self._inventory = workspace.directory, workspace.inventory

    def open(self, plan: Plan, selected: Selected) -> bool:
        """Test the finished runs that were not tested, once selection is over.

        Returns:
            Whether any door was opened.
        """
        if not selected.complete:
            return False
        opened = False
        weights: dict[str, TeacherWeights] = {}
        known: Answers = {}
        for planned in self._inventory.closed_doors(plan, ROLES):
            role = next(role for role in ROLES if role in planned.roles)
            baseline = self._inventory.baseline_of(planned, plan) if role == "final" else None
            if baseline is not None and not self._inventory.is_over(baseline):
                continue  # its fidelity is recorded beside the student's
            directory = self._directory.run(planned.path)
            lock = directory.try_lock()
            if lock is None:
                continue
            with lock:
                try:
                    record = self._directory.record(planned.path, hash_weights=True)
                    beside = None if baseline is None else self._beside(baseline)
                except StoreDamagedError as error:
                    at_fault = planned if str(directory.path) in str(error) else baseline
                    self._damaged(at_fault or planned, error)
                    continue
                if not record.tested:
                    teacher = planned.run.teacher
                    key = str(teacher and (teacher.run or teacher.weight_hash))
                    if teacher is not None and key not in weights:
                        found = self._teacher(plan, planned)
                        if found is None:
                            continue
                        weights[key] = found
                    if role in ("final", "ablation"):
                        fact = self._workspace.preregistration(plan)
                        self._directory.lock_fact("preregistration", fact)
                    self._live.write({"phase": "testing", "runs": [planned.id]})
                    open_recorded(
                        self._bench.prepare(planned, weights.get(key)),
                        directory,
                        record,
                        role,
                        "run",
                        baseline=beside,
                        known=known,
                        pause=self._pause,
                    )
                    opened = True
                self._inventory.door_is_open(planned)
        return opened

    def _beside(self, baseline: PlannedRun) -> dict[str, Any] | None:
        if not self._inventory.is_done(baseline):
            return None  # it failed for good: the final says so by its absence
        directory = self._directory.run(baseline.path)
        record = self._directory.record(baseline.path, hash_weights=True)
        return {"run_id": record.id, "states": recorded_states(directory, record)}
