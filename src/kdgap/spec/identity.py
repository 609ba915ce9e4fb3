"""A run is a value: its id is the digest of everything that can change its result."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from kdgap.spec.run import RunSpec


def identity(spec: BaseModel) -> dict[str, Any]:
    """Return the fields of a specification that are hashed, in plain types.

    Cosmetic fields are left out, and so is a field at its declared neutral value: a field that
    joins the schema later does not change the ids of older runs.
    """
    kept: dict[str, Any] = {}
    for name, info in type(spec).model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        value = getattr(spec, name)
        if extra.get("cosmetic") or ("neutral" in extra and value == extra["neutral"]):
            continue
        kept[name] = identity(value) if isinstance(value, BaseModel) else value
    return kept


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII, no NaN.

    Numbers are written as Python's shortest exact form; a negative zero becomes zero.
    """
    return json.dumps(
        _plus_zero(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _plus_zero(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plus_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plus_zero(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value


def run_id(spec: RunSpec) -> str:
    """Return a run's id: the SHA-256 of its identity's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(identity(spec)).encode()).hexdigest()
