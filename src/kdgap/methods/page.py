"""`docs/methods.md`: every method as it declares itself."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kdgap.methods.hyperparameters import build_method
from kdgap.methods.method import METHODS, flat_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdgap.methods.method import Method

_HEAD = """\
# Methods

Written by `make docs` from the classes in `src/kdgap/methods/`; a test compares. A run's loss is

    kd_weight * scale(epoch) * (sum of weight * value over the method's terms) + ce_weight * CE

where CE is the cross-entropy with the labels. `logit` and `feature` weigh both sides by one number,
`alpha` and 1 − `alpha`. All divergences are sums over classes and means over images. Studies call a
method's hyper-parameters by their fields; flat files, and `--set` of a single run, by their keys.
`kdgap methods NAME` prints one method.
"""
_STAGES = ("layer1", "layer2", "layer3")


def hyperparameters(cls: type[Method]) -> Mapping[str, Mapping[str, Any]]:
    """Return field → its flat key, default, description and range."""
    schema = TypeAdapter(cls).json_schema().get("properties", {})
    flat = {field: key for key, field in flat_fields(cls).items()}
    about = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        declared = dict(schema.get(field.name, {}))
        declared.pop("title", None)
        about[field.name] = {"key": flat[field.name], **declared, "default": field.default}
    return about


def needs(cls: type[Method]) -> str:
    """Return what a method reads and trains, in words."""
    if not cls.needs_teacher:
        return "no teacher"
    method = build_method(cls.name, {})
    words = {
        "maps": "feature maps",
        "before_relu": "maps before ReLU",
        "embedding": "embeddings",
        "classifier": "the classifier",
        "norms": "batch norms",
        "connected": "a map behind a connector",
    }
    kinds = method.student_taps(_STAGES).kinds | method.teacher_taps(_STAGES).kinds
    read = [words[kind] for kind in words if kind in kinds] or ["logits"]
    return ", ".join([*read, *(["trained parts"] if cls.has_projections else [])])


def formula(cls: type[Method]) -> str:
    """Return what the class says of its loss."""
    return inspect.cleandoc(cls.__doc__ or "")


def as_markdown() -> str:
    """Return the page."""
    names = sorted(METHODS)
    rows = [
        f"| [`{name}`](#{name}) | {METHODS[name].label} | {METHODS[name].summary} |"
        f" {needs(METHODS[name])} |"
        for name in names
    ]
    table = ["| `kd_type` | name | what it does | reads |", "|---|---|---|---|", *rows]
    return "\n".join([_HEAD, *table, "", *(_section(METHODS[name]) for name in names)])


def _section(cls: type[Method]) -> str:
    lines = [f"## {cls.name}", "", f"**{cls.label}.** {cls.citation}.", "", formula(cls), ""]
    about = hyperparameters(cls)
    if about:
        lines += ["| field | flat key | default | what it is | values |", "|---|---|---|---|---|"]
        for name, entry in about.items():
            words = entry.get("description", "")
            cells = (f"`{name}`", f"`{entry['key']}`", entry["default"], words, values(entry))
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines.append("")
    return "\n".join(lines)


def values(about: Mapping[str, Any]) -> str:
    """Return what values a hyper-parameter takes, in words."""
    if "enum" in about:
        return ", ".join(map(str, about["enum"]))
    if about.get("type") == "boolean":
        return "true or false"
    low = about.get("minimum", about.get("exclusiveMinimum"))
    high = about.get("maximum", about.get("exclusiveMaximum"))
    above = "over " if "exclusiveMinimum" in about else "from "
    return "" if low is None else f"{above}{low:g}" + ("" if high is None else f" to {high:g}")
