"""The header of a safetensors file, read with bounds: the one reader for cards, weights and states.

A file is the header's length in eight bytes, the header in JSON (each tensor's type, shape and
place), and the tensors' bytes without a gap. Everything is checked before any tensor is read, so a
hostile file costs no more than `MAX_HEADER` bytes of JSON do.
"""

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, NoReturn

MAX_HEADER = 16 * 2**20
"""Bytes; enough for a card with a million class names."""
MAX_TENSORS = 65_536
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
BYTES |= {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1}
BYTES |= {"BOOL": 1, "C64": 8}
"""Bytes of one element, by the format's name of its type."""


class NotSafetensorsError(ValueError):
    """The file is no safetensors file, or one beyond our bounds; the text says why."""


@dataclass(frozen=True)
class Entry:
    """One tensor: its type by the format's name, its shape, and where its bytes start."""

    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return prod(self.shape) * BYTES[self.dtype]


@dataclass(frozen=True)
class Header:
    """What a file says of itself: text by key, and tensors by name."""

    metadata: dict[str, str]
    tensors: dict[str, Entry]

    @property
    def size(self) -> int:
        """Length of all tensors in bytes."""
        return sum(entry.size for entry in self.tensors.values())


def read_header(stream: BinaryIO) -> Header:
    """Read and check a header; `Entry.start` counts from the beginning of the file.

    Raises:
        NotSafetensorsError: the file is torn, contradicts itself, or exceeds the bounds.
        OSError: it cannot be read.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(8)
    if len(head) < 8:
        raise NotSafetensorsError(f"{size} bytes hold no header")
    (length,) = struct.unpack("<Q", head)
    if length > MAX_HEADER:
        raise NotSafetensorsError(f"a header of {length:,} bytes; at most {MAX_HEADER:,} are read")
    raw = stream.read(length)
    if len(raw) < length:
        raise NotSafetensorsError(f"a header of {length:,} bytes in a file of {size:,}")
    # Counted before anything is parsed, for objects cost many times their text.
    count = raw.count(b'"data_offsets"')
    if count > MAX_TENSORS:
        raise NotSafetensorsError(f"{count:,} tensors; at most {MAX_TENSORS:,} are read")
    if raw.count(b"{") > MAX_TENSORS + 1000:  # a key can be written in other ways, a brace cannot
        raise NotSafetensorsError(f"more objects than {MAX_TENSORS:,} tensors; no more are read")
    try:
        fields = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant
        )
        return _checked(fields, 8 + length, size)
    except NotSafetensorsError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotSafetensorsError("its header is not what the format asks for") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise NotSafetensorsError(f"{twice[:80]!r} is there twice")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise NotSafetensorsError(f"{name} is not JSON")


def _checked(fields: dict[str, Any], start: int, size: int) -> Header:
    metadata = fields.pop("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise NotSafetensorsError("its metadata is not text")
    tensors = {name: _entry(name, field, start) for name, field in fields.items()}
    end = start
    by_place = sorted(tensors.items(), key=lambda named: (named[1][0].start, named[1][1]))
    for name, (entry, stop) in by_place:
        if entry.start != end or stop != end + entry.size:
            raise NotSafetensorsError(f"the place of {name[:80]!r} does not follow from its shape")
        end = stop
    if end != size:
        raise NotSafetensorsError(f"its tensors end at byte {end:,}, the file at {size:,}")
    for text in (*tensors, *metadata, *metadata.values()):
        text.encode()  # a lone half of a surrogate pair is no text
    return Header(metadata, {name: entry for name, (entry, _) in tensors.items()})


def _entry(name: str, field: Mapping[str, Any], start: int) -> tuple[Entry, int]:
    dtype, shape, (begin, end) = field["dtype"], field["shape"], field["data_offsets"]
    if dtype not in BYTES:
        raise NotSafetensorsError(f"{name[:80]!r} is of the unknown type {str(dtype)[:20]!r}")
    whole = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end))
    # Also where a side is 0: strides are computed from the others.
    large = whole and math.prod(max(1, side) for side in shape) * BYTES[dtype] >= 2**63
    if not whole or large or len(shape) > 32 or len(field) != 3:
        raise NotSafetensorsError(f"the shape or place of {name[:80]!r} is none")
    return Entry(dtype, tuple(shape), start + begin), start + end
