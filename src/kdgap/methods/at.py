"""AT: match where the maps of every stage are active."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, torch
from kdgap.methods.method import STRICT, CrossEntropyWeight, Step, Term, Weight, method
from kdgap.methods.on_maps import OnStages
from kdgap.methods.shared import by_last

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Form = Annotated[
    Literal["code", "paper"],
    Field(description="squared mean as in the authors' code, or the paper's norm"),
]
Power = Annotated[float, Field(ge=1, le=10, description="power of activations in the map")]


def attention(maps: Tensor, power: float) -> Tensor:
    """Return the mean over channels of |F|^power, flat and of length 1: `[B, H W]`."""
    return F.normalize(maps.abs().pow(power).mean(1).flatten(1), dim=1, eps=1e-12)


@method
@dataclass(frozen=True, config=STRICT)
class At(OnStages):
    """`sum over stages of mean over images and pixels of (A_s - A_t)^2`, A the attention of a map.

    Zagoruyko and Komodakis 2017. A is the mean over channels of F^2, flat and divided by its
    length. The paper's equation 2 is half the length of the difference, mean over images, and its
    beta is 1000; the authors' code (utils.py) takes the squared mean, which is far smaller:
    `form` says which. The mean over pixels makes the weight depend on the size of the maps. Stages
    are paired from the last one backwards, the larger map is average-pooled.
    """

    name: ClassVar[str] = "at"
    label: ClassVar[str] = "AT"
    summary: ClassVar[str] = "attention maps of every stage"
    citation: ClassVar[str] = (
        "Zagoruyko and Komodakis 2017, Paying More Attention to Attention (arXiv 1612.03928)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "kd_weight": "weight",
        "at_power": "power",
        "at_form": "form",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"form": "paper"},
        {"power": 1.5},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 1000.0
    power: Power = 2.0
    form: Form = "code"

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Pair stages from the last one backwards."""
        return by_last(student, teacher)

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the difference of attentions, `at`, a sum over stages."""
        from kdgap.methods.parts.maps import to_smaller

        differences = []
        for own, other in by_last(student.features, teacher.features):
            a, b = to_smaller(student.features[own], teacher.features[other])
            between = attention(a, self.power) - attention(b, self.power)
            if self.form == "code":
                differences.append(between.square().mean())
            else:
                differences.append(torch.linalg.vector_norm(between, dim=1).mean() / 2)
        return {"at": Term(self.weight, torch.stack(differences).sum())}
