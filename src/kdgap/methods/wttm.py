"""WTTM: the teacher's probabilities to a power, and a student without temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.methods.method import (
    STRICT,
    CrossEntropyWeight,
    Share,
    Step,
    Term,
    Weight,
    method,
)
from kdgap.methods.on_logits import OnLogits, Standardise

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Power = Annotated[Share, Field(description="power of the teacher's probabilities, 1 / temperature")]


@method
@dataclass(frozen=True, config=STRICT)
class Wttm(OnLogits):
    """`mean over images of U KL(q, p_s)`, TTM with each image weighted by `U = sum of p_t^gamma`.

    U is large where the teacher's probabilities are smooth. It
    grows with the number of classes, so a weight does not carry over from one data set to another.
    gamma and the weight are tuned per pair; 0.2 and 4 are those of the authors' example beside CRD.
    """

    name: ClassVar[str] = "wttm"
    label: ClassVar[str] = "WTTM"
    summary: ClassVar[str] = "the teacher's probabilities to a power, images weighted"
    citation: ClassVar[str] = (
        "Zheng and Yang 2024, Knowledge Distillation Based on Transformed Teacher Matching"
        " (arXiv 2402.11148)"
    )
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight", "wttm_gamma": "gamma"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"gamma": 0.7},
        {"standardise": True},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 4.0
    gamma: Power = 0.2
    standardise: Standardise = False

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the weighted divergence, `kl`."""
        student, teacher = self.seen(student, teacher)
        from kdgap.methods.parts.softmax import divergence, log_probabilities

        powered = self.gamma * log_probabilities(teacher.logits, 1.0)
        images = powered.logsumexp(1).exp()
        apart = divergence(powered.log_softmax(1), log_probabilities(student.logits, 1.0))
        return {"kl": Term(self.weight, (images * apart).mean())}
