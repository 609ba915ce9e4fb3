"""Label smoothing: a control without a teacher, for gains that labels alone would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F
from kdgap.methods.method import STRICT, Method, Share, Step, Term, method
from kdgap.methods.shared import wide

if TYPE_CHECKING:
    from torch import nn

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Evenly = Annotated[Share, Field(description="share of the target that all classes get evenly")]


@method
@dataclass(frozen=True, config=STRICT)
class LabelSmoothing(Method):
    """`(1 - eps) * CE + eps * mean over all classes of -ln p`, as torch defines it.

    Another convention puts eps / (C - 1) on the wrong classes only (Tf-KD's code); this one puts
    eps / C on every class. There is no teacher: it shows what softer labels give by themselves.
    """

    name: ClassVar[str] = "label_smoothing"
    label: ClassVar[str] = "label smoothing"
    summary: ClassVar[str] = "control: labels softened evenly, no teacher"
    citation: ClassVar[str] = (
        "Szegedy et al. 2016, Rethinking the Inception Architecture (arXiv 1512.00567)"
    )
    needs_teacher: ClassVar[bool] = False
    flat_names: ClassVar[Mapping[str, str]] = {"label_smoothing_eps": "eps"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({}, {"eps": 0.3})

    eps: Evenly = 0.1

    @property
    def ce_weight(self) -> float:
        """Return 1 − eps."""
        return 1 - self.eps

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the cross-entropy with the uniform distribution, `uniform`, weighted by eps."""
        log_p = F.log_softmax(wide(student.logits), dim=1)
        return {"uniform": Term(self.eps, -log_p.mean(1).mean(), of_labels=True)}
