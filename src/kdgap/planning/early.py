"""What a configuration may name and say, checked before torch is loaded: refusing costs nothing.

Importing torch takes seconds and hundreds of megabytes. Names of data sets, networks and methods,
and the ranges of hyper-parameters, stand with their declarations, which start without it. How the
parts fit together (stages, widths, devices, teachers' files) is found by those parts, later.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import create_model

from kdgap.data import DATASETS
from kdgap.errors import BadInputError, nearest, placed
from kdgap.methods import METHODS, Method
from kdgap.methods.hyperparameters import field_types, hyperparameter_types
from kdgap.methods.method import flat_fields
from kdgap.models import MODELS
from kdgap.spec.complaints import Where
from kdgap.spec.flat import MODEL_KEYS, FlatConfig
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, Placement, RecipeSpec
from kdgap.spec.study import StudySpec
from kdgap.spec.validation import Strict, build

RECIPE_KEYS = (
    *("epochs", "batch_size", "lr", "eta_min", "momentum", "nesterov", "weight_decay"),
    *("schedule", "milestones", "factor", "optimiser", "dot_delta"),
)
_PLACE = ("device", "threads", "data_root", "tracker", "save_seconds", "num_workers")


def check_flat(config: FlatConfig, places: Callable[[str], str]) -> None:
    """Refuse a flat configuration that names something unknown, or a value out of its range.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    for registry, key in ((DATASETS, "data"), (MODELS, "model"), (METHODS, "kd_type")):
        with placed(f"{places(key)}: {key}"):
            registry[getattr(config, key)]
    build(ModelSpec, config.network(), places, (), MODEL_KEYS)
    clip = () if config.clip_scope == "off" else ("clip_norm",)
    build(RecipeSpec, _given(config, (*RECIPE_KEYS, *clip)), places, ())
    build(Placement, _given(config, _PLACE), places, ())
    data = {"name": config.data, "val_size": 1}  # where the data set says how many
    build(DataSpec, data | _given(config, tuple(DataSpec.model_fields)[1:]), places, ())
    own = METHODS[config.kd_type]
    fields = field_types(own)
    types = {key: fields[name] for key, name in flat_fields(own).items()}
    _refuse_others_keys(config, own, places)
    _check_values(config.hyperparameters, hyperparameter_types() | types, places)


_REFERENCE = ("none", "logit", "feature")
_REFERENCE_KEYS = frozenset({"alpha", "temperature", "feat_beta", "feat_norm"})


def _refuse_others_keys(
    config: FlatConfig, own: type[Method], places: Callable[[str], str]
) -> None:
    """Refuse hyper-parameters of other methods.

    The reference's three methods share one file, so each of them may see the others' keys.
    """
    allowed = _REFERENCE_KEYS if own.name in _REFERENCE else ()
    for key in config.hyperparameters:
        if key in flat_fields(own) or key in allowed:
            continue
        listed = _listed([name for name, cls in METHODS.items() if key in flat_fields(cls)])
        hint = nearest(key, flat_fields(own))
        raise BadInputError(
            f"{places(key)}: {key} is a hyper-parameter of {listed}, and kd_type is {own.name}"
            f"{hint}; leave it out"
        )


def _listed(owners: Sequence[str]) -> str:
    return ", ".join(owners[:3]) + (", …" if len(owners) > 3 else "")


def _refuse_unknown(method: str, key: str, own: type[Method], where: str) -> None:
    """Refuse what a method of a study has not, saying what it has, and whose the key may be."""
    fields = field_types(own)
    if key in fields:
        return
    hint = nearest(key, fields)
    spelled = {flat: name for flat, name in flat_fields(own).items() if flat != name}
    if key in spelled:
        hint = f" (a study calls it {spelled[key]})"
    elif not hint:
        owners = [
            name for name, cls in METHODS.items() if key in {*field_types(cls), *flat_fields(cls)}
        ]
        hint = f" (one of {_listed(owners)})" if owners else ""
    raise BadInputError(
        f"{where}: methods.{method}: unknown key {key!r}{hint}; it has {', '.join(fields)}"
    )


def check_study(study: StudySpec, where: Where) -> None:
    """Refuse a study that names something unknown, or a value out of its range.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    with placed(where(("data", "name"))):
        DATASETS[study.data.name]
    for name, model in study.models.items():
        with placed(where(("models", name))):
            MODELS[model.name]
    recipe = dict(study.recipe)
    build(RecipeSpec, recipe, lambda key: where(("recipe", key)), RecipeSpec.model_fields)
    place = lambda key: where(("teachers", "recipe", key))  # noqa: E731
    build(RecipeSpec, recipe | study.teachers.recipe, place, RecipeSpec.model_fields)
    for method, grid in study.grids.items():
        with placed(where(("methods", method))):
            types = field_types(METHODS[study.method_of(method)])
        if not types:  # the baseline, which is no method of a study
            continue
        at = lambda key, method=method: where(("methods", method, key))  # noqa: E731
        for key, values in grid.items():
            _refuse_unknown(
                method, key, METHODS[study.method_of(method)], where(("methods", method, key))
            )
            for value in values if isinstance(values, list) else [values]:
                _check_values({key: value}, types, at)


def _given(config: FlatConfig, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {key: getattr(config, key, None) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _check_values(
    values: Mapping[str, Any], kinds: Mapping[str, Any], where: Callable[[str], str]
) -> None:
    fields: dict[str, Any] = {key: (kind, None) for key, kind in kinds.items()}
    build(create_model("Values", __base__=Strict, **fields), dict(values), where, kinds)
