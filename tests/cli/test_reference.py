"""`--reference` and a claims file's: an import's methods against one of them, in every output."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kdgap as library
from tests.cli.test_judging import CLAIM, others_runs
from tests.store.foreign_files import history, write

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
FEATURE = [0.95, 0.962, 0.955]


@pytest.fixture
def imported(kdgap: Command, tmp_path: Path) -> Path:
    """An import of one pair with Logit-KD and Feature-KD."""
    folder = others_runs(tmp_path / "theirs")
    for seed, accuracy in enumerate(FEATURE):
        scores = {"test_acc_best": accuracy, "test_acc_final": accuracy}
        place = f"runs/final/r50_to_r18_feature/seed{seed}"
        write(folder, place, kd_type="feature", seed=seed, **scores)
    assert kdgap("import", folder, "--out", "theirs").returncode == 0
    return Path("theirs")


def analysis_of(imported: Path) -> Any:
    return json.loads((imported / "analysis" / "analysis.json").read_text())


def rows_of(imported: Path, name: str) -> list[dict[str, str]]:
    with (imported / "analysis" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_an_import_is_compared_with_a_method_of_it(kdgap: Command, imported: Path) -> None:
    done = kdgap("analyze", imported, "--reference", "logit")
    assert done.returncode == 0
    assert "Over Logit-KD: 1 gain." in done.stdout
    assert "Next: kdgap report theirs --reference logit" in done.stderr
    analysis = analysis_of(imported)
    (entry,) = analysis["reference_gains"]
    assert (entry["method"], entry["n"], entry["n_reference"]) == ("feature", 3, 3)
    assert entry["gain_pp"] == pytest.approx(100 * (sum(FEATURE) - 2.807) / 3)
    expected = {"method": "logit", "label": "Logit-KD", "gains_in_family": 1}
    assert analysis["settings"]["reference"] == expected
    assert not [flag for flag in analysis["flags"] if flag["code"].startswith("post-hoc")]
    (row,) = rows_of(imported, "reference_gains")
    assert float(row["gain_pp"]) == entry["gain_pp"]
    tables = (imported / "analysis" / "tables.md").read_text()
    assert "## Gains over Logit-KD" in tables
    assert "| Over Logit-KD |" in tables
    assert "the reference |" in tables
    assert "Gains over Logit-KD" in (imported / "analysis" / "tables.tex").read_text()
    kinds = [row["kind"] for row in rows_of(imported, "sensitivity")]
    assert "reference_gain" in kinds


def test_a_later_analysis_without_a_reference_leaves_no_row_of_it(
    kdgap: Command, imported: Path
) -> None:
    kdgap("analyze", imported)
    plain = analysis_of(imported)
    names = {path.name for path in (imported / "analysis").iterdir()}
    assert "reference_gains.csv" not in names
    kdgap("analyze", imported, "--reference", "logit")
    assert analysis_of(imported)["gains"] == plain["gains"]
    kdgap("analyze", imported)
    assert analysis_of(imported) == plain
    assert rows_of(imported, "reference_gains") == []


def test_a_claims_file_may_name_the_reference(kdgap: Command, imported: Path) -> None:
    claims = Path("claims.yaml")
    claims.write_text(CLAIM + "statistics: {reference: logit}\n")
    assert kdgap("analyze", imported, "--claims", claims).returncode == 0
    assert len(analysis_of(imported)["reference_gains"]) == 1
    evidence = library.load(imported)
    by_file = library.analyse(evidence, claims=claims)
    by_name = library.analyse(evidence, reference="logit")
    assert by_file.reference_gains == by_name.reference_gains


def test_an_unknown_reference_is_one_line_that_says_where_it_stands(
    kdgap: Command, imported: Path
) -> None:
    known = "reference 'logti' is no method of these runs (did you mean 'logit'?); they have"
    claims = Path("claims.yaml")
    claims.write_text(CLAIM + "statistics: {reference: logti}\n")
    for words, place in (
        (("--reference", "logti"), "--reference"),
        (("--claims", "claims.yaml"), "claims.yaml"),
    ):
        for name in ("analyze", "report"):
            done = kdgap(name, imported, *words)
            assert done.returncode == 2
            assert done.stderr.splitlines() == [f"error: {place}: {known} feature, logit"]


def test_a_report_has_the_reference(kdgap: Command, imported: Path) -> None:
    assert kdgap("report", imported, "--reference", "logit").returncode == 0
    page = (imported / "report.html").read_text()
    assert "Every gain over Logit-KD" in page
    assert "Feature-KD over Logit-KD in resnet50 → resnet18:" in page
    assert kdgap("report", imported).returncode == 0
    assert "over Logit-KD" not in (imported / "report.html").read_text()


@pytest.fixture
def named(kdgap: Command, tmp_path: Path) -> Path:
    """An import of two arms of one method, under names that their study gave."""
    folder = others_runs(tmp_path / "ours")
    for number, name in enumerate(("kd", "lskd", "dist")):
        for seed, accuracy in enumerate(FEATURE):
            score = accuracy - number / 1000
            own = {"study_method": name} if number < 2 else {"kd_type": "dist"}
            epochs = history((seed + 1) / 10 + number / 50)
            scores = {"test_acc_best": score, "test_acc_final": score, "history": epochs}
            place = f"runs/final/r50_to_r18_{name}/seed{seed}"
            keys = {"kd_type": "logit", "alpha": 0.1 + number / 10} | own
            write(folder, place, seed=seed, **scores, **keys)
    for path in (folder / "runs" / "final").glob("*_logit/*/*.json"):
        path.unlink()
    assert kdgap("import", folder, "--out", "named").returncode == 0
    return Path("named")


@pytest.mark.parametrize("command", ["analyze", "report", "explore"])
def test_a_reference_that_is_the_method_of_several_arms_is_refused_by_all(
    kdgap: Command, named: Path, command: str
) -> None:
    claims = Path("claims.yaml")
    claims.write_text(CLAIM.replace("logit", "lskd") + "statistics: {reference: logit}\n")
    words = ["--claims", "claims.yaml"]
    words += ["--export", "page"] if command == "explore" else []
    choose = "reference 'logit' is the method of 2 arms of these runs; name one of them: kd, lskd"
    done = kdgap(command, named, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(choose)
    assert not Path("page").exists()
    assert not (named / "analysis").exists()
    if command != "explore":
        done = kdgap(command, named, "--reference", "logit")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [f"error: --reference: {choose}"]
        done = kdgap(command, named, "--reference", "lsk")
        assert "(did you mean 'lskd'?); they have" in done.stderr
        assert done.returncode == 2


def test_a_name_of_the_study_holds_in_every_output(kdgap: Command, named: Path) -> None:
    assert kdgap("report", named, "--reference", "kd", "--figures", "figures").returncode == 0
    folder = named / "analysis"
    for name in ("tables.md", "tables.tex"):
        assert "lskd" in (folder / name).read_text()
    for name in ("gains", "runs", "reference_gains", "sensitivity"):
        assert "lskd" in (folder / f"{name}.csv").read_text()
    assert analysis_of(named)["settings"]["reference"]["label"] == "kd"
    assert "lskd over kd in resnet50" in (named / "report.html").read_text()
    assert "lskd" in (Path("figures") / "gains.svg").read_text()
    evidence = library.load(named)
    frame = library.gains_frame(library.analyse(evidence, reference="kd"))
    assert {"kd", "lskd"} < set(frame["method"])
    assert {"kd", "lskd"} < set(library.runs_frame(evidence)["method"])
    assert kdgap("explore", named, "--export", "page").returncode == 0
    (study,) = Path("page").glob("*/data/study.js")
    assert '"label":"lskd"' in study.read_text()
    done = kdgap("analyze", named, "--reference", "dist")
    assert "Over DIST" in done.stdout
