"""Result files are grouped by all that makes runs alike, and the best is chosen on validation."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import BadInputError
from kdgap.report.collect import as_csv, best_configurations, collect
from kdgap.stats.contrast import mean_and_std

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "reference_runs" / "runs.zip"


def result(folder: Path, name: str, **changes: Any) -> Path:
    run = {
        "model": "resnet18",
        "teacher": "resnet50",
        "kd_type": "logit",
        "alpha": 0.5,
        "temperature": 4.0,
        "feat_beta": None,
        "stem": "cifar",
        "seed": 0,
        "no_proj_clip": False,
        "epochs": 100,
        "best_val_acc": 0.9,
        "test_acc_best": 0.8,
        "test_acc_final": 0.81,
        "history": [{"epoch": 1, "val_acc": 0.9}],
    }
    path = folder / name / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(run | changes))
    return path


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path: Path) -> None:
    for seed in range(3):
        result(tmp_path, f"s{seed}", seed=seed, test_acc_best=0.8 + seed / 100)
    (group,), remarks = collect(tmp_path)
    assert remarks == []
    assert mean_and_std(group.values("test_acc_best")) == pytest.approx((0.81, 0.01))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 1},
        {"alpha": 0.7},
        {"stem": "imagenet"},
        {"no_proj_clip": True},
        {"precision": "bf16"},
        {"cell": "b"},
        {"smoke": True},
        {"teacher": "resnet34"},
    ],
)
def test_unlike_runs_are_never_averaged(tmp_path: Path, change: dict[str, Any]) -> None:
    result(tmp_path, "one")
    result(tmp_path, "two", seed=1, **change)
    groups, _ = collect(tmp_path)
    assert [len(group.runs) for group in groups] == [1, 1]


def test_keys_that_mean_nothing_for_a_method_do_not_split_its_group(tmp_path: Path) -> None:
    result(tmp_path, "one", kd_type="none", teacher=None, alpha=0.5, temperature=4.0)
    result(tmp_path, "two", kd_type="none", teacher=None, alpha=0.3, temperature=2.0, seed=1)
    groups, _ = collect(tmp_path)
    assert [len(group.runs) for group in groups] == [2]


def test_one_run_under_two_paths_counts_once_though_one_file_is_older(tmp_path: Path) -> None:
    result(tmp_path, "a", history=[{"epoch": 1, "val_acc": 0.9, "loss_ce": 1.0}])
    result(tmp_path, "b")
    (group,), remarks = collect(tmp_path)
    assert len(group.runs) == 1
    assert "the same run as" in remarks[0]


def test_two_runs_of_one_seed_are_refused(tmp_path: Path) -> None:
    result(tmp_path, "a")
    result(tmp_path, "b", history=[{"epoch": 1, "val_acc": 0.8}])
    with pytest.raises(BadInputError, match="which one counts"):
        collect(tmp_path)


def test_a_torn_file_is_named_and_left_out(tmp_path: Path) -> None:
    result(tmp_path, "a")
    path = result(tmp_path, "b", seed=1)
    path.write_text(path.read_text()[:50])
    result(tmp_path, "c", seed=2).write_text('{"val_acc": NaN}')
    groups, remarks = collect(tmp_path)
    assert [len(group.runs) for group in groups] == [1]
    assert [str(tmp_path / name) in text for name, text in zip("bc", remarks, strict=True)] == [
        True,
        True,
    ]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"no results\.json"):
        collect(tmp_path)


def test_the_best_is_chosen_on_validation_with_the_number_tried(tmp_path: Path) -> None:
    result(tmp_path, "a", alpha=0.3, best_val_acc=0.91, test_acc_best=0.7)
    result(tmp_path, "b", alpha=0.7, best_val_acc=0.90, test_acc_best=0.9)
    best = best_configurations(collect(tmp_path)[0])
    assert list(best) == ["resnet50_to_resnet18_logit"]
    (chosen,) = best.values()
    assert (chosen["alpha"], chosen["tried"]) == (0.3, 2)


def exported(folder: Path, name: str, *, winner: bool | None, **changes: Any) -> Path:
    """A candidate's file as a study's export leaves it."""
    marks = {"selection_metric": "last_val_acc", "selection_winner": winner, "last_val_acc": 0.8}
    return result(folder, name, **marks | changes)


def test_the_best_of_a_study_is_what_the_study_chose(tmp_path: Path) -> None:
    exported(tmp_path, "a", winner=False, alpha=0.3, best_val_acc=0.95, last_val_acc=0.7)
    exported(tmp_path, "b", winner=False, alpha=0.5, best_val_acc=0.93)
    # As good as 0.5, but its study's grid has it first.
    exported(tmp_path, "c", winner=True, alpha=0.7, best_val_acc=0.92)
    (chosen,) = best_configurations(collect(tmp_path)[0]).values()
    assert (chosen["alpha"], chosen["tried"], chosen["last_val_acc"]) == (0.7, 3, 0.8)
    assert "best_val_acc" not in chosen  # it was not chosen by that


def test_a_candidate_that_failed_on_a_seed_does_not_keep_a_study_from_its_winner(
    tmp_path: Path,
) -> None:
    exported(tmp_path, "a", winner=False, alpha=0.3)
    exported(tmp_path, "b", winner=True, alpha=0.7)
    exported(tmp_path, "c", winner=True, alpha=0.7, seed=1)
    (chosen,) = best_configurations(collect(tmp_path)[0]).values()
    assert (chosen["alpha"], chosen["seeds"]) == (0.7, [0, 1])


@pytest.mark.parametrize(("first", "second"), [(None, None), (False, False), (True, True)])
def test_a_study_that_has_not_chosen_one_candidate_has_no_best(
    tmp_path: Path, first: bool | None, second: bool | None
) -> None:
    exported(tmp_path, "a", winner=first, alpha=0.3)
    exported(tmp_path, "b", winner=second, alpha=0.7)
    with pytest.raises(BadInputError, match="finish its selection"):
        best_configurations(collect(tmp_path)[0])


def test_a_studys_candidates_are_not_compared_with_others(tmp_path: Path) -> None:
    exported(tmp_path, "a", winner=True, alpha=0.3)
    result(tmp_path, "b", alpha=0.7)
    with pytest.raises(BadInputError, match="its selection_metric is None"):
        best_configurations(collect(tmp_path)[0])


def test_what_a_study_chose_does_not_split_a_group(tmp_path: Path) -> None:
    exported(tmp_path, "a", winner=True)
    result(tmp_path, "b", seed=1, last_val_acc=0.8)
    groups, _ = collect(tmp_path)
    assert [len(group.runs) for group in groups] == [2]


def test_candidates_that_are_unlike_in_more_are_not_compared(tmp_path: Path) -> None:
    result(tmp_path, "a", alpha=0.3)
    result(tmp_path, "b", alpha=0.7, epochs=1)
    with pytest.raises(BadInputError, match="its epochs is"):
        best_configurations(collect(tmp_path)[0])


def test_candidates_on_other_seeds_are_not_compared(tmp_path: Path) -> None:
    result(tmp_path, "a", alpha=0.3)
    result(tmp_path, "b", alpha=0.7)
    result(tmp_path, "c", alpha=0.7, seed=1)
    with pytest.raises(BadInputError, match="its seeds is"):
        best_configurations(collect(tmp_path)[0])


def test_csv_neutralises_formulas(tmp_path: Path) -> None:
    result(tmp_path, "a", run_id="=HYPERLINK(1)")
    (row,) = csv.DictReader(io.StringIO(as_csv(collect(tmp_path)[0])))
    assert row["run_id"] == "'=HYPERLINK(1)"
    assert row["test_acc_best"] == "0.8"


@pytest.mark.shared_data
def test_the_published_means_and_deviations_come_out_to_the_printed_digit(tmp_path: Path) -> None:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not there")
    with zipfile.ZipFile(PUBLISHED) as archive:
        archive.extractall(tmp_path)
    groups, remarks = collect(tmp_path / "runs" / "final")
    assert remarks == []

    def accuracy(model: str, teacher: str | None, method: str) -> str:
        (group,) = (
            g
            for g in groups
            if (g.key["model"], g.key["teacher"], g.key["kd_type"]) == (model, teacher, method)
        )
        mean, std = mean_and_std([100 * value for value in group.values("test_acc_best")])
        return f"{mean:.2f} ± {std:.2f}"

    assert accuracy("resnet18", None, "none") == "94.86 ± 0.14"
    assert accuracy("resnet34", None, "none") == "95.04 ± 0.13"
    assert accuracy("resnet18", "resnet50", "feature") == "94.95 ± 0.20"
    everything, remarks = collect(tmp_path / "runs")
    assert sum("the same run as" in text for text in remarks) > 8  # selection runs that are finals
    assert max(len(group.runs) for group in everything) == 5


def test_arms_of_one_method_are_groups_of_their_own_names(tmp_path: Path) -> None:
    """One candidate is in both grids, and the winner of one of them alone."""
    exported(tmp_path, "a", winner=True, alpha=0.3)
    for name, winner, alpha in (("b", False, 0.3), ("c", True, 0.7)):
        exported(tmp_path, name, winner=winner, alpha=alpha, study_method="kd")
    groups, remarks = collect(tmp_path)
    assert remarks == []
    best = best_configurations(groups)
    pair = "resnet50_to_resnet18"
    assert {name: (row["alpha"], row["tried"]) for name, row in best.items()} == {
        f"{pair}_kd": (0.7, 2),
        f"{pair}_logit": (0.3, 1),
    }
    assert best[f"{pair}_kd"]["study_method"] == "kd"
    assert best[f"{pair}_kd"]["kd_type"] == "logit"
    assert "study_method" not in best[f"{pair}_logit"]
    assert [group.title.split(" (")[0].rpartition(" ")[2] for group in groups] == [
        *("kd", "kd", "logit"),
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(groups))))
    assert [row["study_method"] for row in rows] == ["kd", "kd", ""]


@pytest.mark.parametrize("name", ["kd\x1b[31m", "dkd", 7])
def test_a_name_that_no_study_could_give_is_left_out(tmp_path: Path, name: object) -> None:
    result(tmp_path, "a")
    result(tmp_path, "b", seed=1, study_method=name)
    groups, remarks = collect(tmp_path)
    assert [len(group.runs) for group in groups] == [1]
    assert "study_method is" in remarks[0]
    assert remarks[0].isprintable()
