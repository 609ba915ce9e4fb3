"""What is wrong with a study or a file of claims, in our words: file, line, key, expectation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from kdgap.errors import nearest, one_line
from kdgap.spec.validation import got, message_of, problems
from kdgap.yamlio import Key

Where = Callable[[Key], str]


def _known_keys(path: Sequence[Any], root: type[BaseModel]) -> list[str]:
    """Return the keys that are valid where the last part of a path stands."""
    cls = root
    for part in path[:-1]:
        if part in cls.model_fields:
            cls = _model_in(cls.model_fields[part].annotation) or cls
    return list(cls.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(argument) for argument in get_args(annotation))
    return next((cls for cls in models if cls is not None), None)


def _is_alternative(part: object) -> bool:
    """Whether a part of a complaint's path names an alternative of pydantic's, not a key."""
    return str(part) in ("bool", "int", "float", "str", "[key]") or "[" in str(part)


def _keys_in(place: Sequence[Any], value: Any) -> Sequence[Any]:
    """Return the keys of a complaint's path, up to the first alternative that is no key given."""
    for number, part in enumerate(place):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
            if _is_alternative(part):
                return place[:number]
    return place


def complaints(
    error: ValidationError, where: Where, value: Any, root: type[BaseModel]
) -> Iterable[str]:
    """Yield what is wrong with a file, a text for each key at fault.

    Args:
        error: what pydantic says.
        where: tells file and line of a key.
        value: what was given.
        root: what it should be.
    """
    paths: set[tuple[Any, ...]] = set()
    for item in problems(error):
        path = tuple(_keys_in(item["loc"], value))
        if path in paths:
            continue
        paths.add(path)
        key = ".".join(one_line(part, 40) for part in path)
        place = where(path)
        if item["type"] == "extra_forbidden":
            yield f"{place}: unknown key {key!r}{nearest(str(path[-1]), _known_keys(path, root))}"
            continue
        message = message_of(item)
        if item["loc"][-1:] == ("[key]",) or item["type"] == "string_pattern_mismatch":
            message = "a name is 1 to 60 letters, digits, dots, dashes or underscores"
        elif len(path) < len(item["loc"]):
            message = "expected true or false, a finite number or a text"
            if path[0] == "methods":
                message += ", or a list of them"
        yield f"{place}: {key}: {message}{got(item)}" if key else f"{place}: {message}"
