"""Logit matching: the squared error of logits, the usual alternative to the divergence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.methods.method import STRICT, CrossEntropyWeight, Step, Term, Weight, method
from kdgap.methods.on_logits import OnLogits, Standardise
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


@method
@dataclass(frozen=True, config=STRICT)
class LogitMse(OnLogits):
    """`mean over images and classes of (s - t)^2`, without the labels by default.

    The authors' code (tools/losses.py) trains with this loss alone.
    """

    name: ClassVar[str] = "logit_mse"
    label: ClassVar[str] = "logit MSE"
    summary: ClassVar[str] = "squared error of the logits, as they are"
    citation: ClassVar[str] = (
        "Kim et al. 2021, Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in"
        " Knowledge Distillation (arXiv 2105.08919)"
    )
    zero_at_equality: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({}, {"standardise": True})

    ce_weight: CrossEntropyWeight = 0.0
    weight: Weight = 1.0
    standardise: Standardise = False

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the mean squared difference, `mse`."""
        student, teacher = self.seen(student, teacher)
        error = (wide(student.logits) - wide(teacher.logits)).square().mean()
        return {"mse": Term(self.weight, error)}
