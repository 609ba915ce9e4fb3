"""`kdgap import`, `analyze`, `report`: from somebody's result files to verdicts."""

import csv
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kdgap.cli import printing
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.study import PLAN
from tests.store.foreign_files import FIDELITY, PLAIN, history, write
from tests.store.test_imported import PUBLISHED

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
CLAIMS = Path(__file__).parents[2] / "configs" / "claims" / "reference.yaml"
CLAIM = """claims:
  - name: helps
    text: Logit-KD helps
    terms:
      - {weight: 1, teacher: resnet50, student: resnet18, method: logit}
"""
ACCURACIES = {"baseline": [0.90, 0.91, 0.905], "logit": [0.93, 0.941, 0.936]}


def others_runs(folder: Path, **changes: Any) -> Path:
    """Result files of one pair: three baselines and three Logit-KD students."""
    for seed in range(3):
        for method, values in ACCURACIES.items():
            known: dict[str, Any] = PLAIN if method == "baseline" else {}
            place = f"baseline/resnet18/seed{seed}" if known else f"r50_to_r18_logit/seed{seed}"
            epochs = history(0.5 + seed / 10 + (0.05 if known else 0))
            fidelity = None if known else {**FIDELITY, "student_test_acc": values[seed]}
            write(
                folder, f"runs/final/{place}", fidelity=fidelity, seed=seed,
                test_acc_best=values[seed], test_acc_final=values[seed], history=epochs,
                **known, **changes,
            )  # fmt: skip
    return folder


@pytest.fixture
def imported(kdgap: Command, tmp_path: Path) -> Path:
    assert kdgap("import", others_runs(tmp_path / "theirs"), "--out", "theirs").returncode == 0
    return Path("theirs")


def test_from_files_to_verdicts(kdgap: Command, imported: Path) -> None:
    Path("claims.yaml").write_text(CLAIM)
    done = kdgap("analyze", imported, "--claims", "claims.yaml")
    assert done.returncode == 0
    assert "Claim “Logit-KD helps”: established; +3.07 pp" in done.stdout
    assert "[post hoc]" in done.stdout
    analysis = json.loads((imported / "analysis" / "analysis.json").read_text())
    (gain,) = analysis["gains"]
    assert gain["verdict"] == "gain"
    for key in (
        "teacher", "student", "method", "n", "n_baseline", "gain_pp", "se_pp", "df", "ci95_pp",
        "p", "p_holm", "ci95_simultaneous_pp", "p_permutation", "p_tost", "verdict",
        "seeds_needed", "flags", "slot", "configuration",
    ):  # fmt: skip
        assert key in gain
    for key in ("name", "text", "estimate_pp", "post_hoc", "p_holm", "verdict", "flags"):
        assert key in analysis["contrasts"][0]
    names = {path.name for path in (imported / "analysis").iterdir()}
    assert {"analysis.json", "tables.md", "tables.tex", "gains.csv"} <= names
    with (imported / "analysis" / "gains.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["gain_pp"]) == gain["gain_pp"]
    again = json.loads(kdgap("analyze", imported, "--claims", "claims.yaml", "--json").stdout)
    assert again == analysis


def test_a_report_is_one_file_that_says_the_answer(kdgap: Command, imported: Path) -> None:
    done = kdgap("report", imported, "--figures", "figures")
    assert done.returncode == 0
    assert "Report: theirs/report.html" in done.stderr
    page = (imported / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert {path.suffix for path in Path("figures").iterdir()} == {".png", ".svg", ".pdf"}
    elsewhere = kdgap("report", imported, "--out", "there/page.html", "--smallest-effect", "5")
    assert elsewhere.returncode == 0
    assert "smaller than 5 pp" in Path("there/page.html").read_text()


def test_the_smallest_effect_changes_the_verdict_and_only_it(
    kdgap: Command, imported: Path
) -> None:
    small, large = (
        json.loads(kdgap("analyze", imported, "--smallest-effect", pp, "--json").stdout)
        for pp in (0.1, 5)
    )
    assert small["gains"][0]["p"] == large["gains"][0]["p"]
    assert "small" in [flag["code"] for flag in large["gains"][0]["flags"]]
    assert "small" not in [flag["code"] for flag in small["gains"][0]["flags"]]


def test_a_report_whose_figures_cannot_be_written_is_not_written(
    kdgap: Command, imported: Path
) -> None:
    Path("file").write_text("text")
    done = kdgap("report", imported, "--figures", "file/figures")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (imported / "report.html").exists()
    assert not (imported / "analysis").exists()


def test_a_claims_file_is_part_of_where_numbers_come_from(kdgap: Command, imported: Path) -> None:
    Path("claims.yaml").write_text(CLAIM)
    done = kdgap("analyze", imported, "--claims", "claims.yaml", "--json")
    content = hashlib.sha256(Path("claims.yaml").read_bytes()).hexdigest()
    origin = json.loads(done.stdout)["provenance"]["claims"]
    assert origin == {"name": "claims.yaml", "sha256": content}


def test_what_was_judged_of_an_earlier_import_is_named(
    kdgap: Command, imported: Path, tmp_path: Path
) -> None:
    assert kdgap("report", imported).returncode == 0
    same = kdgap("import", tmp_path / "theirs", "--out", imported)
    assert "earlier import" not in same.stderr
    changed = others_runs(tmp_path / "theirs", lr=0.05)
    done = kdgap("import", changed, "--out", imported)
    assert done.returncode == 0
    assert "still of the earlier import: theirs/report.html, theirs/analysis" in done.stderr


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (56, ["accuracy (%)", "gain in pp [95 %]"]),
        (64, ["accuracy (%)", "gain in pp [95 %]", "verdict"]),
        (72, ["n", "accuracy (%)", "gain in pp [95 %]", "verdict"]),
        # “Holm” and “seeds” stand in a line above.
        (90, ["n", "accuracy (%)", "gain in pp [95 %]", "p", "p", "verdict", "needed"]),
        (130, ["n", "accuracy (%)", "gain in pp [95 %]", "p", "Holm p", "verdict", "seeds needed"]),
    ],
)
def test_the_table_fits_the_terminal(
    kdgap: Command, imported: Path, columns: int, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing.out, "width", columns)
    lines = kdgap("analyze", imported).stdout.splitlines()
    head = next(line for line in lines if "gain in pp" in line)
    titles = [title.strip() for title in re.split(r"┃|\s{2,}", head)]
    assert [title for title in titles if title] == shown
    table = [line for line in lines if line.startswith(("┃", "│", "  ")) or line == head]
    assert max(len(line) for line in table) <= columns
    assert any("+3.07 [" in line for line in table)
    assert any(re.search(r"\bgain\b(?! in)", line) for line in table)


