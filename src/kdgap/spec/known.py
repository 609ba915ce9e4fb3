"""What a configuration may name and say, known without torch: what is refused here costs nothing.

Importing torch takes seconds and hundreds of megabytes, and data sets, networks and methods need
it. So their names, and the ranges of the methods' hyper-parameters, stand here as well; methods
take the types of their fields from here, and a test compares the rest with the registries. How the
parts fit together (stages, widths, devices, teachers' files) is found by those parts, later.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from kdgap.errors import BadInputError
from kdgap.registry import Registry
from kdgap.spec.complaints import Where
from kdgap.spec.flat import FlatConfig
from kdgap.spec.run import DataSpec, ModelSpec, Placement, RecipeSpec
from kdgap.spec.study import StudySpec
from kdgap.spec.validation import Strict, build

Alpha = Annotated[float, Field(ge=0, le=1, description="weight of the distillation loss")]
Temperature = Annotated[
    float, Field(gt=0, le=1000, description="softens both distributions; 1 = as they are")
]
CosineWeight = Annotated[
    float, Field(ge=0, le=1000, description="weight of the cosine term within the loss")
]
ErrorScale = Annotated[
    Literal["none", "teacher_std"], Field(description="scale of the squared error")
]

DATA: Registry[None] = Registry("data set")
MODELS: Registry[None] = Registry("model")
METHODS: Registry[dict[str, tuple[str, Any]]] = Registry("method")
"""Method → flat key → its field and the field's type."""

for _name in ("cifar10", "cifar100", "digits", "imagefolder"):
    DATA.register(_name)(None)
for _depth in (8, 14, 20, 32, 44, 56, 110, 18, 34, 50, 101):
    MODELS.register(f"resnet{_depth}")(None)
METHODS.register("none")({})
METHODS.register("feature")(
    {
        "alpha": ("alpha", Alpha),
        "feat_beta": ("beta", CosineWeight),
        "feat_norm": ("norm", ErrorScale),
    }
)
METHODS.register("logit")({"alpha": ("alpha", Alpha), "temperature": ("temperature", Temperature)})
HYPERPARAMETERS = {key: kind for _, keys in METHODS.items() for key, (_, kind) in keys.items()}

RECIPE_KEYS = ("epochs", "batch_size", "lr", "eta_min", "momentum", "nesterov", "weight_decay")
_PLACE = ("device", "threads", "data_root", "tracker", "save_seconds", "num_workers")


def check_flat(config: FlatConfig, places: Callable[[str], str]) -> None:
    """Refuse a flat configuration that names something unknown, or a value out of its range.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    for registry, key in ((DATA, "data"), (MODELS, "model"), (METHODS, "kd_type")):
        with _placed(f"{places(key)}: {key}"):
            registry[getattr(config, key)]
    build(ModelSpec, _given(config, ("stem", "width")) | {"name": config.model}, places, ())
    clip = () if config.clip_scope == "off" else ("clip_norm",)
    build(RecipeSpec, _given(config, (*RECIPE_KEYS, *clip)), places, ())
    build(Placement, _given(config, _PLACE), places, ())
    data = {"name": config.data, "val_size": 1}  # where the data set says how many
    build(DataSpec, data | _given(config, tuple(DataSpec.model_fields)[1:]), places, ())
    _check_values(config.hyperparameters, HYPERPARAMETERS, places)


def check_study(study: StudySpec, where: Where) -> None:
    """Refuse a study that names something unknown, or a value out of its range.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    with _placed(where(("data", "name"))):
        DATA[study.data.name]
    for name, model in study.models.items():
        with _placed(where(("models", name))):
            MODELS[model.name]
    recipe = dict(study.recipe)
    build(RecipeSpec, recipe, lambda key: where(("recipe", key)), RecipeSpec.model_fields)
    place = lambda key: where(("teachers", "recipe", key))  # noqa: E731
    build(RecipeSpec, recipe | study.teachers.recipe, place, RecipeSpec.model_fields)
    for method, grid in study.methods.items():
        with _placed(where(("methods", method))):
            keys = METHODS[method]
        if not keys:  # the baseline, which is no method of a study
            continue
        at = lambda key, method=method: where(("methods", method, key))  # noqa: E731
        for key, values in grid.items():
            for value in values if isinstance(values, list) else [values]:
                _check_values({key: value}, dict(keys.values()), at)


def _given(config: FlatConfig, keys: tuple[str, ...]) -> dict[str, Any]:
    found = {key: getattr(config, key, None) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _check_values(
    values: Mapping[str, Any], kinds: Mapping[str, Any], where: Callable[[str], str]
) -> None:
    fields: dict[str, Any] = {key: (kind, None) for key, kind in kinds.items()}
    build(create_model("Values", __base__=Strict, **fields), dict(values), where, kinds)


@contextmanager
def _placed(place: str) -> Iterator[None]:
    try:
        yield
    except BadInputError as error:
        raise BadInputError(f"{place}: {error}", error.key) from None
