"""What the house does with files: every write is atomic, and every JSON file is strict.

A write goes to a temporary file in the same directory, is synced, renamed over the target, and the
directory is synced. So a reader sees the old content or the new, never a torn file. Everything
here goes through `kdgap.disk`; no other module opens, lists, makes or removes files
(`tests/test_architecture.py`).
"""

import codecs
import errno
import hashlib
import io
import json
import math
import os
import re
import socket
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn

from kdgap import disk
from kdgap.errors import StoreDamagedError, not_read
from kdgap.terminal import escaped_json

TEMPORARY_PREFIX = ".tmp-"
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND
_changes = 0


def changes() -> int:
    """Return how often this process changed what lasts on disk; what may be lost does not count.

    A command that fails says "nothing was written" by this, and not by what it believes of itself.
    """
    return _changes


def note_change() -> None:
    """Count a change."""
    global _changes
    _changes += 1


def take_back(count: int) -> None:
    """Set the count to what it was: all that was changed since has been put back."""
    global _changes
    _changes = count


def temporary_beside(path: Path) -> Path:
    """Return a name for a temporary file in the folder of `path` that nobody else has."""
    # It names its process, so that others know whether anybody still needs it.
    return path.with_name(f"{TEMPORARY_PREFIX}{machine()}-{os.getpid()}-{token_hex(8)}")


