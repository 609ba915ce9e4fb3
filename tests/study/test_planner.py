"""A study becomes runs as pure data: which runs, ids, configurations and cohorts."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgap import yamlio
from kdgap.data import Shape
from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.methods import build_method
from kdgap.models.build import build_model
from kdgap.planning.cost import (
    cohorts,
    costs_of,
    disk_bytes,
    images,
    members_that_fit,
    run_cost,
    staged_cohorts,
    total_flops,
)
from kdgap.planning.parts import evenest
from kdgap.planning.plan import Parameters, Plan, PlannedRun, SlotKey, count_runs
from kdgap.planning.planner import plan_study
from kdgap.spec.identity import configuration_id, run_id
from kdgap.spec.model import Architecture, ModelSpec
from kdgap.spec.run import MethodSpec, RecipeSpec, RunSpec
from kdgap.spec.study import StudyData, StudyModel, StudySpec, protocol
from kdgap.spec.study_file import read_study
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.study import StudyDirectory
from kdgap.store.weights import copy_state, weight_hash, write_weights
from kdgap.study.selection import Selector
from kdgap.study.workspace import Workspace

Overrides = Mapping[str, object]

SHAPE = Shape(10, 1, (8, 8), 1297, 500)

# Two teachers on two seeds, both students under both methods; only Logit-KD has a choice.
BASE = """\
name: s
data: {name: digits}
models:
  big: {name: resnet20}
  mid: {name: resnet14}
  one: {name: resnet8}
  two: {name: resnet8, width: 0.5}
recipe: {epochs: 3}
teachers: {seeds: [0, 1], teach: [1], recipe: {epochs: 5}}
pairs:
  - {teacher: big, student: one}
  - {teacher: mid, student: one}
  - {teacher: mid, student: two}
methods:
  logit: {alpha: [0.1, 0.5], temperature: [2, 4]}
  feature: {beta: 0.25}
