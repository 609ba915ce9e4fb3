"""CC: match the correlations between the images of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn, torch
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


Sharpness = Annotated[
    float, Field(ge=0, le=1e6, description="how fast the kernel falls with distance")
]
Form = Annotated[
    Literal["rbf", "mmd"],
    Field(description="the paper's kernel, or the form of RepDistiller's tables"),
]
Order = Annotated[int, Field(ge=1, le=20, description="highest power of the kernel's series")]
_WIDTH = 128


def _kernel(x: Tensor, gamma: float, order: int) -> Tensor:
    """Return the Gaussian kernel's Taylor series between embeddings of length 1, `[B, B]`."""
    unit = F.normalize(x, dim=1, eps=1e-12)
    cosines = unit @ unit.t()
    powers = [(2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(powers).sum(0)


@method
@dataclass(frozen=True, config=STRICT)
class Cc(OnEmbeddings):
    """`mean over B^2 of (K_s - K_t)^2`, K a kernel between the embeddings of a batch.

    Peng et al. 2019: `rbf` is the paper's, `exp(-2 gamma) sum of (2 gamma)^p / p! cos^p` up to
    `order`, with gamma 0.4, order 2 and weight 100 of a third party's code. `mmd` is what the
    tables since CRD call CC: both embeddings through trained linear layers to 128 numbers, d = |f_s
    - f_t|, mean over neighbours in the batch of the product of their d, summed over dimensions. It
    depends on the order of the batch and is not the paper's loss; its weight there is 0.02. Both
    layers are trained, the teacher's too.
    """

    name: ClassVar[str] = "cc"
    label: ClassVar[str] = "CC"
    summary: ClassVar[str] = "correlations between the images of a batch"
    citation: ClassVar[str] = (
        "Peng et al. 2019, Correlation Congruence for Knowledge Distillation (arXiv 1904.01802)"
    )
    zero_at_equality: ClassVar[bool] = True
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "kd_weight": "weight",
        "cc_gamma": "gamma",
        "cc_order": "order",
        "cc_form": "form",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"gamma": 0.9, "order": 4},
        {"form": "mmd", "weight": 0.02},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 100.0
    gamma: Sharpness = 0.4
    order: Order = 2
    form: Form = "rbf"

    def depends_on_order(self) -> bool:
        """Whether it multiplies neighbours in the batch."""
        return self.form == "mmd"

    def compares_images(self) -> bool:
        """Compare them: its loss is made of pairs."""
        return True

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the two linear layers of `mmd`."""
        if self.form == "rbf":
            return nn.Module()
        own, other = embeddings(student, teacher)
        return nn.ModuleDict(
            {
                "student": nn.Linear(own.shape[1], _WIDTH),
                "teacher": nn.Linear(other.shape[1], _WIDTH),
            }
        )

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the difference of the correlations, `cc`."""
        s, t = embeddings(student, teacher)
        with in_float32(student.logits):
            if self.form == "rbf":
                between = _kernel(s, self.gamma, self.order) - _kernel(t, self.gamma, self.order)
                return {"cc": Term(self.weight, between.square().mean())}
            apart = (_embed(parts, "student", s) - _embed(parts, "teacher", t)).abs()
            return {"cc": Term(self.weight, (apart[:-1] * apart[1:]).sum(1).mean())}


def _embed(parts: nn.Module, side: str, x: Tensor) -> Tensor:
    layer = parts.get_submodule(side)
    return F.linear(x, layer.get_parameter("weight"), layer.get_parameter("bias"))
