"""Others' result files: merged, named, and never averaged with what they are unlike."""

import json
import math
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.spec.slot import Slot
from kdgap.store.imports import source_files
from kdgap.store.imports.directory import RUNS, ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.store.instead import IMPORT
from tests.store.foreign_files import FIDELITY, FINAL, PLAIN, SELECT, findings, history, write

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "reference_runs" / "runs.zip"


def test_a_run_under_two_paths_is_one_run_with_two_roles(tmp_path: Path) -> None:
    write(tmp_path, FINAL, no_proj_clip=False, grad_norm_max_overall=4.0)
    older = [{k: v for k, v in entry.items() if k != "loss_kd"} for entry in history()]
    write(tmp_path, SELECT, history=older)
    about, (run,) = import_runs(tmp_path, "x")
    assert {slot["role"] for slot in run["slots"]} == {"final", "selection"}
    assert len(run["paths"]) == 2
    assert run["grad_norm_max"] == 4.0  # of the richer file
    assert [f["text"] for f in findings(about, "duplicate")] == ["the same run; counted once"]
    assert "seed 0 chose" in findings(about, "overlap")[0]["text"]


def test_different_runs_of_one_seed_contradict_each_other_and_none_counts(tmp_path: Path) -> None:
    write(tmp_path, FINAL)
    write(tmp_path, f"{FINAL}-again", history=history(0.5))
    about, (run,) = import_runs(tmp_path, "x")
    assert run["state"] == "conflict"
    assert run["remark"] == "another run of this seed contradicts it"
    assert len(findings(about, "conflict")) == 1


def test_one_history_with_two_test_accuracies_is_a_contradiction_and_no_duplicate(
    tmp_path: Path,
) -> None:
    write(tmp_path, FINAL)
    write(tmp_path, f"{FINAL}-again", test_acc_best=0.85)
    about, (run,) = import_runs(tmp_path, "x")
    assert run["state"] == "conflict"
    assert findings(about, "duplicate") == []


def test_ids_are_never_the_files_own(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, FINAL.replace("seed0", f"seed{seed}"), seed=seed, run_id="same")
    _, runs = import_runs(tmp_path, "x")
    assert len({run["id"] for run in runs}) == 3
    assert {run["run_id"] for run in runs} == {"same"}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"epochs": 100}, "failed", "unfinished: 3 of 100 epochs"),
        (
            {"history": [*history()[:2], {"epoch": 3, "val_acc": 0.1, "loss_ce": math.nan}]},
            "failed",
            "diverged: epoch 3",
        ),
        ({"best_val_acc": None}, "failed", "no validation accuracy"),
        ({"grad_norm_max_overall": math.inf}, "failed", "not finite"),
        ({}, "done", ""),
    ],
)
def test_a_run_that_is_no_result_is_a_failure(
    tmp_path: Path, changes: dict[str, Any], state: str, words: str
) -> None:
    write(tmp_path, FINAL, **changes)
    about, (run,) = import_runs(tmp_path, "x")
    assert run["state"] == state
    assert words in run["remark"]
    assert len(findings(about, "failed")) == (state == "failed")
    json.dumps(run, allow_nan=False)


def test_a_failed_run_that_was_repeated_counts_once_as_done(tmp_path: Path) -> None:
    write(tmp_path, "runs/final/a/seed0", history=history()[:1])
    write(tmp_path, "runs/final/b/seed0")
    about, (run,) = import_runs(tmp_path, "x")
    assert run["state"] == "done"
    assert "it was repeated" in findings(about, "failed")[0]["text"]


def test_of_two_failed_attempts_the_first_stays(tmp_path: Path) -> None:
    write(tmp_path, "runs/final/a/seed0", history=history()[:1])
    write(tmp_path, "runs/final/b/seed0", history=history(0.8)[:2])
    about, (run,) = import_runs(tmp_path, "x")
    assert (run["state"], run["paths"]) == ("failed", ["runs/final/a/seed0/results.json"])
    texts = [(f["text"], f["paths"][0]) for f in findings(about, "failed")]
    assert ("unfinished: 2 of 3 epochs; it was repeated", "runs/final/b/seed0/results.json") in (
        texts
    )