def test_an_import_names_what_is_odd(kdgap: Command, tmp_path: Path) -> None:
    folder = others_runs(tmp_path / "theirs")
    write(folder, "runs/select/x/logit/a0.5_t4/seed0", seed=0, test_acc_best=0.93,
          test_acc_final=0.93, history=history(0.5))  # fmt: skip
    (folder / "runs" / "final" / "torn").mkdir()
    (folder / "runs" / "final" / "torn" / "results.json").write_text('{"model": "res')
    done = kdgap("import", folder, "--out", "theirs")
    assert done.returncode == 0
    assert "duplicate: runs under several paths, each counted once: 1" in done.stderr
    assert "overlap: runs that chose hyper-parameters and are finals: 1" in done.stderr
    assert "unreadable: files that could not be read: 1" in done.stderr
    assert "runs/final/torn/results.json" in done.stderr
    assert "Next: kdgap analyze theirs" in done.stderr
    about = json.loads(kdgap("import", folder, "--out", "theirs", "--json").stdout)
    assert about["files"] == 8


def test_text_in_names_is_inert_everywhere(kdgap: Command, tmp_path: Path) -> None:
    evil = "=<script>alert(1)</script>"
    folder = others_runs(tmp_path / "theirs", model=evil)
    for path in folder.rglob("fidelity.json"):
        path.unlink()
    assert kdgap("import", folder, "--out", "theirs").returncode == 0
    assert kdgap("report", "theirs").returncode == 0
    page = Path("theirs/report.html").read_text()
    assert "<script" not in page
    assert "alert(1)" in page
    for path in Path("theirs/analysis").glob("*.csv"):
        with path.open() as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@"))]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("import",), "SOURCE"),
        (("import", "nowhere"), "no such file or folder"),
        (("import", "theirs"), "holds no results.json"),
        (("import", "file"), "no readable zip"),
        (("analyze", "nowhere"), "no such folder"),
        (("analyze", "empty"), "no study of ours and no import"),
        (("analyze", "theirs", "--claims", "nowhere.yaml"), "cannot read nowhere.yaml"),
        (("analyze", "theirs", "--claims", "c.yaml"), "c.yaml:2: unknown key 'claim'"),
        (("analyze", "theirs", "--claims", "d.yaml"), "d.yaml: claim 'helps', term 1: resnet50"),
        (("report", "theirs", "--claims", "i.yaml"), "i.yaml: claim 'helps': its terms cancel"),
        (("report", "theirs", "--claims", "j.yaml"), "j.yaml:2: claim 'helps': the weights of"),
        (("analyze", "theirs", "--claims", "e.yaml"), "an ablation stands alone"),
        (("analyze", "theirs", "--claims", "f.yaml"), "'helps' is there twice"),
        (("analyze", "theirs", "--claims", "g.yaml"), "says"),
        (("analyze", "theirs", "--claims", "h.yaml"), "weight"),
        (("analyze", "theirs", "--smallest-effect", "0"), "above 0"),
        (("analyze", "theirs", "--smallest-effect", "-1"), "above 0"),
        (("analyze", "theirs", "--smallest-effect", "nan"), "above 0"),
        (("analyze", "theirs", "--out", "file/x"), "cannot read or write file/x:"),
        (("report", "theirs", "--out", "file/x.html"), "cannot read or write file:"),
        (("report", "nowhere"), "no such folder"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    kdgap: Command, imported: Path, words: tuple[str, ...], expected: str
) -> None:
    Path("empty").mkdir()
    Path("file").write_text("text")
    Path("c.yaml").write_text("# comment\nclaim: []\n")
    Path("d.yaml").write_text(CLAIM.replace("resnet18", "resnet81"))
    Path("e.yaml").write_text(
        "claims: [{name: a, text: b, terms: [{weight: 1, ablation: clip}]}]\n"
    )
    Path("f.yaml").write_text(CLAIM + CLAIM.removeprefix("claims:\n"))
    Path("g.yaml").write_text(CLAIM.replace("text:", "says: sideways\n    text:"))
    Path("h.yaml").write_text(CLAIM.replace("weight: 1", "weight: .nan"))
    term = CLAIM.splitlines()[-1]
    Path("i.yaml").write_text(CLAIM + term.replace("weight: 1", "weight: -1") + "\n")
    Path("j.yaml").write_text(CLAIM.replace("text:", "measure: accuracy\n    text:"))
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    done = kdgap(*words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_files_where_everything_failed_are_refused(kdgap: Command, tmp_path: Path) -> None:
    folder = others_runs(tmp_path / "theirs", epochs=100)
    done = kdgap("import", folder, "--out", "failed")
    assert "failed: runs that diverged, are unfinished or were repeated: 6" in done.stderr
    done = kdgap("analyze", "failed")
    assert done.returncode == 2
    assert "no run has a test accuracy yet (6 runs: failed)" in done.stderr
    assert not Path("failed/analysis").exists()


def test_an_import_never_overwrites_something_else(kdgap: Command, tmp_path: Path) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("notes")
    done = kdgap("import", others_runs(tmp_path / "theirs"), "--out", "mine")
    assert (done.returncode, "not empty and no import" in done.stderr) == (2, True)


def test_a_study_of_ours_needs_no_import(kdgap: Command) -> None:
    Path("ours").mkdir()
    Path("ours", PLAN).write_text("{}")
    done = kdgap("import", "ours")
    assert (done.returncode, "no import is needed" in done.stderr) == (2, True)


def test_a_damaged_import_is_named(kdgap: Command, imported: Path) -> None:
    path = ImportedDirectory(imported).path / "runs.jsonl"
    path.write_text(path.read_text().replace("0.93", "0.99"))
    done = kdgap("analyze", imported)
    assert (done.returncode, "changed after the import" in done.stderr) == (4, True)


@pytest.mark.shared_data
@pytest.mark.skipif(not PUBLISHED.exists(), reason="../shared/data/reference_runs is absent")
def test_the_published_claims(kdgap: Command) -> None:
    assert kdgap("import", PUBLISHED, "--out", "published").returncode == 0
    done = kdgap("analyze", "published", "--claims", CLAIMS, "--json")
    assert done.returncode == 0
    analysis = json.loads(done.stdout)
    outcomes = {claim["name"]: claim["outcome"] for claim in analysis["contrasts"]}
    # None of the headline claims survives; the stem does, where there are seeds to show it.
    for name in ("capacity-feature-r50", "capacity-feature-all", "capacity-logit-r50"):
        assert outcomes[name] == "not established"
    assert outcomes["clipping-has-no-effect"] == outcomes["clipping-harms"] == "not established"
    assert outcomes["stem-r18"] == outcomes["stem-r34"] == "established"
    assert all(gain["p_holm"] > 0.05 for gain in analysis["gains"])
    stars = [gain["slot"] for gain in analysis["gains"] if gain["p"] < 0.05]
    assert stars == ["resnet50 → resnet34 feature", "resnet101 → resnet34 feature"]
