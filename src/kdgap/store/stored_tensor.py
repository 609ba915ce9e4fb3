"""A tensor found in a foreign file: where its numbers lie, before any of them is read."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from kdgap.store.tensorfile import BYTES


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a checkpoint.

    Attributes:
        path: keys, attributes and positions that lead to it, outermost first.
        dtype: its type by the name that safetensors has for it.
        shape: its shape.
        stride: distance to the next element in each dimension, in elements.
        start: where its first byte is in the file.
        room: how many bytes of its storage there are from there on.
        content: those bytes themselves, where the file holds them encoded; `start` is 0 then.
    """

    path: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int
    room: int
    content: bytes | None = None

    def row(self) -> Mapping[str, object]:
        """Return it as JSON values."""
        encoded = None if self.content is None else b64encode(self.content).decode()
        return {**vars(self), "content": encoded}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "StoredTensor":
        """Return what `row` made JSON of."""
        lists = {key: tuple(row[key]) for key in ("path", "shape", "stride")}
        content = None if row["content"] is None else b64decode(row["content"])
        return cls(**{**row, **lists, "content": content})

    @property
    def size(self) -> int:
        """Bytes of its elements."""
        return prod(self.shape) * BYTES[self.dtype]

    @property
    def extent(self) -> int:
        """Bytes from its first element to its last."""
        if 0 in self.shape:
            return 0
        steps = sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        return (1 + steps) * BYTES[self.dtype]


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds: its tensors, and the names of what stands beside them.

    Attributes:
        tensors: all of them.
        others: names at the top under which there is no tensor.
        modules: of whole pickled modules, the keys that lead there, with dots, and the class.
    """

    tensors: tuple[StoredTensor, ...]
    others: tuple[str, ...] = ()
    modules: tuple[tuple[str, str], ...] = ()