def test_the_file_of_a_run_that_ended_well_leads_over_a_richer_one_that_did_not(
    tmp_path: Path,
) -> None:
    write(tmp_path, "runs/final/a/seed0", grad_norm_max_overall=math.inf)
    write(tmp_path, "runs/final/b/seed0")
    about, (run,) = import_runs(tmp_path, "x")
    assert run["state"] == "done"
    assert len(findings(about, "duplicate")) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"model": "resnet18", "his', "torn or no JSON"),
        ("", "torn or no JSON"),
        ("[1]", "no JSON object"),
        ("{}", "no history"),
        ('{"history": [], "model": 3}', "model is 3, no name"),
        ("[" * 20_000 + "]" * 20_000, "nested too deeply"),
    ],
)
def test_a_torn_file_is_named_and_the_others_stay(tmp_path: Path, content: str, words: str) -> None:
    write(tmp_path, FINAL)
    path = tmp_path / "runs" / "final" / "torn" / "results.json"
    path.parent.mkdir()
    path.write_text(content)
    about, runs = import_runs(tmp_path, "x")
    assert len(runs) == 1
    (finding,) = findings(about, "unreadable")
    assert words in finding["text"]
    assert finding["paths"] == ["runs/final/torn/results.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": True}, "seed is True"),
        ({"seed": "0"}, "seed is '0'"),
        ({"test_acc_best": 95.2}, "test_acc_best is 95.2, no share of one"),
        ({"best_val_acc": -0.1}, "no share of one"),
        ({"teacher": None}, "logit without a teacher"),
        ({"epochs": 1.5}, "epochs is 1.5"),
    ],
)
def test_values_that_cannot_be_are_named(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1)
    write(tmp_path, FINAL, **changes)
    about, runs = import_runs(tmp_path, "x")
    assert [run["seed"] for run in runs] == [1]
    assert words in findings(about, "unreadable")[0]["text"]


def test_a_file_that_contradicts_its_history_is_named(tmp_path: Path) -> None:
    write(tmp_path, FINAL, best_val_acc=0.99)
    write(tmp_path, FINAL.replace("seed0", "seed1"), seed=1, best_val_epoch=1)
    about, _ = import_runs(tmp_path, "x")
    texts = [finding["text"] for finding in findings(about, "contradiction")]
    assert any("best_val_acc is 0.99" in text for text in texts)
    assert any("best_val_epoch is 1" in text for text in texts)


@pytest.mark.parametrize(
    ("fidelity", "words"),
    [
        ({**FIDELITY, "student_test_acc": 0.5}, "measured on another checkpoint"),
        ({**FIDELITY, "teacher_arch": "resnet101"}, "measured on another checkpoint"),
        ({**FIDELITY, "top1_agreement": 85.0}, "no share of one"),
        ('{"top1_agreement": NaN}', "not finite"),
        ("{", "torn"),
    ],
)
def test_fidelity_that_is_not_this_runs_is_left_out(
    tmp_path: Path, fidelity: Any, words: str
) -> None:
    write(tmp_path, FINAL, fidelity=fidelity)
    about, (run,) = import_runs(tmp_path, "x")
    assert run["fidelity"] is None
    assert words in findings(about, "unreadable")[0]["text"]
    assert len(findings(about, "fidelity")) == 1  # and the final has none


def test_fidelity_belongs_to_its_run(tmp_path: Path) -> None:
    write(tmp_path, FINAL, fidelity=FIDELITY)
    about, (run,) = import_runs(tmp_path, "x")
    assert run["fidelity"]["top1_agreement"] == 0.85
    assert about["findings"] == []


def test_unlike_settings_are_unlike_configurations(tmp_path: Path) -> None:
    unlike: list[dict[str, Any]] = [{}, {"alpha": 0.7}, {"lr": 0.2}, {"stem": "imagenet"}]
    unlike.append({"epochs": 2})
    for number, changes in enumerate(unlike):
        epochs = history(0.5 + number / 10)[: changes.get("epochs", 3)]
        write(tmp_path, f"runs/final/{number}/seed0", **changes, history=epochs)
    _, runs = import_runs(tmp_path, "x")
    assert len({run["cell"] for run in runs}) == 5


def test_a_clipped_runs_zero_means_not_recorded(tmp_path: Path) -> None:
    write(tmp_path, FINAL, kd_type="feature", proj_grad_norm_max_overall=0.0)
    _, (run,) = import_runs(tmp_path, "x")
    assert run["proj_grad_norm_max"] is None


