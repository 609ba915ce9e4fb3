"""A run is a value, and its id is the digest of everything that can change its result."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kdgap.errors import BadInputError
from kdgap.spec.identity import canonical_json, identity, run_id
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, Placement, RecipeSpec, RunSpec, TeacherSpec
from kdgap.spec.validation import build

FULL = RunSpec(
    data=DataSpec(name="imagefolder", image_size=64, augmentation="crop", val_size=500, limit=100),
    model=ModelSpec(name="resnet20", width=0.5),
    method=MethodSpec(name="logit", parameters={"alpha": 0.5, "temperature": 4.0}),
    teacher=TeacherSpec(
        model=ModelSpec(name="resnet56"), weight_hash="ab" * 32, weights="a/teacher.safetensors"
    ),
    recipe=RecipeSpec(epochs=3),
    seed=7,
    place=Placement(threads=2, dropped={"feat_beta": 0.5}),
)
PLAIN = RunSpec(
    data=DataSpec(name="cifar10", augmentation="crop_flip", val_size=5000),
    model=ModelSpec(name="resnet18"),
    method=MethodSpec(name="none"),
)
# Everything else must change the id.
COSMETIC = ("place", "teacher.weights")

PLAIN_JSON = (
    '{"data":{"augmentation":"crop_flip","name":"cifar10","split_seed":1234,"val_size":5000},'
    '"method":{"name":"none","parameters":{}},'
    '"model":{"name":"resnet18","stem":"cifar","width":1.0},'
    '"numerics":4,"precision":"fp32",'
    '"recipe":{"batch_size":128,"clip_norm":1.0,"clip_scope":"all","epochs":100,"eta_min":0.0001,'
    '"lr":0.1,"momentum":0.9,"nesterov":true,"optimiser":"sgd","schedule":"cosine",'
    '"weight_decay":0.0005},'
    '"seed":0,"teacher":null}'
)


def leaves(value: object, path: str = "") -> Iterator[str]:
    """The dotted path of every single value within a specification."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}")
    else:
        yield path


