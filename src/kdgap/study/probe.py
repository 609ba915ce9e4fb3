"""A few steps of what a study is going to train, on images that mean nothing, to time them.

They go the one way in which anything is trained, into a folder that is removed afterwards. No data
is loaded: time depends on how large the images are, not on what they show.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from kdgap.data import Dataset, Images, Parts, Shape
from kdgap.data.copies import Copies
from kdgap.engine.device import make_deterministic
from kdgap.engine.teacher import Teacher
from kdgap.errors import KdgapError, StoppedError
from kdgap.leftovers import scratch_prefix
from kdgap.models.build import build_model
from kdgap.planning.cost import run_cost
from kdgap.planning.plan import PlannedRun
from kdgap.planning.tasks import Machine, Task, assumed_rate, run_tasks
from kdgap.running.results import Prepared
from kdgap.running.training import Attempt, train_attempts
from kdgap.spec.run import RunSpec
from kdgap.store.measured import keep_time
from kdgap.store.record import RunDirectory
from kdgap.study.clock import LEAST, Clock

SHORT_SECONDS, LONG_SECONDS = 8.0, 60.0
"""What a probe may take about: one that a plan makes by itself (none at 0), and one that is asked
for."""
EPOCHS = 4
"""Of each run of a probe: one that warms up, and three whose median counts."""
MEMBERS = 8
"""Runs that are probed as one cohort at most."""
LEAST_BATCH = 8


@dataclass(frozen=True)
class Kind:
    """A run that stands for all of the same tasks, and one that has its cohort's teacher."""

    planned: PlannedRun
    host: PlannedRun | None


def kinds(groups: Sequence[Sequence[PlannedRun]], shape: Shape, wanted: set[Task]) -> list[Kind]:
    """Return runs in which every task comes up that has to be timed, plain training first.

    Runs that several devices share are not among them: one process alone cannot time them.

    Args:
        groups: the cohorts of a study.
        shape: of its images.
        wanted: tasks that are to be timed.
    """
    chosen: list[Kind] = []
    left = set(wanted)
    for group in groups:
        host = next((planned for planned in group if planned.run.teacher is not None), None)
        tasks = run_tasks(group, shape)
        for planned in group:
            own = tasks[planned.id]
            due = left & {*own.own(), *own.shared()}
            if planned.run.devices == 1 and due:
                chosen.append(Kind(planned, host))
                left -= due
    return sorted(chosen, key=lambda kind: kind.planned.run.teacher is not None)


