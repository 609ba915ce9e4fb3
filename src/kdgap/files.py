"""The one door to the disk: every write is atomic, and every JSON file is strict.

A write goes to a temporary file in the same directory, is flushed and synced, renamed over the
target, and the directory is synced. So a reader sees the old content or the new, never a torn file.
"""

import hashlib
import json
import math
import os
import re
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn

from kdgap.errors import StoreDamagedError

TEMPORARY_PREFIX = ".tmp-"


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durably and in one step."""
    # A random name: process numbers repeat on the machines that share a folder.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{token_hex(8)}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_line(path: Path, line: str) -> None:
    """Append one line and sync it; after a crash at most this line is torn, and stays alone."""
    with path.open("a+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        torn = stream.read(1) not in (b"", b"\n")
        stream.write(b"\n" * torn + line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def json_text(value: object, *, indent: int | None = 2) -> str:
    """Return strict JSON: NaN and infinity raise `ValueError`; floats in shortest exact form."""
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: object) -> None:
    """Write strict JSON atomically."""
    write_atomic(path, (json_text(value) + "\n").encode())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return value


_STRICT = json.JSONDecoder(parse_constant=_no_constant)
_CAREFUL = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_LARGE = (re.compile(r"e\+?\d{3}"), re.compile(r"E\+?\d{3}"))
"""What a number may look like that is no float any more. Looking at every number takes longer than
looking for these, which begin with a letter each, as that is searched for fastest."""


def parse_json(text: str) -> Any:
    """Parse strict JSON: `NaN`, `Infinity` and exponents beyond a float raise `ValueError`."""
    careful = any(pattern.search(text) for pattern in _LARGE)
    return (_CAREFUL if careful else _STRICT).decode(text)


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises:
        StoreDamagedError: the file cannot be read or is not strict JSON.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreDamagedError(f"{path}: {error}") from None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
