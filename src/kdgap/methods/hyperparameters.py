"""What hyper-parameters there are, and methods built from their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from kdgap.methods.method import METHODS, Method, field_names, flat_fields
from kdgap.spec.validation import Scalar, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic.fields import FieldInfo

    from kdgap.spec.model import ModelSpec
    from kdgap.spec.run import RunSpec


def field_types(cls: type[Method]) -> dict[str, Any]:
    """Return field name → its annotation with range, for every hyper-parameter of a method."""
    declared = cls.__pydantic_fields__  # type: ignore[attr-defined]  # of a pydantic dataclass
    return {name: _annotation(declared[name]) for name in field_names(cls)}


def _annotation(field: FieldInfo) -> Any:
    return Annotated[field.annotation, Field(description=field.description), *field.metadata]


def deployed_model(run: RunSpec) -> ModelSpec:
    """Return the network that a run trains and tests: its student, or what its method makes."""
    if not METHODS[run.method.name].deploys_another:
        return run.model
    method = build_method(run.method.name, run.method.parameters)
    return method.deployed(run.model, run.teacher.model if run.teacher else None)


def hyperparameter_types() -> dict[str, Any]:
    """Return flat key → annotation, for every hyper-parameter of any method."""
    return {
        flat: field_types(cls)[name]
        for _, cls in METHODS.items()
        for flat, name in flat_fields(cls).items()
    }


def hyperparameter_names(kd_type: str = "") -> set[str]:
    """Return every flat key that is a hyper-parameter of some method.

    Args:
        kd_type: what a run trains with; a combination such as `crd+logit` has keys of its own.

    Raises:
        BadInputError: it is a combination that is none.
    """
    own = flat_fields(METHODS[kd_type]) if "+" in kd_type else {}
    return hyperparameter_types().keys() | own.keys()


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
