"""What an ended process left goes; what somebody may still need stays."""

import errno
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
import pytest

from kdgap import disk
from kdgap.cli.tidying import tidy_places
from kdgap.disk import Disk
from kdgap.files import TEMPORARY_PREFIX, machine, temporary_beside, write_atomic
from kdgap.leftovers import (
    CLOCK_SECONDS,
    LONG_SECONDS,
    has_ended,
    remove_live,
    remove_scratch,
    remove_temporaries,
    scratch_prefix,
)
from kdgap.paths import cache_folder
from kdgap.staging import Staging

HEX = "0123456789abcdef"


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def other() -> Iterator[int]:
    """The number of another process, which lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def make(path: Path, *, age: float = 0.0) -> Path:
    """Make a file that was written to some seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("left")
    when = time.time() - age
    os.utime(path, (when, when))
    return path


def test_a_temporary_file_goes_with_its_process(tmp_path: Path, ended: int, other: int) -> None:
    gone = [
        make(tmp_path / f".tmp-{machine()}-{ended}-{HEX}"),
        make(tmp_path / f".tmp-{HEX}", age=LONG_SECONDS + 60),  # an older version's
        make(tmp_path / f".tmp-00000000-{other}-{HEX}", age=LONG_SECONDS + 60),
        # The number was given again, to one who is younger.
        make(tmp_path / f".tmp-{machine()}-{other}-{HEX}", age=CLOCK_SECONDS + 3600),
    ]
    kept = [
        make(temporary_beside(tmp_path / "x")),
        make(tmp_path / f".tmp-{machine()}-{other}-{HEX[::-1]}"),
        make(tmp_path / f".tmp-{HEX[::-1]}", age=LONG_SECONDS / 2),
        make(tmp_path / f".tmp-00000000-{ended}-{HEX}", age=LONG_SECONDS / 2),  # of another machine
        make(tmp_path / ".tmp-mine", age=9 * LONG_SECONDS),
        make(tmp_path / "plan.json", age=9 * LONG_SECONDS),
    ]
    assert remove_temporaries(tmp_path) == len(gone)
    assert [path.name for path in gone if path.exists()] == []
    assert [path.name for path in kept if not path.exists()] == []
    assert remove_temporaries(tmp_path) == remove_temporaries(tmp_path / "none") == 0


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path, ended: int) -> None:
    mine = make(tmp_path / "mine" / "file").parent
    (tmp_path / f".tmp-{machine()}-{ended}-{HEX}").symlink_to(mine)
    assert remove_temporaries(tmp_path) == 1
    assert (mine / "file").exists()


