"""ITRD: match embeddings feature by feature, and the similarities of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn
from kdgap.methods.method import (
    STRICT,
    CrossEntropyWeight,
    Step,
    Term,
    Weight,
    method,
)
from kdgap.methods.on_maps import OnEmbeddings
from kdgap.methods.shared import embeddings, in_float32

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


OfCorrelation = Annotated[
    Weight, Field(description="weight of the correlation, feature by feature")
]
OfMutual = Annotated[
    Weight, Field(description="weight of the mutual information of the images' similarities")
]
Exponent = Annotated[float, Field(ge=1, le=10, description="half the power of 1 - correlation")]
_SMALL = 1e-8


def _standard(x: Tensor) -> Tensor:
    """Return each feature with mean 0 and deviation 1 over the batch."""
    centred = x - x.mean(0)
    deviation = (centred.square().sum(0) / max(len(x) - 1, 1) + _SMALL).sqrt()
    return centred / deviation


def _gram(x: Tensor) -> Tensor:
    """Return the cosines between the images of a batch over their trace, `[B, B]`."""
    unit = F.normalize(x, dim=1, eps=1e-12)
    return unit @ unit.t() / len(x)


@method
@dataclass(frozen=True, config=STRICT)
class Itrd(OnEmbeddings):
    """`2 log2(sum of |c - 1|^(2a)) + 0.05 sum of (G_s^2 - G_st^2)` on embeddings.

    Miles et al. 2022, as in distiller_zoo/IT.py. z is the student's embedding through a trained
    linear layer to the teacher's width. c is, feature by feature, the mean over the batch of the
    product of both, each standardised over the batch (ddof 1), so that it is (B - 1) / B at
    equality. G are cosines between images over their trace, G_st is the elementwise product of both
    sides' over its trace; where both widths are equal G_s is of the student's own embedding, as
    theirs. 1e-8 is added to variances and to the sum in the logarithm, which would be infinite at
    0. The weights 2 and 0.05 and the exponent 1.5 are the defaults of their code; the example of
    its README, WRN-40-2 to WRN-16-2, has 2, 1 and 1.01. All are for batches of 64: both parts
    depend on the batch size.
    """

    name: ClassVar[str] = "itrd"
    label: ClassVar[str] = "ITRD"
    summary: ClassVar[str] = "correlation and mutual information of embeddings"
    citation: ClassVar[str] = (
        "Miles et al. 2022, Information Theoretic Representation Distillation (arXiv 2112.00459)"
    )
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "itrd_correlation_weight": "correlation_weight",
        "itrd_mutual_weight": "mutual_weight",
        "itrd_exponent": "exponent",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"correlation_weight": 1.0, "mutual_weight": 1.01},
        {"exponent": 1.01},
    )

    ce_weight: CrossEntropyWeight = 1.0
    correlation_weight: OfCorrelation = 2.0
    mutual_weight: OfMutual = 0.05
    exponent: Exponent = 1.5

    def compares_images(self) -> bool:
        """Compare them: by similarities, and over the batch."""
        return True

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the linear layer."""
        own, other = embeddings(student, teacher)
        return nn.ModuleDict({"embed": nn.Linear(own.shape[1], other.shape[1])})

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return both parts, `correlation` and `mutual`."""
        own, other = embeddings(student, teacher)
        layer = parts.get_submodule("embed")
        with in_float32(student.logits):
            z = F.linear(own, layer.get_parameter("weight"), layer.get_parameter("bias"))
            c = (_standard(z) * _standard(other)).mean(0)
            correlation = ((c - 1).abs().pow(2 * self.exponent).sum() + _SMALL).log2()
            s, t = _gram(own if own.shape == other.shape else z), _gram(other)
            both = s * t
            both = both / both.trace().clamp_min(_SMALL)
            mutual = s.square().sum() - both.square().sum()
        return {
            "correlation": Term(self.correlation_weight, correlation),
            "mutual": Term(self.mutual_weight, mutual),
        }
