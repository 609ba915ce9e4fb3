"""A run directory is another run's, nobody's, unfinished, failed, or finished and verified."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap.errors import BadInputError, KdgapError, StoreDamagedError
from kdgap.files import write_json
from kdgap.store.record import (
    BEST,
    FAILURE,
    HISTORY,
    LAST,
    MANIFEST,
    RESULTS,
    RUN,
    TEST,
    TIMING,
    RunDirectory,
)

HEADER: dict[str, Any] = {"format": 1, "id": "a" * 64, "spec": {}}
EPOCHS: list[dict[str, Any]] = [{"epoch": 1, "val_acc": 0.5}, {"epoch": 2, "val_acc": 0.625}]
RESULT: dict[str, Any] = {"best_val_acc": 0.625, "test_acc_best": 0.6}
TESTED: dict[str, Any] = {"best": {"accuracy": 0.6}}
COMMITTED = (RUN, HISTORY, RESULTS, TEST, BEST, LAST)


def _start(path: Path) -> RunDirectory:
    directory = RunDirectory(path)
    directory.start(HEADER)
    for entry in EPOCHS:
        directory.append_history(entry)
    (path / BEST).write_bytes(b"best weights")
    (path / LAST).write_bytes(b"last weights")
    return directory


@pytest.fixture
def finished(tmp_path: Path) -> RunDirectory:
    directory = _start(tmp_path / "runs" / "one")
    directory.finish(RESULT, TESTED)
    directory.write_timing({"seconds": 1.5})
    return directory


def test_a_finished_run_reads_back_as_it_was_written(finished: RunDirectory) -> None:
    record = finished.read()
    assert record.id == HEADER["id"]
    assert (record.run, record.results, record.test) == (HEADER, RESULT, TESTED)
    assert finished.history() == EPOCHS


def test_a_run_with_a_closed_test_door_has_no_test_record(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    directory.finish({**RESULT, "test_acc_best": None}, None)
    assert directory.read().test is None
    assert not (directory.path / TEST).exists()


def test_no_temporary_file_is_left(finished: RunDirectory) -> None:
    names = {entry.name for entry in finished.path.iterdir()}
    assert names == {*COMMITTED, TIMING, MANIFEST}


def test_results_that_are_not_strict_json_are_never_written(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    with pytest.raises(ValueError, match="not JSON compliant"):
        directory.finish({"best_val_acc": float("nan")}, None)
    assert not directory.is_done()
    assert not (directory.path / RESULTS).exists()


# Verification


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("damage", [_flip, _truncate, _append, Path.unlink])
@pytest.mark.parametrize("name", COMMITTED)
def test_a_damaged_file_is_detected_and_named(
    finished: RunDirectory, name: str, damage: Callable[[Path], object]
) -> None:
    damage(finished.path / name)
    with pytest.raises(StoreDamagedError, match=name) as caught:
        finished.read()
    assert caught.value.exit_code == 4


def test_hand_edited_results_are_detected(finished: RunDirectory) -> None:
    path = finished.path / RESULTS
    path.write_text(path.read_text().replace("0.625", "0.725"))
    with pytest.raises(StoreDamagedError, match="changed after the run was finished"):
        finished.read()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "NaN",
        '{"format": 1}',
        '{"format": 1, "files": 3}',
        "\x00",
        "[" * 9999,
    ],
)
def test_a_damaged_manifest_is_detected(finished: RunDirectory, text: str) -> None:
    (finished.path / MANIFEST).write_text(text)
    with pytest.raises(StoreDamagedError, match=MANIFEST):
        finished.read()


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "notes.txt", TIMING])
def test_a_manifest_cannot_name_other_files(finished: RunDirectory, name: str) -> None:
    manifest = json.loads((finished.path / MANIFEST).read_text())
    manifest["files"][name] = "0" * 64
    (finished.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StoreDamagedError, match="names"):
        finished.read()


@pytest.mark.parametrize("name", [RUN, HISTORY, RESULTS, BEST, LAST])
def test_a_manifest_that_leaves_a_file_out_does_not_vouch_for_it(
    finished: RunDirectory, name: str
) -> None:
    manifest = json.loads((finished.path / MANIFEST).read_text())
    del manifest["files"][name]
    (finished.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StoreDamagedError, match=name):
        finished.read()


def test_a_manifest_of_another_format_is_refused(finished: RunDirectory) -> None:
    manifest = json.loads((finished.path / MANIFEST).read_text())
    (finished.path / MANIFEST).write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(KdgapError, match="format"):
        finished.read()


def test_timing_is_outside_the_promise(finished: RunDirectory) -> None:
    finished.log_opening({"when": "now", "by": "me"})
    finished.log_opening({"when": "later", "by": "me"})
    timing = json.loads((finished.path / TIMING).read_text())
    assert timing["seconds"] == 1.5
    assert [opening["when"] for opening in timing["test_openings"]] == ["now", "later"]
    assert finished.read().results == RESULT


@pytest.mark.parametrize("kept", range(3))
def test_a_crash_while_the_test_door_opens_leaves_the_run_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    directory = _start(tmp_path / "run")
    directory.finish({**RESULT, "test_acc_best": None}, None)
    left = iter(range(kept))

    def dies(path: Path, value: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr("kdgap.store.record.write_json", dies)
        with pytest.raises(KeyboardInterrupt):
            directory.finish(RESULT, TESTED)
    assert directory.read().results["best_val_acc"] == RESULT["best_val_acc"]


# History


def test_a_torn_last_line_of_the_history_is_left_out(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    with (directory.path / HISTORY).open("a") as stream:
        stream.write('{"epoch": 3, "val_')
    assert directory.history() == EPOCHS


def test_a_run_without_an_epoch_has_an_empty_history(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.start(HEADER)
    assert directory.history() == []


# Unfinished and failed


def test_a_failed_run_is_no_finished_run_and_says_why(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.start(HEADER)
    directory.fail({"reason": "diverged", "epoch": 2, "step": 3}, {"seconds": 1})
    assert not directory.is_done()
    assert not (directory.path / RESULTS).exists()
    with pytest.raises(BadInputError, match=r"a failed run \(diverged\)"):
        directory.read()


@pytest.mark.parametrize("text", ["[]", "{", "3"])
def test_a_damaged_failure_record_is_detected(tmp_path: Path, text: str) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.start(HEADER)
    (directory.path / FAILURE).write_text(text)
    with pytest.raises(StoreDamagedError, match=FAILURE):
        directory.read()


def test_an_unfinished_run_is_bad_input_to_a_reader(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    with pytest.raises(BadInputError, match="no finished run"):
        directory.read()


def test_nothing_at_all_is_bad_input_to_a_reader(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no run here"):
        RunDirectory(tmp_path / "nowhere").read()


def test_a_new_attempt_clears_all_that_a_broken_one_left(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    directory.fail({"reason": "diverged"}, {})
    (directory.path / ".tmp-123-results.json").write_text("{")
    (directory.path / "tensorboard").mkdir()
    (directory.path / "tensorboard" / "events.out.tfevents.1").write_bytes(b"old curves")
    directory.start(HEADER)
    left = {p.name for p in directory.path.rglob("*") if p.is_file()}
    assert left == {RUN}
    assert directory.history() == []


# Whose directory it is


def test_a_new_or_empty_directory_is_anybodys(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "new").refuse_other("b" * 64)
    RunDirectory(tmp_path).refuse_other("b" * 64)


def test_the_same_run_may_come_back(finished: RunDirectory) -> None:
    finished.refuse_other(HEADER["id"])


def test_leftovers_of_a_broken_start_are_no_strangers(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1-run.json").write_text("{")
    (tmp_path / HISTORY).write_text("")
    RunDirectory(tmp_path).refuse_other("b" * 64)


def test_another_runs_directory_is_refused(finished: RunDirectory) -> None:
    with pytest.raises(BadInputError, match="another run"):
        finished.refuse_other("b" * 64)


def test_a_folder_of_strangers_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInputError, match=r"thesis\.tex"):
        RunDirectory(tmp_path).refuse_other("b" * 64)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(BadInputError, match="is a file"):
        RunDirectory(tmp_path / "run").refuse_other("b" * 64)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "3", "\x00"])
def test_a_directory_whose_run_cannot_be_told_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN).write_text(text)
    with pytest.raises(StoreDamagedError, match=RUN):
        RunDirectory(tmp_path).refuse_other("b" * 64)


def test_a_directory_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="output_dir"):
        RunDirectory(tmp_path / "file" / "run").start(HEADER)
