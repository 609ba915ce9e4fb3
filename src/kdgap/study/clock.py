"""Times the tasks of a cohort while it trains, without being part of what is trained.

    since the mark ── batch ──▶ pause ── step of member 1 ──▶ on_step = the new mark
                                pause ── step of member 2 ──▶ on_step …
    since the mark ── validation ──▶ on_epoch;  since the mark ── records ──▶ on_finish

On a device that computes while the host goes on, a part may be booked on the next one; their sum
is right, as every epoch ends with numbers that the host reads.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import psutil

from kdgap.data import Shape
from kdgap.engine.tracker import NoTracker, Tracker
from kdgap.planning.plan import PlannedRun
from kdgap.planning.tasks import Task, run_tasks
from kdgap.spec.run import RunSpec

KEPT_EPOCHS = 64
"""How many of the newest epochs of each task are remembered."""
LEAST = 1e-9
"""Seconds: what is kept of something that took no time at all."""
OLD_SECONDS = 600.0
"""A process that is older than this has done other things before."""


def process_age() -> float | None:
    """Return the seconds since this process was started; None where it is older than a start.

    A command asks when it has read the study, and has not waited for anybody yet.
    """
    age = time.time() - psutil.Process().create_time()
    return max(LEAST, age) if age < OLD_SECONDS else None


class Clock:
    """Times one cohort.

    Args:
        group: its runs.
        shape: of their images.
        pause: raises to stop; what trains calls `Clock.pause` in its place.
        host: a run that has their teacher; None = the first of them that has one.
    """

    def __init__(
        self,
        group: Sequence[PlannedRun],
        shape: Shape,
        pause: Callable[[], None],
        host: RunSpec | None = None,
    ) -> None:
        self._tasks, self._pause = run_tasks(group, shape, host), pause
        self._mark = self._paused = time.perf_counter()
        self._place = (0, 0)
        self._sums: dict[Task, tuple[float, int]] = {}
        self._openings: list[tuple[str, float, int]] = []
        self._epochs: dict[Task, deque[float]] = {}
        self._once = dict.fromkeys(self._tasks, 0.0)
        self._over: set[str] = set()

    def share(self) -> None:
        """Book what was done since the clock was made, which is set-up, on all members alike."""
        for identifier in self._once:
            self._once[identifier] += (time.perf_counter() - self._mark) / len(self._once)

    def begin(self) -> None:
        """Note that the first step is next."""
        self._mark = time.perf_counter()

    def pause(self) -> None:
        """Pass on, and note the time: a step may follow."""
        self._pause()
        self._paused = time.perf_counter()

    def watch(self, identifier: str) -> Tracker:
        """Return what is told of a run's steps and epochs; it has to be the last that is."""
        return _Hand(self, identifier)

    def means(self) -> dict[Task, float]:
        """Return task → its mean over the epochs that are remembered, in seconds."""
        epochs = {task: sum(kept) / len(kept) for task, kept in self._epochs.items()}
        return epochs | self._records()

    def medians(self) -> dict[Task, float]:
        """Return task → its median over the epochs but the first, in seconds.

        The first warms up what a few epochs do not outweigh.
        """
        later = {task: sorted(list(kept)[1:]) for task, kept in self._epochs.items()}
        medians = {task: kept[len(kept) // 2] for task, kept in later.items() if kept}
        return medians | self._records()

    def _records(self) -> dict[Task, float]:
        """Return the mean time of the set-up and records of runs, where several share the task."""
        times: dict[Task, list[float]] = {}
        for identifier in self._over:
            times.setdefault(self._tasks[identifier].record, []).append(self._once[identifier])
        return {task: sum(listed) / len(listed) for task, listed in times.items()}

    def stepped(self, identifier: str, epoch: int, step: int) -> None:
        """Book a step: what was shared before it, and its own; both counted from 1."""
        now = time.perf_counter()
        tasks = self._tasks[identifier]
        count = tasks.last if step == tasks.steps else tasks.full
        self._add(tasks.batch(count), self._paused - self._mark, (epoch, step) != self._place)
        own = now - self._paused
        if step == 1 and tasks.steps > 2:  # where other steps tell how much of it is a step's
            self._openings.append((identifier, own, epoch))
        else:
            self._add(tasks.step(count), own)
        self._place, self._mark = (epoch, step), now

    def validated(self, identifier: str) -> None:
        """Book a validation, and close the steps of the epoch: the members end it one by one."""
        now = time.perf_counter()
        tasks = self._tasks[identifier]
        for task, (seconds, count) in self._sums.items():
            self._close(task, seconds / count)
        self._sums.clear()
        for opened, own, epoch in self._openings:
            of = self._tasks[opened]
            if (steps := self._epochs.get(of.step(of.full))) is None:
                continue  # it failed before its second step
            more = max(0.0, own - steps[-1])
            if epoch == 1:  # which warms up
                self._once[opened] += more
            else:
                self._close(of.epoch, more)
        self._openings.clear()
        self._close(tasks.validation, now - self._mark)
        self._mark = now

    def recorded(self, identifier: str) -> None:
        """Book the records of a run that is over."""
        now = time.perf_counter()
        self._once[identifier] += now - self._mark
        self._over.add(identifier)
        self._mark = now

    def _add(self, task: Task, seconds: float, new: bool = True) -> None:
        total, count = self._sums.get(task, (0.0, 0))
        self._sums[task] = total + seconds, count + new

    def _close(self, task: Task, seconds: float) -> None:
        self._epochs.setdefault(task, deque(maxlen=KEPT_EPOCHS)).append(seconds)


class _Hand(NoTracker):
    def __init__(self, clock: Clock, identifier: str) -> None:
        self._clock, self._identifier = clock, identifier

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self._clock.stepped(self._identifier, epoch, step)

    def on_epoch(self, entry: Mapping[str, object]) -> None:
        self._clock.validated(self._identifier)

    def on_finish(self, results: Mapping[str, object] | None) -> None:
        if results is not None:
            self._clock.recorded(self._identifier)
