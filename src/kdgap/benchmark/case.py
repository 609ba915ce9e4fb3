"""What is timed: students of one teacher on random images, sized so that a round takes seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from kdgap.data import Dataset, Images, Request, load_dataset
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import (
    Augmentation,
    DataSpec,
    MethodSpec,
    Precision,
    RecipeSpec,
    RunSpec,
    TeacherSpec,
)
from kdgap.spec.slot import PLAIN
from kdgap.spec.validation import Scalar

TRAIN_PER_VAL = 9
"""Training images for each validation image: CIFAR-10's usual split, 45,000 and 5,000."""

Students = Sequence[tuple[str, Mapping[str, Scalar]]]

BASELINE: Students = [(PLAIN, {})]
LOGIT: Students = [("logit", {"alpha": 0.5, "temperature": 4.0})]
FEATURE: Students = [("feature", {"alpha": 0.5, "beta": 0.5})]
GRID: Students = [
    *[("logit", {"alpha": a, "temperature": t}) for a in (0.3, 0.5, 0.7) for t in (2.0, 3.0, 4.0)],
    *[("feature", {"alpha": a, "beta": 0.5}) for a in (0.3, 0.5, 0.7)],
    *BASELINE,
]


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        key: the letter that it is asked for by.
        title: what it is, for tables.
        student: the network that is trained.
        students: method and hyper-parameters of each run.
        teacher: the frozen network; None where nobody needs one.
        steps: training steps of each run in a round; validation follows in proportion.
        image_size: side in pixels of the images.
        data: `cifar10` = random images of that kind; `digits` = the embedded data.
    """

    key: str
    title: str
    student: ModelSpec
    students: Students
    teacher: ModelSpec | None
    steps: int
    image_size: int = 32
    data: str = "cifar10"
    batch_size: int = 128

    def dataset(self) -> tuple[Dataset, Images]:
        """Return a data set with just the training images of a round, and validation images."""
        train = self.steps * self.batch_size
        val = max(2, train // TRAIN_PER_VAL)
        whole = _digits() if self.data == "digits" else random_images(train + val, self.image_size)
        everything = whole.train
        index = torch.arange(train + val) % len(everything)
        dataset = replace(whole, train=everything.take(index[:train]))
        return dataset, everything.take(index[train:])

    def runs(self, precision: Precision) -> list[RunSpec]:
        """Return the runs as the engine is told of them."""
        teacher = None
        if self.teacher is not None:
            teacher = TeacherSpec(model=self.teacher, weight_hash="0" * 64, weights="none")
        augmentation: Augmentation = "crop" if self.data == "digits" else "crop_flip"
        return [
            RunSpec(
                data=DataSpec(name=self.data, augmentation=augmentation, val_size=2),
                model=self.student,
                method=MethodSpec(name=method, parameters=dict(parameters)),
                teacher=None if method == PLAIN else teacher,
                recipe=RecipeSpec(epochs=1, batch_size=self.batch_size),
                precision=precision,
            )
            for method, parameters in self.students
        ]


def random_images(count: int, size: int) -> Dataset:
    """Random colour images with ten classes."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.randint(0, 10, (count,), generator=generator))
    names = tuple(map(str, range(10)))
    return Dataset("cifar10", images, images, names, (0.5,) * 3, (0.25,) * 3, "random", "random")


def _digits() -> Dataset:
    return load_dataset("digits", Request(Path()))
