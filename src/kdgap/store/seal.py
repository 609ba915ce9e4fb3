"""Sealed files: JSON objects of ours that carry a checksum of all that they say.

A sealed file has `"format": 2` and `"checksum"`, the SHA-256 of the canonical JSON of the rest. It
is no secret: it guards against rot and careless edits, not against forgery. Files of
`"format": 1` (or of none) were written before and carry no checksum; they are read, and
`store/audit.py` compares what they say with the records that they speak of.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdgap.errors import StoreDamagedError
from kdgap.files import json_text, read_json, write_json
from kdgap.spec.identity import canonical_json

FORMAT = 2
CHECKSUM = "checksum"


def digest(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def checksum(content: Mapping[str, object]) -> str:
    """Return the digest of all of an object but its own checksum."""
    return digest(without_checksum(content))


def without_checksum(content: Mapping[str, object]) -> dict[str, Any]:
    """Return all of an object but its own checksum."""
    return {key: value for key, value in content.items() if key != CHECKSUM}


def is_whole(content: Any) -> bool:
    """Whether an object carries the checksum of the rest of it."""
    try:
        return isinstance(content, dict) and content.get(CHECKSUM) == checksum(content)
    except (ValueError, RecursionError):
        return False  # damaged into numbers or depths that no file of ours has


def sealed(content: Mapping[str, object]) -> dict[str, Any]:
    """Return an object with its checksum."""
    content = {**content, "format": FORMAT}
    return {**content, CHECKSUM: checksum(content)}


def is_sealed(content: Mapping[str, object]) -> bool:
    """Whether what `read_sealed` returned was under a checksum."""
    return content.get("format") == FORMAT


def sealed_bytes(content: Mapping[str, object]) -> bytes:
    """Return the text of a sealed file."""
    return (json_text(sealed(content)) + "\n").encode()


def write_sealed(path: Path, content: Mapping[str, object]) -> None:
    """Write a sealed file atomically."""
    write_json(path, sealed(content))


def read_sealed(path: Path) -> dict[str, Any]:
    """Return what a sealed file says, or one of before; without the checksum.

    Raises:
        StoreDamagedError: it cannot be read, is no object, or its checksum does not match.
    """
    return opened(read_json(path), path)


def opened(content: Any, path: Path) -> dict[str, Any]:
    """Return what an object read from `path` says; see `read_sealed`."""
    if not isinstance(content, dict):
        raise StoreDamagedError(f"{path}: is no JSON object")
    if CHECKSUM in content:
        if not is_whole(content):
            raise StoreDamagedError(f"{path}: its checksum does not match: torn or changed")
    elif content.get("format", 1) != 1:
        raise StoreDamagedError(
            f"{path}: format {content['format']!r} without a checksum: torn, changed, or of another"
            " version of kdgap"
        )
    if content.get("format", 1) not in (1, FORMAT):
        raise StoreDamagedError(f"{path}: format {content['format']!r}, expected {FORMAT}")
    return without_checksum(content)
