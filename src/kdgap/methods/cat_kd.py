"""CAT-KD: match the class activation maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn, torch
from kdgap.errors import BadInputError
from kdgap.methods.method import STRICT, CrossEntropyWeight, Method, Step, Term, Weight, method
from kdgap.methods.shared import in_float32, last_map, wide
from kdgap.models.taps import Taps

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Pool = Annotated[int, Field(ge=1, le=1024, description="side of the maps that are compared")]
Normalise = Annotated[bool, Field(description="divide each class's map by its length")]


@method
@dataclass(frozen=True, config=STRICT)
class CatKd(Method):
    """`mean of (M_s - M_t)^2` of class activation maps M = W F at the last stage, pooled to r x r.

    Guo et al. 2023, as in mdistiller/distillers/CAT_KD.py: one map for each class, average-pooled,
    then, with `normalise`, divided by its length. The classifier's bias is left out; its weight
    gets a gradient on the student's side. Theirs replaces the classifier by a 1x1 convolution,
    which gives the same numbers as W F. Weight 400 with `normalise` is the setting of theirs
    without other losses; beside them their weights are 0.7 to 600, without it for networks of one
    family, and r is 4 for ShuffleNets. W is applied after pooling: both are linear.
    """

    name: ClassVar[str] = "cat_kd"
    label: ClassVar[str] = "CAT-KD"
    summary: ClassVar[str] = "class activation maps of the last stage"
    citation: ClassVar[str] = (
        "Guo et al. 2023, Class Attention Transfer Based Knowledge Distillation (arXiv 2304.12777)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "kd_weight": "weight",
        "cat_kd_pool": "pool",
        "cat_kd_normalise": "normalise",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"normalise": False},
        {"pool": 3, "normalise": False},
        {"pool": 1},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 400.0
    pool: Pool = 2
    normalise: Normalise = True

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the map that is averaged, and the classifier."""
        return Taps(pooled=True, classifier=True)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the map that is averaged, and the classifier."""
        return Taps(pooled=True, classifier=True)

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Refuse maps that are smaller than what they are pooled to; there is nothing to build."""
        for side, answer in (("student", student), ("teacher", teacher)):
            height, width = last_map(answer).shape[2:]
            if min(height, width) < self.pool:
                raise BadInputError(
                    f"cat_kd pools maps to {self.pool}x{self.pool}, and the last one of the {side}"
                    f" is {height}x{width}; set its pool to at most {min(height, width)}"
                )
        return nn.Module()

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the squared error of the maps, `maps`."""
        with in_float32(student.logits):
            apart = self._maps(student) - self._maps(teacher)
            return {"maps": Term(self.weight, apart.square().mean())}

    def _maps(self, answer: Output) -> Tensor:
        """Return a network's map of each class, `[B, C, r r]`."""
        from kdgap.models.pooling import align

        assert answer.classifier is not None
        pooled = align(wide(last_map(answer)), (self.pool, self.pool)).flatten(2)
        maps = torch.einsum("cd,bdp->bcp", wide(answer.classifier[0]), pooled)
        return F.normalize(maps, dim=2, eps=1e-12) if self.normalise else maps
