"""An analysis as JSON, and back; `docs/analysis.schema.json` describes the document."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from kdgap.judge.analysis import FORMAT, Analysis
from kdgap.spec.method_card import MethodCard


def to_json(value: Any) -> Any:
    """Return an analysis, or a part of one, in plain types: what `json.dumps` takes."""
    if isinstance(value, MethodCard):
        return to_json(value.written())
    if is_dataclass(value):
        kind: Any = type(value)
        later = kind.__dict__.get("later", {})
        fields_of = {name: getattr(value, name) for name in _order(kind)}
        return {
            name: to_json(part)
            for name, part in fields_of.items()
            if name not in later or part != later[name]
        }
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    return value


@cache
def _order(cls: Any) -> tuple[str, ...]:
    """Return the fields of a class; what it shares with others where it says, else first."""
    names = [field.name for field in fields(cls)]
    after = cls.__dict__.get("inherited_after")
    if after is None:
        return tuple(names)
    own = [name for name in names if name in cls.__annotations__]
    place = own.index(after) + 1
    shared = [name for name in names if name not in own]
    return (*own[:place], *shared, *own[place:])


def from_json(document: Mapping[str, Any]) -> Analysis:
    """Return the analysis that a document holds.

    Raises:
        pydantic.ValidationError: it is no analysis of this format.
    """
    return _adapter().validate_python(document)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of `analysis.json`."""
    schema: dict[str, Any] = _untitled(_adapter().json_schema(mode="serialization"))
    schema["properties"]["format"] = {"const": FORMAT}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"kdgap's analysis.json, format {FORMAT}",
        **schema,
    }


def _untitled(schema: Any) -> Any:
    """Return a schema without titles, which only repeat names."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(part)
        for key, part in schema.items()
        if key != "title" or not isinstance(part, str)
    }


@cache
def _adapter() -> TypeAdapter[Analysis]:
    return TypeAdapter(Analysis)
