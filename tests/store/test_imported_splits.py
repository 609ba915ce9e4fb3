"""How a number is written or what older files lack splits no configuration; what does is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdgap.judge.imported_evidence import evidence_of
from kdgap.store.imports.foreign import hyperparameters, model_text, settings_of
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.store.foreign_files import PLAIN, findings, history, write

SEEDS = (0, 1, 2)


def pair(folder: Path, odd: dict[str, Any], *, plain: bool = False, all_of: bool = False) -> Any:
    """Return the import and gains of three seeds a side; seed 0 of one side is written oddly."""
    for seed in SEEDS:
        for name, own in (("baseline/resnet18", PLAIN), ("resnet50_to_resnet18_logit", {})):
            changed = (bool(own) is plain) and (seed == 0 or all_of)
            known = {
                "seed": seed,
                "test_acc_best": 0.8 + seed / 100,
                "history": history(0.5 + seed / 10 + 0.05 * bool(own)),
                **own,
            }
            write(folder, f"runs/final/{name}/seed{seed}", **(known | (odd if changed else {})))
    about, runs = import_runs(folder, "x")
    return about, analyse(evidence_of(about, runs, "x")).gains


@pytest.mark.parametrize(
    "odd",
    [
        {"temperature": 4},
        {"seed": 0.0},
        {"epochs": 3.0},
        {"without": ("stem",)},
        {"stem": None},
        {"width": 1},
        {"width": 1.0},
        {"data": "cifar10"},
        {"no_proj_clip": False},
        {"no_proj_clip": None},
        {"limit": None},
        {"smoke": False},
        {"precision": "fp32"},
        {"clip_scope": "all"},
        {"without": ("feat_beta",)},
    ],
    ids=str,
)
@pytest.mark.parametrize("plain", [False, True])
def test_the_same_settings_written_otherwise_are_one_cell(
    tmp_path: Path, odd: dict[str, Any], plain: bool
) -> None:
    about, (gain,) = pair(tmp_path, odd, plain=plain)
    assert (gain.n, gain.n_baseline) == (3, 3)
    assert findings(about, "split") == []


def test_keys_that_joined_later_change_no_configuration_of_older_files() -> None:
    """A configuration is known by a digest, and pages that link to it outlive a version of ours."""
    older = {"model": "resnet18", "kd_type": "none", "epochs": 100, "teacher": None}
    usual = {"no_proj_clip": False, "stem": "cifar"}
    assert settings_of(older) == older | usual
    later = {"width": 1, "data": "cifar10", "limit": None, "smoke": False, "precision": "fp32"}
    assert settings_of(older | later | {"clip_scope": "all"}) == older | usual
    nested = settings_of(older | {"new": {"b": [1, True, None], "a": "x"}})
    assert nested["new"] == '{"a":"x","b":[1.0,true,null]}'


@pytest.mark.parametrize(
    ("value", "words"), [(10**400, "too large"), (json.loads("[" * 40 + "]" * 40), "too deeply")]
)
def test_settings_that_no_file_can_hold_are_refused(value: Any, words: str) -> None:
    """`tools/collect_results.py` reads files without the gate."""
    with pytest.raises(ValueError, match=words):
        settings_of({"model": "a", "kd_type": "none", "epochs": 1, "new": value})


def test_names_of_what_passed_no_gate_are_still_texts() -> None:
    odd = {"model": "a", "kd_type": "logit", "width": "wide", "alpha": True, "temperature": 4}
    assert model_text(odd) == "axwide"
    assert hyperparameters(odd) == {"temperature": 4.0}


@pytest.mark.parametrize("odd", [{"without": ("teacher",)}, {"teacher": "resnet50"}], ids=str)
def test_a_baseline_has_no_teacher_whatever_its_file_says(
    tmp_path: Path, odd: dict[str, Any]
) -> None:
    _, (gain,) = pair(tmp_path, odd, plain=True)
    assert gain.n_baseline == 3


@pytest.mark.parametrize(
    ("odd", "key"),
    [
        ({"lr": 0.2}, "lr"),
        ({"data": "cifar100"}, "data"),
        ({"batch_size": 64, "lr": 0.2}, "batch_size, lr"),
        ({"method_parameters": {"beta": 1}}, "method_parameters.beta"),
        ({"without": ("alpha",)}, "alpha"),
        ({"temperature": None}, "temperature"),
    ],
    ids=str,
)
def test_a_cell_that_a_setting_splits_is_named(
    tmp_path: Path, odd: dict[str, Any], key: str
) -> None:
    about, gains = pair(tmp_path, odd)
    assert sorted(gain.n for gain in gains) == [1, 2]
    (finding,) = (f for f in findings(about, "split") if f["text"].startswith("configurations"))
    assert finding["text"].split(";")[0] == f"configurations that differ only in {key}"
    assert [path.split("/")[-2] for path in finding["paths"]] == ["seed0", "seed1"]


def test_baselines_that_a_setting_splits_are_named(tmp_path: Path) -> None:
    about, _ = pair(tmp_path, {"clip_scope": "student_only"}, plain=True)
    (finding,) = findings(about, "split")
    assert finding["text"].split(";")[0] == "configurations that differ only in clip_scope"


@pytest.mark.parametrize(
    "odd",
    [
        {"alpha": 0.7},  # two configurations of one method
        {"teacher": "resnet34"},  # another pair
        {"lr": 0.2, "alpha": 0.7},
        {"lr": 0.2, "batch_size": 64},  # two recipes: both files say both
    ],
    ids=str,
)
def test_two_configurations_are_no_split(tmp_path: Path, odd: dict[str, Any]) -> None:
    for seed in SEEDS:
        changes = {"lr": 0.1, "batch_size": 128} | (odd if seed == 0 else {})
        write(tmp_path, f"runs/final/x/seed{seed}", seed=seed, **changes)
    about, _ = import_runs(tmp_path, "x")
    assert findings(about, "split") == []


def test_a_method_without_a_baseline_for_one_setting_is_named(tmp_path: Path) -> None:
    about, (gain,) = pair(tmp_path, {"lr": 0.2}, all_of=True)
    assert gain.n_baseline == 0
    (finding,) = findings(about, "split")
    assert finding["text"].split(";")[0] == "a method and its baseline that differ only in lr"
    assert {path.split("/")[2] for path in finding["paths"]} == {
        "baseline",
        "resnet50_to_resnet18_logit",
    }


def test_selection_is_a_grid_and_no_split(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        write(tmp_path, f"runs/select/p/logit/{lr}/seed0", lr=lr, history=history(lr))
    about, _ = import_runs(tmp_path, "x")
    assert findings(about, "split") == []


def test_only_what_keeps_a_method_from_its_baseline_is_said_of_both(tmp_path: Path) -> None:
    cells: list[tuple[float, dict[str, Any]]]
    cells = [(0.1, PLAIN), (0.2, PLAIN), (0.1, {"momentum": 0.5})]
    for number, (lr, own) in enumerate(cells):
        changes: dict[str, Any] = {"momentum": 0.9, "lr": lr, **own}
        write(tmp_path, f"runs/final/{number}/seed0", **changes, history=history(number / 10))
    about, _ = import_runs(tmp_path, "x")
    assert [
        (f["text"].split(";")[0], [path.split("/")[2] for path in f["paths"]])
        for f in about["findings"][:2]
    ] == [
        ("configurations that differ only in lr", ["0", "1"]),
        ("a method and its baseline that differ only in momentum", ["0", "2"]),
    ]


def test_two_recipes_are_no_split_beside_an_older_file_of_a_third(tmp_path: Path) -> None:
    recipes: list[dict[str, Any]] = [
        {"lr": 0.1, "batch_size": 128},
        {"lr": 0.2, "batch_size": 64},
        {"momentum": 0.5},
    ]
    for number, recipe in enumerate(recipes):
        changes: dict[str, Any] = {"momentum": 0.9, **recipe}
        write(tmp_path, f"runs/final/{number}/seed0", **changes, history=history(number / 10))
    about, _ = import_runs(tmp_path, "x")
    assert findings(about, "split") == []


def test_where_a_run_was_made_splits_no_cell(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, f"runs/final/p/seed{seed}", seed=seed, history=history(0.5 + seed / 10),
              output_dir=f"out/{seed}", hostname=f"node{seed}", num_workers=seed)  # fmt: skip
    about, lines = import_runs(tmp_path, "x")
    assert len({line["cell"] for line in lines}) == 1
    assert findings(about, "split") == []