selection: {seeds: [100, 101]}
finals: {seeds: [0, 1, 2]}
"""
KEYS: list[SlotKey] = [("big", "one", "logit"), ("mid", "one", "logit"), ("mid", "two", "logit")]
WINNERS: dict[SlotKey, Parameters] = {key: {"alpha": 0.5, "temperature": 2.0} for key in KEYS}
FEATURE = {"teacher": "mid", "student": "one", "method": "feature"}
LOGIT = FEATURE | {"method": "logit"}


def study_of(overrides: Overrides | None = None, text: str = BASE) -> StudySpec:
    return read_study(yamlio.parse(text, "s.yaml"), overrides or {})[0]


def planned(
    overrides: Overrides | None = None,
    winners: Mapping[SlotKey, Parameters] | None = WINNERS,
    text: str = BASE,
) -> Plan:
    return plan_study(*read_study(yamlio.parse(text, "s.yaml"), overrides or {}), winners)


def refusal(overrides: Overrides, text: str = BASE) -> str:
    with pytest.raises(BadInputError) as caught:
        planned(overrides, text=text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def ablated(of: object, change: object, seeds: object = (0,), name: str = "a") -> dict[str, object]:
    arms = {"of": of, "change": change, "seeds": list(seeds)}  # type: ignore[call-overload]
    return {"ablations": {name: arms}}


def arm(plan: Plan, which: str) -> list[PlannedRun]:
    """The runs of one arm of the ablation `a`, in the order of its seeds."""
    return [r for r in plan.runs.values() if any(s.variant == f"a: {which}" for s in r.slots)]


def ids(plan: Plan, role: str | None = None) -> set[str]:
    return {r.id for r in plan.runs.values() if role is None or role in r.roles}


# --- purity


def test_planning_writes_no_file_and_loads_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object, **__: object) -> None:
        pytest.fail("data was touched")

    for module in [m for name, m in sys.modules.items() if name.startswith("kdgap")]:
        if hasattr(module, "load_dataset"):
            monkeypatch.setattr(module, "load_dataset", touched)
    monkeypatch.chdir(tmp_path)
    everything = ablated(LOGIT, {"recipe.lr": 0.2})
    plan = planned(everything)
    costs = costs_of(plan.runs.values(), SHAPE)
    assert disk_bytes(plan, costs) > 0
    assert total_flops(staged_cohorts(plan), costs) > 0
    assert list(tmp_path.iterdir()) == []
    assert list(Path(os.environ["KDGAP_CACHE"]).iterdir()) == []


def test_one_study_has_one_plan_and_does_not_take_over_the_winners_given_to_it() -> None:
    winners = dict(WINNERS)
    first, second = planned(winners=winners), planned(winners=winners)
    assert list(first.runs) == list(second.runs)
    assert first.runs == second.runs
    assert winners == WINNERS


# --- counts and ids


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"finals.seeds": [5]},
        {"teachers.seeds": [1, 2, 3], "teachers.teach": [1, 3]},
        {"selection": None, "methods.logit": {"alpha": 0.5}},
        {"methods.feature.alpha": [0.1, 0.2, 0.3]},
        {"pairs": [{"teacher": "big", "student": "one"}]},
    ],
)
def test_there_are_as_many_runs_of_each_role_as_counted(overrides: Overrides) -> None:
    first = planned(overrides, {})
    plan = planned(overrides, {c.key: c.candidates[0] for c in first.choices})
    counts = {role: len(plan.of_role(role)) for role in count_runs(plan.study)}
    assert counts == count_runs(plan.study)
    assert sum(counts.values()) == len(plan.runs)  # in these studies no run plays two roles
    assert plan.open_slots == {}


def test_the_counts_of_a_study_worked_out_by_hand() -> None:
    study = study_of(ablated(FEATURE, {"recipe.lr": 0.2}, [0, 1]))
    assert count_runs(study) == {
        "teacher": 2 * 2,
        "selection": 3 * 4 * 2,
        "baseline": 2 * 3,
        "final": 3 * 2 * 3,
        "ablation": 2 * 2,
    }


def test_a_run_has_the_id_of_its_specification_and_a_path_of_its_own() -> None:
    plan = planned(ablated(FEATURE, {"recipe.clip_scope": "student_only"}))
    assert all(key == r.id == run_id(r.run) for key, r in plan.runs.items())
    assert len({r.path for r in plan.runs.values()}) == len(plan.runs)
    for r in plan.runs.values():
        assert r.run.place.output_dir == r.path
        assert r.path.endswith(f"/{r.run.seed}-{r.id[:8]}")


def test_a_distilled_run_names_the_run_of_its_teacher_and_where_its_weights_will_be() -> None:
    plan = planned()
    distilled = [r for r in plan.runs.values() if r.run.method.name != "none"]
    assert len(distilled) == len(ids(plan, "selection")) + len(ids(plan, "final"))
    for r in distilled:
        assert r.run.teacher is not None
        assert r.teacher == r.run.teacher.run
        teacher = plan.runs[str(r.teacher)]
        assert teacher.run.seed == 1
        assert teacher.run.model == r.run.teacher.model
        assert r.run.teacher.weights == f"{teacher.path}/checkpoint_best.safetensors"
    assert all(r.teacher is None for r in plan.of_role("baseline") + plan.of_role("teacher"))


def test_runs_stand_in_the_order_of_work() -> None:
    roles = [r.roles[0] for r in planned(ablated(FEATURE, {"recipe.lr": 0.2})).runs.values()]
    order = ["teacher", "selection", "baseline", "final", "ablation"]
    assert roles == sorted(roles, key=order.index)
    assert set(roles) == set(order)


def test_a_plan_stored_as_json_and_read_again_has_the_same_ids() -> None:
    study = study_of(ablated(LOGIT, {"recipe.lr": 1}))
    again = StudySpec.model_validate_json(study.model_dump_json())
    where: Callable[[object], str] = lambda _: "s"  # noqa: E731
    assert list(plan_study(again, where, WINNERS).runs) == list(
        plan_study(study, where, WINNERS).runs
    )


# --- one run for equal runs


def test_the_base_of_an_ablation_is_the_final_itself() -> None:
    plan = planned(ablated(LOGIT, {"recipe.lr": 0.2}, [1, 2, 7]))
    base = arm(plan, "base")
    assert [r.run.seed for r in base] == [1, 2, 7]
    assert [r.roles for r in base] == [["final", "ablation"]] * 2 + [["ablation"]]
    assert [r.roles for r in arm(plan, "changed")] == [["ablation"]] * 3


def test_the_base_of_an_ablation_is_the_baseline_or_the_teacher_itself() -> None:
    plan = planned(ablated({"student": "one"}, {"recipe.lr": 0.2}))
    assert [r.roles for r in arm(plan, "base")] == [["baseline", "ablation"]]
    plan = planned(ablated({"teacher": "big"}, {"recipe.lr": 0.2}))
    assert [r.roles for r in arm(plan, "base")] == [["teacher", "ablation"]]
    assert arm(plan, "changed")[0].run.recipe == RecipeSpec(epochs=5, lr=0.2)


def test_a_winner_on_an_overlapping_seed_is_one_run_for_selection_and_finals() -> None:
    plan = planned({"selection": {"seeds": [0, 100], "allow_overlap": True}})
    both = [r for r in plan.runs.values() if r.roles == ["selection", "final"]]
    assert [r.run.seed for r in both] == [0] * len(KEYS)
    assert len(plan.runs) == sum(count_runs(plan.study).values()) - len(both)


def test_a_student_trained_like_the_teacher_is_one_run_for_both() -> None:
    text = BASE.replace(", recipe: {epochs: 5}", "")
    pairs = [{"teacher": "big", "student": "mid"}, {"teacher": "mid", "student": "one"}]
    plan = planned({"pairs": pairs}, text=text)
    both = [r for r in plan.runs.values() if r.roles == ["teacher", "baseline"]]
    assert [(r.run.model.name, r.run.seed) for r in both] == [("resnet14", 0), ("resnet14", 1)]


# --- what changes an id


def test_a_longer_grid_adds_runs_and_changes_no_other() -> None:
    before, after = planned(winners={}), planned({"methods.logit.alpha": [0.1, 0.5, 0.9]}, {})
    added = [r for r in after.runs.values() if r.id not in before.runs]
    assert ids(before) <= ids(after)
    assert {r.run.method.parameters["alpha"] for r in added} == {0.9}
    assert len(added) == 3 * 2 * 2  # pairs, temperatures, selection seeds


def test_the_order_of_the_grid_and_of_the_seeds_changes_no_id() -> None:
    turned = {"methods.logit.alpha": [0.5, 0.1], "finals.seeds": [2, 0, 1]}
    assert ids(planned(turned)) == ids(planned())


def test_another_value_in_the_grid_leaves_teachers_baselines_and_the_other_method_alone() -> None:
    before, after = planned(winners={}), planned({"methods.logit.temperature": [2, 8]}, {})
    gone = [before.runs[i] for i in ids(before) - ids(after)]
    assert {r.run.method.parameters["temperature"] for r in gone} == {4.0}
    assert {role for r in gone for role in r.roles} == {"selection"}


@pytest.mark.parametrize(
    "overrides",
    [
        {"data.root": "/elsewhere"},
        {"threads": 3},
        {"save_seconds": 1},
        {"name": "another"},
        {"description": "another"},
        {"keep_selection_weights": True},
        {"budgets": {"hours": 1}},
        {"statistics": {"confidence": 0.9}},
        {"selection.metric": "last_val_acc"},
        {"finals.primary": "last"},
    ],
)
def test_what_cannot_change_a_result_changes_no_id(overrides: Overrides) -> None:
    assert list(planned(overrides).runs) == list(planned().runs)


EVERY_RUN: dict[str, list[object]] = {
    "data.name": ["digits", "cifar10"],
    "data.image_size": [None, 16, 32],
    "data.augmentation": ["crop", "none", "crop_flip"],
    "data.split_seed": [1234, 0, 7],
    "data.val_size": [None, 100, 298],
    "data.limit": [None, 100, 101],
    "data.test_share": [None, 0.3, 0.5],
    "data.skip_broken": [False, True],
    "precision": ["fp32", "bf16"],
}
RECIPE: dict[str, list[object]] = {
    "lr": [0.1, 0.2, 1],
    "nesterov": [True, False],
    "momentum": [0.9, 0.5],
    "weight_decay": [5e-4, 0, 1e-4],
    "eta_min": [1e-4, 0, 0.01],
    "epochs": [3, 4, 300],
    "batch_size": [128, 64, 127],
    "clip_norm": [1.0, 2, 0.5],
    "clip_scope": ["all", "off"],
}
LATER = {"optimiser", "schedule", "milestones", "factor", "dot_delta"}
"""What belongs together; `tests/spec/test_recipes.py` tries it."""
EVERY_RUN |= {f"recipe.{key}": values for key, values in RECIPE.items() if key != "epochs"}


def test_the_fields_below_are_all_that_a_study_says_of_a_run() -> None:
    assert set(RECIPE) == set(RecipeSpec.model_fields) - LATER
    data = {key.partition(".")[2] for key in EVERY_RUN if key.startswith("data.")}
    assert data == set(StudyData.model_fields) - {"root", "expected"}
    assert set(StudyModel.model_fields) == {*Architecture.model_fields, "input"}


@settings(max_examples=40)
@given(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in EVERY_RUN.items()}), st.data())
def test_changing_any_field_of_data_recipe_or_precision_changes_every_id(
    fields: dict[str, object], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(EVERY_RUN)))
    if key == "recipe.clip_norm":
        fields["recipe.clip_scope"] = "all"
    own = {
        name: EVERY_RUN[f"data.{name}"][0] for name in ("image_size", "test_share", "skip_broken")
    }
    own = {f"data.{name}": usual for name, usual in own.items()}
    if key == "data.name":
        fields |= own
    elif key in own or any(fields[name] != usual for name, usual in own.items()):
        fields["data.name"] = "imagefolder"  # for these are of the user's own images
    other = data.draw(st.sampled_from([v for v in EVERY_RUN[key] if v != fields[key]]))
    small: dict[str, object] = {"pairs": [{"teacher": "mid", "student": "one"}]}
    first, second = planned(small | fields), planned(small | fields | {key: other})
    assert len(first.runs) == len(second.runs)
    assert ids(first).isdisjoint(ids(second))


@pytest.mark.parametrize("key", sorted(RECIPE))
def test_the_teachers_recipe_changes_teachers_and_what_they_teach_but_no_baseline(key: str) -> None:
    value = next(v for v in reversed(RECIPE[key]) if v != RECIPE[key][0])
    before, after = planned(), planned({f"teachers.recipe.{key}": value})
    assert ids(before, "baseline") == ids(after, "baseline")
    for role in ("teacher", "selection", "final"):
        assert ids(before, role).isdisjoint(ids(after, role))


def test_the_recipe_of_the_study_does_not_reach_what_the_teachers_recipe_says() -> None:
    before, after = planned(), planned({"recipe.epochs": 4})
    assert ids(before, "teacher") == ids(after, "teacher")
    for role in ("selection", "baseline", "final"):
        assert ids(before, role).isdisjoint(ids(after, role))


@pytest.mark.parametrize("change", [{"name": "resnet14"}, {"name": "resnet8", "width": 0.25}])
def test_another_student_changes_its_own_runs_only(change: dict[str, object]) -> None:
    before, after = planned(), planned({"models.two": change})
    gone = [before.runs[i] for i in ids(before) - ids(after)]
    assert {slot.student for r in gone for slot in r.slots} == {"two"}
    assert len(gone) == 3 + 8 + 6  # baselines, selection, finals


def test_renaming_a_model_changes_no_id() -> None:
    assert ids(planned(text=BASE.replace("two", "zwei"), winners={})) == ids(planned(winners={}))


@pytest.mark.parametrize("scope", ["all", "off"])
def test_the_clipping_norm_counts_only_where_something_is_clipped(scope: str) -> None:
    first = planned({"recipe.clip_scope": scope, "recipe.clip_norm": 1})
    second = planned({"recipe.clip_scope": scope, "recipe.clip_norm": 2})
    assert (ids(first) == ids(second)) == (scope == "off")


def test_unclipped_projections_are_another_run_only_where_there_are_projections() -> None:
    before, after = planned(), planned({"recipe.clip_scope": "student_only"})
    changed = {before.runs[i].run.method.name for i in ids(before) - ids(after)}
    assert changed == {"feature"}
    assert len(ids(before) - ids(after)) == 3 * 3


# --- configurations


def without_seeds(plan: Plan, r: PlannedRun) -> dict[str, Any]:
    """All that a run is but for seeds and places; of a planned teacher, what it is."""
    left: dict[str, Any] = r.run.model_dump(exclude={"seed", "place", "teacher"})
    if r.teacher is not None:
        return left | {"teacher": without_seeds(plan, plan.runs[r.teacher])}
    return left


def test_runs_share_a_cell_exactly_where_they_differ_in_seeds_alone() -> None:
    plan = planned({"teachers.teach": [0, 1]} | ablated(FEATURE, {"recipe.lr": 0.2}, [0, 1]))
    shared = 0
    for first, second in combinations(plan.runs.values(), 2):
        same = without_seeds(plan, first) == without_seeds(plan, second)
        assert (first.configuration == second.configuration) == same
        shared += same
    assert shared > 50


def test_another_recipe_of_the_teachers_makes_other_configurations_for_what_they_teach() -> None:
    before = {r.configuration for r in planned().of_role("final")}
    after = {r.configuration for r in planned({"teachers.recipe.lr": 0.05}).of_role("final")}
    assert before.isdisjoint(after)
    other_seed = {r.configuration for r in planned({"teachers.teach": [0]}).of_role("final")}
    assert other_seed == before


def test_a_run_that_no_run_of_ours_teaches_has_the_cell_of_its_specification() -> None:
    for r in planned().of_role("baseline"):
        assert r.configuration == configuration_id(r.run, None)


# --- sizes


def test_a_thousand_million_configurations_are_counted_and_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def enumerated(*_: object) -> None:
        pytest.fail("a configuration was built")

    grid = {"alpha": [i / 50_000 for i in range(50_000)], "temperature": list(range(1, 20_001))}
    study = study_of({"methods": {"logit": grid}})
    monkeypatch.setattr("kdgap.planning.planner.build_method", enumerated)
    started = time.perf_counter()
    with pytest.raises(BadInputError) as caught:
        plan_study(study, lambda key: "here")
    assert time.perf_counter() - started < 1
    assert str(caught.value).startswith("here: the study asks for 6,000,000,019 runs (")
    assert "6,000,000,000 selection" in str(caught.value)
    assert "the most is 20,000" in str(caught.value)


def test_too_many_seeds_are_counted_too() -> None:
    message = refusal({"finals.seeds": list(range(200, 3200))})
    assert "18,000 final" in message
    assert "6,000 baseline" in message


# --- what the planner refuses, where it stands

BAD: list[tuple[dict[str, object], str]] = [
    ({"data.name": "digts"}, "unknown data set 'digts' (did you mean 'digits'?)"),
    ({"data.val_size": -1}, "val_size: "),
    ({"data.limit": 1}, "limit: "),
    ({"data.image_size": 2}, "image_size: "),
    ({"models.big.width": 0}, "width: "),
    ({"recipe.epchs": 3}, "unknown key 'epchs' (did you mean 'epochs'?)"),
    ({"recipe.epochs": 1.5}, "epochs: "),
    ({"recipe.lr": True}, "lr: "),
    ({"recipe.clip_scope": "student"}, "clip_scope: "),
    ({"teachers.recipe.epochs": 0}, "epochs: "),
    ({"teachers.recipe.lrr": 1}, "unknown key 'lrr' (did you mean 'lr'?)"),
    ({"methods.logit.alhpa": 1}, "unknown key 'alhpa' (did you mean 'alpha'?)"),
    ({"methods.logit.alpha": [0.1, 2]}, "alpha: "),
    ({"methods.logit.alpha": [0.1, True]}, "alpha: "),
    ({"methods.logit.temperature": "hot"}, "temperature: "),
    ({"methods.logits": {}}, "unknown method 'logits' (did you mean 'logit'?)"),
    ({"methods.none": {}}, "none is what every method is compared with"),
    ({"teachers.weights": {"big": "no.safetensors"}}, "weights no.safetensors: not found"),
]


@pytest.mark.parametrize(("overrides", "words"), BAD, ids=[str(o) for o, _ in BAD])
def test_what_cannot_be_trained_is_refused_before_anything_is_planned(
    overrides: dict[str, object], words: str
) -> None:
    message = refusal(overrides)
    assert message.startswith("command line: ")
    assert words in message


@pytest.mark.parametrize(
    ("here", "instead", "words"),
    [
        ("epochs: 3", "epochs: 0", "s.yaml:8: epochs: "),
        ("resnet14", "resnet19", "s.yaml:5: unknown model 'resnet19' (did you mean "),
        ("width: 0.5", "width: 0.3", "s.yaml:7: resnet8: width 0.3 makes 4.8 channels"),
        ("resnet14", "resnet14, stem: imagenet", "s.yaml:5: resnet14 has no 'imagenet' stem"),
        ("[2, 4]", "[2, 0]", "s.yaml:15: temperature: "),
        ("beta: 0.25", "norm: teacher", "s.yaml:16: "),
    ],
)
def test_a_refusal_of_the_planner_names_the_line_of_the_file(
    here: str, instead: str, words: str
) -> None:
    assert refusal({}, BASE.replace(here, instead)).startswith(words)


def test_networks_whose_stages_cannot_be_paired_are_refused() -> None:
    message = refusal({"models.big.name": "resnet18"})
    assert "3 feature stages and the teacher 4" in message
    logit_only = {"models.big.name": "resnet18", "methods": {"logit": {"alpha": [0.5, 0.1]}}}
    assert planned(logit_only, {}).runs


# --- open slots


def test_finals_are_open_until_the_winner_is_known_and_then_become_runs() -> None:
    before = planned(ablated(LOGIT, {"recipe.lr": 0.2}, [0, 9]), {})
    after = planned(ablated(LOGIT, {"recipe.lr": 0.2}, [0, 9]), WINNERS)
    still_open = {
        (s.role, s.teacher, s.student, s.variant): n for s, n in before.open_slots.items()
    }
    assert still_open == {
        **{("final", teacher, student, ""): 3 for teacher, student, _ in KEYS},
        ("ablation", "mid", "one", "a: base"): 2,
        ("ablation", "mid", "one", "a: changed"): 2,
    }
    assert after.open_slots == {}
    assert ids(before) < ids(after)
    assert len(after.runs) - len(before.runs) == 3 * 3 + 1 + 2


def test_one_winner_opens_the_finals_of_its_own_slot_with_its_values() -> None:
    key = KEYS[1]
    plan = planned(winners={key: {"alpha": 0.1, "temperature": 4.0}})
    opened = [r for r in plan.of_role("final") if r.run.method.name == "logit"]
    assert {(s.teacher, s.student, s.method) for r in opened for s in r.slots} == {key}
    assert [dict(r.run.method.parameters) for r in opened] == [plan.winners[key]] * 3
    assert len(plan.open_slots) == 2


def test_a_method_without_a_choice_is_not_selected_and_never_open() -> None:
    plan = planned(winners={})
    single = {c.key: c for c in plan.choices if c.key[2] == "feature"}
    assert len(single) == 3
    assert all(c.runs == [[]] for c in single.values())
    assert {plan.winners[key]["beta"] for key in single} == {0.25}
    assert len([r for r in plan.of_role("final") if r.run.method.name == "feature"]) == 9


def test_a_choice_names_the_runs_of_each_candidate_in_the_order_of_the_grid() -> None:
    plan = planned(winners={})
    choice = next(c for c in plan.choices if c.key == KEYS[0])
    assert [(c["alpha"], c["temperature"]) for c in choice.candidates] == [
        (0.1, 2.0),
        (0.1, 4.0),
        (0.5, 2.0),
        (0.5, 4.0),
    ]
    for parameters, runs in zip(choice.candidates, choice.runs, strict=True):
        tried = [plan.runs[i] for i in runs]
        assert [r.run.seed for r in tried] == [100, 101]
        assert all(dict(r.run.method.parameters) == parameters for r in tried)


# --- ablations


@pytest.mark.parametrize(
    ("of", "change", "value"),
    [
        (FEATURE, {"recipe.clip_scope": "student_only"}, ("recipe", "clip_scope")),
        (LOGIT, {"method.alpha": 0.9}, ("method", "parameters", "alpha")),
        (FEATURE, {"method.norm": "teacher_std"}, ("method", "parameters", "norm")),
        ({"student": "one"}, {"recipe.lr": 0.2}, ("recipe", "lr")),
        ({"student": "one"}, {"model.width": 2.0}, ("model", "width")),
        ({"teacher": "big"}, {"recipe.epochs": 7}, ("recipe", "epochs")),
        ({"teacher": "big"}, {"data.augmentation": "none"}, ("data", "augmentation")),
        (LOGIT, {"method.stop_at": 0.5}, ("method", "parameters", "stop_at")),
    ],
)
def test_an_ablation_changes_what_it_says_and_nothing_else(
    of: object, change: dict[str, object], value: tuple[str, ...]
) -> None:
    plan = planned(ablated(of, change, [0, 5]))
    base, other = arm(plan, "base"), arm(plan, "changed")
    assert [r.run.seed for r in base] == [r.run.seed for r in other] == [0, 5]
    for first, second in zip(base, other, strict=True):
        left, right = (r.run.model_dump(exclude={"place"}) for r in (first, second))
        inner: Any = left
        for key in value[:-1]:
            inner = inner[key]
        inner[value[-1]] = next(iter(change.values()))
        assert left == right


STEPS = "recipe: {schedule: step, milestones: [1, 2], "


@pytest.mark.parametrize(
    ("change", "schedule", "milestones"),
    [
        ({"recipe.milestones": [2]}, "step", [2]),
        ({"recipe.schedule": "cosine"}, "cosine", []),
        ({"recipe.factor": 0.5}, "step", [1, 2]),
    ],
)
def test_a_published_schedule_can_be_ablated(
    change: dict[str, object], schedule: str, milestones: list[int]
) -> None:
    plan = planned(
        ablated({"student": "one"}, change), {}, BASE.replace("\nrecipe: {", "\n" + STEPS)
    )
    assert [r.run.recipe.milestones for r in arm(plan, "base")] == [[1, 2]]
    (changed,) = (r.run.recipe for r in arm(plan, "changed"))
    assert (changed.schedule, changed.milestones) == (schedule, milestones)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe.schedule": "step"}, "schedule: step needs milestones"),
        ({"recipe.milestones": [1]}, "milestones belong to schedule: step"),
        (
            {"recipe.schedule": "step", "recipe.milestones": [7]},
            "milestone 7 is not before the last",
        ),
        ({"recipe.lr": [1]}, "recipe.lr: "),
        ({"recipe.milestones": 1}, "milestones: "),
    ],
)
def test_a_schedule_that_is_none_is_no_change(change: dict[str, object], words: str) -> None:
    assert words in refusal(ablated({"student": "one"}, change))


def test_an_ablation_of_the_stem_needs_a_network_that_has_two() -> None:
    text = BASE.replace("resnet8, width: 0.5", "resnet18").replace("mid, student: two", "big_, x")
    text = text.replace("big_, x", "wide, student: two")
    text = text.replace("models:\n", "models:\n  wide: {name: resnet34}\n")
    text = text.replace("name: digits", "name: imagefolder, image_size: 64")
    plan = planned(ablated({"student": "two"}, {"model.stem": "imagenet"}), {}, text)
    assert [r.run.model.stem for r in arm(plan, "changed")] == ["imagenet"]
    # The stem decides how the network starts, and so the version of the run's arithmetic.
    assert [arm(plan, side)[0].run.numerics for side in ("base", "changed")] == [4, 3]
    assert "has no 'imagenet' stem" in refusal(
        ablated({"student": "one"}, {"model.stem": "imagenet"}), text
    )


BAD_CHANGES: list[tuple[object, dict[str, object], str]] = [
    ({"student": "one"}, {"seed": 3}, "seed: no field of a run"),
    ({"student": "one"}, {"precision": "bf16"}, "precision: no field of a run"),
    ({"student": "one"}, {"place.device": "cpu"}, "place.device: no field of a run"),
    ({"student": "one"}, {"recipe.lrr": 1}, "recipe.lrr: no field of a run"),
    ({"student": "one"}, {"recipe": 1}, "recipe: no field of a run"),
    ({"student": "one"}, {"teacher.run": "a"}, "teacher.run: no field of a run"),
    ({"student": "one"}, {"method.alpha": 0.5}, "unknown key 'alpha'"),
    ({"student": "one"}, {"recipe.lr": 0}, "recipe.lr: "),
    ({"student": "one"}, {"recipe.epochs": True}, "recipe.epochs: "),
    ({"student": "one"}, {"data.limit": 1}, "data.limit: "),
    (LOGIT, {"method.alpha": 2}, "alpha: "),
    (LOGIT, {"method.beta": 2}, "unknown key 'beta'"),
    ({"student": "one"}, {"recipe.lr": 0.1}, "ablation 'a' changes nothing"),
    ({"student": "one"}, {"recipe.epochs": 3}, "ablation 'a' changes nothing"),
    ({"teacher": "big"}, {"recipe.epochs": 5}, "ablation 'a' changes nothing"),
    ({"student": "one"}, {"recipe.clip_scope": "student_only"}, "ablation 'a' changes nothing"),
    (LOGIT, {"recipe.clip_scope": "student_only"}, "ablation 'a' changes nothing"),
    (LOGIT, {"recipe.clip_scope": "apart"}, "ablation 'a' changes nothing"),
    (FEATURE, {"model.name": "resnet18"}, "4 feature stages"),
    (LOGIT, {"data.val_size": 1297}, "val_size 1,297 leaves no training image"),
    ({"student": "one"}, {"data.val_size": 1296}, "leaves 1 training image"),
]


@pytest.mark.parametrize(("of", "change", "words"), BAD_CHANGES)
def test_a_change_of_no_field_or_of_nothing_is_refused_where_it_stands(
    of: object, change: dict[str, object], words: str
) -> None:
    message = refusal(ablated(of, change))
    assert message.startswith("command line: ")
    assert words in message


def test_an_ablation_to_what_the_winner_has_already_is_noted_and_left_out() -> None:
    changes = ablated(LOGIT, {"method.alpha": 0.5})
    key = (str(LOGIT["teacher"]), str(LOGIT["student"]), "logit")
    plan = planned(changes)
    winner = next(c for c in plan.choices if c.key == key).candidates
    same = next(c for c in winner if c["alpha"] == 0.5)
    other = next(c for c in winner if c["alpha"] != 0.5)
    assert arm(planned(changes, {key: other}), "changed")
    noted = planned(changes, {key: same})
    assert not arm(noted, "changed")
    assert "nothing to compare" in noted.notices[0].text


# --- teachers


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write the weights of an untrained network of the digits, with their card."""
    folder = tmp_path_factory.mktemp("weights")

    def write(name: str, model: ModelSpec, init_seed: int = 0, **changes: Any) -> Path:
        channels = changes.get("channels", 1)
        state = copy_state(build_model(model, 10, channels, (8, 8), init_seed))
        measured = MeasuredAccuracy(
            value=0.5, split_seed=0, val_size=9, limit=None, precision="fp32", environment="e"
        )
        usual = Card(
            model=model,
            classes=tuple("0123456789"),
            channels=1,
            image_size=(8, 8),
            mean=(0.5,),
            std=(0.5,),
            data="digits",
            fingerprint=None,
            weight_hash=weight_hash(state),
            checkpoint="converted",
            accuracy=measured,
        )
        card = usual.model_copy(update=changes)
        path = folder / f"{name}.safetensors"
        write_weights(path, state, card)
        return path

    return write


