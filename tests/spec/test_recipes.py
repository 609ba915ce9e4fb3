"""Step schedules, the optimiser dot, and published recipes by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kdgap import yamlio
from kdgap.engine.optimise import learning_rate
from kdgap.errors import BadInputError
from kdgap.methods import METHODS, build_method, hyperparameter_names
from kdgap.methods.hyperparameters import field_types
from kdgap.models import MODELS
from kdgap.running.config import _method
from kdgap.spec.flat import read_flat
from kdgap.spec.identity import identity
from kdgap.spec.presets import PRESETS
from kdgap.spec.run import MethodSpec, RecipeSpec
from kdgap.spec.study import StudySpec
from kdgap.spec.study_file import read_study

STEP: dict[str, Any] = {"schedule": "step", "milestones": [2, 4], "epochs": 6, "lr": 1.0}


STUDY = """
name: s
preset: repdistiller/resnet56-resnet20
data: {name: digits}
models: {big: {name: resnet56}, small: {name: resnet20}}
pairs: [{teacher: big, student: small}]
recipe: {lr: 0.2}
selection: {seeds: [7]}
methods:
  at: {}
  fitnet: {stage: 1}
  dkd: {preset: mdistiller/resnet56-resnet20}
  kd_crd: {method: [logit, crd], crd_weight: 0.5}
  hot: {method: [logit], preset: lskd/resnet110-resnet20}
  cat_kd: {preset: cat_kd/resnet110-resnet32, weight: [1.8, 3.6]}
