"""Documents say what the analysis says, follow the study, and are the same when exported."""

import json
import re
from pathlib import Path

import pytest
from scipy import stats

from kdgap.errors import BadInputError
from kdgap.explorer.documents import arm_document, runs_document, study_document
from kdgap.explorer.export import MARK, export_page
from kdgap.explorer.judged import compare_document
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import take
from kdgap.explorer.watch import Watch, as_json
from kdgap.judge.analysis import analyse
from kdgap.judge.load import load
from tests.judge.test_study_evidence import BASELINE, METHOD, study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return study(tmp_path / "study", BASELINE, METHOD).path


def test_the_study_is_what_the_analysis_says(path: Path) -> None:
    document = study_document(take(path))
    assert document["analysis"] == analyse(load(path))
    assert sum(document["states"].values()) == len(load(path).runs)
    json.dumps(document, allow_nan=False)


def test_an_arm_has_its_runs_and_every_run_its_row(path: Path) -> None:
    snapshot = take(path)
    rows = runs_document(snapshot)["rows"]
    for number, arm in enumerate(snapshot.arms):
        document = arm_document(snapshot, number)
        assert [rows[place][0] for place in document["runs"]] == [run.id for run in arm.runs]
        assert [seed["seed"] for seed in document["seeds"]] == [run.seed for run in arm.runs]
    assert {run_document(snapshot, n)["id"] for n in range(len(rows))} == {row[0] for row in rows}


def test_any_two_arms_are_compared_by_welchs_test(path: Path) -> None:
    snapshot = take(path)
    roles = [arm.slot.role for arm in snapshot.arms]
    first, second = roles.index("final"), roles.index("baseline")
    (found,) = (o for o in compare_document(snapshot, first)["others"] if o["arm"] == second)
    expected = stats.ttest_ind(
        *(list(snapshot.arms[n].by_seed("best").values()) for n in (first, second)),
        equal_var=False,
    )
    assert found["p"] == pytest.approx(expected.pvalue)
    assert found["ci95"] == pytest.approx(list(expected.confidence_interval()))


@pytest.mark.parametrize("make", [arm_document, run_document, compare_document])
@pytest.mark.parametrize("number", [-1, 999])
def test_a_number_that_nothing_has_is_refused(path: Path, make: object, number: int) -> None:
    with pytest.raises(IndexError):
        make(take(path), number)  # type: ignore[operator]


def test_a_change_of_the_study_is_seen_and_an_unreadable_one_is_not(path: Path) -> None:
    watch = Watch(path)
    watch._cost = watch._looked = -1e9
    before = watch.look().version
    plan = json.loads((path / "plan.json").read_text())
    plan["marks"] = ["smoke run"]
    (path / "plan.json").write_text(json.dumps(plan))
    watch._looked = -1e9
    after = watch.look()
    assert after.version != before
    assert b"smoke run" in watch.document("study")
    (path / "plan.json").write_text("{")
    watch._looked = -1e9
    assert watch.look() is after


def test_a_study_that_did_not_change_is_read_once(path: Path) -> None:
    watch = Watch(path)
    first = watch.snapshot
    for _ in range(3):
        watch._looked = watch._cost = -1e9
        assert watch.look() is first
    left = next(iter(path.rglob("manifest.json")))
    content = left.read_bytes()
    left.unlink()
    watch = Watch(path)
    left.write_bytes(content)
    watch._looked = watch._cost = -1e9
    found = watch.look()
    assert found.version == first.version
    assert all(run.state == "done" for run in found.evidence.runs)


def test_a_study_before_its_first_test_is_shown_without_verdicts(tmp_path: Path) -> None:
    path = study(tmp_path / "study", BASELINE, METHOD).path
    for manifest in path.rglob("manifest.json"):
        manifest.unlink()
    document = study_document(take(path))
    assert document["analysis"] is None
    assert document["reason"] == "no run has been tested yet"
    assert "done" not in document["states"]


def test_an_exported_page_holds_the_same_documents(path: Path, tmp_path: Path) -> None:
    snapshot = take(path)
    folder = tmp_path / "page"
    count = export_page(snapshot, folder)
    assert count == sum(file.is_file() for file in folder.rglob("*"))
    for name, document in (
        ("study", study_document(snapshot)),
        ("runs", runs_document(snapshot)),
        ("run/0", run_document(snapshot, 0)),
        ("arm/0", arm_document(snapshot, 0)),
        ("compare/0", compare_document(snapshot, 0)),
    ):
        script = (folder / "data" / f"{name}.js").read_bytes()
        assert script == b"kdgap.receive(" + as_json(name) + b"," + as_json(document) + b");\n"
    page = (folder / "index.html").read_text()
    assert "Content-Security-Policy" in page
    for asked in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (folder / asked).is_file()
    assert (folder / "README.md").read_text().startswith("---\ntitle: ")
    assert export_page(snapshot, folder) == count  # an earlier export may be written over


def test_an_export_never_overwrites_something_else(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    with pytest.raises(BadInputError, match="not empty and no exported page"):
        export_page(take(path), tmp_path / "mine")
    assert not (tmp_path / "mine" / MARK).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="is a file"):
        export_page(take(path), tmp_path / "file")
