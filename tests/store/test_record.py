"""A run directory is another run's, nobody's, unfinished, failed, or finished and verified."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap import disk
from kdgap.errors import BadInputError, KdgapError, StoreDamagedError
from kdgap.store.manifest import verified
from kdgap.store.notices import ELSEWHERE, SMOKE, in_record
from kdgap.store.record import (
    ATTEMPTS,
    BEST,
    FAILURE,
    HISTORY,
    LAST,
    LOCK,
    MANIFEST,
    PREDICTIONS_TEST,
    PREDICTIONS_VAL,
    RESULTS,
    RUN,
    TEST,
    TIMING,
    RunDirectory,
)
from kdgap.store.schema.gate import Manifest
from kdgap.store.seal import read_sealed, write_sealed
from kdgap.store.state import StateFiles
from tests.store import small

HEADER: dict[str, Any] = small.header(small.spec("baseline", 0))
EPOCHS: list[dict[str, Any]] = [{"epoch": 1, "val_acc": 0.5}, {"epoch": 2, "val_acc": 0.625}]
RESULT: dict[str, Any] = {"best_val_acc": 0.625, "test_acc_best": 0.6}
TESTED: dict[str, Any] = {"best": {"accuracy": 0.6}}
BEGAN = {"began": "today", "from": [0, 0]}
PREDICTED = {PREDICTIONS_VAL: b"of validation images", PREDICTIONS_TEST: b"of test images"}
COMMITTED = (RUN, HISTORY, RESULTS, TEST, BEST, LAST, *PREDICTED)


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
    directory.finish(RESULT, TESTED, PREDICTED)
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
    write_sealed(finished.path / MANIFEST, manifest)
    with pytest.raises(StoreDamagedError, match="names"):
        finished.read()


@pytest.mark.parametrize("name", [RUN, HISTORY, RESULTS, BEST, LAST])
def test_a_manifest_that_leaves_a_file_out_does_not_vouch_for_it(
    finished: RunDirectory, name: str
) -> None:
    manifest = json.loads((finished.path / MANIFEST).read_text())
    del manifest["files"][name]
    write_sealed(finished.path / MANIFEST, manifest)
    with pytest.raises(StoreDamagedError, match=name):
        finished.read()


def test_a_manifest_of_another_format_is_refused(finished: RunDirectory) -> None:
    manifest = read_sealed(finished.path / MANIFEST)
    (finished.path / MANIFEST).write_text(json.dumps(manifest | {"format": 3}))
    with pytest.raises(KdgapError, match="format"):
        finished.read()


def test_timing_is_outside_the_promise(finished: RunDirectory) -> None:
    finished.log_opening({"when": "now", "by": "me"})
    finished.log_opening({"when": "later", "by": "me"})
    timing = json.loads((finished.path / TIMING).read_text())
    assert timing["seconds"] == 1.5
    assert [opening["when"] for opening in timing["test_openings"]] == ["now", "later"]
    assert finished.read().results == RESULT


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kept", range(4))
def test_a_crash_while_the_test_door_opens_leaves_the_run_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, again: bool
) -> None:
    directory = _start(tmp_path / "run")
    directory.finish({**RESULT, "test_acc_best": None}, None)
    if again:
        directory.finish(RESULT, TESTED)
    left, rename = iter(range(kept)), disk.current.rename

    def dies(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        rename(source, target)

    more = {**TESTED, "baseline": {"run_id": "1"}} if again else TESTED
    with monkeypatch.context() as patch:
        patch.setattr(disk.current, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            directory.finish(RESULT, more)
    record = directory.read()
    assert record.results["best_val_acc"] == RESULT["best_val_acc"]
    assert record.test is not None or not again
    assert record.settled or not record.tested  # so that whoever opens doors finishes this one
    directory.finish(RESULT, more)
    assert directory.read().test == more
    calm = _start(tmp_path / "calm")
    calm.finish(RESULT, more)
    assert (directory.path / MANIFEST).read_bytes() == (calm.path / MANIFEST).read_bytes()


def test_weights_are_dropped_of_a_run_whose_door_is_half_open(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, left = disk.current.rename, iter(range(1))

    def dies(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(disk.current, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            finished.finish({**RESULT, "epochs": 2}, {**TESTED, "baseline": {"run_id": "1"}})
    assert not finished.read().settled
    finished.drop_weights()
    assert finished.read().results == RESULT


def test_an_opening_vouches_for_nothing_that_it_did_not_write(finished: RunDirectory) -> None:
    (finished.path / BEST).write_bytes(b"rotten")
    finished.finish(RESULT, TESTED)
    with pytest.raises(StoreDamagedError, match=BEST):
        finished.read()


def test_what_changes_on_the_disk_while_a_run_is_trained_is_not_committed(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    for name in (RUN, HISTORY):
        path = directory.path / name
        path.write_text(path.read_text().replace("0.5", "0.9"))
    (directory.path / RUN).write_text("{}")
    directory.finish(RESULT, TESTED)
    assert directory.read().run == HEADER
    assert directory.history() == EPOCHS


@pytest.mark.parametrize("name", [RUN, HISTORY, BEST, LAST])
def test_opening_the_door_vouches_for_no_file_that_was_changed_since(
    tmp_path: Path, name: str
) -> None:
    directory = _start(tmp_path / "run")
    directory.finish({**RESULT, "test_acc_best": None}, None)
    with (directory.path / name).open("ab") as stream:
        stream.write(b" ")
    RunDirectory(directory.path).finish(RESULT, TESTED)
    with pytest.raises(StoreDamagedError, match=name):
        directory.read()


def test_results_that_were_changed_are_not_replaced(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    directory.finish({**RESULT, "test_acc_best": None}, None)
    (directory.path / RESULTS).write_text("{}")
    with pytest.raises(StoreDamagedError, match=RESULTS):
        RunDirectory(directory.path).finish(RESULT, TESTED)


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
    with pytest.raises(BadInputError, match=r"a failed run \(diverged at step 3 of epoch 2\)"):
        directory.read()


@pytest.mark.parametrize("text", ["[]", "{", "3"])
def test_a_damaged_failure_record_is_detected(tmp_path: Path, text: str) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.start(HEADER)
    (directory.path / FAILURE).write_text(text)
    assert directory.failure() == "its failure record is damaged"
    with pytest.raises(BadInputError, match="its failure record is damaged"):
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
        RunDirectory(tmp_path / "file" / "run").try_lock()


# Weights that are dropped


def _drop_dies_at(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, unlinked: int | None
) -> None:
    """Drop weights and die after so many were deleted; None = before the manifest is written."""
    unlink, left = disk.current.unlink, iter(range(unlinked or 0))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    def dying_unlink(path: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as patch:
        if unlinked is None:
            patch.setattr("kdgap.store.record.write_json", dies)
        patch.setattr(disk.current, "unlink", dying_unlink)
        with pytest.raises(KeyboardInterrupt):
            directory.drop_weights()


def test_a_run_without_its_weights_still_verifies_and_names_their_hashes(
    finished: RunDirectory,
) -> None:
    before = json.loads((finished.path / MANIFEST).read_text())
    record = finished.read()
    finished.drop_weights()
    assert not finished.has_weights()
    assert finished.read() == finished.read(hash_weights=False) == record
    manifest = json.loads((finished.path / MANIFEST).read_text())
    assert manifest["files"] | manifest["dropped"] == before["files"]
    assert set(manifest["dropped"]) == {BEST, LAST}


def test_dropping_weights_that_are_gone_changes_nothing(finished: RunDirectory) -> None:
    finished.drop_weights()
    before = (finished.path / MANIFEST).read_bytes()
    finished.drop_weights()
    assert (finished.path / MANIFEST).read_bytes() == before
    assert finished.read().id == HEADER["id"]


@pytest.mark.parametrize("unlinked", [None, 0, 1])
def test_a_crash_while_weights_are_dropped_leaves_a_valid_run(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch, unlinked: int | None
) -> None:
    record = finished.read()
    _drop_dies_at(finished, monkeypatch, unlinked)
    assert finished.has_weights()
    assert finished.read() == finished.read(hash_weights=False) == record


@pytest.mark.parametrize("name", [RUN, HISTORY, RESULTS, TEST])
def test_the_rest_of_a_run_without_weights_is_still_verified(
    finished: RunDirectory, name: str
) -> None:
    finished.drop_weights()
    _flip(finished.path / name)
    with pytest.raises(StoreDamagedError, match=name):
        finished.read()


@pytest.mark.parametrize("name", [RUN, HISTORY, RESULTS])
def test_only_weights_can_be_dropped(finished: RunDirectory, name: str) -> None:
    manifest = json.loads((finished.path / MANIFEST).read_text())
    manifest["dropped"] = {name: manifest["files"].pop(name)}
    write_sealed(finished.path / MANIFEST, manifest)
    with pytest.raises(StoreDamagedError, match=f"does not vouch for {name}"):
        finished.read()


@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_quick_look_misses_no_weights_file_and_hashes_none(
    finished: RunDirectory, name: str
) -> None:
    _flip(finished.path / name)
    finished.read(hash_weights=False)
    with pytest.raises(StoreDamagedError, match=name):
        finished.read()
    (finished.path / name).unlink()
    with pytest.raises(StoreDamagedError, match=name):
        finished.read(hash_weights=False)


def test_a_quick_look_hashes_everything_but_weights(finished: RunDirectory) -> None:
    for name in (RUN, HISTORY, RESULTS, TEST):
        content = (finished.path / name).read_bytes()
        _flip(finished.path / name)
        with pytest.raises(StoreDamagedError, match=name):
            finished.read(hash_weights=False)
        (finished.path / name).write_bytes(content)
    finished.read(hash_weights=False)


def test_a_run_directory_that_is_a_symbolic_link_is_no_record(
    finished: RunDirectory, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(finished.path)
    with pytest.raises(StoreDamagedError, match="symbolic link"):
        RunDirectory(link).read()
    with pytest.raises(BadInputError, match="symbolic link"):
        RunDirectory(link).refuse_other(HEADER["id"])


# Notices


def test_a_notice_is_added_once_behind_the_others(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.start({**HEADER, **in_record([SMOKE])})
    for notice in (ELSEWHERE, SMOKE, ELSEWHERE):
        directory.add_notice(notice)
    assert directory.header() == {**HEADER, **in_record([SMOKE, ELSEWHERE])}


def test_a_notice_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.start({**HEADER, **in_record([SMOKE])})
    before = (directory.path / RUN).stat().st_ino
    directory.add_notice(SMOKE)
    assert (directory.path / RUN).stat().st_ino == before


# Going on


def test_going_on_keeps_the_header_and_sets_the_history_back_to_the_state(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    header = (directory.path / RUN).read_bytes()
    with (directory.path / HISTORY).open("a") as stream:
        stream.write('{"epoch": 3, "val_')
    directory.start({**HEADER, "environment": {"of": "today"}}, EPOCHS[:1])
    assert (directory.path / RUN).read_bytes() == header
    assert directory.history() == EPOCHS[:1]
    directory.append_history(EPOCHS[1])
    assert (directory.path / HISTORY).read_text() == "".join(
        json.dumps(entry) + "\n" for entry in EPOCHS
    )


def test_going_on_without_a_header_writes_it(tmp_path: Path) -> None:
    directory = _start(tmp_path / "run")
    (directory.path / RUN).unlink()
    directory.start(HEADER, EPOCHS)
    assert directory.header() == HEADER


@pytest.mark.parametrize("resumed", [[], EPOCHS])
def test_states_attempts_and_the_lock_outlive_a_new_start_and_nothing_else(
    tmp_path: Path, resumed: list[dict[str, Any]]
) -> None:
    directory = _start(tmp_path / "run")
    directory.note_attempt(BEGAN)
    kept = [LOCK, "state-000001.json", "state-000001.safetensors"]
    for name in (*kept, FAILURE, RESULTS, TIMING, TEST, ".tmp-3-run.json"):
        (directory.path / name).write_text("{}")
    directory.start({**HEADER, "second": True}, resumed)
    left = {path.name for path in directory.path.iterdir()}
    assert left == {*kept, ATTEMPTS, RUN, *([HISTORY] if resumed else [])}
    assert directory.attempts() == [BEGAN]
    assert ("second" in json.loads((directory.path / RUN).read_text())) is not bool(resumed)


def test_a_run_that_was_never_tried_has_no_attempts(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path).attempts() == []


def test_a_torn_attempt_is_left_out_and_those_after_it_are_whole(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    first, second = BEGAN, {"ended": "failed", "reason": "é"}
    directory.note_attempt(first)
    with (tmp_path / ATTEMPTS).open("ab") as stream:
        stream.write(b'{"began": "\xc3')
    directory.note_attempt(second)
    directory.note_attempt(first)
    assert directory.attempts() == [first, second, first]


def test_a_run_directory_has_one_trainer_at_a_time(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "new" / "run")
    lock = directory.try_lock()
    assert lock is not None
    assert RunDirectory(directory.path).try_lock() is None
    lock.release()
    again = directory.try_lock()
    assert again is not None
    again.release()


def test_weights_are_dropped_to_the_end_after_a_crash_between(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(disk.current, "unlink", dies)
        with pytest.raises(KeyboardInterrupt):
            finished.drop_weights()
    assert finished.has_weights()
    finished.read()
    finished.drop_weights()
    assert not finished.has_weights()
    finished.read()


def test_a_reader_that_meets_another_process_at_work_reads_again(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = [True]

    def overtaken(folder: Path, manifest: Manifest, *, hash_weights: bool) -> dict[str, bytes]:
        if once:
            once.clear()
            finished.drop_weights()  # between reading the manifest and looking at the files
        return verified(folder, manifest, hash_weights=hash_weights)

    monkeypatch.setattr("kdgap.store.record.verified", overtaken)
    assert finished.read(hash_weights=False).results == RESULT


def test_files_that_only_look_like_ours_are_somebody_elses(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for name in ("state-machine.json", "state-of-the-art.safetensors"):
        (tmp_path / name).write_text("years of work")
        with pytest.raises(BadInputError, match="no run of ours"):
            directory.refuse_other("a" * 64)
        StateFiles(tmp_path, "a" * 64).clear()
        assert (tmp_path / name).exists()
