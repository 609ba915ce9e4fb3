"""Feature-KD: match the teacher's feature maps through trained 1x1 projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn, torch
from kdgap.methods.method import STRICT, Alpha, Mixed, Step, Term, method
from kdgap.methods.on_maps import OnStages
from kdgap.methods.shared import by_stage, wide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar

_SMALLEST_STD = 1e-6
CosineWeight = Annotated[
    float, Field(ge=0, le=1000, description="weight of the cosine term within the loss")
]
ErrorScale = Annotated[
    Literal["none", "teacher_std"], Field(description="scale of the squared error")
]


def stage_projections(channels: Mapping[str, tuple[int, int]]) -> nn.Module:
    """Return one bias-free 1x1 convolution a stage, Xavier-uniform.

    Args:
        channels: the student's and the teacher's by the student's stage.
    """
    stages = nn.ModuleDict()
    for stage, (inputs, outputs) in channels.items():
        projection = nn.Conv2d(inputs, outputs, 1, bias=False)
        nn.init.xavier_uniform_(projection.weight)
        stages[stage] = projection
    return nn.ModuleDict({"stages": stages})


def standard_deviation(x: Tensor) -> Tensor:
    """Return the standard deviation of all numbers of a map, one image in float32 at a time."""
    from kdgap.models.kept_layout import pixel_mean

    mean = pixel_mean(x).mean()
    squares = [(wide(image) - mean).square().mean() for image in x]
    return torch.stack(squares).mean().sqrt()


@method
@dataclass(frozen=True, config=STRICT)
class Feature(Mixed, OnStages):
    """FitNet-style matching of every stage, with a cosine term on the pooled features.

    `mean over stages of MSE + beta * mean over stages of (1 - cosine of globally pooled features)`.
    The student's maps pass through a trained 1x1 projection and are average-pooled where they are
    larger than the teacher's. With `norm = teacher_std` both sides of the squared error are
    divided by the standard deviation of the teacher's map of that stage over the batch.
    """

    name: ClassVar[str] = "feature"
    label: ClassVar[str] = "Feature-KD"
    colour: ClassVar[int | None] = 2
    summary: ClassVar[str] = "feature maps of every stage, through trained projections"
    citation: ClassVar[str] = (
        "Romero et al. 2015, FitNets: Hints for Thin Deep Nets;"
        " four-stage form with cosine term: arXiv 2605.31191"
    )
    zero_at_equality: ClassVar[bool] = True
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"feat_beta": "beta", "feat_norm": "norm"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = (
        {},
        {"beta": 0.0},
        {"beta": 2.5, "norm": "teacher_std"},
    )

    alpha: Alpha = 0.5
    beta: CosineWeight = 0.5
    norm: ErrorScale = "none"

    def check_stages(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> None:
        """Refuse different numbers of stages."""
        by_stage(student, teacher, self.name)

    def compares_images(self) -> bool:
        """Whether it divides by a deviation over the batch."""
        return self.norm == "teacher_std"

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the projections from the channels of example outputs."""
        return stage_projections(
            {
                own: (student.features[own].shape[1], teacher.features[other].shape[1])
                for own, other in by_stage(student.features, teacher.features, self.name)
            }
        )

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the mean squared error `mse` and the cosine distance `cos`, means over stages."""
        from kdgap.methods.parts.projected_error import projected_squared_error
        from kdgap.models.kept_layout import pixel_mean
        from kdgap.models.pooling import align

        errors, distances = [], []
        for own, other in by_stage(student.features, teacher.features, self.name):
            target = teacher.features[other]
            weight = parts.get_parameter(f"stages.{own}.weight").flatten(1)  # [D_t, D_s]
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
