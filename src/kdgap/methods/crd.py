"""CRD: tell an image's own partner in a memory from images of other classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn, torch
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
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Negatives = Annotated[
    int, Field(ge=1, le=10_000_000, description="images of other classes for each image")
]
# Below 0.02 the normaliser of like embeddings is beyond float32.
Sharpness = Annotated[
    float, Field(ge=0.02, le=1000, description="divides the products of embeddings")
]
Momentum = Annotated[float, Field(ge=0, le=1, description="share of a memory's row that stays")]
Width = Annotated[int, Field(ge=1, le=65_536, description="numbers of an embedding in memory")]
_SMALL = 1e-7
_STEEP = 50.0
"""From where on ln(1 + e^x) is x: to rounding, in float64 too."""


@method
@dataclass(frozen=True, config=STRICT)
class Crd(OnEmbeddings):
    """`h(o_s) + h(o_t)`, h(o) = `-mean over images of [ln o+/(o+ + c) + sum of ln m/(o- + c)]`.

    Tian et al. 2020, as in crd/ of RepDistiller. f is a trained linear layer's answer to an
    embedding, of length 1, on either side; M_s and M_t remember one f for each of the N training
    images. `o_s = exp(M_t f_s / temperature) / Z_s`, against the image's own row (o+) and K rows of
    other classes (o-), m = K/N and c = m + 1e-7; o_t the same with sides exchanged. Z is N times
    the mean of the first batch's exponentials, for ever. Then the rows of the batch's images become
    n(momentum row + (1 - momentum) f). Defaults are theirs. Logarithms throughout: public code
    exponentiates and divides first.

    All K rows of an image differ and are drawn at the address of the step; public code draws them
    in the workers of a loader. Where K images of other classes are not there it is refused, and
    nothing is drawn twice. Both memories and Z are state: 2 N width numbers. All products of a
    batch with a memory are formed, B N numbers, and K of them picked: rows would be K width each.
    """

    name: ClassVar[str] = "crd"
    label: ClassVar[str] = "CRD"
    summary: ClassVar[str] = "contrast with a memory of other classes' embeddings"
    citation: ClassVar[str] = (
        "Tian et al. 2020, Contrastive Representation Distillation (arXiv 1910.10699)"
    )
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "kd_weight": "weight",
        "crd_negatives": "negatives",
        "crd_temperature": "temperature",
        "crd_momentum": "momentum",
        "crd_width": "width",
    }
    # The laws' and the engine's sets of images have by far less than the usual 16384 negatives.
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {"negatives": 5, "width": 8},
        {"negatives": 9, "width": 8, "temperature": 0.5},
        {"negatives": 5, "width": 4, "momentum": 0.9},
    )

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 0.8
    negatives: Negatives = 16384
    temperature: Sharpness = 0.07
    momentum: Momentum = 0.5
    width: Width = 128

    def depends_on_order(self) -> bool:
        """Whether negatives are drawn for one image of a batch after the other."""
        return True

    def compares_images(self) -> bool:
        """Remember them: every rank would know its own alone."""
        return True

    def check_data(self, classes: int, images: int, batch_size: int) -> None:
        """Refuse data without enough images of other classes even if all classes are of one size.

        `build` knows the sizes of the classes and refuses exactly.
        """
        self._check(images - math.ceil(images / classes), images)

    def _check(self, most: int, images: int) -> None:
        if self.negatives > most:
            otherwise = f"set its negatives to at most {most}" if most else "choose another method"
            raise BadInputError(
                f"crd compares each image with {self.negatives:,} of other classes, and of"
                f" {images:,} training images at most {most:,} are; {otherwise}"
            )

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build both layers and both memories, each number of these uniform."""
        from kdgap.methods.parts.contrast import most_negatives

        self._check(most_negatives(labels), len(labels))
        own, other = embeddings(student, teacher)
        parts = nn.ModuleDict(
            {
                "embed_student": nn.Linear(own.shape[1], self.width),
                "embed_teacher": nn.Linear(other.shape[1], self.width),
            }
        )
        bound = 1 / math.sqrt(self.width / 3)  # rows of length 1 or so
        for side in ("student", "teacher"):
            memory = torch.empty(len(labels), self.width).uniform_(-bound, bound)
            parts.register_buffer(f"memory_{side}", memory)
        parts.register_buffer("z", torch.zeros(2))  # not known before the first batch
        parts.register_buffer("labels", labels.clone(), persistent=False)
        return parts

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the contrasts of both sides, `contrast`."""
        with in_float32(student.logits):
            memory = parts.get_buffer("memory_student")
            scores = self._scores(student, teacher, step, parts)
            sides = [
                self._contrast(of_side - z.log(), len(memory))
                for of_side, z in zip(scores, self._z(scores, parts), strict=True)
            ]
            return {"contrast": Term(self.weight, sides[0] + sides[1])}

    def _scores(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """Return each side's products with the other's memory over the temperature.

        `[B, 1 + K]` of the student, then of the teacher; the image's own row first.
        """
        from kdgap.methods.parts.contrast import negatives

        labels, own = parts.get_buffer("labels"), step.indices
        drawn = negatives(labels, labels[own], self.negatives, step.generator())
        rows = torch.cat([own[:, None], drawn], 1)
        s, t = self._embedded(student, teacher, parts)

        def scores(f: Tensor, memory: str) -> Tensor:
            return (f @ parts.get_buffer(memory).t()).gather(1, rows) / self.temperature

        return scores(s, "memory_teacher"), scores(t, "memory_student")

    def _embedded(
        self, student: Output, teacher: Output, parts: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """Return both sides' embeddings of length 1, `[B, width]`."""

        def embedded(x: Tensor, side: str) -> Tensor:
            layer = parts.get_submodule(f"embed_{side}")
            values = F.linear(x, layer.get_parameter("weight"), layer.get_parameter("bias"))
            return F.normalize(values, dim=1, eps=1e-12)

        own, other = embeddings(student, teacher)
        return embedded(own, "student"), embedded(other, "teacher")

    def _z(self, scores: tuple[Tensor, Tensor], parts: nn.Module) -> Tensor:
        """Return both normalisers, `[2]`: those that are kept, or this batch's if none are yet."""
        kept, images = parts.get_buffer("z"), len(parts.get_buffer("labels"))
        values = [
            (x.detach().flatten().logsumexp(0) + math.log(images / x.numel())).exp() for x in scores
        ]
        return torch.where(kept > 0, kept, torch.stack(values))

    def _contrast(self, logs: Tensor, images: int) -> Tensor:
        """Return h of ln o `[B, 1 + K]`: ln o/(o + c) = -ln(1 + c/o), and so for the negatives."""
        share = self.negatives / images
        own, others = logs[:, 0], logs[:, 1:]
        small = torch.full_like(others, math.log(_SMALL))
        positive = F.softplus(math.log(share + _SMALL) - own, threshold=_STEEP)
        negative = torch.logaddexp(others, small) - math.log(share)
        total: Tensor = positive.sum() + F.softplus(negative, threshold=_STEEP).sum()
        return total / len(logs)

    def update_state(self, student: Output, teacher: Output, step: Step, parts: nn.Module) -> None:
        """Keep Z of the first batch, and move the memories' rows of the batch's images."""
        with in_float32(student.logits):
            if not bool(parts.get_buffer("z").all()):
                scores = self._scores(student, teacher, step, parts)
                parts.get_buffer("z").copy_(self._z(scores, parts))
            values = self._embedded(student, teacher, parts)
            for side, f in zip(("student", "teacher"), values, strict=True):
                memory = parts.get_buffer(f"memory_{side}")
                row = self.momentum * memory[step.indices] + (1 - self.momentum) * f
                memory[step.indices] = F.normalize(row, dim=1, eps=1e-12)
