"""ReviewKD: the student's deep maps join the shallow ones before each is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn, torch
from kdgap.methods.method import (
    STRICT,
    CrossEntropyWeight,
    Epochs,
    Method,
    Step,
    Term,
    Weight,
    method,
)
from kdgap.methods.shared import by_last, warm_up, wide
from kdgap.models.taps import Taps

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


_WIDEST = 512
_COARSE = (4, 2, 1)
"""Most channels of a fused map; sides that maps are also compared at."""


def _levels(student: Output, teacher: Output) -> list[tuple[Tensor, Tensor]]:
    """Return what is compared with what, deepest first: embeddings as 1x1 maps, then stages."""
    assert student.embedding is not None
    assert teacher.embedding is not None
    deepest = student.embedding[:, :, None, None], teacher.embedding[:, :, None, None]
    stages = reversed(by_last(student.features, teacher.before_relu))
    rest = [(student.features[own], teacher.before_relu[other]) for own, other in stages]
    return [deepest, *rest]


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """Return a map in the size of another, nearest pixels."""
    size = like.shape[2:]
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="nearest")


def _apart(own: Tensor, other: Tensor) -> Tensor:
    """Return the squared error of two maps of one size, at that size and at coarser ones."""
    from kdgap.models.pooling import align

    between = own - other
    share, shares, error = 1.0, 1.0, between.square().mean()
    for side in _COARSE:
        if side < min(between.shape[2:]):
            share /= 2
            shares += share
            error = error + share * align(between, (side, side)).square().mean()
    return error / shares


@method
@dataclass(frozen=True, config=STRICT)
class Reviewkd(Method):
    """`sum over levels of the squared error of BN(conv3x3(x)), also on coarser maps`.

    Chen et al. 2021, as in model/reviewkd.py of the authors. From the deepest level (the embedding
    as a 1x1 map) to the first stage, x = BN(conv1x1(F_s)) of min(512, student's last) channels;
    but for the deepest, x becomes a x + b y, where y is the x of the level before in x's size
    (nearest) and a, b are sigmoid maps of a 1x1 convolution of both; then x takes the teacher's
    size (nearest). The teacher's maps are those before ReLU, and its embedding; the student's are
    after it. A level's error is the mean at full size and, pooled to 4, 2 and 1 where that is
    smaller, with half the weight of the one before, over the sum of these weights. Shapes are read
    off the networks; public code needs a table of them for each pair. Stages are paired from the
    last one backwards.

    The weight 1 is theirs for ResNet-110 to 32; it is 0.6 for ResNet-56 to 20, 5 for wide networks,
    8 for ShuffleNetV2, and 7 to 30 is reported for MobileNetV2. It warms up over 20 epochs counted
    from 1, as in mdistiller; the authors count from 0, so their first epoch trains labels alone.
    Their script leaves the teacher in training mode; here it answers in evaluation mode.
    """

    name: ClassVar[str] = "reviewkd"
    label: ClassVar[str] = "ReviewKD"
    summary: ClassVar[str] = "each stage with what deeper ones say, before ReLU"
    citation: ClassVar[str] = (
        "Chen et al. 2021, Distilling Knowledge via Knowledge Review (arXiv 2104.09044)"
    )
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight", "kd_warmup": "warmup"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({}, {"warmup": 0})

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 1.0
    warmup: Epochs = 20

    def scale(self, epoch: int, epochs: int) -> float:
        """Warm up."""
        return warm_up(epoch, self.warmup)

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read every stage and the embedding."""
        return Taps(maps=stages, embedding=True)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read every stage before its ReLU, and the embedding."""
        return Taps(before_relu=stages, embedding=True)

    def pairs(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> list[tuple[str, str]]:
        """Pair stages from the last one backwards."""
        return by_last(student, teacher)

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build two connectors for each level, and what weighs it against the level before."""
        from kdgap.methods.parts.connector import connector

        pairs = _levels(student, teacher)
        middle = min(_WIDEST, pairs[0][0].shape[1])
        levels = nn.ModuleList()
        for own, other in pairs:
            level = nn.ModuleDict()
            level["conv1"] = connector(own.shape[1], middle)
            level["conv2"] = connector(middle, other.shape[1], kernel=3)
            for name in ("conv1", "conv2"):
                nn.init.kaiming_uniform_(level.get_parameter(f"{name}.conv.weight"), a=1)
            if len(levels):
                level["attention"] = nn.Conv2d(2 * middle, 2, 1)
            levels.append(level)
        return nn.ModuleDict({"levels": levels})

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the squared error of what was fused, `reviewkd`, a sum over levels."""
        from kdgap.methods.parts.connector import connect

        errors: list[Tensor] = []
        fused: Tensor | None = None
        for index, (own, other) in enumerate(_levels(student, teacher)):
            level = parts.get_submodule(f"levels.{index}")
            x = connect(level.get_submodule("conv1"), own)
            if fused is not None:
                before = _resized(fused, x)
                both: Tensor = level.get_submodule("attention")(torch.cat([x, before], 1))
                shares = both.sigmoid()
                x = shares[:, :1] * x + shares[:, 1:] * before
            fused = _resized(x, other)
            answer = connect(level.get_submodule("conv2"), fused)
            errors.append(_apart(wide(answer), wide(other)))
        return {"review": Term(self.weight, torch.stack(errors).sum())}
