"""Tables that say which images there are: CSV and parquet, one row an image.

| column | names, in any case; the first that is there counts |
|---|---|
| image | `path`, `file`, `file_name`, `filename`, `filepath`, `image`, `img`, `images`, `picture` |
| label | `label`, `labels`, `class`, `class_name`, `fine_label`, `target`, `category` |
| split | `split`, `subset`, `part`; may be left out |

An image is a path below the table's own folder or, in parquet, the encoded image itself: bytes, or
a struct with `bytes` as the Hugging Face hub has them, which goes before any column of paths. A
label is a text or a whole number; in CSV it may be written 3.0 where all labels are such.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from kdgap import child
from kdgap.columns import IMAGE, LABEL, OWN_ROWS, SCHEMA, SPLIT, TABLE
from kdgap.data.own import LABELS, is_whole
from kdgap.data.parquet import refusal
from kdgap.errors import BadInputError, nearest, one_line
from kdgap.files import open_file, parse_json, read_text
from kdgap.leftovers import scratch_prefix
from kdgap.text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

IMAGES = (
    *("path", "file", "file_name", "filename", "filepath"),
    *("image", "img", "images", "picture"),
)
SPLITS = ("split", "subset", "part")
_HOLDING = {"image": 0, "bytes": 1}
"""Kinds of columns that hold images themselves, the surest first."""
_NO_PART = re.compile(r"\.0+\Z")
_CSV_BYTES = 2**29
_FIELD_CHARACTERS = 2**17


@dataclass(frozen=True)
class Columns:
    """Columns of a parquet file by what they hold; `encoded`: images themselves, and no paths."""

    image: str
    label: str
    split: str
    encoded: bool


@dataclass(frozen=True)
class Table:
    """What a table says, one entry a row.

    Attributes:
        path: the file.
        labels: as text.
        whole: whether all labels are whole numbers.
        splits: as text; None = there is no such column.
        paths: of images; None where the file holds the images themselves.
        classes: class names, where the file has them: then labels are numbers.
        columns: of a parquet file.
        first: the number of the first row in messages.
    """

    path: Path
    labels: list[str]
    whole: bool
    splits: list[str] | None
    paths: list[str] | None
    classes: tuple[str, ...] | None = None
    columns: Columns | None = None
    first: int = 0

    def where(self, row: int) -> str:
        """Return how messages name a row."""
        what = "row" if self.columns else "line"
        return f"{shown(self.path)}, {what} {row + self.first}"

    def images(self) -> Iterator[bytes]:
        """Yield the encoded images of a parquet file that holds them, one for each row."""
        assert self.columns is not None
        for batch in _batches(self.path, self.columns.image, self.columns.label, ""):
            yield from (value or b"" for value in batch.column(IMAGE).to_pylist())


def read_table(path: Path) -> Table:
    """Read a table by its name: `.parquet`, or else CSV.

    Raises:
        BadInputError: it cannot be read, or lacks a column.
    """
    return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)


def _csv(path: Path) -> Table:
    try:
        with open_file(path) as stream:
            size = stream.seek(0, io.SEEK_END)
        if size > _CSV_BYTES:
            raise BadInputError(f"{shown(path)}: {size:,} bytes; at most {_CSV_BYTES:,} are read")
        text = read_text(path)
    except OSError as error:
        raise BadInputError(f"{shown(path)}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise BadInputError(f"{shown(path)}: is no text in UTF-8 ({error})") from None
    head = text.partition("\n")[0]
    sign = max(",;\t", key=head.count)
    csv.field_size_limit(_FIELD_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise BadInputError(f"{shown(path)}, line {reader.line_num}: {error}") from None
    if len(rows) < 2:
        raise BadInputError(f"{shown(path)}: no row in it; expected a head such as path,label")
    names = [name.strip() for name in rows.pop(0)]
    image, label, split = _chosen(path, names)
    wide = next((at for at, row in enumerate(rows, 1) if len(row) != len(names)), None)
    if wide is not None:
        raise BadInputError(
            f"{shown(path)}, line {lines[wide]}: {len(rows[wide - 1])} values, but the head names"
            f" {len(names)} columns"
        )
    column = {name: [row[at].strip() for row in rows] for at, name in enumerate(names)}
    labels = [_NO_PART.sub("", text) for text in column[label]]
    if not all(map(is_whole, labels)):  # 3.0 is 3 only where every label is such a number
        labels = column[label]
    return Table(
        path,
        labels,
        all(map(is_whole, labels)),
        column[split] if split else None,
        column[image],
        first=2,
    )


def _parquet(path: Path) -> Table:
    about = parse_json(_answer(path, SCHEMA))
    kinds = about["kinds"]
    image, label, split = _chosen(path, list(kinds), kinds)
    for column, allowed, what in (
        (image, ("image", "bytes", "text"), "encoded images or paths"),
        (label, ("text", "whole"), "labels, as text or whole numbers"),
        (split, ("text",), "splits, such as train and test"),
    ):
        if column and kinds[column] not in allowed:
            problem = "is there twice" if kinds[column] == "twice" else f"holds no {what}"
            raise BadInputError(f"{shown(path)}: column {column!r} {problem}")
    if not 0 < about["rows"] <= OWN_ROWS:
        raise BadInputError(f"{shown(path)}: {about['rows']:,} rows; 1 to {OWN_ROWS:,} are read")
    encoded = kinds[image] != "text"
    labels: list[str] = []
    splits: list[str] = []
    same: dict[str, str] = {}  # one text for all rows that have it
    paths: list[str] = []
    for batch in _batches(path, "" if encoded else image, label, split):
        labels += (same.setdefault(text, text) for text in batch.column(LABEL).to_pylist())
        if split:
            splits += (same.setdefault(text, text) for text in batch.column(SPLIT).to_pylist())
        if not encoded:
            paths += [
                (value or b"").decode("utf-8", "surrogateescape")
                for value in batch.column(IMAGE).to_pylist()
            ]
    whole = kinds[label] == "whole"
    classes = about["classes"].get(label) if whole else None
    return Table(
        path,
        labels,
        whole,
        splits if split else None,
        None if encoded else paths,
        None if classes is None else tuple(classes),
        Columns(image, label, split, encoded),
    )


def _chosen(
    path: Path, names: Sequence[str], kinds: Mapping[str, str] | None = None
) -> tuple[str, str, str]:
    """Return the columns of images, labels and splits; the last may be empty.

    Of several columns of images one that holds them goes before one that holds paths: where the
    hub keeps the images, the paths beside them are where they once lay.
    """
    ranks = {name.casefold(): _HOLDING.get(kind, 2) for name, kind in (kinds or {}).items()}
    images: Sequence[str] = sorted(IMAGES, key=lambda name: ranks.get(name, 2))
    chosen = []
    for what, known in (("image", images), ("label", LABELS), ("split", SPLITS)):
        folded = {name.casefold(): name for name in reversed(names)}
        column = next((folded[name] for name in known if name in folded), "")
        if not column and what != "split":
            there = ", ".join(names[:20])
            raise BadInputError(
                f"{shown(path)}: no column of {what}s: it has {one_line(there, 200)}; expected"
                f" one called {', '.join(known)}{_meant(names, known)}"
            )
        if names.count(column) > 1:
            raise BadInputError(f"{shown(path)}: column {column!r} is there twice")
        chosen.append(column)
    return chosen[0], chosen[1], chosen[2]


def _meant(names: Sequence[str], known: Collection[str]) -> str:
    return next((hint for name in names if (hint := nearest(name, known))), "")


def _answer(path: Path, *words: str) -> bytes:
    done = subprocess.run(
        child.command("kdgap.columns", words[0], str(path), *words[1:]),
        env=child.environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise refusal(path, done.returncode, done.stderr)
    return done.stdout


def _batches(path: Path, image: str, label: str, split: str) -> Iterator[pa.RecordBatch]:
    """Yield some rows at a time, as the child process writes them."""
    words = child.command("kdgap.columns", TABLE, str(path), image, label, split)
    with (
        tempfile.TemporaryFile(prefix=scratch_prefix("columns")) as complaints,
        subprocess.Popen(
            words, env=child.environment(), stdout=subprocess.PIPE, stderr=complaints
        ) as reader,
    ):
        assert reader.stdout is not None
        try:
            with pa.ipc.open_stream(reader.stdout) as stream:
                yield from stream
        except pa.ArrowException:
            pass  # the child ended early, and says why
        except GeneratorExit:
            reader.kill()
            raise
        reader.stdout.close()
        code = reader.wait()
        if code:
            complaints.seek(0)
            raise refusal(path, code, complaints.read())
