"""A flat configuration becomes a complete `RunSpec`: names looked up, defaults filled in.

Everything that can be wrong with the request itself, the teacher's weights included, is found
here: before any data is touched and before anything is written.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgap.data import DATASETS
from kdgap.engine.device import native_bf16, pick_device
from kdgap.errors import BadInputError, TeacherError, placed
from kdgap.methods import METHODS, build_method
from kdgap.methods.method import flat_fields
from kdgap.models import MODELS
from kdgap.models.build import check_model, with_code
from kdgap.planning.early import RECIPE_KEYS
from kdgap.planning.fit import check_stages
from kdgap.running.ranks import check_devices
from kdgap.running.teacher import TeacherWeights, open_teacher
from kdgap.spec.flat import MODEL_KEYS, FlatConfig
from kdgap.spec.identity import run_id, slot_name
from kdgap.spec.model import ModelSpec
from kdgap.spec.presets import preset_values
from kdgap.spec.run import (
    OF_PROJECTIONS,
    DataSpec,
    MethodSpec,
    Placement,
    RecipeSpec,
    RunSpec,
    TeacherSpec,
    unused_fields,
)
from kdgap.spec.validation import Scalar, build

if TYPE_CHECKING:
    from kdgap.spec.run import Precision

Places = Callable[[str], str]


def resolve(
    config: FlatConfig, places: Places, began_with: int | None = None
) -> tuple[RunSpec, TeacherWeights | None]:
    """Resolve a flat configuration.

    Args:
        config: the keys as given.
        places: tells where a key was given, for error messages.
        began_with: the number of devices that the run was begun on, which it is known by; None =
            that of the configuration.

    Raises:
        BadInputError: naming file, line, key and what was expected.
        TeacherError: the teacher's weights are missing, unreadable or of another architecture.
    """
    for registry, key in ((DATASETS, "data"), (MODELS, "model"), (METHODS, "kd_type")):
        with placed(places, key):
            registry[getattr(config, key)]  # unknown names are refused with the nearest one
    data = _data(config, places)
    model = build(ModelSpec, config.network(), places, ModelSpec.model_fields, MODEL_KEYS)
    with placed(places, "model"):
        model = with_code(model)
        check_model(model)
    method, dropped = _method(config, places)
    recipe = _recipe(config, places, dropped)
    with placed(places, "device"):
        device = pick_device(config.device)
    with placed(places, "devices"):
        check_devices(device, config.devices)
    devices = began_with or config.devices
    batch_norm = None if devices == 1 else config.batch_norm or "synchronised"
    if devices == 1 and config.batch_norm is not None:
        dropped["batch_norm"] = config.batch_norm
    precision: Precision = "fp32"
    if config.precision == "bf16" or (config.precision == "auto" and native_bf16(device)):
        precision = "bf16"
    place: dict[str, Any] = {
        "device": config.device,
        "threads": config.threads,
        "data_root": config.data_root,
        "tracker": config.tracker,
        "save_seconds": config.save_seconds,
        "num_workers": config.num_workers,
        "devices": None if devices == config.devices else config.devices,
    }
    teacher, weights = None, None
    if METHODS[method.name].needs_teacher:
        with placed(places, "teacher_weights"):
            teacher, weights = _teacher(config)
    else:
        given = {"teacher": config.teacher, "teacher_weights": config.teacher_weights}
        dropped |= {key: value for key, value in given.items() if value is not None}
    run = RunSpec(
        data=data,
        model=model,
        method=method,
        teacher=teacher,
        recipe=recipe,
        precision=precision,
        seed=config.seed,
        devices=devices,
        batch_norm=batch_norm,
    )
    place |= {"dropped": dropped, "output_dir": _output_dir(config, run)}
    run = run.model_copy(update={"place": build(Placement, place, places, Placement.model_fields)})
    with placed(places, "teacher"):
        check_stages(run)
    return run, weights


def _data(config: FlatConfig, places: Places) -> DataSpec:
    entry = DATASETS[config.data]
    fields: dict[str, Any] = {
        "name": config.data,
        "image_size": config.image_size,
        "augmentation": config.augmentation or entry.augmentation,
        "split_seed": config.split_seed,
        "val_size": entry.val_size if config.val_size is None else config.val_size,
        "limit": config.limit,
        "skip_broken": config.skip_broken,
        **({} if config.test_share is None else {"test_share": config.test_share}),
    }
    return build(DataSpec, fields, places, DataSpec.model_fields)


def _method(config: FlatConfig, places: Places) -> tuple[MethodSpec, dict[str, Scalar]]:
    """Validate the method's own hyper-parameters; check and set aside those of other methods."""
    cls = METHODS[config.kd_type]
    own, dropped = flat_fields(cls), {}
    values: dict[str, Scalar] = {}
    if config.preset is not None:
        values |= preset_values(config.preset, cls.name)
    for key, value in config.hyperparameters.items():
        if key in own:
            values[own[key]] = value
            continue
        dropped[key] = value
        for name, other in METHODS.items():
            if key in flat_fields(other):
                build_method(name, {flat_fields(other)[key]: value}, places)
                break
    method = build_method(config.kd_type, values, places)
    return MethodSpec(name=method.name, parameters=method.parameters()), dropped