"""
KD_CRD = {
    "ce_weight": 1.0,
    "crd_weight": 0.8,
    "crd_negatives": 16384,
    "crd_temperature": 0.07,
    "crd_momentum": 0.5,
    "logit_weight": 1.0,
    "logit_temperature": 4.0,
}
HOT = {
    "ce_weight": 0.1,
    "logit_weight": 12.0,
    "logit_temperature": 4.0,
    "logit_standardise": True,
}


def test_a_step_schedule_multiplies_after_each_milestone() -> None:
    recipe = RecipeSpec(**STEP)
    rates = [learning_rate(recipe, epoch) for epoch in range(6)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    halved = RecipeSpec(**{**STEP, "factor": 0.5})
    assert learning_rate(halved, 5) == 0.25


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"schedule": "step"}, "needs milestones"),
        ({"milestones": [2]}, "belong to schedule: step"),
        ({**STEP, "milestones": [4, 2]}, "must rise"),
        ({**STEP, "milestones": [2, 2]}, "must rise"),
        ({**STEP, "milestones": [2, 6]}, "milestone 6 is not before the last of 6 epochs"),
        ({**STEP, "milestones": [0]}, "greater than or equal to 1"),
        ({**STEP, "factor": 0.0}, "greater than 0"),
        ({**STEP, "factor": float("nan")}, "finite"),
        ({"optimiser": "dot"}, "needs nesterov: false"),
        ({"optimiser": "dot", "nesterov": False, "momentum": 0.05}, r"in \[0, 1\)"),
        ({"optimiser": "dot", "nesterov": False, "momentum": 0.95}, r"in \[0, 1\)"),
    ],
)
def test_a_recipe_that_is_none_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RecipeSpec(**fields)


def test_new_fields_at_their_usual_values_move_no_id() -> None:
    assert not {"milestones", "factor", "dot_delta"} & identity(RecipeSpec()).keys()
    assert identity(RecipeSpec(**STEP))["milestones"] == [2, 4]


@pytest.mark.parametrize("name", list(PRESETS))
def test_each_preset_is_a_recipe_for_networks_and_methods_that_there_are(name: str) -> None:
    preset = PRESETS[name]
    RecipeSpec.model_validate(dict(preset.recipe))
    assert {preset.teacher, preset.student} <= set(MODELS)
    assert name.endswith(f"/{preset.teacher}-{preset.student}")
    for method, parameters in preset.methods.items():
        assert parameters.keys() <= field_types(METHODS[method]).keys()
        build_method(method, parameters, flat=False)


def flat(text: str) -> Any:
    return read_flat(yamlio.parse(text, "f.yaml"), {}, hyperparameter_names)[0]


def test_a_preset_fills_in_what_a_flat_file_does_not_say() -> None:
    config = flat("preset: repdistiller/resnet56-resnet20\nkd_type: at\nlr: 0.1")
    assert (config.model, config.teacher, config.data) == ("resnet20", "resnet56", "cifar100")
    assert (config.schedule, config.milestones, config.nesterov) == ("step", [150, 180, 210], False)
    assert (config.lr, config.batch_size, config.clip_scope) == (0.1, 64, "off")


def method_of(text: str) -> MethodSpec:
    """Return what a flat file trains with, every hyper-parameter spelt out."""
    config, places = read_flat(yamlio.parse(text, "f.yaml"), {}, hyperparameter_names)
    return _method(config, places)[0]


@pytest.mark.parametrize(
    ("preset", "kd_type", "values"),
    [
        ("repdistiller/resnet56-resnet20", "[crd, logit]", KD_CRD),
        ("repdistiller/resnet110-resnet32", "crd+logit", KD_CRD),
        ("lskd/resnet110-resnet20", "[logit]", HOT),
        ("lskd/resnet56-resnet20", "dkd", {"alpha": 18.0, "beta": 36.0, "temperature": 3.0}),
        ("lskd/resnet110-resnet32", "dkd", {"alpha": 15.0, "beta": 30.0, "temperature": 2.0}),
        ("lskd/resnet110-resnet32", "[ctkd]", {"ce_weight": 0.1, "ctkd_weight": 9.0}),
        ("cat_kd/resnet56-resnet20", "cat_kd", {"weight": 0.7, "normalise": False}),
        ("cat_kd/resnet110-resnet32", "cat_kd", {"weight": 1.8, "normalise": False}),
        ("nkd/resnet34-resnet18", "nkd", {"gamma": 3.5, "temperature": 3.0}),
        ("dist/resnet56-resnet20", "dist", {"weight": 2.0, "temperature": 4.0}),
        ("mlkd/resnet110-resnet32", "mlkd", {"ce_weight": 0.1, "form": "published"}),
        ("rld/resnet110-resnet20", "rld", {"alpha": 1.0, "beta": 8.0, "warmup": 20}),
        ("ctkd/resnet56-resnet20", "ctkd", {"alpha": 0.9, "ramp": 10}),
        ("mdistiller/resnet110-resnet32", "ofd", {"weight": 1.0}),
    ],
)
def test_a_row_of_a_table_is_two_lines(preset: str, kd_type: str, values: dict[str, Any]) -> None:
    parameters = method_of(f"preset: {preset}\nkd_type: {kd_type}").parameters
    assert {name: parameters[name] for name in values} == values


@pytest.mark.parametrize(
    ("kd_type", "modifier", "changed"),
    [
        ("logit", "standardise: true", {"alpha": 0.9, "standardise": True}),
        ("logit", "temperature_true: 5.0", {"alpha": 0.9, "temperature_true": 5.0}),
        ("dkd", "standardise: true", {"beta": 2.0, "standardise": True}),
    ],
)
def test_modifiers_stand_beside_a_preset(
    kd_type: str, modifier: str, changed: dict[str, Any]
) -> None:
    text = f"preset: mdistiller/resnet56-resnet20\nkd_type: {kd_type}\n{modifier}"
    parameters = method_of(text).parameters
    assert {name: parameters[name] for name in changed} == changed


def test_modifiers_stand_beside_a_preset_of_several_methods() -> None:
    text = "preset: repdistiller/resnet56-resnet20\nkd_type: [crd, logit]\noptimiser: dot\n"
    config = flat(text)
    assert (config.optimiser, config.nesterov, config.momentum) == ("dot", False, 0.9)
    changed = {"logit_standardise": True, "logit_temperature_others": 2.0, "crd_weight": 1.5}
    written = "\n".join(f"{name}: {json.dumps(value)}" for name, value in changed.items())
    assert method_of(text + written).parameters.items() >= {**KD_CRD, **changed}.items()
    read = study(STUDY.replace("recipe: {lr", "recipe: {optimiser: dot, lr"))
    RecipeSpec.model_validate(dict(read.recipe))


def test_what_a_preset_has_as_a_list_of_one_is_not_taken_for_the_method_alone() -> None:
    with pytest.raises(BadInputError, match=r"f.yaml:2: kd_type: lskd/.* write \[logit\]$"):
        flat("preset: lskd/resnet56-resnet20\nkd_type: logit")


def test_a_method_that_a_preset_does_not_have_keeps_its_defaults() -> None:
    text = "preset: mlkd/resnet56-resnet20\nkd_type: none"
    assert (flat(text).lr, method_of(text).parameters) == (0.025, {})
    other = method_of("preset: mlkd/resnet56-resnet20\nkd_type: [at, logit]")
    assert other == method_of("model: resnet20\nkd_type: [at, logit]")


def test_a_preset_is_tried_for_a_few_epochs() -> None:
    text = "preset: dist/resnet56-resnet20\nkd_type: dist\nepochs: 2\n"
    assert flat(f"{text}schedule: cosine").milestones is None
    with pytest.raises(BadInputError, match=r"preset: dist/\S+ lowers .* and epochs is 2; give"):
        flat(text)
    tried = flat(f"{text}milestones: [1]")
    assert (tried.schedule, tried.milestones) == ("step", [1])


@pytest.mark.parametrize("value", ["repdistiller/resnet56-resnet21", "3", "[at]"])
def test_an_unknown_preset_is_one_line(value: str) -> None:
    with pytest.raises(BadInputError, match=r"f.yaml:1: preset: unknown preset"):
        flat(f"preset: {value}\nmodel: resnet8")


def study(text: str) -> StudySpec:
    return read_study(yamlio.parse(text, "s.yaml"), {})[0]


def test_presets_of_a_study_fill_in_its_recipe_and_its_methods() -> None:
    read = study(STUDY)
    assert read.recipe["milestones"] == [150, 180, 210]
    assert read.recipe["lr"] == 0.2
    assert read.methods["at"] == {"weight": 1000.0}
    assert read.methods["fitnet"] == {"weight": 100.0, "stage": 1}
    assert read.methods["dkd"] == {"beta": 2.0}
    assert read.methods["kd_crd"]["method"] == ["logit", "crd"]
    assert read.method_of("kd_crd") == "crd+logit"
    assert read.grid_of("kd_crd") == {**KD_CRD, "crd_weight": 0.5}
    assert read.grid_of("hot") == HOT
    assert read.grid_of("cat_kd") == {"weight": [1.8, 3.6], "pool": 2, "normalise": False}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("preset: rep", "preset: rop", "s.yaml:3: preset: unknown preset"),
        ("{preset: mdist", "{preset: repdist", "preset: repdistiller/.* has no dkd; it has logit"),
        ("preset: mdistiller/resnet56-resnet20", "preset: nobody", "unknown preset 'nobody'"),
        (
            "{method: [logit], pre",
            "{method: logit, pre",
            "has logit with a weight .*write .logit",
        ),
    ],
)
def test_presets_that_are_none_are_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        study(STUDY.replace(old, new, 1))


def test_presets_are_listed(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from kdgap.cli.app import app

    listed = CliRunner().invoke(app, ["presets"], env={"COLUMNS": "100"})
    assert listed.exit_code == 0
    assert all(name.partition("/")[0] in listed.stdout for name in PRESETS)
