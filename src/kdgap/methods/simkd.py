"""SimKD: the teacher's classifier, on the student's map behind a trained connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.methods.method import STRICT, CrossEntropyWeight, Method, Step, Term, Weight, method
from kdgap.methods.shared import last_map, wide
from kdgap.models.taps import Taps
from kdgap.spec.model import ClassifierOf, ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar

Factor = Annotated[
    int, Field(ge=1, le=1024, description="the teacher's width over that of the connector's middle")
]


@method
@dataclass(frozen=True, config=STRICT)
class Simkd(Method):
    """`mean of (z - F_t)^2`, z the student's last map behind the connector, without the labels.

    What is trained, validated, tested and counted is the student without its classifier, with the
    connector (three convolutions with batch norm and ReLU, models/util.py:SimKD) and the teacher's
    classifier, which is frozen: a larger network than the student of other rows, as plans say. The
    larger map of two sizes is average-pooled to the smaller. Evaluating the bare student, as the
    name may suggest, would give chance.
    """

    name: ClassVar[str] = "simkd"
    label: ClassVar[str] = "SimKD"
    summary: ClassVar[str] = "last map behind a connector, teacher's classifier kept"
    citation: ClassVar[str] = (
        "Chen et al. 2022, Knowledge Distillation with the Reused Teacher Classifier"
        " (arXiv 2203.14001)"
    )
    deploys_another: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight", "simkd_factor": "factor"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({}, {"factor": 4})

    ce_weight: CrossEntropyWeight = 0.0
    weight: Weight = 1.0
    factor: Factor = 2

    def deployed(self, student: ModelSpec, teacher: ModelSpec | None) -> ModelSpec:
        """Return the student with the teacher's classifier."""
        assert teacher is not None
        size = teacher.input.size if teacher.input else None
        taken = ClassifierOf(**teacher.architecture(), factor=self.factor, size=size)
        return student.model_copy(update={"classifier": taken})

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read what the connector makes."""
        return Taps(connected=True)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the map that is averaged."""
        return Taps(pooled=True)

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the mean squared difference, `map`."""
        from kdgap.models.pooling import align

        own, other = student.connected, last_map(teacher)
        assert own is not None
        # The student's is the larger one where it sees larger images than its teacher.
        size = min(own.shape[2], other.shape[2]), min(own.shape[3], other.shape[3])
        own, other = align(own, size), align(other, size)
        return {"map": Term(self.weight, (wide(own) - wide(other)).square().mean())}