BIG = ModelSpec(name="resnet20")


def test_a_teacher_given_as_a_file_is_known_by_its_hash_and_never_trained(
    weights: Callable[..., Path],
) -> None:
    path = weights("big", BIG)
    plan = planned({"teachers.weights": {"big": str(path)}})
    assert {s.student for r in plan.of_role("teacher") for s in r.slots} == {"mid"}
    assert len(plan.of_role("teacher")) == count_runs(plan.study)["teacher"] == 2
    taught = [r for r in plan.runs.values() if r.slots[0].teacher == "big"]
    assert len(taught) == 8 + 6
    for r in taught:
        assert r.run.teacher is not None
        assert (r.teacher, r.run.teacher.run) == (None, None)
        assert r.run.teacher.weights == str(path)
        assert len(r.run.teacher.weight_hash or "") == 64
    assert len({r.configuration for r in taught if r.roles == ["final"]}) == 2


def test_moving_the_file_changes_no_id_and_other_weights_change_what_they_teach(
    weights: Callable[..., Path], tmp_path: Path
) -> None:
    path = weights("original", BIG)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(path.read_bytes())
    other = weights("other", BIG, init_seed=1)
    here, there, altered = (
        planned({"teachers.weights": {"big": str(p)}}) for p in (path, copy, other)
    )
    assert ids(here) == ids(there)
    gone = [here.runs[i] for i in ids(here) - ids(altered)]
    assert {r.slots[0].teacher for r in gone} == {"big"}
    assert {r.configuration for r in gone}.isdisjoint(
        {r.configuration for r in altered.runs.values()}
    )