def other(value: object) -> object:
    """Some value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else 12345


def changed(value: Any, path: str) -> Any:
    """A copy of a specification with another value at one path, valid or not."""
    if not path:
        return other(value)
    name, _, rest = path.partition(".")
    if isinstance(value, dict):
        return value | {name: changed(value[name], rest)}
    return value.model_copy(update={name: changed(getattr(value, name), rest)})


@pytest.mark.parametrize("path", list(leaves(FULL)))
def test_changing_any_field_changes_the_id_unless_it_is_cosmetic(path: str) -> None:
    cosmetic = path.startswith(COSMETIC)
    assert (run_id(changed(FULL, path)) == run_id(FULL)) == cosmetic


@pytest.mark.parametrize("path", ["data.limit", "data.image_size", "teacher", "seed"])
def test_setting_what_was_not_set_changes_the_id(path: str) -> None:
    assert run_id(changed(PLAIN, path)) != run_id(PLAIN)


def test_adding_a_hyper_parameter_changes_the_id() -> None:
    more = FULL.method.model_copy(update={"parameters": FULL.method.parameters | {"norm": "none"}})
    assert run_id(FULL.model_copy(update={"method": more})) != run_id(FULL)


@example(0.3, 0.1 + 0.2)
@given(st.floats(1e-6, 10), st.floats(1e-6, 10))
def test_two_learning_rates_have_one_id_only_if_they_are_one_number(a: float, b: float) -> None:
    ids = {run_id(PLAIN.model_copy(update={"recipe": RecipeSpec(lr=lr)})) for lr in (a, b)}
    assert len(ids) == len({a, b})


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_two_seeds_have_two_ids(a: int, b: int) -> None:
    ids = {run_id(PLAIN.model_copy(update={"seed": seed})) for seed in (a, b)}
    assert len(ids) == len({a, b})


def test_the_id_of_a_fixed_run_never_changes() -> None:
    assert canonical_json(identity(PLAIN)) == PLAIN_JSON
    assert run_id(PLAIN) == hashlib.sha256(PLAIN_JSON.encode()).hexdigest()
    assert run_id(PLAIN) == "4a7da4e57867f5583d2afe282a15c38931990918b1c48d227b0b723fd2d5971f"
    assert run_id(FULL) == "7d123d3d5fe1a33e06a3d7d4ca1113919e2d8cb93fcc560219bd5564911e9f11"


def test_a_field_at_its_neutral_value_is_not_in_the_identity() -> None:
    assert {"limit", "image_size"} & set(identity(PLAIN)["data"]) == set()
    assert {"limit", "image_size"} <= set(identity(FULL)["data"])


def test_cosmetic_fields_are_not_in_the_identity() -> None:
    hashed = identity(FULL)
    assert "place" not in hashed
    assert set(hashed["teacher"]) == {"model", "weight_hash"}


def test_whole_numbers_and_signs_of_zero_do_not_matter() -> None:
    spec = RunSpec.model_validate(json.loads(PLAIN.model_dump_json()))
    recipe = {"lr": 1, "clip_norm": 2, "weight_decay": 0}
    other_recipe = {"lr": 1.0, "clip_norm": 2.0, "weight_decay": -0.0}
    ids = {
        run_id(spec.model_copy(update={"recipe": RecipeSpec.model_validate(values)}))
        for values in (recipe, other_recipe)
    }
    assert len(ids) == 1


def test_the_order_of_fields_and_parameters_does_not_matter() -> None:
    plain = FULL.model_dump()
    backwards = dict(reversed(plain.items()))
    backwards["recipe"] = dict(reversed(plain["recipe"].items()))
    backwards["method"] = {
        "parameters": dict(reversed(plain["method"]["parameters"].items())),
        "name": "logit",
    }
    assert run_id(RunSpec.model_validate(backwards)) == run_id(FULL)


@pytest.mark.parametrize("run", [FULL, PLAIN], ids=["full", "plain"])
def test_a_run_written_as_json_comes_back_with_its_id(run: RunSpec) -> None:
    again = RunSpec.model_validate_json(run.model_dump_json())
    assert again == run
    assert run_id(again) == run_id(run)


def test_canonical_json_is_ascii_sorted_and_without_spaces() -> None:
    value = {"b": [1, 2.5, -0.0], "a": {"é": None, "d": True}}
    assert canonical_json(value) == '{"a":{"d":true,"\\u00e9":null},"b":[1,2.5,0.0]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_does_not_have(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": [value]})


BAD: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (DataSpec, {"name": "x"}),
    (DataSpec, {"name": "x", "val_size": 0}),
    (DataSpec, {"name": "x", "val_size": True}),
    (DataSpec, {"name": "", "val_size": 1}),
    (DataSpec, {"name": "a\nb", "val_size": 1}),
    (DataSpec, {"name": "x" * 1001, "val_size": 1}),
    (DataSpec, {"name": "x", "val_size": 1, "limit": 1}),
    (DataSpec, {"name": "x", "val_size": 1, "split_seed": 2**63}),
    (ModelSpec, {"name": "x", "stem": "other"}),
    (ModelSpec, {"name": "x", "width": 0}),
    (ModelSpec, {"name": "x", "depth": 3}),
    (MethodSpec, {"name": "x", "parameters": {"a": float("nan")}}),
    (MethodSpec, {"name": "x", "parameters": {"a": [1]}}),
    (TeacherSpec, {"model": ModelSpec(name="x"), "weights": "w", "weight_hash": "ab"}),
    (TeacherSpec, {"model": ModelSpec(name="x"), "weights": "w", "weight_hash": "AB" * 32}),
    (TeacherSpec, {"model": ModelSpec(name="x"), "weights": "w", "weight_hash": "ab" * 32 + "\n"}),
    (RecipeSpec, {"optimiser": "adam"}),
    (RecipeSpec, {"schedule": "step"}),
    (RecipeSpec, {"momentum": 0.0}),
    (RecipeSpec, {"momentum": 1.0, "nesterov": False}),
    (RecipeSpec, {"lr": "0.1"}),
    (RecipeSpec, {"lr": float("inf")}),
    (RecipeSpec, {"epochs": 1.0}),
    (Placement, {"num_workers": -1}),
    (Placement, {"output_dir": ""}),
]


@pytest.mark.parametrize(("spec", "values"), BAD)
def test_a_specification_with_a_bad_value_cannot_be_made(
    spec: type[BaseModel], values: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        spec(**values)


def test_a_specification_cannot_be_altered() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PLAIN.seed = 1  # type: ignore[misc]


def test_plain_momentum_without_nesterov_is_a_valid_recipe() -> None:
    assert RecipeSpec(momentum=0.0, nesterov=False).momentum == 0.0


def test_a_run_on_limited_data_is_a_smoke_run() -> None:
    assert FULL.smoke
    assert not PLAIN.smoke


# --- arithmetic that changed for some runs alone


def trained(name: str, stem: str = "cifar", teacher: RunSpec | None = None) -> RunSpec:
    """A run on digits: plain training, or distillation from a teacher that a run trains."""
    if teacher is None:
        method, teaching = MethodSpec(name="none"), None
    else:
        method = MethodSpec(name="logit", parameters={"alpha": 0.5, "temperature": 4.0})
        teaching = TeacherSpec(model=teacher.model, run=run_id(teacher), weights="t")
    return RunSpec(
        data=DataSpec(name="digits", augmentation="crop", val_size=297),
        model=ModelSpec.model_validate({"name": name, "stem": stem}),
        method=method,
        teacher=teaching,
    )


# Ids before the CIFAR stem of the reference's ResNets was initialised as the reference's is.
BEFORE = {
    ("resnet8", "cifar"): "4efa162caa21",
    ("resnet20", "cifar"): "09799e8c0605",
    ("resnet110", "cifar"): "ecc75031ffee",
    ("resnet18", "imagenet"): "4f3034d2c393",
    ("resnet34", "imagenet"): "a64871eb7f95",
    ("resnet50", "imagenet"): "f83b8759f072",
    ("resnet101", "imagenet"): "eb025eeffcf5",
    ("resnet18", "cifar"): "a6c824dc3089",
    ("resnet34", "cifar"): "29e5a89eeb57",
    ("resnet50", "cifar"): "d9b371a35bec",
    ("resnet101", "cifar"): "4c9a4ae27e95",
}
MOVED = [
    ("resnet18", "cifar"),
    ("resnet34", "cifar"),
    ("resnet50", "cifar"),
    ("resnet101", "cifar"),
]


@pytest.mark.parametrize(("name", "stem"), list(BEFORE))
def test_an_id_moves_where_the_arithmetic_did_and_nowhere_else(name: str, stem: str) -> None:
    run = trained(name, stem)
    assert run_id(run).startswith(BEFORE[name, stem]) == ((name, stem) not in MOVED)
    # A record of before says which arithmetic it had, and keeps its id.
    recorded = json.loads(run.model_dump_json()) | {"numerics": 3}
    assert run_id(RunSpec.model_validate(recorded)).startswith(BEFORE[name, stem])


def test_a_students_id_moves_with_its_teachers() -> None:
    assert run_id(trained("resnet20", teacher=trained("resnet56"))).startswith("650a2192ef84")
    kept = trained("resnet20", teacher=trained("resnet50", "imagenet"))
    assert run_id(kept).startswith("99f0c8a4d534")
    assert not run_id(trained("resnet20", teacher=trained("resnet50"))).startswith("b424942cd5be")


def test_a_bad_model_is_the_only_complaint() -> None:
    values: dict[str, Any] = {
        "data": {"name": "digits", "val_size": 100},
        "model": {"name": 3},
        "method": {"name": "none"},
    }
    with pytest.raises(BadInputError) as refused:
        build(RunSpec, values, lambda _: "file", RunSpec.model_fields)
    assert str(refused.value) == "file: model: should be a valid string, got 3"
