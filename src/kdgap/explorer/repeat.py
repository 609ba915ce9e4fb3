"""How to repeat one run: what its record says, as the flat file that `kdgap train` reads.

Whatever is hashed into the run's id is written down, defaults included. A field that a flat file
has no key for is refused, so that a field which joins the specification later is never left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap import yamlio
from kdgap.advice import command
from kdgap.errors import BadInputError, one_line
from kdgap.files import json_text
from kdgap.spec.flat import MODEL_KEYS, FlatConfig, read_flat
from kdgap.spec.identity import identity, run_id
from kdgap.spec.method_card import UNKNOWN, MethodCard
from kdgap.spec.run import RunSpec, TeacherSpec, numerics_of

Methods = Mapping[str, MethodCard]
"""What a study's plan says of its methods."""
_OF_WEIGHTS = {"model", "weight_hash", "run"}
"""What a teacher's weights file says of it by itself, and remarks say to the reader."""


@dataclass(frozen=True)
class Repeat:
    """A flat file's text, or why there is none: one of the two is None."""

    file: str | None
    reason: str | None


def repeat(asked: Any, study: Path, methods: Methods) -> Repeat:
    """Return the flat file that trains a run again: the same bits in an equal environment.

    Args:
        asked: what `run.json` holds; anything, for it may be damaged.
        methods: the study's.
        study: the study's directory as the user names it. A teacher that the study trained is
            named below it, so the file works where that name does.
    """
    try:
        return Repeat(_flat_file(asked, study, methods), None)
    except BadInputError as error:
        return Repeat(None, str(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Repeat(None, "its run.json is damaged, or from another version of kdgap")


def _flat_file(asked: Any, study: Path, methods: Methods) -> str:
    run = RunSpec.model_validate(asked["spec"])
    if run_id(run) != asked["id"]:
        raise BadInputError("its run.json has another id than follows from its spec")
    parameters = _parameters(run, methods, command("run", study))
    keys = _hashed(run, command("verify", study, "--run", asked["id"][:10]))
    if run.teacher is not None:
        weights = Path(run.teacher.weights)
        keys["teacher"] = run.teacher.model.name
        # A given file is named as the study names it: from where the study was run.
        keys["teacher_weights"] = (study / weights if run.teacher.run else weights).as_posix()
        if asked["teacher"]["accuracy"] is None:
            keys["allow_unmeasured_teacher"] = True
        classes = asked["data"].get("classes")
        if classes and len(asked["teacher"].get("classes", ())) > len(classes):
            keys["teacher_subset"] = True
    keys["data_root"] = run.place.data_root
    keys |= {key: asked["environment"][key] for key in ("device", "threads")}
    keys["output_dir"] = f"again/{asked['id'][:10]}"
    lines = [f"{key}: {json_text(value, indent=None)}" for key, value in keys.items()]
    lines += [f"{key}: {json_text(value, indent=None)}" for key, value in parameters.items()]
    text = "".join(f"{line}\n" for line in [*_remarks(run, asked), *lines])
    _check(text, keys, parameters)
    return text


def _parameters(run: RunSpec, methods: Methods, otherwise: str) -> dict[str, Any]:
    """Return the method's hyper-parameters by flat key.

    Raises:
        BadInputError: the plan does not say how they are spelt; `otherwise` is what helps.
    """
    cards = (card for name, card in methods.items() if (card.method or name) == run.method.name)
    spelling = next(cards, UNKNOWN).flat
    if spelling is None:
        if not run.method.parameters:
            return {}
        raise BadInputError(
            f"plan.json is of an earlier kdgap and does not say how a flat file spells the"
            f" hyper-parameters of {run.method.name}; `{otherwise}` writes it anew"
        )
    return {spelling.get(name, name): value for name, value in run.method.parameters.items()}


def _hashed(run: RunSpec, otherwise: str) -> dict[str, Any]:
    """Return everything else that is hashed of a run by flat key; its teacher's file says itself.

    Raises:
        BadInputError: something has no flat key; `otherwise` is the command that helps.
    """
    kept = identity(run)
    teacher = kept.pop("teacher") or {}
    parts = {name: kept.pop(name) for name in ("model", "method", "data", "recipe")}
    del parts["method"]["parameters"]
    parts["model"].pop("code", None)  # found again where the factory is
    keys: dict[str, Any] = {
        MODEL_KEYS.get(name, name): value for name, value in parts.pop("model").items()
    }
    for part, name in (("method", "kd_type"), ("data", "data")):
        keys |= {name: parts[part].pop("name"), **parts[part]}
    keys |= parts["recipe"] | kept
    keys |= {key: teacher[key] for key in teacher.keys() - _OF_WEIGHTS}
    if (value := keys.pop("numerics")) != (only := numerics_of(run.model)):
        raise BadInputError(f"numerics is {value!r}, and this kdgap trains with {only!r}")
    unsaid = sorted(keys.keys() - FlatConfig.model_fields.keys())
    if unsaid:
        values = ", ".join(f"{key} {keys[key]!r}" for key in unsaid)
        raise BadInputError(f"a flat file cannot say {values}; `{otherwise}` trains the run again")
    return keys


def _remarks(run: RunSpec, asked: Any) -> list[str]:
    """Return comments: what equal bits rest on, and what no key can say."""
    environment = ", ".join(f"{key} {value}" for key, value in asked["environment"].items())
    remarks = [
        f"run {asked['id']} again: kdgap train FILE",
        f"environment: {environment}",
        f"data: {run.data.name}, fingerprint {asked['data']['fingerprint']}",
    ]
    if run.teacher is not None:
        remarks.append(f"teacher: {_described(run.teacher)}")
    remarks += [f"mind: {flag}" for flag in asked["flags"]]
    return [f"# {one_line(remark)}" for remark in remarks]


def _described(teacher: TeacherSpec) -> str:
    known = f"run {teacher.run}" if teacher.run else f"weight hash {teacher.weight_hash}"
    return f"{teacher.model.described()}, {known}"


def _check(text: str, keys: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Read the file as `kdgap train` will.

    Raises:
        BadInputError: it does not say what it was meant to say.
    """
    config, _ = read_flat(yamlio.parse(text, "flat file"), {}, set(parameters))
    values = config.model_dump()
    if values.pop("hyperparameters") != parameters or {key: values[key] for key in keys} != keys:
        raise BadInputError("its names cannot be written in a flat file")
