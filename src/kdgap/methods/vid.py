"""VID: the teacher's maps as normal variables around what the student makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn, torch
from kdgap.methods.method import STRICT, CrossEntropyWeight, Step, Term, Weight, method
from kdgap.methods.on_maps import OnStages
from kdgap.methods.shared import by_last

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output


_LEAST, _FIRST = 1e-5, 5.0
"""The least variance, and what each begins with."""


@method
@dataclass(frozen=True, config=STRICT)
class Vid(OnStages):
    """`sum over stages of mean of ((mu(F_s) - F_t)^2 / v + ln v) / 2`, a variance v per channel.

    Ahn et al. 2019, as in VID.py of RepDistiller: mu is three 1x1 convolutions without bias, with
    ReLU between, of the teacher's width; v = softplus(l) + 1e-5 begins at 5. The variances are
    trained and in the state, which a plain list of another toolbox forgets, and weight decay leaves
    them alone. It can be negative. Stages are paired from the last one backwards, the larger map is
    average-pooled.
    """

    name: ClassVar[str] = "vid"
    label: ClassVar[str] = "VID"
    summary: ClassVar[str] = "variational bound on what the maps share, every stage"
    citation: ClassVar[str] = (
        "Ahn et al. 2019, Variational Information Distillation for Knowledge Transfer"
        " (arXiv 1904.05835)"
    )
    has_projections: ClassVar[bool] = True
    undecayed: ClassVar[tuple[str, ...]] = ("log_scale",)
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 1.0

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Pair stages from the last one backwards."""
        return by_last(student, teacher)

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build a regressor and a variance for each pair of stages."""
        stages = nn.ModuleDict()
        for own, other in by_last(student.features, teacher.features):
            inputs, outputs = student.features[own].shape[1], teacher.features[other].shape[1]
            stage = nn.Module()
            stage.regressor = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(outputs, outputs, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(outputs, outputs, 1, bias=False),
            )
            first = math.log(math.expm1(_FIRST - _LEAST))
            stage.log_scale = nn.Parameter(torch.full((outputs,), first))
            stages[own] = stage
        return nn.ModuleDict({"stages": stages})

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the negative log-likelihood, `nll`, a sum over stages."""
        from kdgap.methods.parts.maps import to_smaller

        stages = []
        for own, other in by_last(student.features, teacher.features):
            part = parts.get_submodule(f"stages.{own}")
            a, b = to_smaller(student.features[own], teacher.features[other])
            mean: Tensor = part.get_submodule("regressor")(a)
            variance = F.softplus(part.get_parameter("log_scale")) + _LEAST
            variance = variance[None, :, None, None]
            stages.append((0.5 * ((mean - b).square() / variance + variance.log())).mean())
        return {"nll": Term(self.weight, torch.stack(stages).sum())}
