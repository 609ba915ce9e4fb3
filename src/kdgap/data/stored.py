"""Decoded images written to a file as they come, and read from it, where memory cannot hold them.

The file is safetensors, as the cache's other files are: pixels lie channels last (`layout`), and
labels as bytes, for behind an odd number of pixels they are not aligned.

Rows are read into a buffer and not mapped, so that no page of the file counts as this process's
memory (ADR 26). Which rows are asked for next is known, and the system is told to read them ahead.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from kdgap import disk
from kdgap.deferred import torch
from kdgap.files import json_text, open_file, remove_quietly, temporary_beside
from kdgap.leftovers import remove_temporaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

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


class StoredPixels:
    """Images of one part in a file: any rows of it are read when they are asked for.

    Args:
        path: the file, which may lose its name meanwhile.
        begin: where the first image begins, in bytes.
        stored: shape of an image as it lies there.
        channels_last: whether that is height, width and channels; else channels come first.
    """

    def __init__(
        self, path: Path, begin: int, stored: tuple[int, int, int], *, channels_last: bool
    ) -> None:
        self._file, self._path = open_file(path), path
        self._begin, self._stored, self._channels_last = begin, stored, channels_last
        self._size = int(np.prod(stored))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        first, second, third = self._stored
        return (third, first, second) if self._channels_last else self._stored

    def read(self, places: np.ndarray) -> Tensor:
        """Return the images at places `[B]`, uint8 `[B, H, W, C]`.

        Raises:
            OSError: they cannot be read, or the file has become shorter.
        """
        rows = np.empty((len(places), *self._stored), np.uint8)
        left = memoryview(rows.reshape(-1).data)
        for place, count in _runs(places):
            begin, size = self._begin + place * self._size, count * self._size
            self._fill(left[:size], begin)
            left = left[size:]
        read = torch.from_numpy(rows)
        return read if self._channels_last else read.permute(0, 2, 3, 1).contiguous()

    def _fill(self, buffer: memoryview, place: int) -> None:
        while buffer:
            with disk.naming(self._path):
                count = disk.call(disk.current.read_at, self._file.fileno(), buffer, place)
                if not count:
                    raise OSError(errno.EIO, "shorter than it was", str(self._path))
            buffer, place = buffer[count:], place + count

    def expect(self, places: np.ndarray) -> None:
        """Let the system begin to read the images at places `[B]`; nothing waits for it."""
        for place, count in _runs(places):
            begin = self._begin + place * self._size
            disk.current.will_need(self._file.fileno(), begin, count * self._size)


def _runs(places: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield first place and length of each run of places that follow each other."""
    if not len(places):
        return
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    firsts = np.concatenate([[0], ends])
    for first, end in zip(firsts.tolist(), [*ends.tolist(), len(places)], strict=True):
        yield int(places[first]), end - first
