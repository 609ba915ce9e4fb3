"""NKD: soft cross-entropy on the true class, and among the others, normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.methods.method import (
    STRICT,
    CrossEntropyWeight,
    Step,
    Temperature,
    Term,
    Weight,
    method,
)
from kdgap.methods.on_logits import OnLogits, Standardise
from kdgap.methods.shared import refuse_two_classes, wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


OfOthers = Annotated[
    Weight, Field(description="weight of the other classes' part beside the true class's")
]


@method
@dataclass(frozen=True, config=STRICT)
class Nkd(OnLogits):
    """`-p_t ln p_s of the true class (T = 1) - gamma T^2 sum over the others of q_t ln q_s`.

    Means over images; q is each side's distribution over the C - 1
    other classes at T. A cross-entropy: at equality it is the teacher's entropy and not zero. The
    true class's part is at T = 1 whatever T is, as in the authors' code.
    """

    name: ClassVar[str] = "nkd"
    label: ClassVar[str] = "NKD"
    summary: ClassVar[str] = "soft cross-entropy of the true class and of the others"
    citation: ClassVar[str] = (
        "Yang et al. 2023, From Knowledge Distillation to Self-Knowledge Distillation"
        " (arXiv 2303.13005)"
    )
    soft_targets: ClassVar[str | None] = "temperature"
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight", "nkd_gamma": "gamma"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"gamma": 0.5, "temperature": 3.0},
        {"standardise": True},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 1.0
    gamma: OfOthers = 1.5
    temperature: Temperature = 1.0
    standardise: Standardise = False

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse two classes: one other class is no distribution."""
        refuse_two_classes(self.name, classes)

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return both cross-entropies, `target` and `others`."""
        student, teacher = self.seen(student, teacher)
        from kdgap.methods.parts.softmax import log_probabilities, others

        t, true = self.temperature, step.labels[:, None]
        own, other = (
            log_probabilities(z, 1.0).gather(1, true) for z in (student.logits, teacher.logits)
        )
        q_s, q_t = (
            others(wide(z) / t, step.labels).log_softmax(1)
            for z in (student.logits, teacher.logits)
        )
        return {
            "target": Term(self.weight, -(other.exp() * own).mean()),
            "others": Term(self.weight * self.gamma * t**2, -(q_t.exp() * q_s).sum(1).mean()),
        }