def test_a_file_of_another_network_is_refused(weights: Callable[..., Path]) -> None:
    path = weights("small", ModelSpec(name="resnet8"))
    message = refusal({"teachers.weights": {"big": str(path)}})
    as_built = "width 1, cifar stem"
    assert message == (
        f"command line: {path} holds resnet8, {as_built}, but big is resnet20, {as_built}"
    )


def test_what_a_card_says_is_refused_before_anything_is_trained(
    weights: Callable[..., Path],
) -> None:
    def of(**changes: Any) -> dict[str, object]:
        return {"teachers.weights": {"big": str(weights("changed", BIG, **changes))}}

    unmeasured = of(accuracy=None)
    message = refusal(unmeasured)
    assert "never measured; measure it with `kdgap evaluate" in message
    assert message.endswith("or set teachers.allow_unmeasured: [big]")
    allowed = planned(unmeasured | {"teachers.allow_unmeasured": ["big"]})
    assert ids(allowed) == ids(planned(of()))
    colour = of(channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert "3 colour channels, digits has 1" in refusal(colour)
    assert "it knows 9 classes, digits has 10" in refusal(of(classes=tuple("012345678")))


@pytest.mark.parametrize("key", ["allow_unmeasured", "subset"])
def test_a_teacher_that_is_not_given_is_not_named(weights: Callable[..., Path], key: str) -> None:
    given = {"teachers.weights": {"big": str(weights("big", BIG))}}
    message = refusal(given | {f"teachers.{key}": ["bag"]})
    assert f"teachers.{key}: 'bag' is no teacher" in message
    assert "did you mean 'big'" in message


def test_what_is_not_said_of_teachers_is_in_no_protocol(weights: Callable[..., Path]) -> None:
    given = {"teachers.weights": {"big": str(weights("big", BIG))}}
    plain = protocol(study_of(given))["teachers"]
    assert set(plain) == {"seeds", "teach", "recipe", "weights"}
    wider = protocol(study_of(given | {"teachers.subset": ["big"]}))["teachers"]
    assert wider == plain | {"subset": ["big"]}


def test_a_teacher_that_saw_the_validation_images_is_said(weights: Callable[..., Path]) -> None:
    seen = {"teachers.weights": {"big": str(weights("seen", BIG, trained_on="train+val"))}}
    plan = planned(seen)
    assert [notice.code for notice in plan.notices] == ["teacher-saw-validation"]
    assert plan.notices[0].text.startswith("teacher big has seen the validation images")
    other = {"teachers.weights": {"big": str(weights("plain", BIG))}}
    assert planned(other).notices == []
    on_test = {"selection.split": "test", "selection.allow_test": True, "data.val_size": 0}
    assert planned(seen | on_test).notices == []


def test_several_teaching_seeds_cross_the_finals_and_only_the_first_selects() -> None:
    plan = planned({"teachers.teach": [1, 0]})
    seeds = {r.id: r.run.seed for r in plan.of_role("teacher")}
    finals = [r for r in plan.of_role("final") if (r.slots[0].text == "mid → two logit")]
    crossed = Counter((r.run.seed, seeds[str(r.teacher)]) for r in finals)
    assert crossed == Counter({(seed, teach): 1 for seed in (0, 1, 2) for teach in (0, 1)})
    assert len({r.configuration for r in finals}) == 1
    assert {seeds[str(r.teacher)] for r in plan.of_role("selection")} == {1}
    assert len(plan.of_role("baseline")) == 6


# --- cohorts


def test_a_cohort_shares_teacher_data_seed_batch_and_precision() -> None:
    plan = planned({"teachers.teach": [0, 1]} | ablated(FEATURE, {"recipe.batch_size": 64}, [0, 1]))
    groups = cohorts(list(plan.runs.values()))
    assert sorted(r.id for group in groups for r in group) == sorted(plan.runs)
    shared = []
    for group in groups:
        teachers = {r.teacher for r in group} - {None}
        common = {(r.run.data, r.run.seed, r.run.recipe.batch_size, r.run.precision) for r in group}
        assert len(teachers) <= 1
        assert len(common) == 1
        if teachers:
            shared.append((common.pop(), teachers.pop()))
    assert len(shared) == len(set(shared))  # what may train together does


def test_baselines_join_a_cohort_of_their_seed() -> None:
    groups = staged_cohorts(planned())
    finals = [g for g in groups if any("final" in r.roles for r in g)]
    assert len(finals) == 2 * 3  # teachers, seeds
    hosts = [g for g in finals if any("baseline" in r.roles for r in g)]
    assert [len([r for r in g if "baseline" in r.roles]) for g in hosts] == [2, 2, 2]
    assert {r.run.seed for g in hosts for r in g if "baseline" in r.roles} == {0, 1, 2}
    assert not any(g for g in groups if all("baseline" in r.roles for r in g))


def test_runs_without_a_teacher_are_a_cohort_of_their_own_where_none_fits() -> None:
    plain = planned().of_role("baseline")
    assert [sorted(r.run.seed for r in g) for g in cohorts(plain)] == [[0, 0], [1, 1], [2, 2]]
    assert cohorts([]) == []


def test_stages_never_mix_and_every_run_is_in_one_cohort() -> None:
    plan = planned({"selection": {"seeds": [0, 100], "allow_overlap": True}})
    groups = staged_cohorts(plan)
    assert sorted(r.id for g in groups for r in g) == sorted(plan.runs)
    stages = ["teacher", "selection", "final"]
    met = [{r.roles[0] for r in g} - {"baseline"} for g in groups]
    assert all(len(roles) == 1 for roles in met)
    assert [stage for (stage,) in met] == sorted((s for (s,) in met), key=stages.index)
    guests = {
        r.run.seed
        for g in groups
        for r in g
        if r.roles == ["baseline"] and g[0].roles[0] == "selection"
    }
    assert guests == {0}  # ready from the start, of a seed that selection uses too


def test_teachers_given_as_two_files_do_not_share_a_cohort(weights: Callable[..., Path]) -> None:
    files = {"big": str(weights("a", BIG)), "mid": str(weights("b", ModelSpec(name="resnet14")))}
    plan = planned({"teachers.weights": files})
    for group in cohorts(plan.of_role("final")):
        assert len({r.run.teacher.weight_hash for r in group if r.run.teacher}) == 1


# --- costs

LARGE = Shape(10, 3, (32, 32), 50_000, 10_000)


def run_with(**changes: object) -> RunSpec:
    run = next(r.run for r in planned().of_role("final"))
    data = run.data.model_copy(update=changes)
    return run.model_copy(update={"data": data})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"val_size": 5000}, (45_000, 5000)),
        ({"val_size": 5000, "limit": 100}, (100, 100)),
        ({"val_size": 50, "limit": 100}, (100, 50)),
        ({"val_size": 0, "choose_on": "test"}, (50_000, 10_000)),
    ],
)
def test_images_an_epoch(changes: dict[str, object], expected: tuple[int, int]) -> None:
    assert images(run_with(**changes), LARGE) == expected


