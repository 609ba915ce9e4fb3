"""The base of methods that compare logits: a switch standardises them first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from kdgap.deferred import torch
from kdgap.methods.method import Method
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar

Standardise = Annotated[
    bool, Field(description="each image's logits to mean 0 and deviation 1 first (LSKD)")
]


def standardised(logits: Tensor) -> Tensor:
    """Return (z - mean) / (deviation + 1e-7) of each image over its classes, `[B, C]`.

    The deviation's square is a sum over C - 1. Where all logits are equal all are 0, and so is the
    gradient.
    """
    centred = wide(logits) - wide(logits).mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / max(logits.shape[1] - 1, 1)
    some = variance > 0
    deviation = torch.where(some, variance, 1.0).sqrt() * some
    answer: Tensor = centred / (deviation + 1e-7)
    return answer


class OnLogits(Method):
    """Base of methods that compare logits; each declares the field `standardise` as its last.

    `standardise` replaces the logits of both sides by (z - mean) / deviation, of each image over
    its classes, before the temperature; the cross-entropy with the labels keeps the logits as they
    are (Sun et al. 2024, Logit Standardization in Knowledge Distillation, arXiv 2403.01427).
    """

    neutral: ClassVar[Mapping[str, Scalar]] = {"standardise": False}

    standardise: bool

    def seen(self, student: Output, teacher: Output) -> tuple[Output, Output]:
        """Return both answers as the loss sees them."""
        if not self.standardise:
            return student, teacher
        return (
            replace(student, logits=standardised(student.logits)),
            replace(teacher, logits=standardised(teacher.logits)),
        )

    def soft_logits(self, teacher: Output) -> Tensor | None:
        """See `Method.soft_logits`."""
        return super().soft_logits(self.seen(teacher, teacher)[1])
