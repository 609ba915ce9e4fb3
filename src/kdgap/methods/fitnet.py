"""FitNet: one hint, the teacher's map of a middle stage through a trained connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from kdgap.deferred import F, nn
from kdgap.errors import BadInputError
from kdgap.methods.method import STRICT, CrossEntropyWeight, Method, Step, Term, Weight, method
from kdgap.methods.shared import wide
from kdgap.models.taps import Taps

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.models.output import Output
    from kdgap.spec.validation import Scalar


Stage = Annotated[int, Field(ge=1, le=100, description="which stage is the hint, from 1")]


@method
@dataclass(frozen=True, config=STRICT)
class Fitnet(Method):
    """`mean of (ReLU(BN(conv(F_s))) - F_t)^2` at one stage.

    Romero et al. 2015 in the one-stage form of all tables (models/util.py:ConvReg of
    RepDistiller): the paper trains the hint first and has no batch norm. The convolution is 1x1
    where both maps have one size, 3x3 of stride 2 where the student's is twice as large, and
    transposed 4x4 of stride 2 where it is half as large; a student's map of another larger size is
    average-pooled first, any other is refused.
    """

    name: ClassVar[str] = "fitnet"
    label: ClassVar[str] = "FitNet"
    summary: ClassVar[str] = "one hint: the map of a middle stage"
    citation: ClassVar[str] = (
        "Romero et al. 2015, FitNets: Hints for Thin Deep Nets (arXiv 1412.6550)"
    )
    has_projections: ClassVar[bool] = True
    flat_names: ClassVar[Mapping[str, str]] = {"kd_weight": "weight", "fitnet_stage": "stage"}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({}, {"stage": 1}, {"stage": 3})

    ce_weight: CrossEntropyWeight = 1.0
    weight: Weight = 100.0
    stage: Stage = 2

    def check_stages(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> None:
        """Refuse a stage that one of them lacks."""
        for side, stages in (("student", student), ("teacher", teacher)):
            if self.stage > len(stages):
                raise BadInputError(
                    f"fitnet: stage {self.stage}, but the {side} has {len(stages)} stages"
                )

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the stage."""
        return Taps(maps=stages[self.stage - 1 : self.stage])

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the stage."""
        return Taps(maps=stages[self.stage - 1 : self.stage])

    def build(self, student: Output, teacher: Output, labels: Tensor) -> nn.Module:
        """Build the connector from the sizes of both maps."""
        (own,), (other,) = student.features.values(), teacher.features.values()
        inputs, outputs = own.shape[1], other.shape[1]
        size, wanted = tuple(own.shape[2:]), tuple(other.shape[2:])
        conv: nn.Module
        if size == tuple(2 * side for side in wanted):
            conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        elif tuple(2 * side for side in size) == wanted:
            conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
        elif all(a >= b for a, b in zip(size, wanted, strict=True)):
            conv = nn.Conv2d(inputs, outputs, 1)
        else:
            raise BadInputError(
                f"fitnet: the student's map is {size[0]}x{size[1]} and the teacher's"
                f" {wanted[0]}x{wanted[1]} at stage {self.stage}; choose another stage"
            )
        return nn.ModuleDict({"conv": conv, "bn": nn.BatchNorm2d(outputs)})

    def terms(
        self, student: Output, teacher: Output, step: Step, parts: nn.Module
    ) -> dict[str, Term]:
        """Return the squared error of the hint, `hint`."""
        from kdgap.models.pooling import align

        (own,), (other,) = student.features.values(), teacher.features.values()
        conv, norm = parts.get_submodule("conv"), parts.get_submodule("bn")
        if getattr(conv, "kernel_size", None) == (1, 1):
            own = align(own, (other.shape[2], other.shape[3]))
        projected: Tensor = F.relu(norm(conv(own)))
        return {"hint": Term(self.weight, (wide(projected) - wide(other)).square().mean())}
