"""`kdgap rank`: the recommendation first, a table that fits, and JSON."""

import json
from pathlib import Path

import pytest

from kdgap.cli import printing
from tests.cli.test_judging import Command, others_runs


@pytest.fixture
def imported(kdgap: Command, tmp_path: Path) -> Path:
    assert kdgap("import", others_runs(tmp_path / "theirs"), "--out", "theirs").returncode == 0
    return Path("theirs")


def test_the_recommendation_comes_first_and_the_table_below(
    kdgap: Command, imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing.out, "width", 120)
    done = kdgap("rank", imported)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("resnet18: Use Logit-KD: shown to be better than all others (95 %)")
    assert "+3.07 pp" in first
    for words in ("plain training", "over plain [95 %]", "− best of the others", "100 % ["):
        assert words in done.stdout
    assert "first − second" not in done.stdout


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_it_fits_its_terminal(
    kdgap: Command, imported: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(printing.out, "width", columns)
    done = kdgap("rank", imported, "--pairs")
    table = [line for line in done.stdout.splitlines() if line[:1] in "┏┃┡│└"]
    assert all(len(line) <= columns for line in table)
    assert "over plain" in done.stdout
    assert "Logit-KD − plain training" in done.stdout or columns < 200


def test_json_has_every_number(kdgap: Command, imported: Path) -> None:
    (ranking,) = json.loads(kdgap("rank", imported, "--json").stdout)
    assert ranking["student"] == "resnet18"
    best, plain = ranking["places"]
    assert best["level"]["n"] == plain["level"]["n"] == 3
    assert best["over_plain_pp"] == pytest.approx(3.0667, abs=1e-3)
    assert best["improves"] == 1.0
    assert ranking["pairs"][0]["verdict"] == "gain"
    (gain,) = json.loads(kdgap("analyze", imported, "--json").stdout)["gains"]
    assert gain["gain_pp"] == pytest.approx(best["over_plain_pp"])
    assert gain["ci95_pp"] == pytest.approx(best["over_plain_ci95_pp"])


def test_a_student_that_is_not_there_is_named(kdgap: Command, imported: Path) -> None:
    done = kdgap("rank", imported, "--student", "resnet81")
    assert done.returncode == 2
    assert done.stderr == (
        "error: --student 'resnet81': no such student with results (did you mean 'resnet18'?);"
        " there is resnet18\n"
    )


def test_without_a_method_there_is_nothing_to_rank(kdgap: Command, tmp_path: Path) -> None:
    theirs = others_runs(tmp_path / "theirs")
    for folder in list((theirs / "runs/final/r50_to_r18_logit").rglob("results.json")):
        folder.unlink()
    assert kdgap("import", theirs, "--out", "plain").returncode == 0
    done = kdgap("rank", "plain")
    assert done.returncode == 2
    assert "no student has results of plain training and of a method yet" in done.stderr
