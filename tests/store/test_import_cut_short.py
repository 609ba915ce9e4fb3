"""An import that fails or is killed at any call to the disk: the next one is as if it never was."""

import errno
from pathlib import Path
from typing import Any

import pytest

from kdgap import disk
from kdgap.disk import Disk
from kdgap.errors import BadInputError
from kdgap.files import machine
from kdgap.store.imports.directory import RUNS, ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.store.instead import IMPORT
from tests.store.foreign_files import FINAL, history, write, write_pair

CALLS = ("open", "read_into", "write", "truncate", "sync", "rename", "link", "unlink",
         "make_folder", "remove_folder", "names")  # fmt: skip


class KilledError(BaseException):
    """The process is gone."""


class Faulty(Disk):
    """A layer whose n-th call fails, falls short, or is the last one."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.calls, self.dead = at, how, 0, False

    def __getattribute__(self, name: str) -> Any:
        real = super().__getattribute__(name)
        if name not in CALLS:
            return real

        def guarded(*given: Any) -> Any:
            self.calls += 1
            if self.dead:
                raise KilledError
            if self.calls != self.at:
                return real(*given)
            if self.how == "kill":
                self.dead = True
                raise KilledError
            if self.how == "kill after":
                real(*given)
                self.dead = True
                raise KilledError
            if self.how == "short":
                return real(given[0], given[1][: max(1, len(given[1]) // 2)]) if (
                    name == "write") else real(*given)  # fmt: skip
            raise OSError(getattr(errno, self.how), "injected")

        return guarded


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def brought_in(source: Path, out: Path) -> None:
    """Import as the command does."""
    directory = ImportedDirectory(out)
    directory.refuse_other()
    about, runs = import_runs(source, "x")
    directory.differs(about)
    directory.write(about, runs)


@pytest.mark.parametrize("how", ["ENOSPC", "EIO", "short", "kill", "kill after"])
@pytest.mark.parametrize("again", [False, True])
def test_an_import_fails_at_every_call_in_turn_and_is_repeated(
    tmp_path: Path, how: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A kill is played in this process, which is alive.
    monkeypatch.setattr("kdgap.leftovers.has_ended", lambda *_: True)
    source, other = tmp_path / "theirs", tmp_path / "earlier"
    write(source, FINAL)
    write(other, FINAL, history=history(0.1))
    brought_in(source, tmp_path / "whole")
    wanted = contents(tmp_path / "whole")
    assert wanted.keys() == {IMPORT, RUNS}
    for number in range(1, 1000):
        out = tmp_path / str(number) / "deeper" / "out"
        if again:
            brought_in(other, out)
        before = contents(out)
        layer = Faulty(number, how)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "current", layer)
            failed = attempt(source, out)
        left = contents(out)
        if failed and not how.startswith("kill"):
            assert left in (before, wanted)
            assert again or not left or left == wanted
            if not left:
                assert not out.parent.exists()  # nothing was written
        elif not failed and layer.calls < number:
            assert left == wanted
            break
        brought_in(source, out)
        assert contents(out) == wanted
    assert number > 20


def attempt(source: Path, out: Path) -> bool:
    """Return whether an import failed, as a user or a reader of the code would see it."""
    try:
        brought_in(source, out)
    except (OSError, BadInputError, KilledError):
        return True
    return False


def test_what_somebody_else_left_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / RUNS).write_text('{"step": 1}\n')
    with pytest.raises(BadInputError, match="not empty and no import"):
        ImportedDirectory(tmp_path).refuse_other()
    (tmp_path / RUNS).write_text("theirs")
    with pytest.raises(BadInputError, match="not empty and no import"):
        ImportedDirectory(tmp_path).refuse_other()
    (tmp_path / RUNS).unlink()
    (tmp_path / ".tmp-0123").write_text("torn")
    ImportedDirectory(tmp_path).refuse_other()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInputError, match="not empty and no import"):
        ImportedDirectory(tmp_path).refuse_other()


def test_left_overs_beside_an_import_are_tidied(tmp_path: Path) -> None:
    write_pair(tmp_path / "theirs")
    brought_in(tmp_path / "theirs", tmp_path / "out")
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / f".tmp-{machine()}-{2**22 + 1}-0123456789abcdef").write_text("torn")
    brought_in(tmp_path / "theirs", tmp_path / "out")
    assert contents(tmp_path / "out") == whole


def test_a_folder_that_cannot_be_listed_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk.current, "names", refuse)
    with pytest.raises(BadInputError, match="Permission denied; give another --out"):
        ImportedDirectory(tmp_path).refuse_other()
