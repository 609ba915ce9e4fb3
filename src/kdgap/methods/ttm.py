"""TTM: the teacher's probabilities to a power, and a student without temperature."""

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
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Power = Annotated[Share, Field(description="power of the teacher's probabilities, 1 / temperature")]


@method
@dataclass(frozen=True, config=STRICT)
class Ttm(OnLogits):
    """`mean over images of KL(q, p_s)` with q the teacher's probabilities to the power gamma.

    q = p_t^gamma / its sum, which is the teacher at T = 1 / gamma; the student has no temperature,
    and no T^2 stands before it (distiller_zoo/ttm.py). gamma and the weight are tuned per pair;
    0.1 and 45 are those of the authors' example, VGG-13 to VGG-8.
    """

    name: ClassVar[str] = "ttm"
    label: ClassVar[str] = "TTM"
    summary: ClassVar[str] = "the teacher's probabilities to a power"
    citation: ClassVar[str] = (
        "Zheng and Yang 2024, Knowledge Distillation Based on Transformed Teacher Matching"
        " (arXiv 2402.11148)"
    )
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight", "ttm_gamma": "gamma"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"gamma": 0.7},
        {"standardise": True},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 45.0
    gamma: Power = 0.1
    standardise: Standardise = False

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the divergence, `kl`."""
        student, teacher = self.seen(student, teacher)
        from kdgap.methods.parts.softmax import divergence, log_probabilities

        powered = (self.gamma * wide(teacher.logits)).log_softmax(1)
        apart = divergence(powered, log_probabilities(student.logits, 1.0))
        return {"kl": Term(self.weight, apart.mean())}
