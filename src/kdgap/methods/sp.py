"""SP: images that the teacher finds alike should be alike for the student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import F
from kdgap.methods.method import STRICT, CrossEntropyWeight, Method, Step, Term, Weight, method
from kdgap.methods.shared import in_float32, wide
from kdgap.models.taps import Taps

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdgap.models.output import Output


def _similarities(maps: Tensor) -> Tensor:
    """Return products between the images of a batch, each row of length 1: `[B, B]`."""
    flat = wide(maps).flatten(1)
    return F.normalize(flat @ flat.t(), dim=1, eps=1e-12)


@method
@dataclass(frozen=True, config=STRICT)
class Sp(Method):
    """`sum of (G_t - G_s)^2 / B^2` with G the row-normalised Gram matrix of the last map.

    Tung and Mori 2019; rows are normalised, not the matrix, as in SP.py of RepDistiller, which
    its authors checked. Divided by B^2, so the weight depends on the batch size.
    """

    name: ClassVar[str] = "sp"
    label: ClassVar[str] = "SP"
    summary: ClassVar[str] = "similarities between the images of a batch, last stage"
    citation: ClassVar[str] = (
        "Tung and Mori 2019, Similarity-Preserving Knowledge Distillation (arXiv 1907.09682)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 3000.0

    def compares_images(self) -> bool:
        """Compare them: its loss is made of pairs."""
        return True

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the last stage."""
        return Taps(maps=stages[-1:])

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the last stage."""
        return Taps(maps=stages[-1:])

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the mean squared difference of similarities, `sp`."""
        (own,), (other,) = student.features.values(), teacher.features.values()
        with in_float32(student.logits):
            between = _similarities(other) - _similarities(own)
            return {"sp": Term(self.weight, between.square().mean())}