def test_a_run_costs_three_passes_over_training_one_over_validation_and_its_teachers_pass() -> None:
    run = run_with(val_size=5000)
    cost = run_cost(run, LARGE)
    assert cost.train_flops == (3 * 45_000 + 5000) * cost.forward_flops * run.recipe.epochs
    assert run.teacher is not None
    taught_by = run.model_copy(update={"model": run.teacher.model, "teacher": None})
    teacher = run_cost(taught_by, LARGE)
    assert cost.teacher_flops == 45_000 * teacher.forward_flops * run.recipe.epochs
    assert teacher.teacher_flops == 0


def test_a_loss_that_takes_long_is_planned_for() -> None:
    run = run_with(val_size=5000)

    def flops(name: str) -> float:
        parameters = build_method(name, {}).parameters()
        method = MethodSpec(name=name, parameters=parameters)
        return run_cost(run.model_copy(update={"method": method}), LARGE).train_flops

    step = flops("logit")
    assert flops("dist") == pytest.approx(step, rel=0.05)
    assert step < flops("reviewkd") == flops("logit+reviewkd")
    more = flops("crd") - step
    assert flops("crd+reviewkd") == pytest.approx(flops("reviewkd") + more)
    views = 45_000 * 3 * run_cost(run, LARGE).forward_flops * run.recipe.epochs
    assert flops("mlkd") > step + views  # the second view, and the loss itself


