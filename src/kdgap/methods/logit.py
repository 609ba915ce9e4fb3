"""Logit-KD: match the teacher's softened class probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import F
from kdgap.methods.method import STRICT, Alpha, Mixed, Step, Temperature, Term, method
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


def softened_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return KL(softmax(teacher / T) || softmax(student / T)) of each image.

    Args:
        student: logits `[B, C]`.
        teacher: logits `[B, C]`.
        temperature: T > 0.

    Returns:
        `[B]`, in nats, at least 0 up to rounding.
    """
    log_student = F.log_softmax(wide(student) / temperature, dim=1)
    log_teacher = F.log_softmax(wide(teacher) / temperature, dim=1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(1)


@method
@dataclass(frozen=True, config=STRICT)
class Logit(Mixed):
    """Hinton et al. 2015, section 2: `T^2 * KL(teacher || student)` at temperature T.

    The factor T^2 keeps the gradient's size comparable over temperatures. The KL divergence is a
    sum over classes and a mean over the batch.
    """

    name: ClassVar[str] = "logit"
    label: ClassVar[str] = "Logit-KD"
    colour: ClassVar[int | None] = 1
    summary: ClassVar[str] = "softened class probabilities of the teacher"
    citation: ClassVar[str] = (
        "Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network"
    )
    zero_at_equality: ClassVar[bool] = True
    soft_targets: ClassVar[str | None] = "temperature"
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {"temperature": 1.0},
        {"temperature": 4.0, "alpha": 0.3},
    )

    alpha: Alpha = 0.5
    temperature: Temperature = 4.0

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the mean KL divergence `kl`, weighted by T^2."""
        divergence = softened_kl(student.logits, teacher.logits, self.temperature)
        return {"kl": Term(self.temperature**2, divergence.mean())}
