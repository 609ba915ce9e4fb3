"""Two columns of a parquet file, on stdout for the process that started this one.

Run as a child process (`python -m kdgap.columns …`) with bounded memory and computing time, for
Arrow has no bound of its own: a page may say that it unpacks to gigabytes, one value may stand in a
million rows, and a schema may be nested deeper than the stack. What a hostile file costs stays
here, and so does a crash. Prints one line on stderr and exits with 1 if a file cannot be read.

| what | at most |
|---|---|
| memory, seconds of computing | `MAX_MEMORY`, `MAX_SECONDS` |
| images of a file | `MAX_ROWS`; `MAX_BYTES` in all, `MAX_IMAGE` each |
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kdgap.child import bound_computing, bound_memory
from kdgap.errors import BadInputError, one_line
from kdgap.files import open_file
from kdgap.placeholder import HEAD_BYTES, placeholder
from kdgap.terminal import tell

MAX_MEMORY = 2 * 2**30
"""Address space in bytes; 50,000 images of 32 x 32 in groups of 1,000 take a quarter of it."""
MAX_SECONDS = 600
MAX_ROWS = 1_000_000
MAX_BYTES = 512 * 2**20
MAX_IMAGE = 2**20
"""Bytes of one encoded image; one of 32 x 32 takes a few thousand."""
_BATCH = 256
IMAGE, LABEL = "image", "label"
"""The columns that are handed over."""


def describe(path: Path, label_column: str) -> dict[str, Any]:
    """Return how many rows a file has, and the class names in its schema, if it has them.

    Raises:
        BadInputError: why it is no parquet file, in words that follow its name.
    """
    with _opened(path) as file:
        classes = _class_names(file.schema_arrow.metadata or {}, label_column)
        return {"rows": file.metadata.num_rows, "classes": classes}


def _class_names(metadata: dict[bytes, bytes], label_column: str) -> list[str] | None:
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = [str(name) for name in features[label_column]["names"]]
        "".join(names).encode()
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return None if any("\0" in name for name in names) else names


def read(path: Path, image_column: str, label_column: str) -> Iterator[pa.RecordBatch]:
    """Yield encoded images (binary, null where there is none) and labels (int64) of a file.

    Raises:
        BadInputError: it is no parquet file, lacks a column, or is beyond a bound; in words that
            follow its name.
    """
    with _opened(path) as file:
        _check(file.schema_arrow, image_column, label_column)
        rows = size = 0
        columns = [f"{image_column}.bytes", label_column]
        for batch in file.iter_batches(_BATCH, columns=columns, use_threads=False):
            images = pc.struct_field(batch.column(image_column), "bytes").cast(pa.large_binary())
            longest = pc.max(pc.binary_length(images)).as_py() or 0
            if longest > MAX_IMAGE:
                raise BadInputError(f"an image of {longest:,} bytes; {_AT_MOST}")
            rows, size = rows + len(images), size + images.nbytes
            if rows > MAX_ROWS or size > MAX_BYTES:
                raise BadInputError(f"its rows unpack to {size:,} bytes or more; {_AT_MOST}")
            yield pa.record_batch([images, _labels(label_column, batch)], [IMAGE, LABEL])
        if not rows:
            raise BadInputError(f"column {label_column!r} holds no whole-number labels")


_AT_MOST = f"at most {MAX_IMAGE:,} an image, {MAX_BYTES:,} a file and {MAX_ROWS:,} rows are read"


def _check(schema: pa.Schema, image_column: str, label_column: str) -> None:
    for column in sorted((image_column, label_column)):
        if schema.names.count(column) != 1:
            problem = "no column" if column not in schema.names else "more than one column"
            raise BadInputError(f"has {problem} {column!r}")
    images, numbers = schema.field(image_column).type, schema.field(label_column).type
    if not pa.types.is_struct(images) or not _holds_bytes(images):
        raise BadInputError(f"column {image_column!r} holds no encoded images")
    if not pa.types.is_integer(numbers):
        raise BadInputError(f"column {label_column!r} holds no whole-number labels")


def _holds_bytes(images: pa.StructType) -> bool:
    index = images.get_field_index("bytes")  # -1 also where there are two
    if index < 0:
        return False
    kind = images.field(index).type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _labels(label_column: str, batch: pa.RecordBatch) -> pa.Array:
    numbers = batch.column(label_column)
    if numbers.null_count:
        raise BadInputError(f"column {label_column!r} holds no whole-number labels")
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowException as error:
        raise BadInputError(f"column {label_column!r}: {one_line(error)}") from None


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a parquet file; whatever goes wrong with it is one line, which follows its name."""
    try:
        with open_file(path) as stream:
            if what := placeholder(stream.read(HEAD_BYTES)):
                raise BadInputError(what)
            stream.seek(0)
            with pq.ParquetFile(stream) as file:
                yield file
    except BadInputError:
        raise
    except MemoryError:
        raise BadInputError(
            f"not a parquet file that can be read (needs more than {MAX_MEMORY / 2**30:g} GiB of"
            " memory, or than is free)"
        ) from None
    except OSError as error:
        reason = error.strerror or one_line(error, 120)
        raise BadInputError(f"not a parquet file ({reason})") from None
    except Exception as error:  # noqa: BLE001  (foreign bytes find every error of the library)
        reason = one_line(error, 120) or type(error).__name__
        raise BadInputError(f"not a parquet file that can be read ({reason})") from None


def main(out: BinaryIO, label_column: str, image_column: str, *paths: str) -> int:
    """Write what files hold; return the exit code.

    Args:
        out: where to; an Arrow stream of one file, or, without a column of images, one line of
            JSON a file.
        label_column: column of whole numbers.
        image_column: column of structs with encoded `bytes`; empty to describe files.
        paths: the files.
    """
    bound_memory(MAX_MEMORY)
    bound_computing(MAX_SECONDS)
    try:
        if not image_column:
            for path in paths:
                out.write(json.dumps(describe(Path(path), label_column)).encode() + b"\n")
                out.flush()
            return 0
        schema = pa.schema([(IMAGE, pa.large_binary()), (LABEL, pa.int64())])
        with pa.ipc.new_stream(out, schema) as stream:
            for batch in read(Path(paths[0]), image_column, label_column):
                stream.write_batch(batch)
    except BadInputError as error:
        tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.stdout.buffer, *sys.argv[1:])
    sys.stdout.flush()
    # Without taking Arrow down first: its threads, ended while they begin, now and then abort.
    os._exit(code)
