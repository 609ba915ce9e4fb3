"""NST: match the distributions of what single neurons look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import F, torch
from kdgap.methods.method import STRICT, CrossEntropyWeight, Step, Term, Weight, method
from kdgap.methods.on_maps import OnStages
from kdgap.methods.shared import by_last, in_float32

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdgap.models.output import Output


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean over images and pairs of channels of (a . b)^2, `[B, D, H W]` each."""
    return torch.bmm(a, b.transpose(1, 2)).square().mean()


@method
@dataclass(frozen=True, config=STRICT)
class Nst(OnStages):
    """`sum over stages of k(t, t) + k(s, s) - 2 k(s, t)` with the kernel k(a, b) = (a . b)^2.

    Huang and Wang 2017: the squared maximum mean discrepancy of the channels' maps, each flat and
    divided by its length, as in NST.py of RepDistiller. Public code spreads all pairs of channels
    and pixels out; here they are matrix products. Numbers of channels may differ. Stages are paired
    from the last one backwards, the larger map is average-pooled.
    """

    name: ClassVar[str] = "nst"
    label: ClassVar[str] = "NST"
    summary: ClassVar[str] = "distribution of the channels' maps, every stage"
    citation: ClassVar[str] = (
        "Huang and Wang 2017, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer"
        " (arXiv 1707.01219)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 50.0

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Pair stages from the last one backwards."""
        return by_last(student, teacher)

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the discrepancy, `mmd`, a sum over stages."""
        from kdgap.methods.parts.maps import to_smaller

        stages = []
        with in_float32(student.logits):
            for own, other in by_last(student.features, teacher.features):
                maps = to_smaller(student.features[own], teacher.features[other])
                s, t = (F.normalize(x.flatten(2), dim=2, eps=1e-12) for x in maps)
                stages.append(_kernel(t, t) + _kernel(s, s) - 2 * _kernel(s, t))
        return {"mmd": Term(self.weight, torch.stack(stages).sum())}
