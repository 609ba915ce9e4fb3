"""What a distillation method is: hyper-parameters as fields, and one function from outputs to loss.

A method is a frozen dataclass in a file of its own. Its fields are validated by pydantic from
their annotations, and the same annotations feed grids, help and reports. The engine trains

    alpha * sum(weight * value over the method's terms) + (1 - alpha) * cross-entropy

so a method computes its distillation terms and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field

from kdgap.deferred import nn, torch
from kdgap.errors import BadInputError
from kdgap.registry import Registry
from kdgap.spec.flat import FlatConfig
from kdgap.spec.validation import Scalar, build

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pydantic.fields import FieldInfo
    from torch import Tensor

    from kdgap.models.output import Output

STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
Alpha = Annotated[float, Field(ge=0, le=1, description="weight of the distillation loss")]
Temperature = Annotated[
    float, Field(gt=0, le=1000, description="softens both distributions; 1 = as they are")
]


@dataclass(frozen=True)
class Term:
    """One part of a distillation loss: a scalar mean over the batch, and its weight."""

    weight: float
    value: Tensor


class Method:
    """Base of all methods; a method is a frozen dataclass that inherits from it.

    Class attributes:
        name: what it is called in configurations.
        label: what people call it, in tables and figures.
        colour: its place among the colours of figures; None = the next that is free.
        examples: hyper-parameters that its laws are tried with: each field but `alpha` at two
            values. With `zero_at_equality`, none of them may make the loss vanish altogether.
        summary: one line for listings.
        citation: the paper.
        soft_targets: the hyper-parameter at whose temperature the teacher's probabilities are the
            targets; None if they are not.
        needs_teacher: whether it looks at a teacher at all.
        has_projections: whether `build` returns trainable parts.
        zero_at_equality: whether the loss vanishes when student and teacher agree exactly (and
            trained parts, if any, are the identity).
        flat_names: flat configuration key → field, where they differ. All methods' keys stand in
            one flat file beside those of a run, so a key of one method's own begins with its name
            (`dkd_beta`), and keys that several share mean the same (`alpha`), in one annotation.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    citation: ClassVar[str]
    needs_teacher: ClassVar[bool] = True
    has_projections: ClassVar[bool] = False
    zero_at_equality: ClassVar[bool] = False
    soft_targets: ClassVar[str | None] = None
    colour: ClassVar[int | None] = None
    flat_names: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[tuple[Mapping[str, Scalar], ...]] = ({},)

    @property
    def alpha(self) -> float:
        """Weight of the distillation loss; a method that distils has a field of this name."""
        return 0.0

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Return what is kept beside plans and imports, for whoever reads them without torch.

        That is `label`, `colour`, `summary`, `citation`, `hyperparameters` (the fields), `flat`
        (field → its flat key, where they differ) and `soft_targets`.
        """
        return {
            "label": cls.label,
            "colour": cls.colour,
            "summary": cls.summary,
            "citation": cls.citation,
            "hyperparameters": _fields(cls),
            "flat": {name: flat for flat, name in cls.flat_names.items()},
            "soft_targets": cls.soft_targets,
        }

    def parameters(self) -> dict[str, Scalar]:
        """Return every hyper-parameter by field name."""
        return {name: getattr(self, name) for name in _fields(type(self))}

    def student_stages(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of the student's feature stages the loss reads."""
        return ()

    def teacher_stages(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of the teacher's feature stages the loss reads."""
        return ()

    def check_stages(self, student: tuple[str, ...], teacher: tuple[str, ...]) -> None:
        """Refuse two networks by the names of their stages, before anything is loaded.

        Raises:
            BadInputError: the method cannot compare them; say why and what to choose.
        """

    def build(self, student: Output, teacher: Output) -> nn.Module:
        """Build the trained parts from example outputs, with torch's current random state."""
        return nn.Module()

    def terms(
        self, student: Output, teacher: Output, labels: Tensor, projections: nn.Module
    ) -> dict[str, Term]:
        """Return the parts of the distillation loss by name.

        Args:
            student: logits `[B, C]`, features by stage `[B, D, H, W]`; carries gradients.
            teacher: the same of the teacher; carries none.
            labels: int64 `[B]`.
            projections: what `build` returned.
        """
        raise NotImplementedError


METHODS: Registry[type[Method]] = Registry("method")


C = TypeVar("C", bound=type[Any])


def method(cls: C) -> C:
    """Enter a method class in the registry under its `name`.

    Raises:
        ValueError: a hyper-parameter is called as a key of every run is, and would take its values,
            or as another method's that takes other values.
    """
    own = flat_fields(cls)
    for key in sorted(own.keys() & FlatConfig.model_fields.keys()):
        raise ValueError(
            f"method {cls.name!r}: {key} is a key of every run; give the hyper-parameter"
            " another flat key in flat_names"
        )
    for name, other in METHODS.items():
        theirs = flat_fields(other)
        for key in sorted(own.keys() & theirs.keys()):
            if _range(cls, own[key]) != _range(other, theirs[key]):
                raise ValueError(
                    f"method {cls.name!r}: {key} has another type or range than method {name!r}"
                    " gives it; take its annotation, or another flat key in flat_names"
                )
    METHODS.register(cls.name)(cls)
    return cls


def wide(x: Tensor) -> Tensor:
    """Return `x` in at least float32: losses are computed wide even where networks run narrow."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _fields(cls: type[Method]) -> list[str]:
    return [f.name for f in fields(cls)]  # type: ignore[arg-type]  # every method is a dataclass


def flat_fields(cls: type[Method]) -> dict[str, str]:
    """Return flat configuration key → field name, for every hyper-parameter of a method."""
    renamed = {name: flat for flat, name in cls.flat_names.items()}
    return {renamed.get(name, name): name for name in _fields(cls)}


def field_types(cls: type[Method]) -> dict[str, Any]:
    """Return field name → its annotation with range, for every hyper-parameter of a method."""
    declared = cls.__pydantic_fields__  # type: ignore[attr-defined]  # of a pydantic dataclass
    return {name: _annotation(declared[name]) for name in _fields(cls)}


def _range(cls: type[Method], name: str) -> tuple[Any, list[Any]]:
    """Return what values a hyper-parameter takes: its type and its bounds."""
    declared = cls.__pydantic_fields__[name]  # type: ignore[attr-defined]
    return declared.annotation, declared.metadata


def _annotation(field: FieldInfo) -> Any:
    return Annotated[field.annotation, Field(description=field.description), *field.metadata]


def hyperparameter_types() -> dict[str, Any]:
    """Return flat key → annotation, for every hyper-parameter of any method."""
    return {
        flat: field_types(cls)[name]
        for _, cls in METHODS.items()
        for flat, name in flat_fields(cls).items()
    }


def hyperparameter_names() -> set[str]:
    """Return every flat key that is a hyper-parameter of some method."""
    return set(hyperparameter_types())


def build_method(
    name: str,
    parameters: Mapping[str, Scalar],
    where: Callable[[str], str] | None = None,
    *,
    flat: bool = True,
) -> Method:
    """Build a method from field values, refusing what is unknown or out of range.

    Args:
        name: a registered method.
        parameters: hyper-parameters by field name; the rest take their defaults.
        where: names the place of a field, for error messages.
        flat: whether the user writes flat keys (`feat_beta`) or field names (`beta`).
    """
    cls = METHODS[name]
    values: dict[str, Any] = dict(parameters)
    spelling = {field: key if flat else field for key, field in flat_fields(cls).items()}
    known = list(spelling.values())
    return build(cls, values, where or (lambda _: f"method {name}"), known, spelling)


def by_stage(
    student: Collection[str], teacher: Collection[str], name: str
) -> list[tuple[str, str]]:
    """Pair the stages of two networks first to last.

    Raises:
        BadInputError: they have different numbers of stages.
    """
    if len(student) != len(teacher):
        raise BadInputError(
            f"{name}: the student has {len(student)} feature stages and the teacher"
            f" {len(teacher)}; choose two networks of one family"
        )
    return list(zip(student, teacher, strict=True))
