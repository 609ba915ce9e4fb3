"""Plain training on the labels: what every gain is measured against."""

from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor

from kdgap.methods.method import STRICT, Method, Projections, Term, method
from kdgap.models import Output


@method
@dataclass(frozen=True, config=STRICT)
class Baseline(Method):
    """Cross-entropy only: no teacher, no distillation term, alpha = 0."""

    name: ClassVar[str] = "none"
    summary: ClassVar[str] = "plain training without a teacher"
    citation: ClassVar[str] = "He et al. 2016, Deep Residual Learning for Image Recognition"
    needs_teacher: ClassVar[bool] = False

    def terms(
        self, student: Output, teacher: Output, labels: Tensor, projections: Projections
    ) -> dict[str, Term]:
        """Return no terms."""
        return {}
