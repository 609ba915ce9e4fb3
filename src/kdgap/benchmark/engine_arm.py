"""The engine as one arm of a comparison."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from kdgap.benchmark.case import Case
from kdgap.data import BatchStream, Preprocessing
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.student import Student
from kdgap.engine.teacher import Teacher
from kdgap.leftovers import scratch_prefix
from kdgap.models.build import build_model, model_cost
from kdgap.spec.run import Precision
from kdgap.store.state import StateFiles


class EngineArm:
    """The engine itself: the cohort of a case, with freshly built students every round."""

    def __init__(self, case: Case, precision: Precision) -> None:
        self._device = torch.device("cpu")
        self._case, self._runs = case, case.runs(precision)
        self._dataset, self._val = case.dataset()
        data = self._dataset
        self._preprocessing = _TimedPreprocessing(data.image_size, data.mean, data.std)
        self._teacher: Teacher | None = None
        if case.teacher is not None:
            network = build_model(
                case.teacher, len(data.classes), data.channels, data.image_size, 1
            )
            self._teacher = Teacher(network, self._runs[0], self._device, self._preprocessing)
        augmentation = self._runs[0].data.augmentation
        self._stream = _TimedStream(data.train, case.batch_size, 0, augmentation)
        self._members: list[Member] = []
        self.batch_shares: list[float] = []

    def warm_up(self) -> None:
        """Do a round."""
        self.round()
        self.batch_shares.clear()

    def round(self) -> float:
        """Train and validate the cohort for one epoch."""
        self._members = []  # before others are built
        labels = self._dataset.train.labels
        for run in self._runs:
            student = Student(run, self._dataset, labels, self._teacher, self._device)
            student.preprocessing = self._preprocessing
            self._members.append(Member(student))
        self._stream.seconds = 0.0
        _TimedPreprocessing.seconds = 0.0
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
        self.batch_shares.append((self._stream.seconds + _TimedPreprocessing.seconds) / seconds)
        return seconds

    def saving_seconds(self) -> float:
        """Write a resumable state of every member; return the seconds."""
        with tempfile.TemporaryDirectory(prefix=scratch_prefix("bench")) as folder:
            states = []
            for number, _ in enumerate(self._members):
                path = Path(folder) / str(number)
                path.mkdir()
                states.append(StateFiles(path, str(number)))
            begun = time.perf_counter()
            for state, member in zip(states, self._members, strict=True):
                state.write(member.snapshot())
            return time.perf_counter() - begun

    def account(self) -> dict[str, Any]:
        """Return what the engine knows of itself beside its time."""
        return {
            "batch_share": statistics.median(self.batch_shares),
            "saving_seconds": self.saving_seconds(),
            "flops": self.flops(),
        }

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

    def pixels(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        begun = time.perf_counter()
        batch = super().pixels(epoch, step)
        self.seconds += time.perf_counter() - begun
        return batch


class _TimedPreprocessing(Preprocessing):
    """Knows how long it took, wherever it was done."""

    seconds: ClassVar[float] = 0.0

    def __call__(self, pixels: Tensor) -> Tensor:
        begun = time.perf_counter()
        images = super().__call__(pixels)
        type(self).seconds += time.perf_counter() - begun
        return images