def test_roles_follow_the_folders_and_ablations_find_their_base(tmp_path: Path) -> None:
    write(tmp_path, "runs/teachers/r50/seed0", model="resnet50", **PLAIN)
    write(tmp_path, "runs/final/baseline/resnet18/seed0", **PLAIN)
    feature = {"kd_type": "feature", "history": history(0.8)}
    write(tmp_path, "runs/final/resnet50_to_resnet18_feature/seed0", **feature)
    bug = {**feature, "no_proj_clip": True, "history": history(0.7)}
    write(tmp_path, "runs/bug_ablation/x/feature_bugged/a0.5/seed0", **bug)
    stem = {**PLAIN, "stem": "imagenet", "history": history(0.6)}
    write(tmp_path, "runs/stem_ablation/resnet18_imagenet/seed0", **stem)
    about, runs = import_runs(tmp_path, "x")
    roles = {
        run["paths"][0].split("/")[1]: [(s["role"], Slot.read(s).variant) for s in run["slots"]]
        for run in runs
        if "baseline" not in run["paths"][0]
    }
    name = "projection_clipping_resnet50_to_resnet18"
    assert roles == {
        "teachers": [("teacher", "")],
        "final": [("final", ""), ("ablation", f"{name}: base")],
        "bug_ablation": [("ablation", f"{name}: changed")],
        "stem_ablation": [("ablation", "stem_resnet18: changed")],
    }
    (plain,) = (run for run in runs if "baseline" in run["paths"][0])
    assert ("baseline", "") in [(s["role"], Slot.read(s).variant) for s in plain["slots"]]
    assert about["models"]["resnet50"]["parameters"] == 23_520_842


def test_an_ablation_without_its_base_and_strange_folders_are_named(tmp_path: Path) -> None:
    write(tmp_path, "runs/bug_ablation/a/seed0", kd_type="feature", no_proj_clip=True)
    write(tmp_path, "somewhere/else", seed=1)
    about, runs = import_runs(tmp_path, "x")
    assert "nothing to compare with" in findings(about, "ablation")[0]["text"]
    assert "taken as a final run" in findings(about, "role")[0]["text"]
    assert len(runs) == 2


def test_a_folder_and_its_zip_are_the_same_source(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    write(folder, FINAL, fidelity=FIDELITY)
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        for path in folder.rglob("*.json"):
            archive.write(path, path.relative_to(folder))
    (folder_about, first), (zip_about, second) = (
        import_runs(p, "x") for p in (folder, tmp_path / "tree.zip")
    )
    assert folder_about["source"]["sha256"] == zip_about["source"]["sha256"]
    assert first == second


def test_names_in_a_zip_are_only_text(tmp_path: Path) -> None:
    target = write(tmp_path / "tree", FINAL).read_bytes()
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../../outside/results.json", target)
    out = ImportedDirectory(tmp_path / "out")
    out.write(*import_runs(tmp_path / "evil.zip", "evil"))
    assert sorted(p.name for p in out.path.iterdir()) == sorted([IMPORT, RUNS])
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b"PK\x03\x04 not really"), "no readable zip"),
        (lambda p: p.write_text("hello"), "no readable zip"),
        (lambda p: p.mkdir(), "holds no results.json"),
        (lambda p: zipfile.ZipFile(p, "w").close(), "holds no results.json"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "source")
    with pytest.raises(BadInputError, match=words):
        import_runs(tmp_path / "source", "x")


def test_an_oversized_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_files, "MOST_FILE_BYTES", 100)
    write(tmp_path / "tree", FINAL)
    with pytest.raises(BadInputError, match="a result file has a few thousand"):
        import_runs(tmp_path / "tree", "x")


def test_a_changed_import_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "tree", FINAL)
    out = ImportedDirectory(tmp_path / "out")
    out.write(*import_runs(tmp_path / "tree", "x"))
    assert out.read()[1][0]["seed"] == 0
    content = (out.path / RUNS).read_text()
    (out.path / RUNS).write_text(content.replace('"seed": 0', '"seed": 7'))
    with pytest.raises(StoreDamagedError, match="changed after the import"):
        out.read()
    (out.path / RUNS).unlink()
    with pytest.raises(StoreDamagedError):
        out.read()


def test_an_import_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BadInputError, match="not empty and no import"):
        ImportedDirectory(tmp_path).refuse_other()


@pytest.mark.shared_data
@pytest.mark.skipif(not PUBLISHED.exists(), reason="../shared/data/reference_runs is absent")
def test_the_published_runs(tmp_path: Path) -> None:
    about, runs = import_runs(PUBLISHED, "published")
    assert (about["files"], len(runs)) == (126, 111)
    assert Counter(f["code"] for f in about["findings"]) == {"duplicate": 15, "overlap": 8}
    assert all(run["state"] == "done" for run in runs)
    roles = Counter(slot["role"] for run in runs for slot in run["slots"])
    assert roles == {
        "selection": 48, "final": 40, "baseline": 10, "teacher": 9, "ablation": 30,
    }  # fmt: skip
    assert sum(run["fidelity"] is not None for run in runs) == 40
