"""A disk layer that counts every call and lets one of them go wrong.

The count is shared by all processes of a trial: each call adds a byte to one file. A journal keeps
what a power cut would undo, in hard links and sizes, so that `lose_power` can take it back.
"""

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any, NoReturn

from kdgap.disk import Disk

CHANGES = ("write", "truncate", "rename", "link", "unlink", "make_folder", "remove_folder")
"""Calls that change the disk; so does `open` where it makes a file."""
ERRORS = {
    "ENOSPC": errno.ENOSPC,
    "EDQUOT": errno.EDQUOT,
    "EIO": errno.EIO,
    "EACCES": errno.EACCES,
    "EINTR": errno.EINTR,
}
APPLIES: dict[str, tuple[str, ...]] = {
    "ENOSPC": ("create", "write", "make_folder", "rename", "link", "sync"),
    "EDQUOT": ("create", "write", "make_folder", "rename", "link", "sync"),
    "EIO": ("open", "create", "read_into", "read_at", "sync", *CHANGES, "lock", "names"),
    "EACCES": ("open", "create", "rename", "link", "unlink", "make_folder", "names"),
    "EINTR": ("open", "create", "read_into", "read_at", "sync", *CHANGES, "lock", "names"),
    "short": ("write",),
    "kill": ("create", "sync", *CHANGES),
    "power": ("create", "sync", *CHANGES),
}
"""Which calls each fault is tried on. A kill between two calls that only read changes nothing."""
FULL = "full"
"""From the N-th call that needs space on, every one fails: a disk that stays full."""


