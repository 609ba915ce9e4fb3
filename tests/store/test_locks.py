"""A lock excludes other processes, ends with its holder, and is refused where it would not."""

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from kdgap.errors import BadInputError
from kdgap.store.locks import Lock, holder, is_held, probe_locks, try_lock, wait_for_lock

HOLD = """
import sys
import threading
from pathlib import Path
from kdgap.store.locks import holder, try_lock
path = Path(sys.argv[1])
lock = try_lock(path)
print("holding" if lock else holder(path), flush=True)
if lock:
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def other(path: Path) -> Iterator[Callable[[], "Popen[str]"]]:
    """Start another process that takes the lock, and holds it until its input ends."""
    started: list[Popen[str]] = []

    def start() -> "Popen[str]":
        process = Popen([sys.executable, "-c", HOLD, str(path)], stdin=PIPE, stdout=PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def take(path: Path) -> Lock:
    lock = try_lock(path)
    assert lock is not None
    return lock


# Exclusion


def test_a_second_process_gets_nothing_and_learns_who_holds_it(path: Path) -> None:
    with take(path):
        done = subprocess.run(
            [sys.executable, "-c", HOLD, str(path)], capture_output=True, text=True, check=True
        )
    assert done.stdout.startswith(f"process {os.getpid()} on {socket.gethostname()} since 20")


def test_a_lock_held_by_another_process_is_not_had_here(
    path: Path, other: Callable[[], "Popen[str]"]
) -> None:
    process = other()
    assert try_lock(path) is None
    assert is_held(path)
    assert f"process {process.pid} on {socket.gethostname()}" in holder(path)


def test_a_killed_holder_frees_the_lock_at_once(
    path: Path, other: Callable[[], "Popen[str]"]
) -> None:
    process = other()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_held(path)
    with take(path):
        assert f"process {os.getpid()} " in holder(path)


def test_a_holder_that_ends_frees_the_lock(path: Path, other: Callable[[], "Popen[str]"]) -> None:
    process = other()
    process.communicate()
    assert process.returncode == 0
    take(path).release()


def test_one_process_cannot_take_a_lock_twice(path: Path) -> None:
    with take(path):
        assert try_lock(path) is None
        assert try_lock(path) is None
    take(path).release()


def test_trying_a_held_lock_leaves_its_holders_name(path: Path) -> None:
    with take(path):
        before = path.read_bytes()
        assert try_lock(path) is None
        assert path.read_bytes() == before


def test_releasing_twice_does_not_free_the_next_holders_lock(path: Path) -> None:
    first = take(path)
    first.release()
    with take(path):
        first.release()
        assert is_held(path)
        assert f"process {os.getpid()} " in holder(path)
        assert try_lock(path) is None


def test_the_lock_file_stays_after_release_and_names_nobody(path: Path) -> None:
    take(path).release()
    assert path.read_bytes() == b""
    assert holder(path) == "another process"


# A folder removed and made again


def test_a_lock_in_a_folder_made_again_is_a_new_lock(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with take(folder / ".lock"):
        shutil.rmtree(folder)
        folder.mkdir()
        with take(folder / ".lock"):
            assert is_held(folder / ".lock")


@pytest.mark.parametrize("recreated", [True, False])
def test_a_folder_removed_between_opening_and_locking_is_not_locked_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recreated: bool
) -> None:
    path = tmp_path / "run" / ".lock"
    path.parent.mkdir()
    flock, calls = fcntl.flock, []

    def slow_flock(stream: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            shutil.rmtree(path.parent)
            if recreated:
                path.parent.mkdir()
                path.touch()
        flock(stream, how)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", slow_flock)
        lock = take(path)
    with lock:
        assert len(calls) == 2
        assert is_held(path)
        assert try_lock(path) is None


# Looking


def test_a_lock_that_was_never_taken_is_not_held_and_looking_makes_no_file(path: Path) -> None:
    assert not is_held(path)
    assert not path.exists()
    assert holder(path) == "another process"


def test_looking_does_not_take_the_lock_away(path: Path) -> None:
    with take(path):
        assert is_held(path)
        assert is_held(path)
        assert try_lock(path) is None
    assert not is_held(path)
    take(path).release()


def test_a_torn_name_in_a_lock_file_is_another_process(path: Path) -> None:
    for text in ("", "{", "[]", "3", '{"pid": 3}', "\x00"):
        path.write_text(text)
        assert holder(path) == "another process"


def test_a_disk_too_full_for_the_holders_name_keeps_nobody_from_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kdgap.store.locks.json.dumps", full)
        lock = take(path)
    with lock:
        assert try_lock(path) is None


# File systems


def test_a_normal_folder_locks(tmp_path: Path) -> None:
    probe_locks(tmp_path)
    probe_locks(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock-probe"]


def test_a_probe_while_another_one_is_going_on_is_content(tmp_path: Path) -> None:
    with take(tmp_path / ".lock-probe"):
        probe_locks(tmp_path)


def test_a_file_system_whose_locks_do_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    with pytest.raises(BadInputError, match="do not exclude each other"):
        probe_locks(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_that_cannot_lock_is_bad_input(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", fails)
    with pytest.raises(BadInputError, match="cannot lock files") as caught:
        try_lock(path)
    assert str(path.parent) in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    assert not is_held(path)


def test_a_full_disk_keeps_nobody_from_a_lock(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, pathlib, kdgap.store.locks as l\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "with l.try_lock(path):\n"
        "    assert l.is_held(path)\n"
        "assert not l.is_held(path)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / ".lock")], check=True)


def test_a_taker_waits_out_somebody_who_only_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        # The other one has looked by the time that the taker looks again.
        monkeypatch.setattr("time.sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        lock = try_lock(path)
    assert lock is not None
    lock.release()


# Waiting


def test_waiting_ends_when_the_lock_is_free_or_when_it_is_time_to_stop(path: Path) -> None:
    lock, looks = take(path), [0]

    def pause() -> None:
        looks[0] += 1
        if looks[0] == 2:
            lock.release()

    with wait_for_lock(path, pause):
        assert looks == [2]

        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            wait_for_lock(path, stop)
        assert is_held(path)
    assert not is_held(path)
