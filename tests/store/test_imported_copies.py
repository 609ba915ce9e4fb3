"""Copies never inflate n: no two seeds, and no two settings, train through the same numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdgap.judge.imported_evidence import evidence_of
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.store.foreign_files import FINAL, SELECT, findings, history, write, write_pair

LOGIT = "runs/final/resnet50_to_resnet18_logit"


def copy_as(source: Path, place: str, **changes: Any) -> None:
    """Write another file with the content of one, edited here and there."""
    path = source.parents[4] / place / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(json.loads(source.read_text()) | changes))


def states(runs: list[dict[str, Any]]) -> dict[str, str]:
    return {run["paths"][0].removesuffix("/results.json"): run["state"] for run in runs}


def test_one_file_copied_under_three_seeds_is_still_one_run(tmp_path: Path) -> None:
    write_pair(tmp_path)
    for seed in (7, 8, 9):
        copy_as(tmp_path / LOGIT / "seed0/results.json", f"{LOGIT}/seed{seed}", seed=seed)
    about, runs = import_runs(tmp_path, "x")
    (gain,) = analyse(evidence_of(about, runs, "x")).gains
    assert (gain.n, gain.seeds[0]) == (3, (0, 1, 2))
    (missing,) = (flag.text for flag in gain.flags if flag.code == "missing-runs")
    assert "3 of 6 runs have no result" in missing
    assert f"seed 7: conflict (a copy: has the history of {LOGIT}/seed0/results.json" in missing
    assert [f["paths"] for f in findings(about, "copy")] == [
        [f"{LOGIT}/seed0/results.json", f"{LOGIT}/seed{seed}/results.json"] for seed in (7, 8, 9)
    ]
    assert "the history of seed 0 under seed 7; counted once" in findings(about, "copy")[0]["text"]


def test_the_first_by_path_counts_whichever_seed_it_claims(tmp_path: Path) -> None:
    path = write(tmp_path, f"{LOGIT}/b", seed=0)
    copy_as(path, f"{LOGIT}/a", seed=5)
    _, runs = import_runs(tmp_path, "x")
    assert states(runs) == {f"{LOGIT}/a": "done", f"{LOGIT}/b": "conflict"}


@pytest.mark.parametrize("seed", [0, 1])
def test_under_other_settings_nobody_knows_whose_history_it_is(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path, FINAL)
    copy_as(path, "runs/final/other/seed0", alpha=0.7, seed=seed, test_acc_best=0.9)
    write(tmp_path, FINAL.replace("seed0", "seed2"), seed=2)
    about, runs = import_runs(tmp_path, "x")
    assert sorted(states(runs).values()) == ["conflict", "conflict", "done"]
    assert all("under other settings (alpha)" in r["remark"] for r in runs if r["seed"] != 2)
    (finding,) = findings(about, "copy")
    assert "neither counts" in finding["text"]


def test_copies_and_a_copy_in_another_cell_are_all_out(tmp_path: Path) -> None:
    path = write(tmp_path, FINAL)
    copy_as(path, FINAL.replace("seed0", "seed1"), seed=1)
    copy_as(path, "runs/final/other/seed0", temperature=2.0)
    about, runs = import_runs(tmp_path, "x")
    assert set(states(runs).values()) == {"conflict"}
    assert len(findings(about, "copy")) == 2


@pytest.mark.parametrize("key", ["loss_ce", "train_acc", "val_acc"])
def test_one_number_apart_is_another_run(tmp_path: Path, key: str) -> None:
    """Few epochs on few images may end in equal accuracies; losses tell such runs apart."""
    write(tmp_path, FINAL)
    other = history()
    other[1][key] += 1e-9
    write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1, history=other)
    about, runs = import_runs(tmp_path, "x")
    assert findings(about, "copy") == []
    assert set(states(runs).values()) == {"done"}


def test_a_copy_that_says_less_of_its_epochs_is_a_copy(tmp_path: Path) -> None:
    write(tmp_path, FINAL)
    less = [{k: v for k, v in entry.items() if k.endswith("_acc")} for entry in history()]
    write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1, history=less)
    about, _ = import_runs(tmp_path, "x")
    assert len(findings(about, "copy")) == 1


def test_histories_without_accuracies_prove_nothing(tmp_path: Path) -> None:
    bare = [{"epoch": epoch} for epoch in (1, 2, 3)]
    for seed in (0, 1):
        write(tmp_path, f"{LOGIT}/seed{seed}", seed=seed, history=bare, best_val_acc=0.9)
    about, _ = import_runs(tmp_path, "x")
    assert findings(about, "copy") == []


def test_a_copy_of_a_contradicted_run_counts_no_more_than_it(tmp_path: Path) -> None:
    write(tmp_path, f"{LOGIT}/a")
    path = write(tmp_path, f"{LOGIT}/b", history=history(0.5))
    copy_as(path, f"{LOGIT}/c", seed=3)
    about, runs = import_runs(tmp_path, "x")
    assert set(states(runs).values()) == {"conflict"}
    assert len(findings(about, "conflict")) == len(findings(about, "copy")) == 1


def test_a_failed_run_takes_no_other_with_it(tmp_path: Path) -> None:
    path = write(tmp_path, FINAL)
    copy_as(path, f"{LOGIT}/seed1", seed=1, epochs=100)
    about, runs = import_runs(tmp_path, "x")
    assert sorted(states(runs).values()) == ["done", "failed"]
    assert findings(about, "copy") == []


@pytest.mark.parametrize("older", [SELECT, FINAL])
def test_an_older_file_that_says_less_of_its_settings_is_the_same_run(
    tmp_path: Path, older: str
) -> None:
    for place in (SELECT, FINAL):
        write(tmp_path, place, **({} if place == older else {"lr": 0.1, "batch_size": 128}))
    about, (run,) = import_runs(tmp_path, "x")
    assert run["state"] == "done"
    assert run["settings"]["lr"] == 0.1  # of the file that says more
    assert {slot["role"] for slot in run["slots"]} == {"final", "selection"}
    assert [f["code"] for f in about["findings"]] == ["duplicate", "overlap", "fidelity"]


def test_a_later_file_joins_a_run_by_either_of_its_settings(tmp_path: Path) -> None:
    for place, changes in (("a", {}), ("b", {"lr": 0.1}), ("c", {}), ("d", {"lr": 0.1})):
        write(tmp_path, f"runs/final/{place}/seed0", **changes)
    _, (run,) = import_runs(tmp_path, "x")
    assert (run["state"], len(run["paths"])) == ("done", 4)
    for place, changes in (("e", {}), ("f", {"lr": 0.1})):
        write(tmp_path, f"runs/final/{place}/seed0", **changes, history=history(0.5))
    _, (run,) = import_runs(tmp_path, "x")
    assert (run["state"], len(run["paths"])) == ("conflict", 6)


def test_what_is_odd_about_any_file_of_a_run_is_named(tmp_path: Path) -> None:
    write(tmp_path, FINAL, flags=[])
    write(tmp_path, SELECT, flags=5)
    about, (_,) = import_runs(tmp_path, "x")
    assert [f["paths"] for f in findings(about, "contradiction")] == [[f"{SELECT}/results.json"]]