def distilled(method: str, parameters: Mapping[str, Any], **recipe: object) -> RunSpec:
    """A run of a method, the rest as in the study."""
    run = run_with(val_size=5000)
    values = build_method(method, parameters).parameters()
    changes = {"method": MethodSpec(name=method, parameters=values)}
    return run.model_copy(update={**changes, "recipe": run.recipe.model_copy(update=recipe)})


@pytest.mark.parametrize(("optimiser", "momenta"), [("sgd", 1), ("dot", 2)])
def test_a_run_takes_its_weights_momenta_and_memories_and_a_state_what_is_saved_of_them(
    optimiser: str, momenta: int
) -> None:
    width, number = 16, 45_000
    run = distilled("crd", {"width": width}, optimiser=optimiser)
    cost, stages = run_cost(run, LARGE), (64, 64)  # numbers of both embeddings
    network = 4 * cost.parameters
    trained = 4 * sum((embedding + 1) * width for embedding in stages)
    memories, labels = 4 * (2 * number * width + 2), 8 * number
    # Weights, best weights, gradients and momenta; of what is trained beside them no best.
    whole = (3 + momenta) * network + (2 + momenta) * trained + memories + labels
    assert cost.memory_bytes == whole
    assert cost.state_bytes == (2 + momenta) * network + (1 + momenta) * trained + memories
    fewer = run.model_copy(update={"data": run.data.model_copy(update={"val_size": 15_000})})
    less = 10_000 * (8 * width + 8)  # rows of both memories, and labels
    assert cost.memory_bytes - run_cost(fewer, LARGE).memory_bytes == less


