"""`kdgap import` and what follows it: what it names, what it is told, and what it leaves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.store.foreign_files import PLAIN, history, write

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]


def theirs(folder: Path, scale: float = 1, **more: Callable[[int], Any]) -> Path:
    """Write a baseline and a method of five seeds; `more` gives further keys by seed."""
    for seed in range(5):
        for arm, own in (("baseline/resnet18", PLAIN), ("resnet50_to_resnet18_logit", {})):
            epochs = history(0.3 + seed / 10 + 0.05 * bool(own))
            for entry in epochs:
                entry |= {key: entry[key] * scale for key in ("val_acc", "train_acc")}
            write(folder, f"final/{arm}/seed{seed}", seed=seed, history=epochs,
                  test_acc_best=(0.8 + seed / 100) * scale, test_acc_final=0.8 * scale, **own,
                  **{key: value(seed) for key, value in more.items()})  # fmt: skip
    return folder


def gains(kdgap: Command, *words: object) -> list[dict[str, Any]]:
    analysis = json.loads(kdgap("analyze", "out", "--json", *words).stdout)
    return list(analysis["gains"])


def test_what_splits_is_said_everywhere_and_can_be_told(kdgap: Command, tmp_path: Path) -> None:
    folder = theirs(tmp_path / "r", zeta=lambda seed: seed // 3, gpu=lambda seed: f"A{seed}")
    done = kdgap("import", folder, "--out", "out")
    assert done.returncode == 0
    assert (
        "configurations that differ only in zeta; to average them all the same, import with"
        in done.stderr
    )
    assert "--ignore zeta" in done.stderr
    assert "was made, so it is no setting: gpu; if one is a setting" in done.stderr
    assert sorted(gain["n"] for gain in gains(kdgap)) == [2, 3]
    assert "--ignore zeta" in kdgap("analyze", "out").stderr
    kdgap("report", "out")
    assert "--ignore zeta" in Path("out/report.html").read_text()
    again = kdgap("import", folder, "--out", "out", "--ignore", "zeta")
    assert "note: other runs or options than before; still of the earlier import" in again.stderr
    assert json.loads(Path("out/import.json").read_text())["choices"] == {
        "ignore": ["zeta"], "setting": [], "percent": False,
    }  # fmt: skip
    assert [gain["n"] for gain in gains(kdgap)] == [5]
    same = kdgap("import", folder, "--out", "out", "--ignore", "zeta")
    assert "note: other runs" not in same.stderr
    kdgap("import", folder, "--out", "out", "--ignore", "zeta", "--setting", "gpu")
    assert [gain["n"] for gain in gains(kdgap)] == [1] * 5


def test_percent_is_told_and_is_the_same_import(kdgap: Command, tmp_path: Path) -> None:
    shares, percent = theirs(tmp_path / "a"), theirs(tmp_path / "b", scale=100)
    done = kdgap("import", percent, "--out", "out")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert "if accuracies are in percent, import with --percent" in done.stderr
    assert not Path("out").exists()
    assert kdgap("import", percent, "--out", "out", "--percent").returncode == 0
    (in_percent,) = gains(kdgap)
    kdgap("import", shares, "--out", "out")
    (in_shares,) = gains(kdgap)
    assert in_percent["n"] == in_shares["n"] == 5
    assert in_percent["gain_pp"] == pytest.approx(in_shares["gain_pp"], abs=1e-9)
    refused = kdgap("import", shares, "--out", "other", "--percent")
    assert (refused.returncode, Path("other").exists()) == (2, False)
    assert "is no percentage" in refused.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--ignore", "gpus"), "--ignore gpus: no file has it (did you mean 'gpu'?)"),
        (("--setting", "seed"), "--setting seed: says which run it is; it cannot be chosen"),
        (("--ignore", "gpu", "--setting", "gpu"), "gpu: both --ignore and --setting"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_in_a_line(
    kdgap: Command, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    folder = theirs(tmp_path / "r", gpu=lambda seed: seed)
    done = kdgap("import", folder, "--out", "out", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert expected in done.stderr
    assert not Path("out").exists()


def test_what_is_passed_over_is_counted_and_the_first_are_named(
    kdgap: Command, tmp_path: Path
) -> None:
    folder = theirs(tmp_path / "r")
    for seed in range(1, 5):
        path = folder / "final" / "baseline" / "resnet18" / f"seed{seed}" / "results.json"
        path.rename(path.with_suffix(".json.gz"))
    for name in ("train.log", "LICENSE", "notes", "Makefile"):
        (folder / name).write_text("x")
    done = kdgap("import", folder, "--out", "out")
    assert done.returncode == 0
    assert "passed: files, folders and links that were passed over: 8" in done.stderr
    assert "seed1/results.json.gz" in done.stderr
    assert "and 2 more" in done.stderr
    assert "files that are no results: 3 without a suffix, 1 .log" in done.stderr
    assert "import-passed" in kdgap("analyze", "out", "--json").stdout


@pytest.mark.parametrize("name", ["runs.tar.gz", "runs.tar", "runs.zip"])
def test_an_archive_is_imported_under_its_name(kdgap: Command, tmp_path: Path, name: str) -> None:
    kind = {".gz": "gztar", ".tar": "tar", ".zip": "zip"}[Path(name).suffix]
    shutil.make_archive(str(tmp_path / "runs"), kind, theirs(tmp_path / "r"))
    done = kdgap("import", tmp_path / name)
    assert done.returncode == 0
    assert "Next: kdgap analyze imported/runs" in done.stderr


def test_an_import_without_choices_from_before_is_the_same(kdgap: Command, tmp_path: Path) -> None:
    folder = theirs(tmp_path / "r")
    kdgap("import", folder, "--out", "out")
    kdgap("analyze", "out")
    path = Path("out/import.json")
    about = json.loads(path.read_text())
    for key in ("choices", "bookkeeping", "other_files", "checksum"):
        del about[key]
    about["format"] = 1
    path.write_text(json.dumps(about))
    assert len(gains(kdgap)) == 1
    assert "note: other" not in kdgap("import", folder, "--out", "out").stderr
