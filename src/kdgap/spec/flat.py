"""The flat YAML file of the reference study's commands, plus our further keys.

Every key is optional but `model`. Hyper-parameters of the methods (`alpha`, `temperature`,
`feat_beta`, …) are flat keys too; which ones exist is the methods' business, so the caller names
them, and their values are checked where the methods live.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from pydantic import Field

from kdgap.errors import BadInputError, nearest, one_line, placed
from kdgap.paths import data_place, user_path
from kdgap.spec.method_name import written_method
from kdgap.spec.model import Stem
from kdgap.spec.presets import flat_keys, preset_values
from kdgap.spec.run import MOST_DEVICES, Augmentation, BatchNorm, ClipScope, Seed, Tracker
from kdgap.spec.validation import Strict, Text, build
from kdgap.yamlio import Document


class FlatConfig(Strict):
    """One run as flat keys. A None means: take the default of the data set or of the recipe."""

    model: Text
    preset: Text | None = None
    stem: Stem = "cifar"
    width: float = 1.0
    shortcut: Literal["A", "B"] = "A"
    model_arguments: dict[str, Any] = Field(default_factory=dict)
    model_modules: dict[str, Any] | None = None
    model_input: dict[str, Any] | None = None
    teacher: Text | None = None
    teacher_weights: Text | None = None
    allow_unmeasured_teacher: bool = False
    teacher_subset: bool = False
    kd_type: Text = "none"
    no_proj_clip: bool = False
    clip_scope: ClipScope | None = None
    clip_norm: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    eta_min: float | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    weight_decay: float | None = None
    schedule: Literal["cosine", "step"] | None = None
    milestones: list[int] | None = None
    factor: float | None = None
    optimiser: Literal["sgd", "dot"] | None = None
    dot_delta: float | None = None
    data: Text = "cifar10"
    data_root: Text = "data"
    image_size: int | None = None
    augmentation: Augmentation | None = None
    split_seed: Seed = 1234
    val_size: int | None = None
    limit: int | None = None
    test_share: float | None = None
    skip_broken: bool = False
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    seed: Seed = 0
    device: Text = "auto"
    threads: int | None = None
    devices: int = Field(default=1, ge=1, le=MOST_DEVICES)
    batch_norm: BatchNorm | None = None
    num_workers: int = 0
    output_dir: Text | None = None
    save_seconds: float = 120.0
    tracker: Tracker = "tensorboard"
    hyperparameters: dict[str, Any] = Field(default_factory=dict)

    def network(self) -> dict[str, Any]:
        """Return the fields of `ModelSpec` that were given."""
        fields = {field: getattr(self, key) for field, key in MODEL_KEYS.items()}
        return {field: value for field, value in fields.items() if value not in (None, {})}


MODEL_KEYS = {
    "name": "model",
    "stem": "stem",
    "width": "width",
    "shortcut": "shortcut",
    "arguments": "model_arguments",
    "modules": "model_modules",
    "input": "model_input",
}
"""Field of `ModelSpec` → flat key."""


class Places:
    """Remembers where each key was given: a line of the file, or the command line."""

    def __init__(self, document: Document | None, overridden: Collection[str]) -> None:
        self._document = document
        self._overridden = overridden

    def __call__(self, key: str) -> str:
        """Return `file:line`, or "command line"."""
        if key in self._overridden or self._document is None:
            return "command line"
        for spelling in (key, key.replace("_", "-")):
            if (spelling,) in self._document.lines:
                return self._document.where((spelling,))
        return self._document.source


def read_flat(
    document: Document | None,
    overrides: Mapping[str, object],
    hyperparameters: Collection[str] | Callable[[str], Collection[str]],
) -> tuple[FlatConfig, Places]:
    """Read a flat configuration; `overrides` beat the file.

    Args:
        document: the parsed file, or None when everything comes from the command line.
        overrides: keys given on the command line.
        hyperparameters: the names that some method's hyper-parameter has, or what tells them of
            a `kd_type`.

    Returns:
        The configuration, and a function that tells where a key was given.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    given = {} if document is None else document.value
    if not isinstance(given, dict):
        source = document.source if document else "command line"
        raise BadInputError(f"{source}: expected `key: value` lines")
    merged: dict[str, Any] = {key.replace("-", "_"): value for key, value in given.items()}
    merged |= overrides
    if (chosen := merged.get("preset")) is not None:
        with placed(Places(document, set(overrides))("preset"), "preset"):
            merged = flat_keys(chosen, merged) | merged
    places = Places(document, set(overrides))
    with placed(places("kd_type"), "kd_type"):
        kd_type = written_method(merged["kd_type"]) if "kd_type" in merged else ""
        if kd_type:
            merged["kd_type"] = kd_type
        if chosen is not None:
            preset_values(chosen, kd_type)  # what it has only in another form is refused here
        if callable(hyperparameters):
            hyperparameters = hyperparameters(kd_type)
    known = [*(set(FlatConfig.model_fields) - {"hyperparameters"}), *hyperparameters]
    for key in merged:
        if key not in known:
            name = one_line(key, 80)
            raise BadInputError(f"{places(key)}: unknown key {name!r}{nearest(key, known)}")
    method_values = {key: merged.pop(key) for key in list(merged) if key in hyperparameters}
    for key, value in method_values.items():
        if value is not None and not isinstance(value, bool | int | float | str):
            raise BadInputError(f"{places(key)}: {key}: expected one value, got {value!r:.60}")
    config = build(FlatConfig, merged | {"hyperparameters": method_values}, places, known)
    expanded: dict[str, str] = {}
    for key in _PATHS:
        if (path := getattr(config, key)) is not None:
            with placed(places(key), key):
                expanded[key] = data_place(path) if key == "data_root" else str(user_path(path))
    return config.model_copy(update=expanded), places


_PATHS = ("teacher_weights", "data_root", "output_dir")
