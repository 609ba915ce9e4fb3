"""A run is a value: its id is the digest of everything that can change its result."""

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kdgap.spec.slot import PLAIN
from kdgap.text import value_text

if TYPE_CHECKING:
    from kdgap.spec.model import ModelSpec
    from kdgap.spec.run import RunSpec


def identity(spec: BaseModel) -> dict[str, Any]:
    """Return the fields of a specification that are hashed, in plain types.

    Cosmetic fields are left out, and so is a field at its declared neutral value: a field that
    joins the schema later does not change the ids of older runs.
    """
    kept: dict[str, Any] = {}
    for name, neutral in _hashed(type(spec)):
        value = getattr(spec, name)
        if value not in neutral:
            kept[name] = identity(value) if isinstance(value, BaseModel) else value
    return kept


@cache
def _hashed(model: type[BaseModel]) -> tuple[tuple[str, tuple[object, ...]], ...]:
    """Return the fields of a class that are not cosmetic, each with its neutral value if any."""
    fields = []
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        if not extra.get("cosmetic"):
            fields.append((name, (extra["neutral"],) if "neutral" in extra else ()))
    return tuple(fields)


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII, no NaN.

    Numbers are written as Python's shortest exact form; a negative zero becomes zero.
    """
    text = _canonical(value)
    # Looking at every number takes three times as long as looking for a sign before a zero.
    return _canonical(_plus_zero(value)) if "-0.0" in text else text


def _canonical(value: object) -> str:
    return _ENCODER.encode(value)


def _plus_zero(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plus_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plus_zero(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value


def run_id(spec: "RunSpec") -> str:
    """Return a run's id: the SHA-256 of its identity's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(identity(spec)).encode()).hexdigest()


def slot_name(run: "RunSpec") -> str:
    """Return a readable name of what is trained, such as `cifar10_resnet50_to_resnet18_logit`."""
    model = _model_name(run.model)
    if run.teacher is not None:
        model = f"{_model_name(run.teacher.model)}_to_{model}"
    method = "baseline" if run.method.name == PLAIN else run.method.name
    return f"{run.data.name}_{model}_{method}"


def _model_name(model: "ModelSpec") -> str:
    marks = [
        mark for mark, usual in ((model.stem, "cifar"), (model.shortcut, "A")) if mark != usual
    ]
    # Not `sized`, which came to spell some factors out: paths of planned runs stay what they were,
    # and the id beside the name tells the networks apart.
    factor = "" if model.width == 1 else f"x{value_text(model.width)}"
    return "-".join([model.name.replace(":", "-") + factor, *marks])


def configuration_id(run: "RunSpec", teacher: "RunSpec | None") -> str:
    """Return what is averaged over: a run's identity without its own and its teacher's seed.

    Files call it `cell`: plans, imports and the `results.json` of studies.

    Args:
        run: the run.
        teacher: the run that trains its teacher, if a run of ours does.
    """
    return configuration_taught_by(
        run, None if teacher is None else configuration_id(teacher, None)
    )


def configuration_taught_by(run: "RunSpec", teacher: str | None) -> str:
    """Return `configuration_id`, given that of the run which trains the teacher: many share it."""
    kept = identity(run)
    del kept["seed"]
    if teacher is not None:
        kept["teacher"] = {**kept["teacher"], "run": teacher}
    return hashlib.sha256(canonical_json(kept).encode()).hexdigest()
