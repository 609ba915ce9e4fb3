"""When the test doors of a study's runs open: selection is over, and the protocol is locked."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from kdgap.errors import BadInputError, KdgapError, StoreDamagedError
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.planning.tasks import Machine, run_tasks
from kdgap.running.evaluation import open_recorded, recorded_states
from kdgap.running.teacher import TeacherWeights
from kdgap.store.measured import keep_time
from kdgap.store.study import DOORS
from kdgap.study.inputs import Inputs
from kdgap.study.live import Live
from kdgap.study.selection import Selected
from kdgap.study.workspace import Workspace

if TYPE_CHECKING:
    from kdgap.running.door import Answers
    from kdgap.running.results import Prepared


class Doors:
    """Opens the doors that may be opened, each once.

    Args:
        workspace: the study.
        inputs: its data.
        live: where this runner says what it is doing.
        teacher: opens the teacher of a run of a plan; None if its record is damaged.
        damaged: told of a record that turned out to be damaged.
        pause: raises `StoppedError` when it is time to stop.
        workers: how many work at once on this machine, this one included.
    """

    def __init__(
        self,
        workspace: Workspace,
        inputs: Inputs,
        live: Live,
        teacher: Callable[[Plan, PlannedRun], TeacherWeights | None],
        damaged: Callable[[PlannedRun, KdgapError], None],
        pause: Callable[[], None],
        workers: int = 1,
    ) -> None:
        self._workers = workers
        self._workspace, self._inputs, self._live = workspace, inputs, live
        self._teacher, self._damaged, self._pause = teacher, damaged, pause
        self._directory, self._inventory = workspace.directory, workspace.inventory
        self._prepared: Prepared | None = None  # the run that was tested last

    def open(self, plan: Plan, selected: Selected) -> bool:
        """Test the finished runs that were not tested, once selection is over.

        A final's record holds its baseline's fidelity beside its own. It waits for a baseline that
        is still to be trained, or is damaged until it is trained again, and goes without only
        where that failed for good. If it comes after all, or with other weights, the record is
        made again. So what it says follows from the runs, not from what could be read then.

        Returns:
            Whether any door was opened.
        """
        if not selected.complete:
            return False
        opened = False
        weights: dict[str, TeacherWeights] = {}
        known: Answers = {}
        self._prepared = None
        for planned, baseline in self._inventory.closed_doors(plan, DOORS):
            role = next(role for role in DOORS if role in planned.roles)
            if baseline is not None and not self._inventory.is_settled(baseline):
                continue
            lock = self._directory.run(planned.path).try_lock()
            if lock is None:
                continue
            with lock:
                self._inventory.look_at(planned, mine=True)  # others may have been here since
                if self._inventory.is_closed(planned, baseline):
                    opened |= self._test(plan, planned, role, baseline, weights, known)
        self._prepared = None
        return opened

    def _test(
        self,
        plan: Plan,
        planned: PlannedRun,
        role: str,
        baseline: PlannedRun | None,
        weights: dict[str, TeacherWeights],
        known: "Answers",
    ) -> bool:
        """Open one door, whose lock is held; return False where something of it is damaged."""
        beside = None
        if baseline is not None and self._inventory.is_done(baseline):
            beside = self._beside(baseline)
            if beside is None:
                return False
        teacher = planned.run.teacher
        key = str(teacher and (teacher.run or teacher.weight_hash))
        if teacher is not None and key not in weights:
            loaded = self._teacher(plan, planned)
            if loaded is None:
                return False
            weights[key] = loaded
        try:
            record = self._directory.record(planned.path, hash_weights=True)
            if role in ("final", "ablation"):
                fact = self._workspace.preregistration(plan)
                self._directory.lock_fact("preregistration", fact)
            self._live.write({"phase": "testing", "runs": [planned.id]})
            self._inputs.dataset(planned)  # a worker that only tests loads it now: that is no test
            begun = time.perf_counter()
            self._prepared = self._inputs.prepare(planned, weights.get(key), self._prepared)
            open_recorded(
                self._prepared,
                self._directory.run(planned.path),
                record,
                role,
                "run",
                baseline=beside,
                known=known,
                pause=self._pause,
            )
            self._keep_time(planned, time.perf_counter() - begun)
        except StoreDamagedError as error:
            self._damaged(planned, error)
            return False
        self._inventory.look_at(planned, mine=True)
        return True

    def _keep_time(self, planned: PlannedRun, seconds: float) -> None:
        """Keep how long a test took: the times of studies that are still to come rest on it."""
        task = run_tasks([planned], self._inputs.dataset(planned).shape)[planned.id].test
        machine = Machine(self._inputs.device, torch.get_num_threads(), self._workers)
        keep_time(task.stem(machine, "runs"), task.images, seconds)

    def _beside(self, baseline: PlannedRun) -> dict[str, Any] | None:
        """Return the id and weights of a finished baseline; None if it is damaged: noted then."""
        try:
            record = self._directory.record(baseline.path, hash_weights=True)
            states = recorded_states(self._directory.run(baseline.path), record)
        except (BadInputError, StoreDamagedError) as error:
            self._damaged(baseline, error)
            return None
        return {"run_id": record.id, "states": states}
