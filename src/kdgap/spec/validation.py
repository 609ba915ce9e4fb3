"""The base of every specification class, and pydantic's complaints turned into one line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kdgap.errors import BadInputError, nearest, one_line

T = TypeVar("T")
Scalar = bool | int | float | str | None


class Strict(BaseModel):
    """Immutable; unknown fields, look-alike types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if not text or not text.isprintable() or len(text) > 1000:
        raise ValueError("must be printable text of 1 to 1000 characters")
    return text


Text = Annotated[str, AfterValidator(_printable)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def build(
    make: Callable[..., T],
    values: Mapping[str, Any],
    where: Callable[[str], str],
    known: Iterable[str],
    spelling: Mapping[str, str] | None = None,
) -> T:
    """Call `make(**values)` and turn a pydantic complaint into a one-line `BadInputError`.

    Args:
        make: a specification class.
        values: its fields by name.
        where: names the place (file and line) of a field, for the message.
        known: the valid field names, for "did you mean".
        spelling: field → the key that the user writes, where they differ.
    """
    try:
        return make(**values)
    except ValidationError as error:
        texts = _complaints(error, where, list(known), spelling or {}, _choices(make))
        raise BadInputError("; ".join(texts)) from None


def _choices(make: object) -> dict[str, list[str]]:
    """Return the texts that each field of a model takes, where only some texts are."""
    fields: Mapping[str, Any] = getattr(make, "__pydantic_fields__", {})
    return {name: _literals(field.annotation) for name, field in fields.items()}


def _literals(annotation: Any) -> list[str]:
    return [
        text
        for part in get_args(annotation)
        for text in ([part] if isinstance(part, str) else _literals(part))
    ]


def problems(error: ValidationError) -> list[Any]:
    """Return what pydantic found, without what it could not look at because of that."""
    errors = error.errors(include_url=False)
    return [item for item in errors if item["type"] != "default_factory_not_called"]


def message_of(item: Mapping[str, Any]) -> str:
    """Return what pydantic says is wrong, without the words that it begins every message with."""
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return str(item["msg"]).removeprefix("Input ")


def got(item: Mapping[str, Any]) -> str:
    """Return what was given, as the end of a message; nothing of a whole group of keys."""
    given = item.get("input")
    return "" if isinstance(given, dict | BaseModel) else f", got {one_line(repr(given), 60)}"


def _complaints(
    error: ValidationError,
    where: Callable[[str], str],
    known: list[str],
    spelling: Mapping[str, str],
    choices: Mapping[str, Sequence[str]],
) -> Iterable[str]:
    for item in problems(error):
        field = str(item["loc"][0]) if item["loc"] else ""
        key = spelling.get(field, field)
        place = where(key)
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            yield f"{place}: unknown key {one_line(key, 80)!r}{nearest(key, known)}"
            continue
        given, hint = item.get("input"), ""
        if item["type"] == "literal_error" and isinstance(given, str):
            hint = nearest(given, choices.get(field, ()))
        message = message_of(item)
        yield f"{place}: {key}: {message}{got(item)}{hint}" if key else f"{place}: {message}"
