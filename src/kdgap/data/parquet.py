"""Images in the parquet layout that the Hugging Face hub serves."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from kdgap.data.dataset import Images
from kdgap.errors import BadInputError, one_line


def count_rows(shards: list[Path]) -> int:
    """Return the number of images without reading them."""
    return sum(_open(path).metadata.num_rows for path in shards)


def class_names(shard: Path, label_column: str) -> tuple[str, ...] | None:
    """Return the class names from the schema's metadata, if it has them."""
    metadata = _open(shard).schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label_column]["names"])
    except (KeyError, TypeError, ValueError):
        return None


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
        BadInputError: a column is missing, or an image is broken or of another shape.
    """
    pixels, labels = [], []
    for shard in shards:
        try:
            table = _open(shard).read([image_column, label_column])
        except (pa.ArrowException, OSError) as error:
            raise BadInputError(f"{shard}: {one_line(error)}") from None
        missing = {image_column, label_column} - set(table.column_names)
        if missing:
            raise BadInputError(f"{shard}: has no column {min(missing)!r}")
        images, numbers = table.column(image_column), table.column(label_column)
        if not pa.types.is_struct(images.type) or images.type.get_field_index("bytes") < 0:
            raise BadInputError(f"{shard}: column {image_column!r} holds no encoded images")
        if not pa.types.is_integer(numbers.type) or numbers.null_count or not len(numbers):
            raise BadInputError(f"{shard}: column {label_column!r} holds no whole-number labels")
        try:
            numbers = numbers.cast(pa.int64())
        except pa.ArrowException as error:
            raise BadInputError(f"{shard}: column {label_column!r}: {one_line(error)}") from None
        encoded = [row and row["bytes"] for row in images.to_pylist()]
        with ThreadPoolExecutor() as pool:
            rows = list(pool.map(_decode, encoded, [shape] * len(encoded)))
        for number, row in enumerate(rows):
            if isinstance(row, str):
                raise BadInputError(f"{shard}: image in row {number}: {row}")
        pixels.append(torch.from_numpy(np.stack(rows)))
        labels.append(torch.tensor(numbers.to_pylist(), dtype=torch.int64))
    return Images(torch.cat(pixels).permute(0, 3, 1, 2).contiguous(), torch.cat(labels))


def _decode(encoded: bytes | None, shape: tuple[int, int, int]) -> np.ndarray | str:
    channels, height, width = shape
    if not encoded:
        return "cannot be read (no bytes)"
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    except UnidentifiedImageError:  # its own text holds a memory address
        return "cannot be read (not an image)"
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        return f"cannot be read ({one_line(error, 120)})"
    array = array.reshape(*array.shape[:2], channels)
    if array.shape[:2] != (height, width):
        return f"is {array.shape[0]}x{array.shape[1]}, expected {height}x{width}"
    return array


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInputError(f"{path}: not a parquet file ({one_line(error, 120)})") from None
