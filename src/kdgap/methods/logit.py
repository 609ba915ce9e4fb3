"""Logit-KD: match the teacher's softened class probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, torch
from kdgap.methods.method import STRICT, Alpha, Mixed, Step, Temperature, Term, method
from kdgap.methods.on_logits import OnLogits, Standardise
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


OfTrue = Annotated[
    float, Field(ge=0, le=1000, description="the teacher's, of the true class; 0 = temperature")
]
OfOthers = Annotated[
    float, Field(ge=0, le=1000, description="the teacher's, of other classes; 0 = temperature")
]

StopAt = Annotated[
    float,
    Field(gt=0, le=1, description="share of the epochs after which cross-entropy alone trains"),
]


def softened_kl(
    student: Tensor, teacher: Tensor, temperature: float, of_teacher: Tensor | float | None = None
) -> Tensor:
    """Return KL(softmax(teacher / T) || softmax(student / T)) of each image.

    Args:
        student: logits `[B, C]`.
        teacher: logits `[B, C]`.
        temperature: T > 0.
        of_teacher: the teacher's, where it is another one; `[B, C]` or a number.

    Returns:
        `[B]`, in nats, at least 0 up to rounding.
    """
    log_student = F.log_softmax(wide(student) / temperature, dim=1)
    softener = temperature if of_teacher is None else of_teacher
    log_teacher = F.log_softmax(wide(teacher) / softener, dim=1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(1)


@method
@dataclass(frozen=True, config=STRICT)
class Logit(OnLogits, Mixed):
    """Hinton et al. 2015, section 2: `T^2 * KL(teacher || student)` at temperature T.

    The factor T^2 keeps the gradient's size comparable over temperatures. The KL divergence is a
    sum over classes and a mean over the batch.

    With `temperature_true` or `temperature_others` the teacher's logit of the true class and those
    of the others have temperatures of their own, the others' usually the lower one (Li et al. 2022,
    Asymmetric Temperature Scaling Makes Larger Networks Teach Well Again, arXiv 2210.04427; the
    authors' code was not at hand). The student's, and that of the factor T^2, stays.

    `stop_at` below 1 is early-stopped distillation (Cho and Hariharan 2019, On the Efficacy of
    Knowledge Distillation, arXiv 1910.01348): plain training from that share of the epochs on.
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
    neutral: ClassVar[Mapping[str, Scalar]] = {
        **OnLogits.neutral,
        "temperature_true": 0.0,
        "temperature_others": 0.0,
        "stop_at": 1.0,
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {"temperature": 1.0},
        {"temperature": 4.0, "alpha": 0.3},
        {"temperature_true": 5.0, "temperature_others": 2.0},
        {"standardise": True},
        {"stop_at": 0.5},
    )
    flat_names: ClassVar[Mapping[str, str]] = {"logit_stop_at": "stop_at"}

    alpha: Alpha = 0.5
    temperature: Temperature = 4.0
    temperature_true: OfTrue = 0.0
    temperature_others: OfOthers = 0.0
    stop_at: StopAt = 1.0
    standardise: Standardise = False

    def soft_logits(self, teacher: Output) -> Tensor | None:
        """None with temperatures of their own for true class and others: that takes labels."""
        apart = self.temperature_true or self.temperature_others
        return None if apart else super().soft_logits(teacher)

    def vanishes_at_equality(self) -> bool:
        """Only with one temperature for all of the teacher's logits."""
        return not (self.temperature_true or self.temperature_others)

    def scale(self, epoch: int, epochs: int) -> float:
        """Stop at a share of the epochs, to the nearest, after one at least."""
        return float(epoch < max(1, round(self.stop_at * epochs)))

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the mean KL divergence `kl`, weighted by T^2."""
        student, teacher = self.seen(student, teacher)
        t, own, others = self.temperature, self.temperature_true, self.temperature_others
        of_teacher = None
        if own or others:
            of_teacher = torch.full_like(wide(teacher.logits), others or t)
            of_teacher.scatter_(1, step.labels[:, None], own or t)
        divergence = softened_kl(student.logits, teacher.logits, t, of_teacher)
        return {"kl": Term(self.temperature**2, divergence.mean())}