class Probe:
    """Times the tasks of a study's kinds of runs on this machine.

    Args:
        shape: of the study's images.
        machine: where it trains; the probe itself is one worker.
        seconds: what it may take about. Batches are smaller where it could not hold whole ones,
            and what takes four times as long, on a machine that others use, is broken off.
    """

    def __init__(self, shape: Shape, machine: Machine, seconds: float) -> None:
        self._shape, self._machine, self._seconds = shape, machine, seconds
        self._rate = assumed_rate(machine)
        self._begun = time.perf_counter()
        self._end, self._started = float("inf"), False

    def time(self, chosen: Sequence[Kind]) -> None:
        """Time runs, and keep what it came to; what cannot be trained alone is passed over."""
        share = self._seconds / max(1, len(chosen))
        with _as_in_training(self._machine), suppress(StoppedError):
            for chunk in _chunks(chosen):
                self._time(chunk, share * len(chunk))

    def _pause(self) -> None:
        if time.perf_counter() > self._end:
            raise StoppedError("the probe takes too long", 0)

    def _time(self, chunk: Sequence[Kind], seconds: float) -> None:
        flops = self._flops(chunk)
        batch = min(chunk[0].planned.run.recipe.batch_size, int(seconds * self._rate / flops))
        batch = max(LEAST_BATCH, batch)
        images = 2 * batch + max(2, batch // 4)
        val = min(3 * batch, self._shape.train)
        shape = replace(self._shape, train=images + val, test=2, per_class=())
        group = [_short(kind.planned, batch, val) for kind in chunk]
        host = None if chunk[0].host is None else chunk[0].host.run
        taught = None if chunk[0].host is None else _short(chunk[0].host, batch, val).run
        clock = Clock(group, shape, self._pause, taught)
        try:
            with tempfile.TemporaryDirectory(prefix=scratch_prefix("probe")) as folder:
                self._train(group, host, shape, clock, Path(folder))
        finally:
            for task, median in clock.medians().items():
                keep_time(task.stem(self._machine, "probe"), task.images, max(median, LEAST))
        self._rate = flops * batch / (time.perf_counter() - self._begun)

    def _flops(self, chunk: Sequence[Kind]) -> float:
        """Return the FLOPs of a probe for each image of its batch size."""
        images, total = 2.25, 0.0
        for kind in chunk:
            run = kind.planned.run
            cost = run_cost(run, self._shape)
            total += 3 * cost.forward_flops * images + 3 * cost.forward_flops
        host = chunk[0].host
        if host is not None:
            cost = run_cost(host.run, self._shape)
            train = self._shape.train * host.run.recipe.epochs
            total += images * cost.teacher_flops / train
        return EPOCHS * max(1.0, total)

    def _train(
        self,
        group: Sequence[PlannedRun],
        host: RunSpec | None,
        shape: Shape,
        clock: Clock,
        folder: Path,
    ) -> None:
        device = self._machine.device
        dataset = _blank(group[0].run.data.name, shape)
        count = shape.train - group[0].run.data.val_size
        index = torch.arange(shape.train)
        train, val = dataset.train.take(index[:count]), dataset.train.take(index[count:])
        parts = Parts(train, val, dataset.test, Copies(0, 0))
        teacher = None
        if host is not None and host.teacher is not None:
            model, size = host.teacher.model, dataset.image_size
            network = build_model(model, shape.classes, shape.channels, size, 0)
            teacher = Teacher(network, host, device, dataset.seen_by(model.input))
        attempts = []
        for planned in group:
            prepared = Prepared(planned.run, device, dataset, parts, teacher, None)
            directory = RunDirectory(folder / planned.id[:16])
            with suppress(KdgapError, RuntimeError, ValueError, MemoryError):
                attempts.append(Attempt(prepared, directory, [clock.watch(planned.id)]))
        if self._started:
            clock.share()
        else:  # what the first one loads and sets up is no set-up of every run
            self._started, self._end = True, time.perf_counter() + 4 * self._seconds
        self._begun = time.perf_counter()
        clock.begin()
        if attempts:
            train_attempts(attempts, pause=clock.pause, open_test=lambda *_: None)


def _chunks(chosen: Sequence[Kind]) -> Iterator[list[Kind]]:
    """Return cohorts of a few kinds, the members of each with one teacher or none."""
    groups: dict[tuple[object, ...], list[Kind]] = {}
    for kind in chosen:
        run, host = kind.planned.run, kind.host and kind.host.run.teacher
        key = (host and host.model, run.data, run.precision, run.recipe.batch_size)
        groups.setdefault(key, []).append(kind)
    for group in groups.values():
        for start in range(0, len(group), MEMBERS):
            yield group[start : start + MEMBERS]


def _short(planned: PlannedRun, batch: int, val: int) -> PlannedRun:
    """Return a run of a few epochs of three steps."""
    run = planned.run
    data = run.data.model_copy(update={"val_size": val, "limit": None, "choose_on": "val"})
    recipe = run.recipe.model_copy(update={"epochs": EPOCHS, "batch_size": batch, "milestones": []})
    place = run.place.model_copy(update={"tracker": "none", "save_seconds": 3600.0})
    short = run.model_copy(update={"data": data, "recipe": recipe, "place": place})
    return replace(planned, run=short)


def _blank(name: str, shape: Shape) -> Dataset:
    """Return images of noise; each class has some."""
    drawn = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        size = (count, shape.channels, *shape.image_size)
        pixels = torch.randint(0, 256, size, dtype=torch.uint8, generator=drawn)
        return Images(pixels, torch.arange(count) % shape.classes)

    classes = tuple(map(str, range(shape.classes)))
    half = (0.5,) * shape.channels
    return Dataset(name, images(shape.train), images(shape.test), classes, half, half, "", "")


@contextmanager
def _as_in_training(machine: Machine) -> Iterator[None]:
    """Compute as runs do, and as before afterwards."""
    threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        make_deterministic(0, machine.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(before)
