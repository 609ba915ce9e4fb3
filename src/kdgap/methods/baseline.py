"""Plain training on the labels: what every gain is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.methods.method import STRICT, Method, Step, Term, method
from kdgap.spec.slot import PLAIN

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output


@method
@dataclass(frozen=True, config=STRICT)
class Baseline(Method):
    """Cross-entropy only: no teacher, no distillation term."""

    name: ClassVar[str] = PLAIN
    label: ClassVar[str] = "plain training"
    colour: ClassVar[int | None] = 0
    summary: ClassVar[str] = "plain training without a teacher"
    citation: ClassVar[str] = "He et al. 2016, Deep Residual Learning for Image Recognition"
    needs_teacher: ClassVar[bool] = False

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return no terms."""
        return {}
