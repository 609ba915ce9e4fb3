"""PKT: match the probabilities of images being neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import torch
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


_SMALL = 1e-7


def _neighbours(x: Tensor) -> Tensor:
    """Return (cosine + 1) / 2 between the images of a batch, each row divided by its sum."""
    unit = x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + _SMALL)
    close = (unit @ unit.t() + 1) / 2
    shares: Tensor = close / close.sum(1, keepdim=True)
    return shares


@method
@dataclass(frozen=True, config=STRICT)
class Pkt(OnEmbeddings):
    """`mean over B^2 of K_t ln(K_t / K_s)`, K the cosines of embeddings as row probabilities.

    Passalis and Tefas 2018, as in nn/pkt.py of the authors: an image is its own neighbour, 1e-7
    is added to lengths and to both sides of the ratio. A mean over B^2 and not over rows, so that
    the weight of 30000 is for their batch size.
    """

    name: ClassVar[str] = "pkt"
    label: ClassVar[str] = "PKT"
    summary: ClassVar[str] = "probabilities of being neighbours, by embeddings"
    citation: ClassVar[str] = (
        "Passalis and Tefas 2018, Learning Deep Representations with Probabilistic Knowledge"
        " Transfer (arXiv 1803.10837)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 30000.0

    def compares_images(self) -> bool:
        """Compare them: its loss is made of neighbours."""
        return True

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the divergence, `pkt`."""
        with in_float32(student.logits):
            s, t = map(_neighbours, embeddings(student, teacher))
            apart = t * ((t + _SMALL) / (s + _SMALL)).log()
            return {"pkt": Term(self.weight, apart.mean())}
