"""What a study's directory says about its runs is what is on the disk, wherever it lies."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from kdgap import disk
from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import write_json
from kdgap.spec.identity import configuration_id, run_id, slot_name
from kdgap.store.record import BEST, FAILURE, HISTORY, LAST, RESULTS, RunDirectory
from kdgap.store.study import PLAN, SELECTION, StudyDirectory, study_of
from tests.store import small

SPEC = small.spec("baseline", 0)
PATH = f"runs/{slot_name(SPEC)}/0-{run_id(SPEC)[:8]}"
PLANNED: dict[str, Any] = {
    "format": 2,
    "study": small.asked(),
    "selection_complete": False,
    "winners": [],
    "runs": [
        {
            "id": run_id(SPEC),
            "cell": configuration_id(SPEC, None),
            "path": PATH,
            "seed": 0,
            "teacher": None,
            "roles": ["baseline"],
            "slots": [{"role": "baseline", "teacher": None, "student": "little", "method": "none"}],
        },
    ],
    "open_runs": 0,
    "open_flops": 0.0,
    "notices": [],
}
HEADER = small.header(SPEC)
SHAPE = {"train": 9, "test": 3, "classes": 2, "channels": 1, "image_size": [8, 8]}
DATA = {"name": "digits", "fingerprint": "f", "shape": SHAPE}
RACE = """
import sys
from pathlib import Path
from kdgap.store.study import StudyDirectory
study, mine = StudyDirectory(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
print([study.lock_fact(f"fact{n}", mine) for n in range(50)])
"""


@pytest.fixture
def study(tmp_path: Path) -> StudyDirectory:
    directory = StudyDirectory(tmp_path / "study")
    directory.write(PLAN, PLANNED)
    return directory


def begin(study: StudyDirectory, path: str = PATH) -> RunDirectory:
    directory = study.run(path)
    directory.start(HEADER)
    for epoch in (1, 2):
        directory.append_history({"epoch": epoch, "val_acc": 0.5})
    return directory


def finish(study: StudyDirectory, path: str = PATH) -> RunDirectory:
    directory = begin(study, path)
    for name in (BEST, LAST):
        (directory.path / name).write_bytes(name.encode())
    directory.finish({"best_val_acc": 0.5}, None)
    return directory


# What is locked


def test_who_comes_first_decides_a_fact(study: StudyDirectory) -> None:
    assert study.locked("threads") is None
    assert study.lock_fact("threads", 2) == 2
    assert study.lock_fact("threads", 4) == 2
    assert study.locked("threads") == 2
    assert study.lock_fact("data", DATA) == DATA


def test_a_fact_locked_as_null_or_false_is_locked(study: StudyDirectory) -> None:
    for name, value in (("null", None), ("false", False)):
        study.lock_fact(name, value)
        assert study.lock_fact(name, 1) is value


def test_locking_a_fact_leaves_no_other_file(study: StudyDirectory) -> None:
    for value in (1, 2):
        study.lock_fact("threads", value)
    assert [path.name for path in (study.path / "locked").iterdir()] == ["threads.json"]


def test_two_processes_that_lock_at_once_agree(study: StudyDirectory) -> None:
    processes = [
        Popen(
            [sys.executable, "-c", RACE, str(study.path), name],
            stdin=PIPE,
            stdout=PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1] == str([study.locked(f"fact{n}") for n in range(50)]) + "\n"
    assert len(list((study.path / "locked").iterdir())) == 50


def test_a_runner_that_was_overtaken_while_locking_takes_what_is_there(
    study: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = disk.current.link

    def overtaken(source: Path, target: Path) -> None:
        write_json(target, 8)
        link(source, target)

    monkeypatch.setattr(disk.current, "link", overtaken)
    assert study.lock_fact("threads", 2) == 8
    assert [path.name for path in (study.path / "locked").iterdir()] == ["threads.json"]


def test_a_torn_fact_is_damage_and_is_not_replaced(study: StudyDirectory) -> None:
    study.lock_fact("threads", 2)
    path = study.path / "locked" / "threads.json"
    path.write_text("{")
    for look in (study.locked, lambda name: study.lock_fact(name, 2)):
        with pytest.raises(StoreDamagedError, match=r"threads\.json"):
            look("threads")
    assert path.read_text() == "{"


# Plan and selection


def test_a_file_that_says_the_same_already_is_not_written_again(study: StudyDirectory) -> None:
    value = {"choices": [], "winners": [1, 0.1, None], "name": "é", "pair": (1, 2)}
    study.write(SELECTION, value)
    path = study.path / SELECTION
    before = path.stat()
    study.write(SELECTION, dict(value))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    study.write(SELECTION, {**value, "name": "e"})
    assert study.selection() == {
        "choices": [],
        "winners": [1, 0.1, None],
        "name": "e",
        "pair": [1, 2],
        "format": 2,
    }


@pytest.mark.parametrize("text", ["", "{", "NaN", "\x00"])
def test_a_torn_file_is_written_again(study: StudyDirectory, text: str) -> None:
    (study.path / SELECTION).write_text(text)
    study.write(SELECTION, {"choices": []})
    assert study.selection() == {"choices": [], "format": 2}


def test_there_is_no_selection_before_it_has_ended(study: StudyDirectory) -> None:
    assert study.selection() is None


def test_a_torn_selection_is_damage_and_not_no_selection(study: StudyDirectory) -> None:
    (study.path / SELECTION).write_text('{"choices": [')
    with pytest.raises(StoreDamagedError, match=SELECTION):
        study.selection()


@pytest.mark.parametrize(
    "selection", [{}, {"choices": 3}, {"choices": [3]}, {"choices": [{"tried": 2}]}]
)
def test_a_selection_without_choices_is_damage(study: StudyDirectory, selection: Any) -> None:
    study.write(SELECTION, selection)
    with pytest.raises(StoreDamagedError, match=f"{SELECTION}: choices is missing or damaged"):
        study.selection()


def test_a_folder_without_a_plan_is_no_study(tmp_path: Path) -> None:
    study = StudyDirectory(tmp_path)
    assert not study.exists()
    with pytest.raises(BadInputError, match="no study was run here"):
        study.plan()


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 2}', "null", "{"])
def test_a_damaged_plan_is_named(study: StudyDirectory, text: str) -> None:
    (study.path / PLAN).write_text(text)
    with pytest.raises(StoreDamagedError, match=PLAN):
        study.plan()


@pytest.mark.parametrize("key", sorted(PLANNED.keys() - {"format"}))
@pytest.mark.parametrize("value", [None, "x"])
def test_a_plan_without_a_key_that_readers_need_is_damaged(
    study: StudyDirectory, key: str, value: object
) -> None:
    for plan in (PLANNED | {key: value}, {k: v for k, v in PLANNED.items() if k != key}):
        study.write(PLAN, plan)
        with pytest.raises(StoreDamagedError, match=rf"{PLAN}: {key} is missing or damaged"):
            study.plan()


@pytest.mark.parametrize("odd", [["a"], [{}], [{"code": 3, "text": "x"}], [5], {"code": "x"}])
def test_notices_that_are_none_are_damage(study: StudyDirectory, odd: object) -> None:
    study.write(PLAN, PLANNED | {"notices": odd})
    with pytest.raises(StoreDamagedError, match=f"{PLAN}: notices is missing or damaged"):
        study.plan()


def test_a_plan_of_before_notices_is_read(study: StudyDirectory) -> None:
    old = {key: value for key, value in PLANNED.items() if key != "notices"}
    study.write(PLAN, old | {"warnings": ["one teacher checkpoint a pair: x"], "marks": ["odd"]})
    assert study.plan()["warnings"] == ["one teacher checkpoint a pair: x"]
    study.write(PLAN, old | {"warnings": [{"code": "x"}], "marks": []})
    with pytest.raises(StoreDamagedError, match=f"{PLAN}: warnings is missing or damaged"):
        study.plan()


@pytest.mark.parametrize("run", [PATH, {}, {"id": "a", "path": PATH}])
def test_a_plan_with_a_run_that_is_none_is_damaged(study: StudyDirectory, run: object) -> None:
    study.write(PLAN, PLANNED | {"runs": [*PLANNED["runs"], run]})
    with pytest.raises(StoreDamagedError, match=f"{PLAN}: runs is missing or damaged"):
        study.plan()


# How a run stands


def test_a_run_that_nobody_began_is_new(study: StudyDirectory) -> None:
    assert study.status(PATH).state == "new"
    assert not study.run(PATH).path.exists()


def test_a_run_is_running_while_its_lock_is_held_and_says_by_whom(study: StudyDirectory) -> None:
    lock = study.run(PATH).try_lock()
    assert lock is not None
    with lock:
        assert study.status(PATH).state == "running"
        begin(study)
        status = study.status(PATH)
        assert status.state == "running"
        assert status.remark.startswith("process ")
    assert study.status(PATH).state == "interrupted"


def test_a_lock_taken_and_let_go_before_training_leaves_a_run_new(study: StudyDirectory) -> None:
    lock = study.run(PATH).try_lock()
    assert lock is not None
    lock.release()
    assert study.status(PATH).state == "new"


@pytest.mark.parametrize(
    ("failure", "remark"),
    [
        ({"reason": "diverged", "epoch": 2, "step": 3}, "diverged at step 3 of epoch 2"),
        ({"reason": "out of memory: 3 GiB"}, "out of memory: 3 GiB"),
        ({"reason": "diverged"}, "diverged"),
        ({"why": "diverged"}, "its failure record is damaged"),
    ],
)
def test_a_failed_run_says_why(study: StudyDirectory, failure: Any, remark: str) -> None:
    directory = begin(study)
    directory.fail(failure, {})
    status = study.status(PATH)
    assert (status.state, status.remark) == ("failed", remark)
    (directory.path / FAILURE).write_text("{")
    assert directory.failure() == "its failure record is damaged"


def test_a_failed_run_that_is_tried_again_is_running(study: StudyDirectory) -> None:
    directory = begin(study)
    directory.fail({"reason": "out of memory"}, {})
    lock = directory.try_lock()
    assert lock is not None
    with lock:
        assert study.status(PATH).state == "running"


def test_a_finished_run_is_done_and_its_record_can_be_read(study: StudyDirectory) -> None:
    finish(study)
    assert study.status(PATH).state == "done"
    assert study.status(PATH, verify=False).state == "done"
    assert study.record(PATH).results == {"best_val_acc": 0.5}


def _edit_results(run: Path) -> None:
    path = run / RESULTS
    path.write_text(path.read_text().replace("0.5", "0.9"))


def _truncate_history(run: Path) -> None:
    path = run / HISTORY
    path.write_bytes(path.read_bytes()[:-10])


def _lose_weights(run: Path) -> None:
    (run / LAST).unlink()


@pytest.mark.parametrize(
    ("damage", "named"),
    [(_edit_results, RESULTS), (_truncate_history, HISTORY), (_lose_weights, LAST)],
)
def test_a_finished_run_that_was_changed_is_damaged_and_the_file_named(
    study: StudyDirectory, damage: Callable[[Path], None], named: str
) -> None:
    damage(finish(study).path)
    status = study.status(PATH)
    assert status.state == "damaged"
    assert f"{PATH}/{named}" in status.remark
    with pytest.raises(StoreDamagedError, match=named):
        study.record(PATH)


def test_a_run_directory_that_is_a_symbolic_link_is_damaged(
    study: StudyDirectory, tmp_path: Path
) -> None:
    path = finish(study).path
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    for verify in (True, False):
        status = study.status(PATH, verify=verify)
        assert (status.state, status.remark) == ("damaged", f"{path}: is a symbolic link")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    assert study.status(PATH).state == "damaged"


def test_reading_the_status_changes_nothing(study: StudyDirectory) -> None:
    finish(study)
    begin(study, "runs/logit/seed0-b")
    before = {path: path.stat().st_mtime_ns for path in study.path.rglob("*")}
    for path in (PATH, "runs/logit/seed0-b", "runs/logit/seed0-c"):
        study.status(path)
    assert {path: path.stat().st_mtime_ns for path in study.path.rglob("*")} == before


# What is found


def test_run_directories_are_found_in_order_whether_planned_or_not(
    study: StudyDirectory, tmp_path: Path
) -> None:
    assert study.run_paths() == []
    finish(study, "runs/b/seed1")
    begin(study, "runs/b/seed0")
    lock = study.run("runs/a/seed0").try_lock()
    assert lock is not None
    lock.release()
    (study.path / "runs" / "notes.txt").write_text("")
    (study.path / "runs" / "a" / "mine").mkdir()
    (study.path / "runs" / "a" / "mine" / "notes.txt").write_text("")
    (study.path / "runs" / "a" / "lost").symlink_to(tmp_path / "nowhere")
    there = ["runs/a/lost", "runs/a/seed0", "runs/b/seed0", "runs/b/seed1"]
    assert study.run_paths() == there
    (study.path / "runs" / "c").symlink_to(study.path / "runs" / "b")
    assert study.run_paths() == [*there, "runs/c"]  # named, and not looked into


def test_a_run_knows_its_study_and_a_run_of_its_own_has_none(
    study: StudyDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = finish(study)
    assert study_of(directory.path) == study.path
    monkeypatch.chdir(directory.path.parent)
    assert study_of(Path(directory.path.name)) == study.path
    alone = tmp_path / "runs" / "slot" / "seed0"
    alone.mkdir(parents=True)
    for path in (alone, study.path, Path("/"), Path("/tmp")):
        assert study_of(path) is None
    elsewhere = study.path / "other" / "slot" / "seed0"
    elsewhere.mkdir(parents=True)
    assert study_of(elsewhere) is None


def test_a_study_that_was_moved_reads_as_before(study: StudyDirectory, tmp_path: Path) -> None:
    study.lock_fact("threads", 2)
    finish(study)
    study.write(SELECTION, {"choices": []})
    moved = StudyDirectory(tmp_path / "archive" / "thesis")
    moved.path.parent.mkdir()
    study.path.rename(moved.path)
    assert moved.plan() == PLANNED
    assert moved.run_paths() == [PATH]
    assert moved.status(PATH).state == "done"
    assert moved.record(PATH).id == HEADER["id"]
    assert (moved.locked("threads"), moved.selection()) == (2, {"choices": [], "format": 2})
    assert study_of(moved.run(PATH).path) == moved.path


def test_a_study_is_read_without_torch(study: StudyDirectory) -> None:
    finish(study)
    script = (
        "import sys; from pathlib import Path; from kdgap.store.study import StudyDirectory;"
        "study = StudyDirectory(Path(sys.argv[1]));"
        "print(study.status(sys.argv[2]).state, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(study.path), PATH]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "done False\n"
    assert json.loads((study.path / PLAN).read_text())["format"] == 2
