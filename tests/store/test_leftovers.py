"""A study is tidied of what nobody owns, while others may be at work in it, and of nothing else."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgap import disk
from kdgap.files import machine, temporary_beside
from kdgap.store.leftovers import tidy_study
from kdgap.store.record import RunDirectory
from kdgap.store.study import StudyDirectory
from tests.judge.test_study_evidence import BASELINE, METHOD, study

HEX = "0123456789abcdef"


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    finished = study(tmp_path / "study", BASELINE, METHOD)
    (finished.path / "live").mkdir()
    (finished.path / "locked").mkdir(exist_ok=True)
    return finished


@pytest.fixture(scope="module")
def ended() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def tree(path: Path) -> dict[str, bytes]:
    files = {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return files | {str(p.relative_to(path)): b"" for p in path.rglob("*") if p.is_dir()}


def run_of(directory: StudyDirectory, number: int = 0) -> RunDirectory:
    return directory.run(directory.plan()["runs"][number]["path"])


def unfinished(directory: StudyDirectory) -> RunDirectory:
    """Make the first run one in training, with a whole state."""
    run = run_of(directory)
    (run.path / "manifest.json").unlink()
    for name in ("state-000007.json", "state-000007.safetensors"):
        (run.path / name).write_text("whole")
    return run


def leave_temporaries(directory: StudyDirectory, ended: int) -> int:
    places = ("", "locked", "live", "analysis", directory.plan()["runs"][0]["path"])
    for place in places:
        (directory.path / place).mkdir(exist_ok=True)
        (directory.path / place / f".tmp-{machine()}-{ended}-{HEX}").write_text("torn")
    return len(places)


def leave_live(directory: StudyDirectory, ended: int) -> int:
    endings = ("json", "left", "new")
    for ending in endings:
        (directory.path / "live" / f"{machine()}-{ended}.{ending}").write_text("{")
    return len(endings)


def leave_loose_tensors(directory: StudyDirectory, ended: int) -> int:
    run = unfinished(directory)
    for number in (6, 8):
        (run.path / f"state-{number:06d}.safetensors").write_text("loose")
    return 2


def leave_states_of_finished(directory: StudyDirectory, ended: int) -> int:
    run = run_of(directory)
    for name in ("state-000007.json", "state-000007.safetensors", "state-000006.safetensors"):
        (run.path / name).write_text("over")
    return 3


def leave_empty_slot(directory: StudyDirectory, ended: int) -> int:
    (directory.path / "runs" / "old").mkdir()
    return 1


def leave_half_made_runs(directory: StudyDirectory, ended: int) -> int:
    for name, files in (("0-aa", ()), ("1-bb", (".lock",)), ("2-cc", (".lock", "tmp"))):
        run = directory.path / "runs" / "old" / name
        run.mkdir(parents=True)
        for file in files:
            known = f".tmp-{machine()}-{ended}-{HEX}" if file == "tmp" else file
            (run / known).write_text("")
    return 5  # three of them, one temporary file, and their slot


Leave = Callable[[StudyDirectory, int], int]


@pytest.mark.parametrize(
    "leave",
    [
        *(leave_temporaries, leave_live, leave_loose_tensors, leave_states_of_finished),
        *(leave_empty_slot, leave_half_made_runs),
    ],
)
def test_what_nobody_owns_goes_and_is_counted(
    directory: StudyDirectory, ended: int, leave: Leave
) -> None:
    before = tree(directory.path)
    count = leave(directory, ended)
    kept = {name: b for name, b in tree(directory.path).items() if b == b"whole"}
    gone = {name: b for name, b in before.items() if not (directory.path / name).exists()}
    left = {name: b for name, b in before.items() if name not in gone}
    assert tidy_study(directory) == count
    contents = {n: b for n, b in tree(directory.path).items() if n != "analysis"}
    assert {n: b for n, b in contents.items() if not n.endswith(".lock")} == left | kept
    assert tidy_study(directory) == 0


HOLD = """
import sys, pathlib
from kdgap.store.locks import try_lock
lock = try_lock(pathlib.Path(sys.argv[1]) / ".lock")
print("held", flush=True)
sys.stdin.read()
"""


def test_what_somebody_holds_stays(directory: StudyDirectory) -> None:
    """Another process is at work in a run and in one that it has just made."""
    run = unfinished(directory)
    (run.path / "state-000008.safetensors").write_text("being written")
    fresh = directory.path / "runs" / "fresh" / "0-aa"
    fresh.mkdir(parents=True)
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for path in (run.path, fresh)
    ]
    for holder in holders:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
    about = {"pid": holders[0].pid, "host": socket.gethostname()}
    live = directory.path / "live" / f"{machine()}-{about['pid']}.json"
    live.write_text(json.dumps(about))
    for place in (directory.path, run.path, directory.path / "locked"):
        (place / f".tmp-{machine()}-{holders[1].pid}-{HEX}").write_text("being written")
        temporary_beside(place / "mine").write_text("being written")
    before = tree(directory.path)
    assert tidy_study(directory) == 0
    assert tree(directory.path) == before
    for holder in holders:
        holder.communicate()
    assert tidy_study(directory) == 7
    assert not fresh.exists()
    assert not live.exists()


def test_nothing_is_removed_through_a_link(
    directory: StudyDirectory, tmp_path: Path, ended: int
) -> None:
    mine = tmp_path / "mine"
    (mine / "0-aa").mkdir(parents=True)
    (mine / f".tmp-{machine()}-{ended}-{HEX}").write_text("mine")
    (directory.path / "runs" / "linked").symlink_to(mine)
    (directory.path / "runs" / "slot").mkdir()
    (directory.path / "runs" / "slot" / "0-aa").symlink_to(mine)
    assert tidy_study(directory) == 0
    assert (mine / "0-aa").is_dir()
    assert len(list(mine.iterdir())) == 2


def test_files_of_others_in_a_run_stay(directory: StudyDirectory) -> None:
    other = directory.path / "runs" / "notes" / "of-mine"
    other.mkdir(parents=True)
    (other / "thesis.tex").write_text("mine")
    attempts = directory.path / "runs" / "slot" / "0-aa"
    attempts.mkdir(parents=True)
    (attempts / "attempts.jsonl").write_text("")
    before = tree(directory.path)
    assert tidy_study(directory) == 0
    assert tree(directory.path) == before


def test_a_study_that_cannot_be_tidied_is_left_as_it_is(
    directory: StudyDirectory, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_half_made_runs(directory, ended)
    leave_loose_tensors(directory, ended)

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    before = tree(directory.path)
    for name in ("unlink", "remove_folder"):
        monkeypatch.setattr(disk.current, name, refused)
    assert tidy_study(directory) == 0
    monkeypatch.setattr(disk.current, "names", refused)
    assert tidy_study(directory) == 0
    assert {n for n in tree(directory.path) if not n.endswith(".lock")} == {
        n for n in before if not n.endswith(".lock")
    }


def test_a_runner_that_makes_a_run_as_it_is_tidied_away_has_it(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder goes between two looks of the other, who makes it again and holds the new one."""
    run = directory.run("runs/fresh/0-aa")
    run.path.mkdir(parents=True)
    opened = disk.current.open

    def late(path: Path, flags: int) -> int:
        if path.name == ".lock" and path.parent == run.path:
            monkeypatch.setattr(disk.current, "open", opened)
            assert tidy_study(directory) == 2
            assert not run.path.exists()
        return opened(path, flags)

    monkeypatch.setattr(disk.current, "open", late)
    lock = run.try_lock()
    assert lock is not None
    with lock:
        assert tidy_study(directory) == 0
        assert [path.name for path in run.path.iterdir()] == [".lock"]