class CountingDisk(Disk):
    """Counts; does everything as the system does.

    Args:
        folder: where count, trace and journal of the trial are kept.
        fault: a name of `APPLIES`, `FULL`, or nothing.
        at: the number of the call at fault, from 1.
    """

    def __init__(self, folder: Path, fault: str = "", at: int = 0) -> None:
        self._folder, self._fault, self._at = folder, fault, at
        self._count = os.open(folder / "count", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._trace = os.open(folder / "trace", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._paths: dict[int, Path] = {}

    def _reach(self, call: str, path: Path | None = None) -> int:
        """Count a call, and let it go wrong if it is the one; return how it has to fall short."""
        if (self._folder / "cut").exists():
            _die()  # the power is off for every process
        os.write(self._count, b".")
        number = os.lseek(self._count, 0, os.SEEK_CUR)
        os.write(self._trace, f"{number} {call}\n".encode())
        if self._fault == FULL:
            if number >= self._at and call in APPLIES["ENOSPC"]:
                self._fires(number, call, path)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path or ""))
            return 0
        if number != self._at or call not in APPLIES.get(self._fault, ()):
            return 0
        self._fires(number, call, path)
        if self._fault in ERRORS:
            code = ERRORS[self._fault]
            raise OSError(code, os.strerror(code), *([str(path)] if path else []))
        if self._fault == "power":
            (self._folder / "cut").touch()
        if self._fault in ("kill", "power"):
            _die()
        return 1

    def _fires(self, number: int, call: str, path: Path | None) -> None:
        (self._folder / "fired").write_text(f"{number} {call} {path.name if path else ''}")

    def _note(self, **entry: Any) -> None:
        os.write(self._journal, (json.dumps(entry) + "\n").encode())

    def _keep(self, path: Path) -> str | None:
        """Keep what a name stands for, before it is replaced or removed."""
        kept = self._folder / f"kept-{os.getpid()}-{os.lseek(self._journal, 0, os.SEEK_END)}"
        try:
            if path.is_symlink():
                return None
            os.link(path, kept)
        except OSError:
            return None
        return str(kept)

    def open(self, path: Path, flags: int) -> int:
        """See `Disk.open`."""
        new = bool(flags & os.O_CREAT) and not path.exists()
        self._reach("create" if new else "open", path)
        handle = super().open(path, flags)
        self._paths[handle] = path.absolute()
        if new:
            self._note(did="create", path=str(path.absolute()))
        return handle

    def read_into(self, handle: int, buffer: memoryview) -> int:
        """See `Disk.read_into`."""
        self._reach("read_into", self._paths.get(handle))
        return super().read_into(handle, buffer)

    def read_at(self, handle: int, buffer: memoryview, place: int) -> int:
        """See `Disk.read_at`."""
        self._reach("read_at", self._paths.get(handle))
        return super().read_at(handle, buffer, place)

    def write(self, handle: int, content: memoryview) -> int:
        """See `Disk.write`."""
        if self._reach("write", self._paths.get(handle)) and len(content) > 1:
            content = content[: len(content) // 2]
        size = os.fstat(handle).st_size
        written = super().write(handle, content)
        self._note(did="write", inode=os.fstat(handle).st_ino, size=size,
                   path=str(self._paths.get(handle)))  # fmt: skip
        return written

    def truncate(self, handle: int, size: int) -> None:
        """See `Disk.truncate`."""
        self._reach("truncate", self._paths.get(handle))
        super().truncate(handle, size)

    def sync(self, handle: int) -> None:
        """See `Disk.sync`."""
        self._reach("sync", self._paths.get(handle))
        super().sync(handle)
        self._note(did="sync", inode=os.fstat(handle).st_ino, path=str(self._paths.get(handle)))

    def close(self, handle: int) -> None:
        """See `Disk.close`."""
        self._paths.pop(handle, None)
        super().close(handle)

    def lock(self, handle: int, how: int) -> None:
        """See `Disk.lock`."""
        self._reach("lock", self._paths.get(handle))
        super().lock(handle, how)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk.rename`."""
        self._reach("rename", source)
        kept = self._keep(target)
        super().rename(source, target)
        self._note(did="rename", path=str(source.absolute()), to=str(target.absolute()), kept=kept)

    def link(self, source: Path, target: Path) -> None:
        """See `Disk.link`."""
        self._reach("link", source)
        super().link(source, target)
        self._note(did="create", path=str(target.absolute()))

    def unlink(self, path: Path) -> None:
        """See `Disk.unlink`."""
        self._reach("unlink", path)
        kept = self._keep(path)
        super().unlink(path)
        self._note(did="unlink", path=str(path.absolute()), kept=kept)

    def make_folder(self, path: Path) -> None:
        """See `Disk.make_folder`."""
        self._reach("make_folder", path)
        super().make_folder(path)
        self._note(did="make_folder", path=str(path.absolute()))

    def remove_folder(self, path: Path) -> None:
        """See `Disk.remove_folder`."""
        self._reach("remove_folder", path)
        super().remove_folder(path)
        self._note(did="remove_folder", path=str(path.absolute()))

    def names(self, path: Path) -> list[str]:
        """See `Disk.names`."""
        self._reach("names", path)
        return super().names(path)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def lose_power(folder: Path) -> None:
    """Take back what was not on the medium when the power went: the worst that may be lost.

    Bytes of a file that came after its last sync go, and so does every change of a folder's names
    after the folder's last sync, the latest first.
    """
    entries = [json.loads(line) for line in (folder / "journal").read_text().splitlines()]
    synced: dict[int, int] = {}  # inode → place in the journal
    folders: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if entry["did"] == "sync":
            synced[entry["inode"]] = place
            folders[entry["path"]] = place
    sizes: dict[int, int] = {}  # inode → what is left of it
    for place, entry in enumerate(entries):
        if entry["did"] == "write" and place > synced.get(entry["inode"], -1):
            sizes.setdefault(entry["inode"], entry["size"])
    names = {entry["path"] for entry in entries if "path" in entry}
    names |= {entry["to"] for entry in entries if "to" in entry}
    for path in map(Path, names):
        if path.is_file() and not path.is_symlink():
            about = path.stat()
            if about.st_ino in sizes:
                os.truncate(path, min(sizes[about.st_ino], about.st_size))
    for place in reversed(range(len(entries))):
        _undo(entries[place], place, folders)


def _undo(entry: dict[str, Any], place: int, folders: dict[str, int]) -> None:
    if entry["did"] in ("write", "sync"):
        return
    path = Path(entry["path"])
    durable = place < folders.get(str(path.parent), -1)
    if durable:
        return
    if entry["did"] == "create":
        path.unlink(missing_ok=True)
    elif entry["did"] == "unlink":
        if entry["kept"] and path.parent.is_dir():
            os.link(entry["kept"], path)
    elif entry["did"] == "make_folder":
        if path.is_dir():
            _remove(path)
    elif entry["did"] == "remove_folder":
        path.mkdir(exist_ok=True)
    elif entry["did"] == "rename":
        target = Path(entry["to"])
        if target.exists():
            target.replace(path)
        if entry["kept"]:
            os.link(entry["kept"], target)


def _remove(path: Path) -> None:
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            _remove(child)
        else:
            child.unlink()
    path.rmdir()