def test_what_cannot_be_removed_is_passed_over(
    tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / f".tmp-{machine()}-{ended}-{HEX}")

    def refused(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(disk.current, "unlink", refused)
    assert remove_temporaries(tmp_path) == 0


def test_a_process_of_which_nothing_is_told_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", hidden)
    assert not has_ended(1, time.time())


def test_hosts_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made from one image, they share a name, and the first space has one number everywhere."""
    names = []
    for start in ("8c5f", "11a0"):
        monkeypatch.setattr(Path, "read_text", lambda *_, start=start, **__: start)
        names.append(machine.__wrapped__())
    assert names[0] != names[1]


def test_a_live_file_goes_with_its_runner(tmp_path: Path, ended: int, other: int) -> None:
    here, host = machine(), socket.gethostname()
    gone = [
        make(tmp_path / f"{here}-{ended}.json"),
        make(tmp_path / f"{here}-{ended}.new"),
        make(tmp_path / f"elsewhere-{other}.json", age=LONG_SECONDS + 60),
        make(tmp_path / f"{host}-{other}.json", age=LONG_SECONDS + 60),
    ]
    kept = [
        make(tmp_path / f"{here}-{other}.json"),
        make(tmp_path / f"{here}-{os.getpid()}.json"),
        make(tmp_path / f"elsewhere-{ended}.json", age=LONG_SECONDS / 2),
        make(tmp_path / f"{host}-{ended}.json", age=60),  # of a container that bears this name, too
        make(tmp_path / "notes.json", age=9 * LONG_SECONDS),
    ]
    assert remove_live(tmp_path) == len(gone)
    assert [path.name for path in gone if path.exists()] == []
    assert [path.name for path in kept if not path.exists()] == []


def test_temporary_folders_of_killed_commands_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int, other: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def folder(name: str, *, age: float = 0.0, mode: int = 0o700) -> Path:
        make(tmp_path / name / "run" / "state")
        (tmp_path / name).chmod(mode)
        when = time.time() - age
        os.utime(tmp_path / name, (when, when))
        return tmp_path / name

    gone = [
        folder(f"kdgap-rerun-{machine()}-{ended}-abcdefg_"),
        folder(f"kdgap-bench-{machine()}-{ended}-12345678"),
        folder("kdgap-rerun-abcdefgh", age=LONG_SECONDS + 60),  # an older version's
    ]
    kept = [
        folder(f"kdgap-rerun-{machine()}-{other}-abcdefgh"),
        folder(f"kdgap-rerun-00000000-{ended}-abcdefgh"),
        folder("kdgap-bench-abcdefgh"),
        folder("kdgap-datasets", age=9 * LONG_SECONDS),
        folder("kdgap-rerun-of-mine", age=9 * LONG_SECONDS),
        folder(f"kdgap-fetch-{machine()}-{ended}-abcdefgh", mode=0o777),  # others may change it
    ]
    with tempfile.TemporaryDirectory(prefix=scratch_prefix("rerun")) as mine:
        assert remove_scratch() == len(gone)
        assert Path(mine).is_dir()
    assert [path.name for path in gone if path.exists()] == []
    assert [path.name for path in kept if not path.exists()] == []


def test_the_cache_is_tidied_and_what_it_holds_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = [make(cache_folder() / "images" / "x.safetensors", age=9 * LONG_SECONDS)]
    for name in ("images", "measured"):
        make(cache_folder() / name / f".tmp-{machine()}-{ended}-{HEX}")
        kept.append(make(temporary_beside(cache_folder() / name / "x")))
    assert tidy_places() == 2
    assert all(path.exists() for path in kept)


# Several files as one


class Full(Disk):
    """The n-th call that takes space fails, and all after it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _due(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def open(self, path: Path, flags: int) -> int:
        if flags & os.O_CREAT:
            self._due()
        return super().open(path, flags)

    def write(self, handle: int, content: memoryview) -> int:
        self._due()
        return super().write(handle, content)

    def sync(self, handle: int) -> None:
        self._due()
        super().sync(handle)


def test_files_are_replaced_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("page.html", "analysis/a.csv", "analysis/b.csv")
    old = dict.fromkeys(names, b"old")
    new = {name: name.encode() for name in names}

    def contents() -> dict[str, bytes]:
        paths = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in paths}

    for name, content in old.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_atomic(tmp_path / name, content)
    for at in count(1):
        full = Full(at)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "current", full)
            try:
                with Staging() as staging:
                    for name, content in new.items():
                        staging.write(tmp_path / name, content)
            except OSError:
                assert contents() in (old, new)
            else:
                break
    assert at > 9
    assert contents() == new


def test_an_error_between_files_replaces_none(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    with suppress(ZeroDivisionError), Staging() as staging:
        staging.write(tmp_path / "a", b"new")
        staging.write(tmp_path / "b", bytes([1 // 0]))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_what_a_killed_writer_staged_goes_with_the_next(tmp_path: Path, ended: int) -> None:
    make(tmp_path / f"{TEMPORARY_PREFIX}{machine()}-{ended}-{HEX}")
    with Staging() as staging:
        staging.write(tmp_path / "a", b"1")
        staging.write(tmp_path / "a", b"2")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"2"}
