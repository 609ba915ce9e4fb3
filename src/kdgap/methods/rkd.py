"""RKD: match distances between images, and angles between triples of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, torch
from kdgap.errors import BadInputError
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
    from torch import Tensor, nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


OfDistances = Annotated[
    Weight, Field(description="weight of the differences of distances between images")
]
OfAngles = Annotated[
    Weight, Field(description="weight of the differences of angles in triples of images")
]
MOST_TRIPLES = 512
"""Images of a batch whose triples are compared: 512^3 angles are half a gigabyte."""


def _distances(x: Tensor) -> Tensor:
    """Return Euclidean distances between embeddings over their positive mean, `[B, B]`."""
    squares = x.square().sum(1)
    squared = squares[:, None] + squares[None] - 2 * x @ x.t()
    # What cancels to less than nothing is clamped, before the root, whose slope at 0 is infinite.
    apart = squared.clamp_min(1e-12).sqrt()
    apart = apart * (1 - torch.eye(len(x), dtype=x.dtype, device=x.device))
    positive = apart > 0
    return apart / (apart.sum() / positive.sum().clamp_min(1))


def _angles(x: Tensor) -> Tensor:
    """Return the cosine of the angle at each image between each two others, `[B, B, B]`."""
    towards = F.normalize(x[None] - x[:, None], dim=2, eps=1e-12)
    return torch.bmm(towards, towards.transpose(1, 2))


@method
@dataclass(frozen=True, config=STRICT)
class Rkd(OnEmbeddings):
    """`25 smooth-L1(distances) + 50 smooth-L1(angles)` between the embeddings of a batch.

    Park et al. 2019, as in metric/loss.py of the authors: distances are divided by the mean of
    the positive ones, through which the student's gradient goes; both are means over all pairs and
    triples, the trivial ones included. Smooth-L1 turns at 1.
    """

    name: ClassVar[str] = "rkd"
    label: ClassVar[str] = "RKD"
    summary: ClassVar[str] = "distances and angles between the images of a batch"
    citation: ClassVar[str] = (
        "Park et al. 2019, Relational Knowledge Distillation (arXiv 1904.05068)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "rkd_distance_weight": "distance_weight",
        "rkd_angle_weight": "angle_weight",
    }
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"distance_weight": 0.0},
        {"angle_weight": 10.0},
    )

    ce_weight: CrossEntropyWeight = 1.0
    distance_weight: OfDistances = 25.0
    angle_weight: OfAngles = 50.0

    def compares_images(self) -> bool:
        """Compare them: its loss is made of pairs and triples."""
        return True

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse batches of which all triples would not fit."""
        if self.angle_weight and batch_size > MOST_TRIPLES:
            raise BadInputError(
                f"rkd compares all triples of a batch, of at most {MOST_TRIPLES} images, got a"
                f" batch_size of {batch_size}; lower it, or set angle_weight to 0"
            )

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the differences of distances and of angles, `distance` and `angle`."""
        with in_float32(student.logits):
            s, t = embeddings(student, teacher)
            terms = {"distance": Term(self.distance_weight, _apart(_distances(s), _distances(t)))}
            if self.angle_weight:
                terms["angle"] = Term(self.angle_weight, _apart(_angles(s), _angles(t)))
            return terms


def _apart(own: Tensor, other: Tensor) -> Tensor:
    return F.smooth_l1_loss(own, other)
