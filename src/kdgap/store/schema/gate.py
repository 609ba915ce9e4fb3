"""What every gate is made of, and the files that stand in more than one kind of directory."""

from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic refuses that of `typing` before Python 3.12

from kdgap.errors import StoreDamagedError

Model = TypeVar("Model", bound=BaseModel)
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Number = bool | int | float | None


class Loose(BaseModel):
    """Look-alike types, NaN and infinity are refused; further keys are let pass."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,  # no command needs all of them, and building them takes a while
    )


class NoticeEntry(Loose):
    """Something that a reader has to know."""

    code: str
    text: str
    short: str = ""
    severity: str = "warning"


class Manifest(Loose):
    """`manifest.json`: SHA-256 by file name."""

    files: dict[str, str]
    before: dict[str, str] = Field(default_factory=dict)
    dropped: dict[str, str] = Field(default_factory=dict)


class Measured(Loose):
    """`measured/NAME.json` in the cache folder: numbers by name."""

    of: str
    values: dict[str, float]


# A plan has thousands of these: dictionaries are looked at four times as fast as models are made.
ENTRY = ConfigDict(strict=True, allow_inf_nan=False)


@with_config(ConfigDict(**ENTRY, extra="forbid"))
class SlotEntry(TypedDict):
    """A role that a planned run plays."""

    role: str
    teacher: str | None
    student: str
    method: str
    candidate: NotRequired[str]
    ablation: NotRequired[str]
    arm: NotRequired[str]
    variant: NotRequired[str]  # of plans before these


def checked(model: type[Model], value: Any, path: Path, hint: str = "") -> Model:
    """Return a file's content in its model.

    Raises:
        StoreDamagedError: naming the first key that is missing or wrong, and `hint`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        key = str(place[0]) if place else "its content"
        raise StoreDamagedError(f"{path}: {key} is missing or damaged{hint}") from None


def fits(model: type[BaseModel], value: Any) -> bool:
    """Whether a value is what a model says."""
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True
