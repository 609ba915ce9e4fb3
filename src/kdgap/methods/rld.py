"""RLD: DKD for teachers that err: classes that they rank above the true one are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import torch
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


OfConfidence = Annotated[Weight, Field(description="weight of the divergence of the confidences")]
OfLower = Annotated[
    Weight, Field(description="weight of the divergence among classes ranked below the true one")
]
ConfidenceTemperature = Annotated[
    Temperature, Field(description="softens both confidences; 1 = as they are")
]


@method
@dataclass(frozen=True, config=STRICT)
class Rld(OnLogits):
    """`alpha A^2 KL(confidence) + beta T^2 KL(among the classes that the teacher ranks below)`.

    As in mdistiller/distillers/RLD.py of the authors. The first divergence is of the teacher's
    (top probability, rest) from the student's (probability of the true class, rest), at A. For the
    second every class that the teacher gives at least the true class's logit is left out, the true
    class included, and the rest is renormalised on both sides, at T. Where nothing is left, the
    teacher ranks the true class last: that image's second part is 0, and so is its gradient.
    """

    name: ClassVar[str] = "rld"
    label: ClassVar[str] = "RLD"
    summary: ClassVar[str] = "DKD without classes ranked above the true one"
    citation: ClassVar[str] = (
        "Sun et al. 2024, Knowledge Distillation with Refined Logits (arXiv 2408.07703)"
    )
    soft_targets: ClassVar[str | None] = "temperature"
    flat_names: ClassVar[Mapping[str, str]] = {
        "rld_alpha": "alpha",
        "rld_beta": "beta",
        "rld_confidence_temperature": "confidence_temperature",
        "kd_warmup": "warmup",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"alpha": 0.5, "beta": 2.0, "confidence_temperature": 2.0},
        {"temperature": 1.0, "warmup": 0},
        {"standardise": True},
    )

    ce_weight: CrossEntropyWeight = 1.0
    alpha: OfConfidence = 1.0
    beta: OfLower = 8.0
    confidence_temperature: ConfidenceTemperature = 1.0
    temperature: Temperature = 4.0
    warmup: Epochs = 20
    standardise: Standardise = False

    def scale(self, epoch: int, epochs: int) -> float:
        """Warm up."""
        return warm_up(epoch, self.warmup)

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse two classes: at most one is below the true one, which is no distribution."""
        refuse_two_classes(self.name, classes)

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return both divergences, `confidence` and `others`."""
        student, teacher = self.seen(student, teacher)
        from kdgap.methods.parts.softmax import divergence, true_and_rest

        labels, a, t = step.labels, self.confidence_temperature, self.temperature
        confidence = divergence(
            true_and_rest(teacher.logits, teacher.logits.argmax(1), a),
            true_and_rest(student.logits, labels, a),
        )
        z_s, z_t = wide(student.logits) / t, wide(teacher.logits) / t
        below = teacher.logits < teacher.logits.gather(1, labels[:, None])
        # A row of which nothing is left is normalised over all, so that it is finite, and counts 0.
        counted = below | ~below.any(1, keepdim=True)
        infinite = torch.tensor(-torch.inf, dtype=z_s.dtype, device=z_s.device)
        log_s, log_t = (
            z - torch.where(counted, z, infinite).logsumexp(1, keepdim=True) for z in (z_s, z_t)
        )
        q_t = torch.where(below, log_t, infinite).exp()
        others = torch.where(below, q_t * (log_t - log_s), 0.0).sum(1)
        return {
            "confidence": Term(self.alpha * a**2, confidence.mean()),
            "others": Term(self.beta * t**2, others.mean()),
        }