def _recipe(config: FlatConfig, places: Places, dropped: dict[str, Scalar]) -> RecipeSpec:
    fields = {key: getattr(config, key) for key in (*RECIPE_KEYS, "clip_norm", "clip_scope")}
    if config.no_proj_clip:
        if config.clip_scope not in (None, "student_only"):
            raise BadInputError(
                f"{places('no_proj_clip')}: no_proj_clip means clip_scope: student_only,"
                f" but clip_scope is {config.clip_scope!r}"
            )
        fields["clip_scope"] = "student_only"
    apart = fields["clip_scope"] in OF_PROJECTIONS
    if apart and not METHODS[config.kd_type].has_projections:
        # Without projections the student alone is the union: the key does not apply.
        key = "no_proj_clip" if config.no_proj_clip else "clip_scope"
        dropped[key] = getattr(config, key)
        fields["clip_scope"] = None
    if fields["clip_scope"] == "off" and fields["clip_norm"] is not None:
        dropped["clip_norm"] = fields.pop("clip_norm")
    given = {key: value for key, value in fields.items() if value is not None}
    recipe = build(RecipeSpec, given, places, RecipeSpec.model_fields)
    unused = {key: given[key] for key in unused_fields(recipe) if key in given}
    dropped |= unused
    usual = {key: RecipeSpec.model_fields[key].default for key in unused}
    return recipe.model_copy(update=usual)


def _teacher(config: FlatConfig) -> tuple[TeacherSpec, TeacherWeights]:
    if config.teacher_weights is None:
        raise TeacherError(
            f"{config.kd_type} needs a teacher; give teacher (an architecture) and"
            " teacher_weights (a .safetensors file)",
            "kd_type",
        )
    weights = open_teacher(
        Path(config.teacher_weights),
        config.teacher,
        unmeasured=config.allow_unmeasured_teacher,
        data_root=config.data_root,
        otherwise=", or set allow_unmeasured_teacher: true",
        subset=config.teacher_subset,
    )
    known = {"run": weights.run_id} if weights.run_id else {"weight_hash": weights.card.weight_hash}
    return TeacherSpec(model=weights.card.model, weights=config.teacher_weights, **known), weights


def _output_dir(config: FlatConfig, run: RunSpec) -> str:
    """Return the run directory; `{seed}` in a given one stands for the seed."""
    if config.output_dir is not None:
        return config.output_dir.replace("{seed}", str(run.seed))
    return f"runs/{slot_name(run)}/seed{run.seed}-{run_id(run)[:8]}"
