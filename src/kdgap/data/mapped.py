"""Decoded images written to a file as they come, for those that memory cannot hold.

The file is safetensors, as the cache's other files are: pixels lie channels last (`layout`), and
labels as bytes, for behind an odd number of pixels they are not aligned.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from kdgap import disk
from kdgap.files import json_text, remove_quietly, temporary_beside
from kdgap.leftovers import remove_temporaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHANNELS_LAST = "NHWC"
_HEAD_ROOM = 4096
"""Bytes of a header without long texts, and more."""


class PixelFile:
    """Writes the pixels of both parts in order; made by `pixel_file`.

    Args:
        path: the file, under its temporary name.
        handle: the same, opened for writing.
        room: bytes to keep in the header for texts.
    """

    def __init__(self, path: Path, handle: int, room: int) -> None:
        self.path = path
        self._handle, self._room = handle, _HEAD_ROOM + -(-room // 8) * 8
        self._tensors: dict[str, object] = {}
        self._write(b" " * (8 + self._room))

    def add(self, rows: np.ndarray) -> None:
        """Append images uint8 `[B, H, W, C]`, or numbers."""
        if rows.size:
            self._write(memoryview(np.ascontiguousarray(rows).data).cast("B"))

    def _write(self, content: bytes | memoryview) -> None:
        left = memoryview(content)
        while left:
            left = left[disk.call(disk.current.write, self._handle, left) :]

    def finish(self, shape: tuple[int, int, int], labels: Mapping[str, np.ndarray]) -> None:
        """Append the labels; `describe` makes a readable file of it.

        Args:
            shape: height, width and channels.
            labels: int64 `[N]` of each part, in the order in which pixels were added.
        """
        height, width, channels = shape
        size, place = height * width * channels, 0
        for part, numbers in labels.items():
            end = place + len(numbers) * size
            self._tensors[f"{part}.pixels"] = _tensor([len(numbers), *shape], place, end)
            place = end
        for part, numbers in labels.items():
            self.add(numbers)
            end = place + numbers.nbytes
            self._tensors[f"{part}.labels"] = _tensor([numbers.nbytes], place, end)
            place = end

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Write the header, as often as something new is known."""
        header = {"__metadata__": {**metadata, "layout": CHANNELS_LAST}, **self._tensors}
        text = json_text(header, indent=None).encode()
        if len(text) > self._room:
            raise ValueError(f"a header of {len(text)} bytes, where {self._room} were kept")
        os.lseek(self._handle, 0, os.SEEK_SET)
        self._write(self._room.to_bytes(8, "little") + text.ljust(self._room))


def _tensor(shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": "U8", "shape": shape, "data_offsets": [begin, end]}


@contextmanager
def pixel_file(path: Path, room: int) -> Iterator[PixelFile]:
    """Give a file to write, which gets its name when it is left without an error.

    Raises:
        OSError: it cannot be written.
    """
    remove_temporaries(path.parent)  # a process that was killed may have left gigabytes
    temporary = temporary_beside(path)
    try:
        handle = disk.call(disk.current.open, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            yield PixelFile(temporary, handle, room)
        finally:
            disk.current.close(handle)
        disk.call(disk.current.rename, temporary, path)
    except BaseException:
        remove_quietly(temporary)
        raise
