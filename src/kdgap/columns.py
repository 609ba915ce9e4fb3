"""Columns of a parquet file, on stdout for the process that started this one.

Run as a child process (`python -m kdgap.columns …`) with bounded memory and computing time, for
Arrow has no bound of its own: a page may say that it unpacks to gigabytes, one value may stand in a
million rows, and a schema may be nested deeper than the stack. What a hostile file costs stays
here, and so does a crash. Prints one line on stderr and exits with 1 if a file cannot be read.

| what | at most |
|---|---|
| memory, seconds of computing | `MAX_MEMORY`, `MAX_SECONDS` |
| images of a file | `MAX_ROWS`; `MAX_BYTES` in all, `MAX_IMAGE` each |
| of a table of the user's own | `OWN_ROWS`; `OWN_BYTES` in all, `OWN_IMAGE` each |
| texts of it (paths, labels, splits) | `OWN_TEXTS` in all, `OWN_TEXT` each |
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
OWN_ROWS, OWN_BYTES, OWN_IMAGE = 10_000_000, 64 * 2**30, 64 * 2**20
"""Of the user's own photographs, which are read one batch at a time."""
OWN_TEXT, OWN_TEXTS = 4096, 2**30
"""Bytes of a path, label or split, and of all of them, which are kept: a page may repeat a long one
for nothing."""
_BATCH = 256
SCHEMA, TABLE = "--schema", "--table"
"""What is asked about a table of the user's own: its columns, or the rows of some of them."""
IMAGE, LABEL, SPLIT = "image", "label", "split"
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


def schema(path: Path) -> dict[str, Any]:
    """Return what columns a file has: kind by name, and class names of those that have some.

    Kinds are `image` (structs with encoded `bytes`), `bytes`, `text`, `whole` (numbers), `twice`
    and `other`.

    Raises:
        BadInputError: why it is no parquet file, in words that follow its name.
    """
    with _opened(path) as file:
        fields, metadata = file.schema_arrow, file.schema_arrow.metadata or {}
        kinds: dict[str, str] = {}
        for field in fields:
            kinds[field.name] = "twice" if field.name in kinds else _kind(field.type)
        named = {name: _class_names(metadata, name) for name in kinds}
        classes = {name: names for name, names in named.items() if names is not None}
        return {"rows": file.metadata.num_rows, "kinds": kinds, "classes": classes}


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return "image" if _holds_bytes(kind) else "other"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    return "whole" if pa.types.is_integer(kind) else "other"


def table(
    path: Path, image_column: str, label_column: str, split_column: str
) -> Iterator[pa.RecordBatch]:
    """Yield rows of a file: images (bytes of one, or a path), labels and splits (text).

    Args:
        path: the file.
        image_column: of any kind but `whole`; empty = none is read.
        label_column: of text or whole numbers.
        split_column: of text; empty = there is none.

    Raises:
        BadInputError: it is beyond a bound, or a value is missing; in words that follow its name.
    """
    with _opened(path) as file:
        structs = image_column and pa.types.is_struct(file.schema_arrow.field(image_column).type)
        names = [f"{image_column}.bytes" if structs else image_column, label_column, split_column]
        rows = size = letters = 0
        for batch in file.iter_batches(
            _BATCH, columns=[name for name in names if name], use_threads=False
        ):
            rows += batch.num_rows
            images = pa.nulls(batch.num_rows, pa.large_binary())
            texts = [_text(batch, name) for name in names[1:]]
            kept = [text for text, name in zip(texts, names[1:], strict=True) if name]
            if image_column:
                column = batch.column(image_column)
                column = pc.struct_field(column, "bytes") if structs else column
                plain = column if structs else column.cast(_plain(column.type))
                images = plain.cast(pa.large_binary())
                if pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
                    kept.append(images)
                elif (longest := _longest(images)) > OWN_IMAGE:
                    raise BadInputError(f"an image of {longest:,} bytes; at most {OWN_IMAGE:,}")
                size += images.nbytes
            longest, letters = max(map(_longest, kept)), letters + sum(t.nbytes for t in kept)
            if longest > OWN_TEXT:
                raise BadInputError(f"a text of {longest:,} bytes; at most {OWN_TEXT:,}")
            if rows > OWN_ROWS or size > OWN_BYTES or letters > OWN_TEXTS:
                raise BadInputError(
                    f"more than {OWN_ROWS:,} rows, {OWN_BYTES:,} bytes, or {OWN_TEXTS:,} of texts"
                )
            yield pa.record_batch([images, *texts], [IMAGE, LABEL, SPLIT])


def _longest(values: pa.Array) -> int:
    return int(pc.max(pc.binary_length(values)).as_py() or 0)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _text(batch: pa.RecordBatch, column: str) -> pa.Array:
    """Return a column as text; nulls where none is asked for."""
    if not column:
        return pa.nulls(batch.num_rows, pa.large_utf8())
    values = batch.column(column)
    if values.null_count:
        raise BadInputError(f"column {column!r} lacks {values.null_count:,} values or more")
    return values.cast(_plain(values.type)).cast(pa.large_utf8())


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


def own(out: BinaryIO, asked: str, path: str, *columns: str) -> int:
    """Write what a table of the user's own holds; return the exit code.

    Args:
        out: where to; one line of JSON (`SCHEMA`), or an Arrow stream (`TABLE`).
        asked: `SCHEMA` or `TABLE`.
        path: the file.
        columns: those of images, labels and splits, for `TABLE`.
    """
    bound_memory(MAX_MEMORY)
    bound_computing(MAX_SECONDS)
    try:
        if asked == SCHEMA:
            out.write(json.dumps(schema(Path(path))).encode() + b"\n")
            return 0
        fields = [(IMAGE, pa.large_binary()), (LABEL, pa.large_utf8()), (SPLIT, pa.large_utf8())]
        with pa.ipc.new_stream(out, pa.schema(fields)) as stream:
            for batch in table(Path(path), *columns):
                stream.write_batch(batch)
    except BadInputError as error:
        tell(str(error))
        return 1
    except BrokenPipeError:  # whoever asked has seen enough
        return 0
    return 0


if __name__ == "__main__":
    answer = own if sys.argv[1] in (SCHEMA, TABLE) else main
    code = answer(sys.stdout.buffer, *sys.argv[1:])
    sys.stdout.flush()
    # Without taking Arrow down first: its threads, ended while they begin, now and then abort.
    os._exit(code)
