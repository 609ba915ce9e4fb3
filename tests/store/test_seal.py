"""The typed gate and the seals: what is read is what was written, or named, or passed over."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import StoreDamagedError
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import take
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.store.progress import live, survey
from kdgap.store.record import RunDirectory
from kdgap.store.seal import read_sealed, sealed, write_sealed
from kdgap.store.study import StudyDirectory
from kdgap.study.inventory import spent_attempts
from tests.judge.test_study_evidence import BASELINE, METHOD, study
from tests.report.result_files import write_finals

VALUES: list[Any] = [None, True, 0, -0.0, 1e-300, 2**60, "é\u2028", [1, [2.5, {}]], {"b": {}}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_was_sealed_reads_back(tmp_path: Path, value: Any) -> None:
    write_sealed(tmp_path / "x.json", {"it": value})
    assert read_sealed(tmp_path / "x.json") == {"it": value, "format": 2}


@pytest.mark.parametrize(
    "content",
    [
        {**sealed({"a": 1}), "a": 2},
        {**sealed({"a": 1}), "b": 2},
        {key: value for key, value in sealed({"a": 1}).items() if key != "checksum"},
        {**sealed({"a": 1}), "format": 1},
        {**sealed({"a": 1}), "checksum": None},
        {"a": 1, "format": 3},
        {"a": 1, "format": "2"},
        [],
        None,
    ],
)
def test_what_was_changed_is_named(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StoreDamagedError, match=r"x\.json"):
        read_sealed(path)


@pytest.mark.parametrize("content", [{"a": 1}, {"a": 1, "format": 1}])
def test_what_was_written_before_seals_is_read(tmp_path: Path, content: Any) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert read_sealed(tmp_path / "x.json") == content


# What is outside every promise


@pytest.mark.parametrize(
    "line",
    [
        "7",
        "[]",
        "{}",
        '{"began": "x"}',
        '{"began": "x", "from": null}',
        '{"began": "x", "from": ["0", 0]}',
        '{"began": "x", "from": [0]}',
        '{"began": "x", "from": [-1, 0]}',
        '{"began": 3, "from": [0, 0]}',
        '{"ended": ["failed"]}',
        '{"ended": "perhaps"}',
        "[" * 5000,
        "\x00",
    ],
)
def test_an_odd_attempt_is_passed_over_and_named(tmp_path: Path, line: str) -> None:
    directory = RunDirectory(tmp_path)
    whole = {"began": "x", "from": [0, 0], "of": "a newer version"}
    directory.note_attempt(whole)
    with (tmp_path / "attempts.jsonl").open("a") as stream:
        stream.write(line + "\n")
    directory.note_attempt({"ended": "failed"})
    assert directory.attempts() == [whole, {"ended": "failed"}]
    assert spent_attempts(directory.attempts()) == 1
    (remark,) = directory.passed_over()
    assert "attempts.jsonl: 1 lines are none of ours" in remark


STEP = {"epoch": 1, "epochs": 2, "step": 3, "steps": 9}


@pytest.mark.parametrize(
    "change",
    [
        {"when": "now"},
        {"when": None},
        {"when": 4e12},
        {"when": -1e300},
        {"pid": "1"},
        {"host": 7},
        {"phase": []},
        {"runs": 7},
        {"runs": {"a": 7}},
        {"runs": {"a": {**STEP, "epochs": 0}}},
        {"runs": {"a": {**STEP, "step": "3"}}},
        {"runs": [7]},
    ],
)
def test_an_odd_live_file_is_not_live_and_named(tmp_path: Path, change: dict[str, Any]) -> None:
    directory = study(tmp_path, BASELINE, METHOD)
    (tmp_path / "live").mkdir()
    whole = {"pid": 1, "host": "h", "when": time.time(), "phase": "training", "runs": {"a": STEP}}
    (tmp_path / "live" / "h-1.json").write_text(json.dumps(whole))
    (tmp_path / "live" / "h-2.json").write_text(json.dumps(whole | change))
    assert live(tmp_path) == [whole]
    named = [note for note in survey(directory).notes if "h-2.json" in note]
    assert len(named) == (0 if change == {"when": -1e300} else 1)  # else it is only old


@pytest.mark.parametrize("text", ["[]", "7", "{", '{"test_openings": 3}', '{"seconds": "long"}'])
def test_odd_times_are_passed_over_and_named(tmp_path: Path, text: str) -> None:
    directory = RunDirectory(tmp_path)
    (tmp_path / "timing.json").write_text(text)
    assert directory.timing() is None
    assert "timing.json" in directory.passed_over()[0]
    directory.log_opening({"when": "now", "by": "me"})
    assert directory.timing() == {"test_openings": [{"when": "now", "by": "me"}]}


@pytest.mark.parametrize("text", ["[]", "7", "{", '{"files": 3}', '{"reason": 3}', '"a"'])
@pytest.mark.parametrize(
    "name", ["run.json", "timing.json", "failure.json", "manifest.json", "attempts.jsonl"]
)
def test_the_page_of_a_run_is_shown_whatever_its_files_hold(
    tmp_path: Path, name: str, text: str
) -> None:
    directory = study(tmp_path, BASELINE[:2], METHOD[:2])
    (tmp_path / directory.plan()["runs"][0]["path"] / name).write_text(text)
    document = run_document(take(tmp_path), 0)
    assert document["state"] == ("damaged" if name in ("run.json", "manifest.json") else "done")
    json.dumps(document, allow_nan=False)


# What is promised


@pytest.mark.parametrize("name", ["threads", "data", "data-32", "teacher-big", "format"])
@pytest.mark.parametrize("value", [None, "x", 0, -1, 1.5, True, [], {}, {"fingerprint": 3}])
def test_a_fact_of_another_type_is_damage(tmp_path: Path, name: str, value: Any) -> None:
    directory = StudyDirectory(tmp_path)
    (tmp_path / "locked").mkdir()
    for content in (value, sealed({"name": name, "value": value})):
        (tmp_path / "locked" / f"{name}.json").write_text(json.dumps(content))
        with pytest.raises(StoreDamagedError, match=f"{name}.json"):
            directory.locked(name)


def test_a_fact_under_another_name_is_damage(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path)
    directory.lock_fact("teacher-big", "a" * 64)
    folder = tmp_path / "locked"
    (folder / "teacher-huge.json").write_bytes((folder / "teacher-big.json").read_bytes())
    with pytest.raises(StoreDamagedError, match="of another name"):
        directory.locked("teacher-huge")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("models", []),
        ("findings", [7]),
        ("findings", [{}]),
        ("source", "x"),
        ("name", 7),
    ],
)
@pytest.mark.parametrize("seal", [True, False])
def test_an_import_of_other_types_is_damage(
    tmp_path: Path, key: str, value: Any, seal: bool
) -> None:
    write_finals(tmp_path / "files")
    directory = ImportedDirectory(tmp_path / "import")
    about, runs = import_runs(tmp_path / "files", "theirs")
    directory.write(about, runs)
    path = directory.path / "import.json"
    content = read_sealed(path) | {key: value}
    path.write_text(json.dumps(sealed(content) if seal else content | {"format": 1}))
    with pytest.raises(StoreDamagedError, match=f"import.json: {key}"):
        directory.read()


@pytest.mark.parametrize(
    ("key", "value"), [("slots", [7]), ("seed", "x"), ("test", None), ("history", {}), ("state", 1)]
)
def test_a_line_of_an_import_of_other_types_is_damage(tmp_path: Path, key: str, value: Any) -> None:
    write_finals(tmp_path / "files")
    directory = ImportedDirectory(tmp_path / "import")
    about, runs = import_runs(tmp_path / "files", "theirs")
    directory.write(about, [*runs[:-1], runs[-1] | {key: value}])
    with pytest.raises(StoreDamagedError, match=f"runs.jsonl: {key}"):
        directory.read()
