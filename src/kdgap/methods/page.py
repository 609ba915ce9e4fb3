"""`docs/methods.md`: every method as it declares itself."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kdgap.methods.costs import measured
from kdgap.methods.hyperparameters import build_method
from kdgap.methods.method import METHODS, field_names, flat_fields
from kdgap.methods.on_logits import OnLogits
from kdgap.spec.presets import PRESETS
from kdgap.spec.run import RecipeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdgap.methods.method import Method

_HEAD = """\
# Methods

Written by `make docs` from the classes in `src/kdgap/methods/`; a test compares. A run's loss is

```text
scale(epoch) * (sum of weight * value over the method's terms) + ce_weight * CE
```

where CE is the cross-entropy with the labels, and scale is 1 but for warm-ups and early stopping.
`logit` and `feature` weigh both sides by one number, a = `alpha` * scale(epoch) and 1 − a. All
divergences are sums over classes and means over images. Studies call a method's hyper-parameters by
their fields; flat files, and `--set` of a single run, by their keys. `kdgap methods NAME` prints
one method.
"""
_COSTS = """\
The last column was measured on two cores of a CPU in fp32, ResNet-20 to ResNet-8 on images of
CIFAR-10's shape in batches of 64, the teacher's answer included: `python benchmarks/methods.py`. In
a cohort the teacher answers once for all members, and what is left is less.

## Several methods in one run
`kd_type: [logit, crd]` in a flat file, and `method: [logit, crd]` below a name of your own in a
study, add up the terms of both beside one cross-entropy. The keys are `ce_weight` and those of each
method behind its name: `logit_temperature`, `crd_negatives`. Each has a weight, `logit_weight` and
`crd_weight`, in place of an `alpha` or `ce_weight` of its own. A list of one, `[logit]`, has them
as well. A study compares one method at several settings in the same way:

```yaml
methods:
  kd_crd: {method: [logit, crd], crd_weight: 0.8}
  hot: {method: logit, temperature: 20}
```
"""
_MODIFIERS = """\
A modifier changes how a method works. Each is a key beside the method's own, with a preset or
without; in a list of methods the keys of a method stand behind its name (`logit_standardise`).
"""
_PRESETS = """\
`preset: NAME` in a flat file stands for the data, both networks, the recipe and the method's
hyper-parameters; in a study for the recipe and all methods, or for one method
(`methods: {dkd: {preset: NAME}}`). What the file says itself wins. `kdgap presets` lists them.
`crd+logit` is `[crd, logit]`, and `logit+` is `[logit]`, a list of one. A method, or a list, that
the preset does not have keeps its own defaults beside the preset's recipe.
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
    further = {
        "trained parts": cls.has_projections,
        "two views of each image": cls.views > 1,
        "tests a larger network": cls.deploys_another,
        "one device alone": method.compares_images() or cls.views > 1,
    }
    return ", ".join([*read, *(words for words, is_so in further.items() if is_so)])


def formula(cls: type[Method]) -> str:
    """Return what the class says of its loss."""
    return inspect.cleandoc(cls.__doc__ or "")


def as_markdown() -> str:
    """Return the page."""
    names = sorted(METHODS)
    rows = [
        f"| [`{name}`](#{name}) | {METHODS[name].label} | {METHODS[name].summary} |"
        f" {needs(METHODS[name])} | {cost(name)} |"
        for name in names
    ]
    head = "| `kd_type` | name | what it does | reads | a step, and memory, beside KD |"
    parts = [head, "|---|---|---|---|---|", *rows, "", _COSTS, *_modifiers(), *_presets(), ""]
    return "\n".join([_HEAD, *parts, *(_section(METHODS[name]) for name in names)])


def cost(name: str) -> str:
    """Return what a step was measured to take beside one of KD, in words."""
    known = measured().get(name)
    return (
        "not measured" if known is None else f"{known['time']:.2f}x, {known['memory_mb']:+.0f} MB"
    )


def _modifiers() -> list[str]:
    """Return what changes how a method works, in the words of where it is declared."""
    every = [name for name in sorted(METHODS) if "standardise" in field_names(METHODS[name])]
    logit, ctkd = METHODS["logit"], METHODS["ctkd"]
    entries = [
        (
            "Logit standardisation (LSKD)",
            f"`standardise`, of {', '.join(f'[`{name}`](#{name})' for name in every)}",
            paragraph(OnLogits, "standardise"),
        ),
        (
            "Curriculum temperature (CTKD)",
            "`kd_type: ctkd`, KD with it: [`ctkd`](#ctkd)",
            f"{formula(ctkd).splitlines()[0]} {ctkd.citation}.",
        ),
        (
            "Asymmetric temperature (ATS)",
            "`temperature_true` and `temperature_others`, of [`logit`](#logit)",
            paragraph(logit, "temperature_true"),
        ),
        (
            "Early-stopped distillation (ESKD)",
            "`stop_at`, of [`logit`](#logit)",
            paragraph(logit, "stop_at"),
        ),
        (
            "Distillation-oriented trainer (DOT)",
            "`optimiser: dot` and `dot_delta`, keys of the recipe, with any method",
            f"{_of_recipe('optimiser')} `dot_delta` is {_of_recipe('dot_delta')}",
        ),
    ]
    lines = [f"- **{name}**: {keys}. {words}" for name, keys, words in entries]
    return ["", "## Modifiers", "", _MODIFIERS, *lines]


def paragraph(cls: type, word: str) -> str:
    """Return what a class says of a key: the last paragraph of its docstring that names it."""
    named = [text for text in inspect.cleandoc(cls.__doc__ or "").split("\n\n") if word in text]
    return " ".join(named[-1].split())


def _of_recipe(field: str) -> str:
    """Return what the recipe's docstring says of a field."""
    written = inspect.cleandoc(RecipeSpec.__doc__ or "")
    match = re.search(rf"^ {{4}}{field}: (.*(?:\n {{8}}.*)*)", written, re.MULTILINE)
    assert match, f"RecipeSpec does not say what {field} is"
    return " ".join(match[1].split())


def _presets() -> list[str]:
    """Return the published recipes as a table."""
    rows = [
        f"| `{name}` | {', '.join(f'`{method}`' for method in preset.methods)} | {preset.source} |"
        for name, preset in PRESETS.items()
    ]
    return ["", "## Presets", "", _PRESETS, "| preset | methods | source |", "|---|---|---|", *rows]


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
