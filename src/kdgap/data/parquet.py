"""Images in the parquet layout that the Hugging Face hub serves.

Their pixels follow the table in `kdgap.data.pixels`, as those of image files do.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from kdgap.data.dataset import Images
from kdgap.data.pixels import ImageError, decoders, exact
from kdgap.data.unusable import unusable
from kdgap.errors import BadInputError, one_line
from kdgap.files import open_file
from kdgap.placeholder import HEAD_BYTES, placeholder

_BYTES_AT_MOST = 2**20
"""Unpacked bytes an image, on average over a file: far above what an image of 32 x 32 takes, and
below what would fill the memory. A file of a few kilobytes may unpack to any size."""


def count_rows(shards: list[Path]) -> int:
    """Return the number of images without reading them."""
    rows = 0
    for shard in shards:
        with _opened(shard) as file:
            rows += file.metadata.num_rows
    return rows


def class_names(shard: Path, label_column: str) -> tuple[str, ...] | None:
    """Return the class names from the schema's metadata, if it has them."""
    with _opened(shard) as file:
        metadata = file.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = tuple(str(name) for name in features[label_column]["names"])
        "".join(names).encode()
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return None if any("\0" in name for name in names) else names


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
        BadInputError: a column is missing or there twice, or an image is broken or of another
            shape.
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
        labels.append(torch.tensor(numbers, dtype=torch.int64))
    return Images(torch.cat(pixels).permute(0, 3, 1, 2).contiguous(), torch.cat(labels))


def _columns(
    shard: Path, image_column: str, label_column: str
) -> tuple[list[bytes | None], list[int]]:
    """Return the encoded images and the labels of a file."""
    with _opened(shard) as file:
        names = file.schema_arrow.names
        for column in sorted((image_column, label_column)):
            if names.count(column) != 1:
                problem = "no column" if column not in names else "more than one column"
                raise BadInputError(f"{shard}: has {problem} {column!r}")
        _refuse_too_large(shard, file.metadata)
        table = file.read([image_column, label_column])
        images, numbers = table.column(image_column), table.column(label_column)
        if not pa.types.is_struct(images.type) or not _holds_bytes(images.type):
            raise BadInputError(f"{shard}: column {image_column!r} holds no encoded images")
        if not pa.types.is_integer(numbers.type) or numbers.null_count or not len(numbers):
            raise BadInputError(f"{shard}: column {label_column!r} holds no whole-number labels")
        try:
            numbers = numbers.cast(pa.int64())
        except pa.ArrowException as error:
            raise BadInputError(f"{shard}: column {label_column!r}: {one_line(error)}") from None
        return pc.struct_field(images, "bytes").to_pylist(), numbers.to_pylist()


def _holds_bytes(images: pa.StructType) -> bool:
    index = images.get_field_index("bytes")  # -1 also where there are two
    if index < 0:
        return False
    kind = images.field(index).type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _refuse_too_large(shard: Path, about: pq.FileMetaData) -> None:
    groups = [about.row_group(index) for index in range(about.num_row_groups)]
    unpacked = sum(
        group.column(index).total_uncompressed_size
        for group in groups
        for index in range(group.num_columns)
    )
    if unpacked > _BYTES_AT_MOST * max(about.num_rows, 16):
        raise BadInputError(
            f"{shard}: its {about.num_rows:,} rows unpack to {unpacked:,} bytes, more than"
            f" {_BYTES_AT_MOST:,} an image"
        )


def _decode(encoded: bytes | None, shape: tuple[int, int, int]) -> np.ndarray | str:
    if not encoded:
        return "cannot be read (no bytes)"
    try:
        return exact(encoded, shape)
    except ImageError as error:
        return str(error)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a parquet file; whatever goes wrong with it is one line that names it."""
    try:
        with open_file(path) as stream:
            if what := placeholder(stream.read(HEAD_BYTES)):
                raise BadInputError(f"{path}: {what}")
            stream.seek(0)
            with pq.ParquetFile(stream) as file:
                yield file
    except BadInputError:
        raise
    except OSError as error:
        reason = error.strerror or one_line(error, 120)
        raise BadInputError(f"{path}: not a parquet file ({reason})") from None
    except Exception as error:  # noqa: BLE001  (foreign bytes find every error of the library)
        reason = one_line(error, 120) or type(error).__name__
        raise BadInputError(f"{path}: not a parquet file that can be read ({reason})") from None
