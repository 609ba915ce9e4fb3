"""A tiny run on the digits, and everything it needs in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdgap.data import BatchStream, Dataset, Images, Parts, Request, load_dataset, split_dataset
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.student import State, Student
from kdgap.engine.teacher import Teacher
from kdgap.engine.tracker import Tracker
from kdgap.methods import METHODS, build_method
from kdgap.models.build import build_model
from kdgap.spec.identity import run_id
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, RecipeSpec, RunSpec, TeacherSpec
from kdgap.spec.validation import Scalar

CPU = torch.device("cpu")
TEACHER = ModelSpec(name="resnet8", width=0.25)


@dataclass(frozen=True)
class Trained:
    """What training left: two sets of weights, and the history they come from."""

    best: State
    best_epoch: int
    last: State
    history: list[dict[str, Any]]


def trained(member: Member) -> Trained:
    """Return what a member has become, or raise why it was given up."""
    if member.failure is not None:
        raise member.failure
    return Trained(member.best, member.best_epoch, member.student.network_state(), member.history)


TRAINED = (*METHODS, "crd+logit", "itrd+wttm", "feature+hard_label+vid")
"""Every method, and some combinations."""
EXAMPLES: dict[str, Mapping[str, Scalar]] = {"crd+logit": {"crd_negatives": 9, "crd_width": 8}}


class Lab:
    """Builds and trains tiny runs: 200 digits unless told, a ResNet-8 with 2 channels."""

    def __init__(self, images: int = 200) -> None:
        self.dataset: Dataset = load_dataset("digits", Request(Path()))
        self.parts: Parts = split_dataset(self.dataset, 297, 1234, images)
        self._known: dict[str, Trained] = {}

    def spec(self, method: str = "none", **fields: Any) -> RunSpec:
        defaults: dict[str, dict[str, Any]] = {
            "none": {},
            "logit": {"alpha": 0.5, "temperature": 4.0},
            "feature": {"alpha": 0.5, "beta": 0.5, "norm": "none"},
        }
        parameters = defaults.get(method)
        if parameters is None:
            example = EXAMPLES.get(method, METHODS[method].examples[0])
            parameters = build_method(method, example).parameters()
        recipe = {"epochs": 2, "batch_size": 64, **fields.pop("recipe", {})}
        teacher = TeacherSpec(model=TEACHER, weight_hash="0" * 64, weights="none")
        known: dict[str, Any] = {
            "data": DataSpec(name="digits", augmentation="crop", val_size=297, limit=200),
            "model": ModelSpec(name="resnet8", width=0.125),
            "method": MethodSpec(
                name=method, parameters={**parameters, **fields.pop("parameters", {})}
            ),
            "teacher": None if method == "none" else teacher,
            "recipe": RecipeSpec(**recipe),
        }
        return RunSpec(**{**known, **fields})

    def teacher(self, run: RunSpec) -> Teacher | None:
        if run.teacher is None:
            return None
        network = build_model(run.teacher.model, 10, 1, (8, 8), 7)
        with torch.no_grad():  # batch norm gets running statistics that are not its initial ones
            network.train()(torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        return Teacher(network, run, CPU, self.dataset.seen_by(None))

    def student(self, run: RunSpec) -> tuple[Student, Teacher | None]:
        teacher = self.teacher(run)
        return Student(run, self.dataset, self.parts.train.labels, teacher, CPU), teacher

    def stream(self, run: RunSpec) -> BatchStream:
        return BatchStream(
            self.parts.train,
            run.recipe.batch_size,
            run.seed,
            run.data.augmentation,
        )

    def images(self, stream: BatchStream, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return a batch as a network of this data sees it, and its labels."""
        pixels, labels = stream.pixels(epoch, step)
        return self.dataset.seen_by(None)(pixels), labels

    def train(
        self,
        run: RunSpec,
        watchers: tuple[Tracker, ...] = (),
        change: Callable[[Student], None] = lambda _: None,
        val: Images | None = None,
        *,
        probe: bool = True,
    ) -> Trained:
        student, teacher = self.student(run)
        change(student)
        val = val or self.parts.val
        member = Member(student, watchers)
        train_cohort([member], teacher, self.stream(run), val, probe=probe)
        return trained(member)

    def alone(self, run: RunSpec) -> Trained:
        """Return what a run comes to by itself, trained by the first test that asks for it."""
        key = run_id(run)
        if key not in self._known:
            self._known[key] = self.train(run)
        return self._known[key]


@cache
def lab_of(images: int) -> Lab:
    """The laboratory that tests share; only to be read."""
    return Lab(images)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return lab_of(200)
