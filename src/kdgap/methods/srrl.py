"""SRRL: match the last embedding, and what the teacher's classifier makes of the student's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn
from kdgap.methods.method import (
    STRICT,
    CrossEntropyWeight,
    Method,
    Step,
    Term,
    Weight,
    method,
)
from kdgap.methods.shared import in_float32, last_map, wide
from kdgap.models.taps import Taps

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


FeatureWeight = Annotated[Weight, Field(description="weight of the features' error")]
ClassifierWeight = Annotated[Weight, Field(description="weight of the logits' error")]


@method
@dataclass(frozen=True, config=STRICT)
class Srrl(Method):
    """`feature_weight * mean of (q - F)^2 + classifier_weight * mean of (W_t q + b_t - t)^2`.

    Yang et al. 2021, as in distiller_zoo/AIN.py and train_imagenet_distillation.py of the authors:
    q is the mean over pixels of ReLU(BN(conv1x1(F_s))) at the last stage, F that of the teacher's
    map, so maps of any two sizes meet, and W_t q + b_t is the teacher's own classifier on it:
    frozen, with gradient through it to q (under `no_grad` that half would teach nothing), in its
    full precision. SimKD's toolbox has the connector after pooling, and adds KD of weight 1:
    another loss. Both weights are theirs, 1.
    """

    name: ClassVar[str] = "srrl"
    label: ClassVar[str] = "SRRL"
    summary: ClassVar[str] = "last embedding, judged by the teacher's classifier too"
    citation: ClassVar[str] = (
        "Yang et al. 2021, Knowledge Distillation via Softmax Regression Representation Learning"
        " (ICLR)"
    )
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {
        "srrl_feature_weight": "feature_weight",
        "srrl_classifier_weight": "classifier_weight",
    }
    neutral: ClassVar[Mapping[str, Scalar]] = {"feature_weight": 1.0}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"feature_weight": 0.5, "classifier_weight": 2.0},
    )

    ce_weight: CrossEntropyWeight = 1.0
    feature_weight: FeatureWeight = 1.0
    classifier_weight: ClassifierWeight = 1.0

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the map that is averaged."""
        return Taps(pooled=True)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the map that is averaged, and the classifier."""
        return Taps(pooled=True, classifier=True)

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the connector to the teacher's channels."""
        from kdgap.methods.parts.connector import connector

        own, other = last_map(student), last_map(teacher)
        return connector(own.shape[1], other.shape[1])

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the error of the embedding and that of the logits, `feature` and `classifier`."""
        from kdgap.methods.parts.connector import connect
        from kdgap.models.kept_layout import pixel_mean

        own, other = last_map(student), last_map(teacher)
        assert teacher.classifier is not None
        connected = pixel_mean(F.relu(connect(parts, own)))
        with in_float32(student.logits):
            logits = F.linear(wide(connected), *map(wide, teacher.classifier))
            apart = logits - wide(teacher.logits)
            return {
                "feature": Term(
                    self.feature_weight, (connected - pixel_mean(other)).square().mean()
                ),
                "classifier": Term(self.classifier_weight, apart.square().mean()),
            }
