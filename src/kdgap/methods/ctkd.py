"""CTKD: KD at a temperature that is trained against the student, ever harder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import nn, torch
from kdgap.methods.method import STRICT, Alpha, Mixed, Step, Term, method
from kdgap.methods.on_logits import OnLogits, Standardise
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar

Ramp = Annotated[
    int, Field(ge=1, le=100_000, description="epochs until the temperature works at full strength")
]
_LEAST, _SPAN = 1.0, 20.0


@method
@dataclass(frozen=True, config=STRICT)
class Ctkd(OnLogits, Mixed):
    """`T^2 KL(teacher || student)` with `T = 1 + 20 sigmoid(g)` and g a trained scalar, 1 at first.

    g climbs where the student descends: its gradient is multiplied by lambda, which goes from 0 to
    -1 over the first `ramp` epochs as (1 + cos(pi e / ramp)) / 2 - 1, e counted from 1. T is
    inside both softmaxes and the factor T^2, and its gradient flows through all three. The global
    form of the authors' code; theirs lets weight decay reach g, here it does not.
    """

    name: ClassVar[str] = "ctkd"
    label: ClassVar[str] = "CTKD"
    summary: ClassVar[str] = "soft targets at a temperature that is trained against"
    citation: ClassVar[str] = (
        "Li et al. 2023, Curriculum Temperature for Knowledge Distillation (arXiv 2211.16231)"
    )
    has_projections: ClassVar[bool] = True
    undecayed: ClassVar[tuple[str, ...]] = ("temperature",)
    steered: ClassVar[tuple[str, ...]] = ("temperature",)
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"ctkd_ramp": "ramp"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({}, {"ramp": 3}, {"standardise": True})

    alpha: Alpha = 0.9
    ramp: Ramp = 10
    standardise: Standardise = False

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the scalar."""
        return nn.ParameterDict({"temperature": torch.ones(())})

    def steering(self, epoch: int) -> float:
        """Return lambda in an epoch counted from 0."""
        share = min(epoch + 1, self.ramp) / self.ramp
        return (1 + math.cos(math.pi * share)) / 2 - 1

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the divergence times T^2, `kl`."""
        from kdgap.methods.parts.softmax import divergence

        student, teacher = self.seen(student, teacher)
        g, strength = wide(parts.get_parameter("temperature")), self.steering(step.epoch)
        g = strength * g + (1 - strength) * g.detach()  # the value of g, lambda times its gradient
        t = _LEAST + _SPAN * torch.sigmoid(g)
        log_t, log_s = ((wide(z.logits) / t).log_softmax(1) for z in (teacher, student))
        return {"kl": Term(1.0, t**2 * divergence(log_t, log_s).mean())}
