"""Feature-KD: match the teacher's feature maps through trained 1x1 projections."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kdgap.methods.method import (
    STRICT,
    Method,
    Projections,
    Term,
    by_stage,
    method,
    wide,
)
from kdgap.methods.projected_error import projected_squared_error
from kdgap.models import Output
from kdgap.models.kept_layout import pixel_mean
from kdgap.spec.known import Alpha, CosineWeight, ErrorScale

_SMALLEST_STD = 1e-6


class StageProjections(Projections):
    """One bias-free 1x1 convolution a stage, student to teacher channels, Xavier-uniform."""

    def __init__(self, channels: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.stages = nn.ModuleDict()
        for stage, (inputs, outputs) in channels.items():
            projection = nn.Conv2d(inputs, outputs, 1, bias=False)
            nn.init.xavier_uniform_(projection.weight)
            self.stages[stage] = projection

    def weight(self, stage: str) -> Tensor:
        """Return one stage's projection as a matrix `[D_t, D_s]`."""
        return self.get_parameter(f"stages.{stage}.weight").flatten(1)


def align(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Average-pool `[B, D, H, W]` to `[B, D, *size]`.

    Integer pooling where the sizes divide, for its gradient is deterministic on CUDA; adaptive
    pooling otherwise.
    """
    height, width = features.shape[2:]
    if (height, width) == size:
        return features
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(features, (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(features, size)


def standard_deviation(x: Tensor) -> Tensor:
    """Return the standard deviation of all numbers of a map, one image in float32 at a time."""
    mean = pixel_mean(x).mean()
    squares = [(wide(image) - mean).square().mean() for image in x]
    return torch.stack(squares).mean().sqrt()


@method
@dataclass(frozen=True, config=STRICT)
class Feature(Method):
    """FitNet-style matching of every stage, with a cosine term on the pooled features.

    `mean over stages of MSE + beta * mean over stages of (1 - cosine of globally pooled features)`.
    The student's maps pass through a trained 1x1 projection and are average-pooled where they are
    larger than the teacher's. With `norm = teacher_std` both sides of the squared error are
    divided by the standard deviation of the teacher's map of that stage over the batch.
    """

    name: ClassVar[str] = "feature"
    summary: ClassVar[str] = "feature maps of every stage, through trained projections"
    citation: ClassVar[str] = (
        "Romero et al. 2015, FitNets: Hints for Thin Deep Nets;"
        " four-stage form with cosine term: arXiv 2605.31191"
    )
    zero_at_equality: ClassVar[bool] = True
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"feat_beta": "beta", "feat_norm": "norm"}

    alpha: Alpha = 0.5
    beta: CosineWeight = 0.5
    norm: ErrorScale = "none"

    def student_stages(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """Read every stage."""
        return stages

    def teacher_stages(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """Read every stage."""
        return stages

    def build(self, student: Output, teacher: Output) -> Projections:
        """Build the projections from the channels of example outputs."""
        return StageProjections(
            {
                own: (student.features[own].shape[1], teacher.features[other].shape[1])
                for own, other in by_stage(student.features, teacher.features, self.name)
            }
        )

    def terms(
        self, student: Output, teacher: Output, labels: Tensor, projections: Projections
    ) -> dict[str, Term]:
        """Return the mean squared error `mse` and the cosine distance `cos`, means over stages."""
        assert isinstance(projections, StageProjections)
        errors, distances = [], []
        for own, other in by_stage(student.features, teacher.features, self.name):
            target, weight = teacher.features[other], projections.weight(own)
            # Pooling commutes with a 1x1 projection, and the student's map has fewer channels.
            features = align(student.features[own], (target.shape[2], target.shape[3]))
            error = projected_squared_error(features, weight, target)
            if self.norm == "teacher_std":
                error = error / standard_deviation(target).clamp_min(_SMALLEST_STD) ** 2
            errors.append(error)
            with torch.autocast(features.device.type, enabled=False):
                pooled = pixel_mean(features) @ wide(weight.t())
            distances.append(1 - F.cosine_similarity(pooled, pixel_mean(target), dim=1).mean())
        return {
            "mse": Term(1.0, torch.stack(errors).mean()),
            "cos": Term(self.beta, torch.stack(distances).mean()),
        }
