"""One runner of a study: takes what is free, trains it, opens the doors that may be opened.

Several may work on one study at once. A runner owns a run while it holds the lock in its directory;
the system frees the lock when the runner ends, however that happens. What there is to do follows
from the plan and from what is on disk, so runners need not know of each other.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from kdgap.engine.device import free_memory, make_deterministic, pick_device
from kdgap.errors import (
    BadInputError,
    KdgapError,
    RunFailedError,
    StoreDamagedError,
)
from kdgap.planning.cost import costs_of, members_that_fit, worker_share
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.planning.tasks import START, Machine
from kdgap.running.ranks import check_devices
from kdgap.spec.study import STAGES
from kdgap.store.locks import Lock
from kdgap.store.measured import keep_time
from kdgap.store.state import StateFiles, has_states
from kdgap.study.doors import Doors
from kdgap.study.inputs import Inputs
from kdgap.study.inventory import give_up
from kdgap.study.kept_plan import KeptPlan
from kdgap.study.live import Live
from kdgap.study.selection import Selected
from kdgap.study.trainer import Trainer, lock_threads
from kdgap.study.workspace import Workspace

if TYPE_CHECKING:
    from kdgap.running.teacher import TeacherWeights

POLL_SECONDS = 1.0


class Worker:
    """Works on a study until nothing is left that it may do.

    Args:
        workspace: the study.
        device: name of the device to train on.
        stages: which stages to do, or which ablations by name; all of `STAGES` by default.
        share: how many workers there are, so that none takes everything.
        pause: raises `StoppedError` when it is time to stop.
        say: takes one-line remarks for the user.
        started: seconds that its process took until it had read the study, which later plans rest
            on; None = of a process that does other things as well.
    """

    def __init__(
        self,
        workspace: Workspace,
        device: str,
        stages: Sequence[str] = tuple(STAGES),
        share: int = 1,
        pause: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        started: float | None = None,
    ) -> None:
        self._started = started
        self._workspace, self._directory = workspace, workspace.directory
        self._inputs = Inputs(
            self._directory,
            pick_device(device),
            workspace.study.data,
            pause,
            lambda: self._live.write({"phase": "loading data"}),
            say,
            lambda: self._planned,
            workspace.study.teachers,
        )
        self._planned: Sequence[PlannedRun] = ()
        self._only = set(stages)
        self._share, self._pause, self._say = share, pause, say
        self._inventory = workspace.inventory
        self._kept = KeptPlan(workspace, pause)
        self._waiting: list[str] = []
        self._live = Live(self._directory.path)
        self._trainer = Trainer(self._directory, self._inputs, self._live, pause, say, share)
        self._doors = Doors(
            workspace, self._inputs, self._live, self._teacher, self._damaged, pause, share
        )

    def work(self) -> None:
        """Do everything that can be done.

        Raises:
            BadInputError: the data or a teacher is not what the study is locked to.
            RunFailedError: nothing more can be written.
            StoppedError: it was told to stop; everything is saved.
        """
        asked = self._workspace.study.threads
        make_deterministic(0, lock_threads(self._directory, asked, torch.get_num_threads()))
        if self._started is not None:
            machine = Machine(self._inputs.device, torch.get_num_threads(), self._share)
            keep_time(START.stem(machine, "runs"), 1, self._started)
        idle = 0
        try:
            while idle < 2:  # look twice: what others finished since may be work for this one
                self._pause()
                plan, selected = self._refresh()
                mine = [p for p in plan.runs.values() if p.is_of(self._only)]
                check_devices(self._inputs.device, max((p.run.devices for p in mine), default=1))
                if plan.runs and self._directory.locked("data") is None:
                    # Locked as the first thing; where it was lost, also if nothing is to be done.
                    self._inputs.dataset(next(iter(plan.runs.values())))
                if self._train_some(plan) or self._doors.open(plan, selected):
                    idle = 0
                elif holders := self._inventory.waiting_for(plan, self._only):
                    self._wait_for(holders)
                    idle = 0
                else:
                    idle += 1
        except OSError as error:
            place = error.filename or self._directory.path
            raise RunFailedError(f"{place}: {error.strerror or error}") from None
        finally:
            self._live.close()

    @property
    def damaged(self) -> list[str]:
        """What is wrong with each record that turned out to be damaged."""
        return list(self._inventory.damaged.values())

    def _wait_for(self, holders: list[str]) -> None:
        if holders != self._waiting:
            self._say(f"waiting for runs held by {', '.join(holders)}")
            self._waiting = holders
        self._live.write({"phase": "waiting for runs that others hold"})
        time.sleep(POLL_SECONDS)

    def _refresh(self) -> tuple[Plan, Selected]:
        """Look at the disk, choose winners that can be chosen, and keep `plan.json` true."""
        plan, selected = self._kept.refresh()
        self._planned = tuple(plan.runs.values())
        self._tidy(plan, selected)
        return plan, selected

    def _tidy(self, plan: Plan, selected: Selected) -> None:
        """Drop states that a crash left, and the weights of selection when it is over."""
        dropping = selected.complete and not self._workspace.study.keep_selection_weights
        for planned in plan.runs.values():
            if not self._inventory.is_done(planned):
                continue
            directory = self._directory.run(planned.path)
            drop = dropping and planned.roles == ["selection"] and directory.has_weights()
            left = has_states(directory.path)
            if drop or left:
                lock = directory.try_lock()
                if lock is not None:
                    with lock:
                        StateFiles(directory.path, planned.id).clear()
                        if drop:
                            directory.drop_weights()

    # Training

    def _train_some(self, plan: Plan) -> bool:
        """Train one cohort of what is ready and free; return whether there was any."""
        self._gave_up = False
        ready = [p for p in plan.runs.values() if self._inventory.is_ready(p)]
        for groups in self._inventory.groups(ready, self._only):
            for group in groups:
                share = worker_share(group, len(groups), self._share)
                size = min(share, self._fitting(group))
                with ExitStack() as locks:
                    taken = self._take(group, size, locks)
                    if taken:
                        self._train(plan, taken)
                        return True
        return self._gave_up

    def _fitting(self, group: list[PlannedRun]) -> int:
        """Return how many members of a group fit into this worker's share of the memory."""
        costs = costs_of(group, self._inputs.dataset(group[0]).shape)
        return members_that_fit(group, costs, free_memory(self._inputs.device) // self._share)

    def _take(
        self, group: list[PlannedRun], size: int, locks: ExitStack
    ) -> list[tuple[PlannedRun, Lock]]:
        """Take the locks of up to `size` runs of a group that are free and still to be done."""
        taken: list[tuple[PlannedRun, Lock]] = []
        for planned in group:
            if len(taken) == size:
                break
            directory = self._directory.run(planned.path)
            try:
                directory.refuse_other(planned.id)
            except (BadInputError, StoreDamagedError) as error:
                self._damaged(planned, error)
                continue
            try:
                lock = directory.try_lock()
            except BadInputError as error:  # a full disk: nothing that was asked for is wrong
                raise RunFailedError(str(error)) from None
            if lock is None:
                self._inventory.note_held(planned)
                continue
            if not self._inventory.still_ready(planned):
                lock.release()  # another runner did it since we looked
                continue
            locks.callback(lock.release)
            if self._inventory.attempts(planned) >= self._workspace.study.budgets.attempts:
                give_up(directory, self._inventory.attempts(planned))
                lock.release()
                self._gave_up = True
                continue
            taken.append((planned, lock))
        return taken

    def _damaged(self, planned: PlannedRun, error: KdgapError) -> None:
        """Leave a damaged run alone; the others go on."""
        self._inventory.damage(planned, str(error))
        self._say(f"damaged: {planned.path}: {error}")

    def _train(self, plan: Plan, taken: list[tuple[PlannedRun, Lock]]) -> None:
        """Train runs whose locks are held, as one cohort; each lock is given back at its end."""
        group = [planned for planned, _ in taken]
        self._live.write({"phase": "preparing", "runs": [planned.id for planned in group]})
        owner = next((planned for planned in group if planned.run.teacher is not None), None)
        weights = None if owner is None else self._teacher(plan, owner)
        if owner is not None and weights is None:
            return
        locks = {planned.id: lock for planned, lock in taken}
        self._trainer.train(group, weights, lambda planned: locks[planned.id].release())

    def _teacher(self, plan: Plan, student: PlannedRun) -> "TeacherWeights | None":
        """Open a student's teacher; None if its record is damaged, which is then noted."""
        try:
            return self._inputs.teacher(student)
        except StoreDamagedError as error:
            if student.teacher is None:
                raise  # a given file beside a damaged record is no run of this study
            self._damaged(plan.runs[student.teacher], error)
            return None
