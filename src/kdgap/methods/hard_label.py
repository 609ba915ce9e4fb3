"""Hard-label distillation: the teacher's answer as a label, a control for soft targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from kdgap.deferred import F
from kdgap.methods.method import STRICT, CrossEntropyWeight, Method, Step, Term, Weight, method
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output


@method
@dataclass(frozen=True, config=STRICT)
class HardLabel(Method):
    """Cross-entropy with the teacher's most probable class; of equal ones the first counts.

    Half of it and half of the usual cross-entropy (losses.py of the authors). It shows how much
    of a gain comes from relabelling, and how much from soft targets.
    """

    name: ClassVar[str] = "hard_label"
    label: ClassVar[str] = "hard-label KD"
    summary: ClassVar[str] = "control: the teacher's top class as a second label"
    citation: ClassVar[str] = (
        "Touvron et al. 2021, Training data-efficient image transformers (arXiv 2012.12877)"
    )
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight"}

    ce_weight: CrossEntropyWeight = 0.5
    weight: Weight = 0.5

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the cross-entropy with the teacher's top class, `hard`."""
        hard = F.cross_entropy(wide(student.logits), teacher.logits.argmax(1))
        return {"hard": Term(self.weight, hard)}