def test_as_many_members_as_half_of_the_free_memory_takes_train_together() -> None:
    plan = planned()
    group = next(g for g in cohorts(plan.of_role("final")) if len(g) == 4)
    costs = costs_of(plan.runs.values(), SHAPE)
    first = [costs[planned.id].memory_bytes for planned in group]
    assert members_that_fit(group, costs, 2 * sum(first)) == 4
    assert members_that_fit(group, costs, 2 * sum(first) - 1) == 3
    assert members_that_fit(group, costs, 2 * sum(first[:2])) == 2
    assert members_that_fit(group, costs, 0) == 1


def test_two_views_are_two_passes_of_student_and_teacher() -> None:
    once, twice = (run_cost(distilled(name, {}), LARGE) for name in ("logit", "mlkd"))
    assert twice.teacher_flops == 2 * once.teacher_flops
    epochs = run_with().recipe.epochs
    assert twice.train_flops - once.train_flops > 3 * 45_000 * once.forward_flops * epochs


def test_a_cohort_pays_for_its_teacher_once() -> None:
    plan = planned()
    costs = costs_of(plan.runs.values(), SHAPE)
    group = next(g for g in cohorts(plan.of_role("final")) if len(g) == 4)
    together, alone = total_flops([group], costs), total_flops([[r] for r in group], costs)
    assert alone - together == pytest.approx(3 * costs[group[0].id].teacher_flops)
    assert together > 0


def test_keeping_the_weights_of_selection_runs_takes_their_room_on_disk() -> None:
    plain, kept = planned(), planned({"keep_selection_weights": True})
    costs = costs_of(plain.runs.values(), SHAPE)
    more = sum(2 * 4 * costs[r.id].parameters for r in plain.of_role("selection"))
    assert disk_bytes(kept, costs) - disk_bytes(plain, costs) == more


# --- choosing winners


