"""Images in the parquet layout that the Hugging Face hub serves.

A child process reads the columns, with bounds (`kdgap.columns`). Their pixels follow the table in
`kdgap.data.pixels`, as those of image files do.
"""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kdgap import child
from kdgap.columns import IMAGE, LABEL, MAX_SECONDS
from kdgap.data.dataset import Images
from kdgap.data.pixels import ImageError, decoders, exact
from kdgap.data.unusable import unusable
from kdgap.deferred import torch
from kdgap.errors import BadInputError, one_line
from kdgap.files import parse_json

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Described:
    """What a file says of itself: its number of images, and the names of the classes or None."""

    rows: int
    classes: tuple[str, ...] | None


def described(shards: list[Path], label_column: str) -> list[Described]:
    """Return what each file says of itself, without reading its images.

    Raises:
        BadInputError: naming the first that is no parquet file.
    """
    done = _read(label_column, "", *map(str, shards))
    lines = done.stdout.splitlines()
    if done.returncode:
        raise refusal(shards[min(len(lines), len(shards) - 1)], done.returncode, done.stderr)
    entries = [parse_json(line) for line in lines]
    return [
        Described(entry["rows"], None if entry["classes"] is None else tuple(entry["classes"]))
        for entry in entries
    ]


def decode_shards(
    shards: list[Path], image_column: str, label_column: str, shape: tuple[int, int, int]
) -> Images:
    """Decode all images of some shards.

    Args:
        shards: the files.
        image_column: column of structs with the encoded `bytes`.
        label_column: column of integer labels.
        shape: the expected channels, height and width.

    Raises:
        BadInputError: a column is missing or there twice, an image is broken or of another shape,
            or a file is beyond the bounds.
    """
    pixels, labels = [], []
    for shard in shards:
        encoded, numbers = _columns(shard, image_column, label_column)
        with decoders() as pool:
            rows = list(pool.map(_decode, encoded, [shape] * len(encoded)))
        problems = [
            (f"image in row {number}", row)
            for number, row in enumerate(rows)
            if isinstance(row, str)
        ]
        if problems:
            raise BadInputError(f"{shard}: {unusable(problems, 'images', 'repair')}")
        pixels.append(torch.from_numpy(np.stack(rows)))
        labels.append(torch.from_numpy(numbers))
    return Images(torch.cat(pixels).permute(0, 3, 1, 2).contiguous(), torch.cat(labels))


def _columns(
    shard: Path, image_column: str, label_column: str
) -> tuple[list[bytes | None], np.ndarray]:
    """Return the encoded images and the labels (int64) of a file."""
    done = _read(label_column, image_column, str(shard))
    if done.returncode:
        raise refusal(shard, done.returncode, done.stderr)
    with pa.ipc.open_stream(done.stdout) as stream:
        table = stream.read_all()
    return table.column(IMAGE).to_pylist(), table.column(LABEL).to_numpy().copy()


def _read(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        child.command("kdgap.columns", *words),
        env=child.environment(),
        capture_output=True,
        check=False,
    )


def refusal(shard: Path, code: int, complaints: bytes) -> BadInputError:
    """Return what to raise for a file that the child did not read: its exit code and stderr."""
    lines = complaints.decode("utf-8", "replace").strip().splitlines()
    if code == 1 and lines:
        return BadInputError(f"{shard}: {one_line(lines[-1])}")
    reason = f"its reader ended with exit code {code}"
    if code == -signal.SIGXCPU:
        reason = f"not read within {MAX_SECONDS} s of computing"
    elif code < 0:
        reason = f"its reader was ended by {signal.Signals(-code).name}"
    return BadInputError(f"{shard}: not a parquet file that can be read ({reason})")


def _decode(encoded: bytes | None, shape: tuple[int, int, int]) -> np.ndarray | str:
    if not encoded:
        return "cannot be read (no bytes)"
    try:
        return exact(encoded, shape)
    except ImageError as error:
        return str(error)
