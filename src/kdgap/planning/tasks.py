"""What the work of a study is made of, as far as time goes.

The work of a cohort is made of tasks: a training step of one student, what all members share of a
batch (its images and the teacher's answer), a validation, and so on. Each depends on the number of
images at once, so that what a step costs whatever its size and what each image adds are told apart:
the steps of tiny networks are nearly all of the former, which no count of FLOPs knows.
"""

import hashlib
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch

from kdgap.data import Shape
from kdgap.data.stream import steps_in
from kdgap.methods import METHODS
from kdgap.methods.hyperparameters import deployed_model
from kdgap.models.build import model_cost
from kdgap.planning.cost import images, loss_share
from kdgap.planning.plan import PlannedRun
from kdgap.spec.identity import canonical_json
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec
from kdgap.store.study import DOORS

Part = Literal["start", "step", "batch", "epoch", "validation", "run", "test"]

# Assumed where nothing was timed, and said wherever an estimate rests on it: FLOP/s of one CPU
# thread on small convolutions and of a mid-range accelerator, seconds of a step of no size, and
# seconds until a worker looks for work.
ASSUMED_CPU_THREAD = 40e9
ASSUMED_ACCELERATOR = 10e12
ASSUMED_STEP = 5e-3
ASSUMED_START = 5.0


@dataclass(frozen=True)
class Machine:
    """Where a study trains: what changes how long a task takes.

    Attributes:
        device: of each worker.
        threads: of each worker.
        workers: how many train at once.
    """

    device: torch.device
    threads: int
    workers: int = 1

    def named(self) -> list[str | int]:
        """Return what a timing is valid for, the number of workers apart."""
        cuda = self.device.type == "cuda"
        kind = torch.cuda.get_device_name(self.device) if cuda else self.device.type
        return [platform.node(), kind, self.threads]


def assumed_rate(machine: Machine) -> float:
    """Return the training FLOP/s of a worker that are assumed before anything is timed."""
    if machine.device.type == "cpu":
        return ASSUMED_CPU_THREAD * machine.threads
    return ASSUMED_ACCELERATOR


@dataclass(frozen=True)
class Task:
    """Something that is timed.

    Attributes:
        part: what a process needs before it looks for work; a training step of a student; what a
            cohort shares of a batch; the rest of an epoch, in which gradient norms are measured; a
            validation; set-up and records of a run; its test.
        what: all that its time depends on but the number of images and the machine.
        images: at once.
        flops: of an image, by which tasks that were not timed are placed between others.
    """

    part: Part
    what: str
    images: int
    flops: float = field(compare=False)

    def stem(self, machine: Machine, origin: str) -> str:
        """Return the name of the file of its timings, without its ending."""
        # How others at work slow it is known of real runs; a probe is alone.
        own = [*machine.named(), machine.workers if origin == "runs" else 1]
        digest = hashlib.sha256(canonical_json([own, self.part, self.what]).encode()).hexdigest()
        return f"{origin}-{self.part}-{digest[:24]}"


def assumed(machine: Machine, task: Task) -> float:
    """Return the seconds of a task that are assumed where neither it nor another was timed."""
    times = {"epoch": 0, "test": 4}.get(task.part, 1)
    fixed = {"epoch": 0.0, "start": ASSUMED_START}.get(task.part, ASSUMED_STEP)
    return fixed + times * task.flops * task.images / assumed_rate(machine)


START = Task("start", "until it looks for work", 1, 0.0)
"""Of a process: it imports what it needs and reads the study. What was kept without these words may
hold the waiting for another worker's teacher, so it is not read any more."""


@lru_cache(maxsize=256)
def _network(model: ModelSpec) -> dict[str, object]:
    return model.model_dump(mode="json", exclude={"code"})


