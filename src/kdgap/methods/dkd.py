"""DKD: the divergence in two parts, of the true class and among the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.methods.method import (
    STRICT,
    CrossEntropyWeight,
    Epochs,
    Step,
    Temperature,
    Term,
    Weight,
    method,
)
from kdgap.methods.on_logits import OnLogits, Standardise
from kdgap.methods.shared import refuse_two_classes, warm_up, wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


OfTarget = Annotated[
    Weight, Field(description="weight of the divergence of the true class against the rest")
]
OfOthers = Annotated[Weight, Field(description="weight of the divergence among the other classes")]


@method
@dataclass(frozen=True, config=STRICT)
class Dkd(OnLogits):
    """`alpha T^2 KL(true against rest) + beta T^2 KL(among the others)`, both means over images.

    The first divergence is of (p, 1 - p) of the true class, the second of the other classes'
    probabilities divided by their sum; KD itself is alpha = 1 and beta = 1 - p of the teacher,
    image by image. In log space: the authors' code (mdistiller/distillers/DKD.py) is NaN for
    logit gaps of about 100 in float32. It warms up over 20 epochs counted from 1, as theirs, and 0
    means none, where theirs divides by it. Defaults are those of their code; beta is tuned per pair
    there: 2, 6 or 8, and carries over to no other number of classes.
    """

    name: ClassVar[str] = "dkd"
    label: ClassVar[str] = "DKD"
    summary: ClassVar[str] = "true class and the others decoupled"
    citation: ClassVar[str] = (
        "Zhao et al. 2022, Decoupled Knowledge Distillation (arXiv 2203.08679)"
    )
    zero_at_equality: ClassVar[bool] = True
    soft_targets: ClassVar[str | None] = "temperature"
    flat_names: ClassVar[Mapping[str, str]] = {
        "dkd_alpha": "alpha",
        "dkd_beta": "beta",
        "kd_warmup": "warmup",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"alpha": 0.5, "beta": 2.0, "temperature": 1.0, "warmup": 0},
        {"alpha": 0.0},
        {"beta": 0.0},
        {"standardise": True},
    )

    ce_weight: CrossEntropyWeight = 1.0
    alpha: OfTarget = 1.0
    beta: OfOthers = 8.0
    temperature: Temperature = 4.0
    warmup: Epochs = 20
    standardise: Standardise = False

    def scale(self, epoch: int, epochs: int) -> float:
        """Warm up."""
        return warm_up(epoch, self.warmup)

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse two classes, unless beta is 0: the one that is left is no distribution."""
        if self.beta:
            refuse_two_classes(self.name, classes, "set its beta to 0")

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return both divergences, `target` and `others`."""
        student, teacher = self.seen(student, teacher)
        from kdgap.methods.parts.softmax import divergence, others, true_and_rest

        t, labels = self.temperature, step.labels
        target = divergence(
            true_and_rest(teacher.logits, labels, t), true_and_rest(student.logits, labels, t)
        )
        log_t, log_s = (
            others(wide(z) / t, labels).log_softmax(1) for z in (teacher.logits, student.logits)
        )
        rest = divergence(log_t, log_s)
        return {
            "target": Term(self.alpha * t**2, target.mean()),
            "others": Term(self.beta * t**2, rest.mean()),
        }