@cache
def machine() -> str:
    """Return a name for what process numbers are unique in: a machine, or a container on it.

    It is of one start of the machine. Hosts and containers made from one image often bear one name,
    and the number of the first process space is the same on every host.
    """
    known = [socket.gethostname()]
    with suppress(OSError):  # not on macOS
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        known.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:8]


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durably and in one step."""
    _replace(path, content, durable=True)
    note_change()
    sync_directory(path.parent)


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    temporary = temporary_beside(path)
    try:
        with disk.naming(path):
            write_new(temporary, content, durable=durable)
            disk.call(disk.current.rename, temporary, path)
    except BaseException:
        remove_quietly(temporary)
        raise


def write_new(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file under a name that must be free; a torn one stays if this fails."""
    handle = disk.call(disk.current.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        _write_all(handle, content)
        if durable:
            disk.call(disk.current.sync, handle)
    finally:
        disk.current.close(handle)


def _write_all(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[disk.call(disk.current.write, handle, left) :]


def link_new(path: Path, content: bytes) -> bool:
    """Write a file under a name that must be free, durably; return whether this call made it."""
    temporary = temporary_beside(path)
    try:
        with disk.naming(path):
            write_new(temporary, content)
            disk.call(disk.current.link, temporary, path)
    except FileExistsError:
        return False
    finally:
        remove_quietly(temporary)
    note_change()
    sync_directory(path.parent)
    return True


def write_volatile(path: Path, content: bytes) -> None:
    """Replace `path` in one step, without waiting for the medium: for what may be lost."""
    _replace(path, content, durable=False)


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    with disk.naming(path):
        handle = disk.call(disk.current.open, path, os.O_RDONLY)
        try:
            disk.call(disk.current.sync, handle)
        finally:
            disk.current.close(handle)


def append_line(path: Path, line: str) -> None:
    """Append one line and sync it; after a crash at most this line is torn, and stays alone."""
    with disk.naming(path):
        handle = disk.call(disk.current.open, path, _APPEND)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            torn = False
            if size:
                last = bytearray(1)
                os.lseek(handle, size - 1, os.SEEK_SET)
                disk.call(disk.current.read_into, handle, memoryview(last))
                torn = last != b"\n"
            _write_all(handle, b"\n" * torn + line.encode() + b"\n")
            note_change()
            disk.call(disk.current.sync, handle)
        finally:
            disk.current.close(handle)
    if not size:
        sync_directory(path.parent)  # the file itself may be new


def open_file(path: Path, *, pipes: bool = False) -> io.BufferedReader:
    """Open a regular file for reading bytes.

    Args:
        path: the file.
        pipes: also read pipes and devices, as in `kdgap run /dev/stdin`.

    Raises:
        OSError: it cannot be opened, or is a folder, or a pipe where none is read.
    """
    return io.BufferedReader(disk.Reader(path, pipes=pipes), 2**17)


def read_bytes(path: Path) -> bytes:
    """Return what a regular file holds; see `open_file` for the errors."""
    return disk.read_whole(path)


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as the mark of UTF-16 does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(content: bytes) -> str:
    """Return bytes as text: UTF-8, or what a byte order mark says, which is left out.

    Editors and shells on Windows begin UTF-8 with such a mark, and write UTF-16 with one.

    Raises:
        UnicodeDecodeError: the bytes are no such text.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding)
    return content.decode("utf-8")


def read_text(path: Path) -> str:
    """Return what a text file holds, without its byte order mark; see `decode_text`.

    Raises:
        OSError: see `open_file`.
        UnicodeDecodeError: it is neither UTF-8 nor marked as something else.
    """
    return decode_text(read_bytes(path))


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted. Raises `OSError` where there is none to be read."""
    return sorted(disk.call(disk.current.names, folder))


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """Return what is in a folder and fits a pattern, sorted; nothing where there is no folder.

    Raises:
        OSError: it cannot be listed. (`Path.glob` passes over such a folder without a word.)
    """
    try:
        names = names_in(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names if fnmatchcase(name, pattern)]


def make_folder(path: Path) -> None:
    """Make a folder and its parents, durably, unless it is there.

    Raises:
        OSError: it cannot be made, or a file has its name.
    """
    try:
        disk.call(disk.current.make_folder, path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_folder(path.parent)
        make_folder(path)
        return
    except OSError as error:
        if path.is_dir():
            return
        if isinstance(error, FileExistsError):  # "exists" would be no complaint
            raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(path)) from None
        raise
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a file or link, unless it is gone already."""
    with suppress(FileNotFoundError):
        disk.call(disk.current.unlink, path)
        note_change()


def remove_quietly(path: Path) -> None:
    """Remove a temporary file where that is possible: there is another error to tell of."""
    with suppress(OSError):
        disk.call(disk.current.unlink, path)


def remove_tree(path: Path) -> None:
    """Remove a folder and all below it; a link is removed, never followed."""
    if path.is_symlink() or not path.is_dir():
        remove(path)
        return
    for name in names_in(path):
        remove_tree(path / name)
    with suppress(FileNotFoundError):
        disk.call(disk.current.remove_folder, path)
        note_change()


def remove_at_once(path: Path) -> None:
    """Remove a folder that a kill leaves whole, or under a temporary name that says whose it is."""
    leaving = temporary_beside(path)
    disk.call(disk.current.rename, path, leaving)
    note_change()
    sync_directory(path.parent)
    remove_tree(leaving)


def json_text(value: object, *, indent: int | None = 2) -> str:
    """Return strict JSON: NaN and infinity raise `ValueError`; floats in shortest exact form.

    Characters that would steer a terminal are JSON's escapes, so that it can be looked at.
    """
    return escaped_json(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def write_json(path: Path, value: object) -> None:
    """Write strict JSON atomically."""
    write_atomic(path, (json_text(value) + "\n").encode())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return value


_CAREFUL = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_LARGE = tuple(re.compile(letter + rb"\+?\d{3,}(?![\w\"])") for letter in (b"e", b"E"))
"""How a number may end that is no float any more: found faster than by looking at every number. The
digits of a hash, of which our files are full, are followed by more of it or by a quote."""


def parse_json(content: str | bytes) -> Any:
    """Parse strict JSON: `NaN`, `Infinity` and exponents beyond a float raise `ValueError`.

    Pydantic's parser returns what Python's does, in a third of the time. What it refuses Python's
    looks at again: it says why in better words, and reads half of a surrogate pair, of which names
    of files are made that are not UTF-8.
    """
    from pydantic_core import from_json  # here: `--help` reads no JSON

    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if not (_LARGE[0].search(raw) or _LARGE[1].search(raw)):
        with suppress(ValueError):
            return from_json(raw, allow_inf_nan=False)
    return _CAREFUL.decode(content if isinstance(content, str) else content.decode())


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises:
        StoreDamagedError: the file is not there, or is not strict JSON.
        UnreadableError: it is there and cannot be read.
    """
    try:
        return parse_json(read_text(path))
    except OSError as error:
        raise not_read(path, error) from None
    except (ValueError, RecursionError) as error:
        raise StoreDamagedError(f"{path}: {error}") from None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