class RunTasks:
    """The tasks of one run in a cohort.

    Args:
        run: what it is.
        shape: of its images.
        host: a run of its cohort that has the teacher, if any has one.
        twice: whether a member of its cohort sees a second view of each batch.
    """

    def __init__(self, run: RunSpec, shape: Shape, host: RunSpec | None, *, twice: bool) -> None:
        self._run, self._shape = run, shape
        own, seen = deployed_model(run), [shape.classes, shape.channels, *shape.image_size]
        self._images = [run.data.name, run.data.augmentation, run.precision, run.devices, *seen]
        # Real numbers, such as alpha, weigh terms; the rest may say how many terms there are.
        settings = {k: v for k, v in run.method.parameters.items() if type(v) is not float}
        teacher = run.teacher.model if run.teacher else None
        method = [run.method.name, settings, run.recipe.optimiser]
        self._student = canonical_json([_network(own), *self._images])
        beside = None if teacher is None else _network(teacher)
        self._taught = canonical_json([self._student, method, beside])
        answering = host.teacher.model if host is not None and host.teacher else None
        shared = None if answering is None else _network(answering)
        self._shared = canonical_json([shared, twice, *self._images])
        size = shape.classes, shape.channels, shape.image_size
        self._forward = model_cost(own, *size)[1]
        views = METHODS[run.method.name].views
        asked = 0 if answering is None else model_cost(answering, *size)[1]
        more = loss_share(run.method.name) * (3 * self._forward + asked)
        self._step_flops = 3 * views * self._forward + more
        self._teacher_flops = (2 if twice else 1) * asked
        self.train, self.val = images(run, shape)
        self.epochs, batch = run.recipe.epochs, run.recipe.batch_size
        self.steps = steps_in(self.train, batch)
        self.full = min(batch, self.train) if self.steps > 1 else self.train
        self.last = self.train - (self.steps - 1) * batch

    def step(self, count: int) -> Task:
        """Return a training step on so many images."""
        return Task("step", self._taught, count, self._step_flops)

    def batch(self, count: int) -> Task:
        """Return what all members share of a batch of so many images."""
        return Task("batch", self._shared, count, self._teacher_flops)

    @property
    def epoch(self) -> Task:
        """What the first step of an epoch takes more than others."""
        return Task("epoch", self._taught, self.full, self._forward)

    @property
    def validation(self) -> Task:
        """A validation."""
        return Task("validation", self._student, self.val, self._forward)

    @property
    def record(self) -> Task:
        """Set-up and records of the run."""
        return Task("run", self._student, 1, 0.0)

    @property
    def test(self) -> Task:
        """The test of the run."""
        test = self._shape.test
        limit = self._run.data.limit
        count = test if limit is None else min(test, limit)
        return Task("test", self._taught, count, self._forward)

    def own(self) -> Counter[Task]:
        """Return how often each task of the run itself is done."""
        counts: Counter[Task] = Counter({self.record: 1})
        counts[self.step(self.full)] += self.epochs * (self.steps - 1)
        counts[self.step(self.last)] += self.epochs
        if self.steps > 2:  # or no other step tells how much of the first one is a step's
            counts[self.epoch] += self.epochs - 1  # the first epoch's is part of its set-up
        counts[self.validation] += self.epochs
        return +counts

    def shared(self) -> Counter[Task]:
        """Return how often each task is done that a cohort does once."""
        counts = Counter({self.batch(self.full): self.epochs * (self.steps - 1)})
        counts[self.batch(self.last)] += self.epochs
        return +counts


def run_tasks(
    group: Sequence[PlannedRun], shape: Shape, host: RunSpec | None = None
) -> dict[str, RunTasks]:
    """Return the tasks of the members of a cohort by id.

    `host`: a run that has their teacher; None = the first of them that has one.
    """
    host = host or next((planned.run for planned in group if planned.run.teacher is not None), None)
    twice = any(METHODS[planned.run.method.name].views > 1 for planned in group)
    return {p.id: RunTasks(p.run, shape, host, twice=twice) for p in group}


def cohort_tasks(group: Sequence[PlannedRun], shape: Shape) -> Counter[Task]:
    """Return how often each task of a cohort is done, tests of its members included."""
    members = run_tasks(group, shape)
    longest = max(members.values(), key=lambda tasks: tasks.epochs)
    counts = longest.shared()
    for planned in group:
        tasks = members[planned.id]
        counts += tasks.own()
        if set(planned.roles) & set(DOORS):
            counts[tasks.test] += 1
    return counts


def likeness(group: Sequence[PlannedRun]) -> tuple[tuple[str, bool], ...]:
    """Return what cohorts of the same tasks share, such as those of several seeds."""
    return tuple((p.configuration, bool(set(p.roles) & set(DOORS))) for p in group)


def assumed_weights(groups: Iterable[Sequence[PlannedRun]], shape: Shape) -> dict[str, float]:
    """Return run → the seconds that are assumed of it on one CPU thread.

    They say how much of a study each run is, wherever it trains: a cohort's teacher and images are
    shared among its members alike.
    """
    machine = Machine(torch.device("cpu"), 1)
    known: dict[tuple[tuple[str, bool], ...], list[float]] = {}
    weights: dict[str, float] = {}

    def seconds(counts: Counter[Task]) -> float:
        return sum(assumed(machine, task) * count for task, count in counts.items())

    for group in groups:
        if (key := likeness(group)) not in known:
            members = run_tasks(group, shape)
            shared = seconds(members[group[0].id].shared()) / len(group)
            known[key] = [shared + seconds(members[p.id].own()) for p in group]
        weights |= zip((p.id for p in group), known[key], strict=True)
    return weights
