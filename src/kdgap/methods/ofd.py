"""OFD: match maps before their ReLU, from a margin of the teacher's on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import nn, torch
from kdgap.methods.method import STRICT, CrossEntropyWeight, Method, Step, Term, Weight, method
from kdgap.methods.shared import by_last, wide
from kdgap.models.taps import Taps

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output


_RARE, _FAR = 1e-3, -3.0
"""Below which probability of a negative number the margin is which multiple of gamma."""
_SCALE = 1000.0


def margins(weight: Tensor, bias: Tensor) -> Tensor:
    """Return each channel's mean of its negative numbers, if a batch norm makes them normal.

    Args:
        weight: the batch norm's scale `[D]`; gamma is its absolute value.
        bias: its shift beta `[D]`.

    Returns:
        `beta - gamma phi(beta / gamma) / Phi(-beta / gamma)`, or -3 gamma where that Phi is at most
        0.001; its limit min(beta, 0) where gamma is 0.
    """
    gamma, beta = wide(weight).abs(), wide(bias)
    ratio = beta / gamma.clamp_min(torch.finfo(gamma.dtype).tiny)
    density = (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)
    negative = torch.special.ndtr(-ratio)
    mean = beta - gamma * density / negative.clamp_min(_RARE)
    return torch.where(negative > _RARE, mean, _FAR * gamma)


@method
@dataclass(frozen=True, config=STRICT)
class Ofd(Method):
    """`sum over stages of 1 / 2^(n - i) times the sum of (x - max(P_t, m))^2 / B / 1000`.

    Heo et al. 2019, as in CIFAR-100/distiller.py of the authors. P are maps before the stage's last
    ReLU, x = BN(conv1x1(P_s)), and numbers count where x > max(P_t, m) or P_t > 0: where the
    teacher is silent the student need only be so, too. m is what the teacher's last batch norm of
    the stage makes on average where it makes negative numbers; on residual stages that is of the
    last branch alone and not of the sum, as theirs. 1000 is for images of 32 pixels; theirs is
    10000 at 224, a weight of 0.1. A sum over pixels and channels: the weight depends on their
    number. The teacher answers in evaluation mode; the authors' stays in training mode on purpose.
    Stages are paired from the last one backwards, the larger map is average-pooled.
    """

    name: ClassVar[str] = "ofd"
    label: ClassVar[str] = "OFD"
    summary: ClassVar[str] = "maps before ReLU from a margin on, every stage"
    citation: ClassVar[str] = (
        "Heo et al. 2019, A Comprehensive Overhaul of Feature Distillation (arXiv 1904.01866)"
    )
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 1.0

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read every stage before its ReLU."""
        return Taps(before_relu=stages)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read every stage before its ReLU, and the batch norm that ends it."""
        return Taps(before_relu=stages, norms=stages)

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Pair stages from the last one backwards."""
        return by_last(student, teacher)

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build a connector for each pair of stages."""
        from kdgap.methods.parts.connector import connector

        stages = nn.ModuleDict()
        for own, other in by_last(student.before_relu, teacher.before_relu):
            inputs = student.before_relu[own].shape[1]
            outputs = teacher.before_relu[other].shape[1]
            stages[own] = connector(inputs, outputs)
            weight = stages[own].get_parameter("conv.weight")
            nn.init.normal_(weight, std=math.sqrt(2 / outputs))
        return nn.ModuleDict({"stages": stages})

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the squared error from the margin on, `ofd`, a sum over stages."""
        from kdgap.methods.parts.connector import connect
        from kdgap.methods.parts.maps import to_smaller

        pairs = by_last(student.before_relu, teacher.before_relu)
        stages = []
        for place, (own, other) in enumerate(pairs, start=1):
            a, b = to_smaller(student.before_relu[own], teacher.before_relu[other])
            x = wide(connect(parts.get_submodule(f"stages.{own}"), a))
            least = margins(*teacher.norms[other]).to(b.dtype)
            target = torch.maximum(b, least[None, :, None, None])
            counts = (x > target) | (target > 0)
            error = ((x - target).square() * counts).sum() / len(x)
            stages.append(error / 2 ** (len(pairs) - place))
        return {"margin": Term(self.weight, torch.stack(stages).sum() / _SCALE)}
