"""DIST: correlation instead of divergence, for teachers far larger than their students."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import torch
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

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


OfImages = Annotated[
    Weight, Field(description="weight of the relation between classes within an image (inter)")
]
OfClasses = Annotated[
    Weight, Field(description="weight of the relation within a class over the batch (intra)")
]
SquaredFactor = Annotated[bool, Field(description="whether T^2 multiplies the loss")]
_SMALL = 1e-8


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean correlation of the rows of two matrices; a constant row has none: 0."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    mean: Tensor = ((a * b).sum(1) / (norms + _SMALL)).mean()
    return mean


@method
@dataclass(frozen=True, config=STRICT)
class Dist(OnLogits):
    """`T^2 [beta (1 - mean correlation of images) + gamma (1 - mean correlation of classes)]`.

    Pearson correlations of probabilities at T: of an image over classes, of a class over the batch,
    which therefore depends on the batch, a partial one too. The authors' code
    (lib/models/losses/dist_kd.py) multiplies by T^2, the paper's listing does not: at T = 4 that
    is a factor of 16, so `t_squared` says which; the code's by default. As theirs, it adds 1e-8 to
    the product of norms. Defaults are those of their CIFAR-100 configuration.
    """

    name: ClassVar[str] = "dist"
    label: ClassVar[str] = "DIST"
    summary: ClassVar[str] = "correlations of probabilities, by image and by class"
    citation: ClassVar[str] = (
        "Huang et al. 2022, Knowledge Distillation from A Stronger Teacher (arXiv 2205.10536)"
    )
    zero_at_equality: ClassVar[bool] = True
    zero_at_equality_to: ClassVar[float] = 1e-4
    flat_names: ClassVar[Mapping[str, str]] = {
        "kd_weight": "weight",
        "dist_beta": "beta",
        "dist_gamma": "gamma",
        "dist_t_squared": "t_squared",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"beta": 0.0, "temperature": 1.5},
        {"gamma": 0.5, "t_squared": False},
        {"standardise": True},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 2.0
    beta: OfImages = 1.0
    gamma: OfClasses = 1.0
    temperature: Temperature = 4.0
    t_squared: SquaredFactor = True
    standardise: Standardise = False

    def compares_images(self) -> bool:
        """Correlate over the batch."""
        return True

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return what both correlations lack of 1, `images` and `classes`."""
        student, teacher = self.seen(student, teacher)
        from kdgap.methods.parts.softmax import log_probabilities

        t = self.temperature
        a, b = (log_probabilities(z, t).exp() for z in (student.logits, teacher.logits))
        weight = self.weight * (t**2 if self.t_squared else 1.0)
        return {
            "images": Term(weight * self.beta, 1 - _pearson(a, b)),
            "classes": Term(weight * self.gamma, 1 - _pearson(a.t(), b.t())),
        }
