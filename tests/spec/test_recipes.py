"""Step schedules, the optimiser dot, and published recipes by name."""

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
from kdgap.spec.flat import read_flat
from kdgap.spec.identity import identity
from kdgap.spec.presets import PRESETS
from kdgap.spec.run import RecipeSpec
from kdgap.spec.study import StudySpec
from kdgap.spec.study_file import read_study

STEP: dict[str, Any] = {"schedule": "step", "milestones": [2, 4], "epochs": 6, "lr": 1.0}


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


@pytest.mark.parametrize("value", ["repdistiller/resnet56-resnet21", "3", "[at]"])
def test_an_unknown_preset_is_one_line(value: str) -> None:
    with pytest.raises(BadInputError, match=r"f.yaml:1: preset: unknown preset"):
        flat(f"preset: {value}\nmodel: resnet8")


STUDY = """
name: s
preset: repdistiller/resnet56-resnet20
data: {name: digits}
models: {big: {name: resnet56}, small: {name: resnet20}}
pairs: [{teacher: big, student: small}]
recipe: {lr: 0.2}
methods:
  at: {}
  fitnet: {stage: 1}
  dkd: {preset: mdistiller/resnet56-resnet20}
  kd_crd: {method: [logit, crd], crd_weight: 0.8}
"""


def study(text: str) -> StudySpec:
    return read_study(yamlio.parse(text, "s.yaml"), {})[0]


def test_presets_of_a_study_fill_in_its_recipe_and_its_methods() -> None:
    read = study(STUDY)
    assert read.recipe["milestones"] == [150, 180, 210]
    assert read.recipe["lr"] == 0.2
    assert read.methods["at"] == {"weight": 1000.0}
    assert read.methods["fitnet"] == {"weight": 100.0, "stage": 1}
    assert read.methods["dkd"] == {"beta": 2.0}
    assert read.methods["kd_crd"] == {"method": ["logit", "crd"], "crd_weight": 0.8}
    assert read.method_of("kd_crd") == "crd+logit"
    assert read.grid_of("kd_crd") == {"crd_weight": 0.8}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("preset: rep", "preset: rop", "s.yaml:3: preset: unknown preset"),
        ("{preset: mdist", "{preset: repdist", "preset: repdistiller/.* has no dkd; it has logit"),
        ("preset: mdistiller/resnet56-resnet20", "preset: nobody", "unknown preset 'nobody'"),
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