class Finished:
    """A study's directory of which the validation accuracies of some runs are known."""

    def __init__(self, plan: Plan, scores: dict[str, float | None]) -> None:
        self.reads: Counter[str] = Counter()
        self._ids = {r.path: r.id for r in plan.runs.values()}
        self._scores = scores

    def run(self, path: str) -> "Finished.Run":
        return Finished.Run(self, self._ids[path])

    def record(self, path: str) -> "Finished.Run":
        return self.run(path).read()

    class Run:
        def __init__(self, of: "Finished", identifier: str) -> None:
            self._of, self._id = of, identifier

        def is_done(self) -> bool:
            return self._id in self._of._scores

        def read(self) -> "Finished.Run":
            self._of.reads[self._id] += 1
            if self._of._scores[self._id] is None:
                raise StoreDamagedError("torn")
            return self

        @property
        def results(self) -> dict[str, float | None]:
            score = self._of._scores[self._id]
            assert score is not None
            return {"best_val_acc": score, "last_val_acc": 1 - score}


ONE_PAIR: dict[str, object] = {"pairs": [{"teacher": "big", "student": "one"}]}
KEY = KEYS[0]


def scored(
    means: list[float | None], overrides: Overrides | None = None
) -> tuple[Plan, list[list[str]], Selector, Finished]:
    """A plan of one pair whose candidates' runs have validation accuracies around these means."""
    plan = planned(ONE_PAIR | dict(overrides or {}), {})
    runs = plan.choices[0].runs
    scores: dict[str, float | None] = {}
    for mean, (first, second) in zip(means, runs, strict=True):
        if mean is not None:
            scores |= {first: mean - 0.125, second: mean + 0.125}
    directory: Any = Finished(plan, scores)
    return plan, runs, Selector(directory), directory


def test_the_highest_mean_over_the_selection_seeds_wins() -> None:
    plan, runs, selector, _ = scored([0.5, 0.625, 0.75, 0.25])
    selection = selector.select(plan, set())
    assert selection.winners[KEY] == {"alpha": 0.5, "temperature": 2.0}
    assert selection.winners["big", "one", "feature"]["beta"] == 0.25
    assert selection.complete
    row = selection.report["choices"][0]
    assert (row["winner"], row["tried"], row["failed"]) == (selection.winners[KEY], 4, 0)
    assert [c["score"] for c in row["candidates"]] == [0.5, 0.625, 0.75, 0.25]
    assert [c["runs"] for c in row["candidates"]] == runs


def test_a_tie_goes_to_the_candidate_that_stands_first() -> None:
    plan, _, selector, _ = scored([0.25, 0.75, 0.5, 0.75])
    assert selector.select(plan, set()).winners[KEY] == {"alpha": 0.1, "temperature": 4.0}


def test_the_declared_metric_chooses() -> None:
    plan, _, selector, _ = scored([0.5, 0.625, 0.75, 0.25], {"selection.metric": "last_val_acc"})
    assert selector.select(plan, set()).winners[KEY] == {"alpha": 0.5, "temperature": 4.0}


def test_nothing_is_chosen_while_a_candidate_is_missing_and_no_run_is_read_twice() -> None:
    plan, runs, selector, directory = scored([0.5, 0.625, 0.75, None])
    selection = selector.select(plan, set())
    assert KEY not in selection.winners
    assert not selection.complete
    directory._scores |= {runs[3][0]: 0.9, runs[3][1]: 0.9}
    assert selector.select(plan, set()).winners[KEY] == {"alpha": 0.5, "temperature": 4.0}
    assert set(directory.reads.values()) == {1}


def test_a_damaged_run_counts_as_missing() -> None:
    plan, runs, selector, directory = scored([0.5, 0.625, 0.75, 0.25])
    directory._scores[runs[0][0]] = None
    assert not selector.select(plan, set()).complete


def test_a_candidate_that_failed_on_one_seed_cannot_win() -> None:
    plan, runs, selector, _ = scored([0.5, 0.625, 0.75, 0.25])
    selection = selector.select(plan, {runs[2][1]})
    assert selection.winners[KEY] == {"alpha": 0.1, "temperature": 4.0}
    assert selection.complete
    assert selection.report["choices"][0]["failed"] == 1


def test_a_choice_whose_every_candidate_failed_is_impossible_and_ends_the_selection() -> None:
    plan, runs, selector, _ = scored([None] * 4)
    selection = selector.select(plan, {candidate[0] for candidate in runs})
    assert selection.complete
    assert KEY not in selection.winners
    assert selection.report["choices"][0]["winner"] is None


# --- warnings


def warned(overrides: Overrides, tmp_path: Path) -> list[str]:
    study, where = read_study(yamlio.parse(BASE, "s.yaml"), overrides)
    workspace = Workspace(study, where, StudyDirectory(tmp_path / "s"))
    return [notice.text for notice in workspace.notices(workspace.plan()[0])]


QUIET: dict[str, object] = {
    "teachers.teach": [0, 1],
    "methods.feature.alpha": [0.1, 0.2, 0.3, 0.4],
}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({}, []),
        ({"data.limit": 50}, ["smoke run"]),
        ({"teachers.teach": [0]}, ["one teacher checkpoint"]),
        (
            {"methods.feature.alpha": [0.1, 0.2]},
            ["unequal tuning budgets, in configurations: logit 4, feature 2"],
        ),
        (
            {"selection": {"seeds": [100, 2, 1], "allow_overlap": True}},
            ["selection seed 1, 2 is among the final seeds (declared)"],
        ),
        (
            {"selection": {"split": "test", "allow_test": True}, "data.val_size": 0},
            ["chosen on the test images (declared)"],
        ),
    ],
)
def test_a_reader_is_warned_of_what_weakens_the_numbers(
    overrides: Overrides, words: list[str], tmp_path: Path
) -> None:
    warnings = warned(QUIET | dict(overrides), tmp_path)
    assert len(warnings) == len(words)
    for warning, expected in zip(warnings, words, strict=True):
        assert expected in warning
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("per_class", "images", "largest"),
    [((9, 9), 18, 9), ((30, 2), 12, 10), ((5, 5, 5), 4, 2), ((100, 1, 1), 50, 48), ((), 7, 3)],
)
def test_the_evenest_labels_that_may_be_left_bound_the_largest_class(
    per_class: tuple[int, ...], images: int, largest: int
) -> None:
    labels = evenest(per_class, images, 3)
    assert len(labels) == images
    counts = labels.bincount(minlength=len(per_class)).tolist()
    assert max(counts) == largest
    assert all(count <= most for count, most in zip(counts, per_class, strict=False))
