"""Timing several ways of doing one thing side by side, and what the machine could do at best."""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from kdgap.benchmark.case import Case
from kdgap.benchmark.reference_loop import ReferenceLoop
from kdgap.data import BatchStream
from kdgap.engine.cohort import SAVE_SECONDS, SAVE_SHARE, Member, train_cohort
from kdgap.engine.student import Student
from kdgap.engine.teacher import Teacher
from kdgap.models import build_model, model_cost
from kdgap.spec.run import Precision
from kdgap.store.state import StateFiles

REFERENCE, VARIANT, ENGINE = "reference", "reference, bf16 channels_last", "engine"
ARMS = (REFERENCE, VARIANT, ENGINE)


class Arm(Protocol):
    """One way of doing a case."""

    def warm_up(self) -> None:
        """Touch everything once."""

    def round(self) -> float:
        """Do one round and return its seconds."""
        ...


class EngineArm:
    """The engine itself: the cohort of a case, with freshly built students every round."""

    def __init__(self, case: Case, precision: Precision) -> None:
        self._device = torch.device("cpu")
        self._case, self._runs = case, case.runs(precision)
        self._dataset, self._val = case.dataset()
        data = self._dataset
        self._teacher: Teacher | None = None
        if case.teacher is not None:
            network = build_model(
                case.teacher, len(data.classes), data.channels, data.image_size, 1
            )
            self._teacher = Teacher(network, self._runs[0], data.image_size, self._device)
        self._stream = _TimedStream(
            data.train,
            case.batch_size,
            0,
            self._runs[0].data.augmentation,
            data.mean,
            data.std,
        )
        self._members: list[Member] = []
        self.batch_shares: list[float] = []

    def warm_up(self) -> None:
        """Do a round."""
        self.round()
        self.batch_shares.clear()

    def round(self) -> float:
        """Train and validate the cohort for one epoch."""
        self._members = [
            Member(Student(run, self._dataset, self._teacher, self._device)) for run in self._runs
        ]
        self._stream.seconds = 0.0
        begun = time.perf_counter()
        train_cohort(
            self._members,
            self._teacher,
            self._stream,
            self._val,
            save_seconds=float("inf"),
            probe=False,  # once an epoch, which here may be a single step
        )
        seconds = time.perf_counter() - begun
        for member in self._members:
            if member.failure is not None:
                raise member.failure
        self.batch_shares.append(self._stream.seconds / seconds)
        return seconds

    def saving_seconds(self) -> float:
        """Write a resumable state of every member; return the seconds."""
        with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as folder:
            states = []
            for number, _ in enumerate(self._members):
                path = Path(folder) / str(number)
                path.mkdir()
                states.append(StateFiles(path, str(number)))
            begun = time.perf_counter()
            for state, member in zip(states, self._members, strict=True):
                state.write(member.snapshot())
            return time.perf_counter() - begun

    def flops(self) -> float:
        """Return the FLOPs of a round: three forward passes a training step, one in validation."""
        data, case = self._dataset, self._case
        size = (len(data.classes), data.channels, data.image_size)
        own = model_cost(case.student, *size)[1]
        teacher = 0 if case.teacher is None else model_cost(case.teacher, *size)[1]
        train, val = len(data.train), len(self._val)
        return float(len(self._runs) * own * (3 * train + val) + teacher * train)


class _TimedStream(BatchStream):
    """Knows how long its batches took."""

    seconds = 0.0

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        begun = time.perf_counter()
        batch = super().batch(epoch, step)
        self.seconds += time.perf_counter() - begun
        return batch


def build_arm(case: Case, name: str, precision: Precision) -> Arm:
    """Return one way of doing a case."""
    if name == ENGINE:
        return EngineArm(case, precision)
    return ReferenceLoop(case, narrow=name == VARIANT)


def measure(case: Case, rounds: int, precision: Precision) -> dict[str, Any]:
    """Time all arms of a case, taking turns; the order turns too."""
    arms = {name: build_arm(case, name, precision) for name in ARMS}
    for arm in arms.values():
        arm.warm_up()
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    for number in range(rounds):
        for turn in range(len(ARMS)):
            name = ARMS[(number + turn) % len(ARMS)]
            seconds[name].append(arms[name].round())
    engine = arms[ENGINE]
    assert isinstance(engine, EngineArm)
    saving = engine.saving_seconds()
    return {
        "case": case.key,
        "title": case.title,
        "runs": len(case.students),
        "steps": case.steps,
        "rounds": rounds,
        "seconds_per_step": {
            name: statistics.median(taken) / case.steps for name, taken in seconds.items()
        },
        "ratio": {name: spread(seconds, name) for name in (REFERENCE, VARIANT)},
        "batch_share": statistics.median(engine.batch_shares),
        "saving_seconds": saving,
        "saving_share": min(SAVE_SHARE, saving / SAVE_SECONDS),
        "flops_per_second": engine.flops() / statistics.median(seconds[ENGINE]),
        "seconds": seconds,
    }


def spread(seconds: Mapping[str, list[float]], name: str) -> dict[str, float]:
    """Return median and range over rounds of one arm's time as a multiple of the engine's."""
    ratios = [a / b for a, b in zip(seconds[name], seconds[ENGINE], strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def matrix_rate(precision: Precision, size: int = 2048, repeats: int = 5) -> float:
    """Return the FLOP/s of a square matrix product, the best of a few."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best
