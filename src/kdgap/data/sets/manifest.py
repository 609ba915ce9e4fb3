"""Images that a table names or holds: a CSV or parquet file, or the parquet files of a data set."""

from __future__ import annotations

import io
import re
from array import array
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kdgap.data.dataset import Decoded, Request, Shape, dataset
from kdgap.data.decoding import Encoded, Part
from kdgap.data.listing import AGAIN, VALIDATION, LeftOut
from kdgap.data.own import PARTS, OwnImages, OwnPart, in_order
from kdgap.data.shards import find_shards
from kdgap.errors import BadInputError, nearest, one_line
from kdgap.files import entries, open_file
from kdgap.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kdgap.data.tables import Table

_Places = dict[int, "array[int]"]
"""Rows by the number of their table, both in order."""
_NAMES = ("manifest.csv", "manifest.parquet")
_OF_PART = re.compile(r"([a-z]+)(?:[-_.][^/]*)?\.parquet", re.IGNORECASE)


def survey(request: Request) -> Shape:
    """Return numbers and sizes of a manifest's images, of which none is decoded."""
    return _Manifest(request.root).own().shape(request)


@dataset(
    "manifest",
    summary="your images as a CSV or parquet file names or holds them: path or bytes, label, split",
    citation="your own",
    val_size=500,
    augmentation="crop_flip",
    resized=True,
    survey=survey,
)
def manifest(request: Request) -> Decoded:
    """Load the images of a table; see `kdgap.data.tables` for its columns.

    The root is the file, or a folder with `manifest.csv` or `manifest.parquet`, or a folder with
    parquet files (or with `data/` that has them), whose names may begin with `train`, `test` and
    `validation`. Validation images are left out where test images are there, and are the test
    images where none are. Where no row says what is tested on, test images are set apart as
    `kdgap.data.apart` says.
    """
    listed = _Manifest(request.root)
    return listed.own().load(request, "manifest", listed.folder, listed.files())


class _Manifest:
    """The tables of a manifest, and what their rows name.

    Args:
        root: see `manifest`.
    """

    def __init__(self, root: Path) -> None:
        # Here: it loads pyarrow.
        from kdgap.data.tables import read_table

        self.name = f"manifest {shown(root)}"
        by_part = self._tables(root)
        self.folder = next(path for paths in by_part.values() for path in paths).parent
        self._read = [(part, read_table(path)) for part, paths in by_part.items() for path in paths]
        self._left: dict[str, list[str]] = {}
        self.classes, self._labels = self._numbered()
        self._places = self._listed()

    def _tables(self, root: Path) -> Mapping[str, Sequence[Path]]:
        """Return the tables by the part that their names say; empty where none says any."""
        if root.is_file():
            return {"": [root]}
        for name in _NAMES:
            if (root / name).is_file():
                return {"": [root / name]}
        for folder in (root, root / "data"):
            try:
                files = entries(folder, "*.parquet")
            except OSError as error:
                raise BadInputError(f"{shown(folder)}: {error.strerror}") from None
            by_part: dict[str, list[Path]] = {}
            for path in files:
                match = _OF_PART.fullmatch(path.name)
                part = PARTS.get(match[1].lower(), "") if match else ""
                by_part.setdefault(part, []).append(path)
            for begin in ("train", "test", "validation"):
                find_shards(folder, begin)  # refuses a release of which a shard is missing
            if "" in by_part and len(by_part) > 1:
                odd = by_part[""][0].name
                raise BadInputError(
                    f"{self.name}: {odd!r} does not say its part, and others do; rename it to"
                    f" begin with train, test or validation, or remove it"
                )
            if by_part:
                return by_part
        raise BadInputError(
            f"{self.name}: looked for a CSV or parquet file, {' or '.join(_NAMES)} in a folder, and"
            " *.parquet there or in data/; name the file or folder with --data-root"
        )

    def _numbered(self) -> tuple[tuple[str, ...], list[list[int]]]:
        """Return class names, and the label of each row of each table."""
        tables = [table for _, table in self._read]
        named = {table.classes for table in tables}
        if len(named) > 1:
            raise BadInputError(
                f"{self.name}: {tables[0].path.name} names other classes than another of its files"
            )
        whole = all(table.whole for table in tables)
        (classes,) = named
        if classes is None:
            texts = {label for table in tables for label in table.labels}
            classes = in_order(texts)
        number = {name: label for label, name in enumerate(classes)}
        if tables[0].classes is not None:  # labels are their places
            number = {str(label): label for label in range(len(classes))}
        for table in tables:
            for row, label in enumerate(table.labels):
                if not label:
                    raise BadInputError(f"{table.where(row)}: no label; give one, or remove it")
                if "\0" in label:  # by which names of classes are kept apart in files
                    raise BadInputError(f"{table.where(row)}: a label with a zero byte in it")
                if label not in number or (whole and int(label) < 0):
                    known = f"0 to {len(classes) - 1}" if table.classes else "0 and above"
                    raise BadInputError(
                        f"{table.where(row)}: label {one_line(label, 40)} is out of range: {known};"
                        " -1 often stands for labels that are kept back"
                    )
        return classes, [[number[label] for label in table.labels] for table in tables]

    def _part_of(self, part: str, table: Table, row: int) -> str:
        if part or table.splits is None:
            return part
        given = table.splits[row]
        try:
            return PARTS[given.casefold()]
        except KeyError:
            raise BadInputError(
                f"{table.where(row)}: split {one_line(given, 40)!r}{nearest(given, PARTS)};"
                " expected train, test or validation"
            ) from None

    def _listed(self) -> dict[str, _Places]:
        """Return table and row of each image by part, `""` where nothing says one."""
        places: dict[str, _Places] = {}
        known: dict[str, tuple[str, int]] = {}
        top = self.folder.resolve()
        for number, (named, table) in enumerate(self._read):
            for row in range(len(table.labels)):
                part = self._part_of(named, table, row)
                if table.paths is not None:
                    path = str(self._inside(top, table, row))
                    own = (part, self._labels[number][row])
                    if path in known:
                        if known[path] != own:
                            what = "class" if known[path][0] == part else "part"
                            raise BadInputError(
                                f"{table.where(row)}: {shown(table.paths[row])} is in another"
                                f" {what} already; remove one of the two"
                            )
                        self._left.setdefault(AGAIN, []).append(table.where(row))
                        continue
                    known[path] = own
                places.setdefault(part, {}).setdefault(number, array("i")).append(row)
        return places

    def _inside(self, top: Path, table: Table, row: int) -> Path:
        """Return the file that a row names, which has to lie in the manifest's folder."""
        assert table.paths is not None
        written = table.paths[row]
        try:
            path = (top / written).resolve()
            inside = bool(written) and path != top and path.is_relative_to(top)
        except (OSError, ValueError, RuntimeError):  # a zero byte, links in a circle
            inside = False
        if inside and Path(written).is_absolute():
            raise BadInputError(
                f"{table.where(row)}: {one_line(written, 120)!r} is an absolute path; write it from"
                f" the manifest's folder: {shown(path.relative_to(top))}"
            )
        if not inside or Path(written).is_absolute() or ".." in Path(written).parts:
            raise BadInputError(
                f"{table.where(row)}: {one_line(written, 120)!r} names no file in the manifest's"
                " folder; paths begin there, and lead nowhere else"
            )
        return path

    def own(self) -> OwnImages:
        """Return what is listed."""
        places = dict(self._places)
        test = "test" if "test" in places else "val"
        if "train" not in places and (test in places):
            raise BadInputError(f"{self.name}: nothing to train on: no row or file says train")
        left = dict(self._left)
        if "test" in places and "val" in places:
            named = (table.where(row) for table, _, row in self._rows(places["val"]))
            left[VALIDATION] = list(named)
        whole = places.get("", {}) or (places["train"] if test not in places else {})
        return OwnImages(
            self.name,
            self.classes,
            "manifest",
            self._part(whole or places["train"]),
            None if whole else self._part(places[test]),
            tuple(LeftOut(reason, tuple(sorted(left[reason]))) for reason in sorted(left)),
        )

    def files(self) -> Iterator[Path]:
        """Yield the tables and the files that they name."""
        yield from (table.path for _, table in self._read)
        for places in self._places.values():
            for table, _, row in self._rows(places):
                if table.paths is not None:
                    yield self.folder / table.paths[row]

    def _rows(self, places: _Places) -> Iterator[tuple[Table, list[int], int]]:
        """Yield each image's table, the table's labels, and its row."""
        for number, rows in places.items():
            for row in rows:
                yield self._read[number][1], self._labels[number], row

    def _part(self, places: _Places) -> OwnPart:
        def encoded() -> Iterator[Encoded]:
            for number, rows in places.items():
                table, labels = self._read[number][1], self._labels[number]
                if table.paths is None:
                    chosen = iter(rows)  # in order, as images come
                    row = next(chosen)
                    for at, content in enumerate(table.images()):
                        if at == row:
                            place = f"{shown(table.path)}: image in row {row}"
                            yield Encoded(place, labels[row], partial(io.BytesIO, content))
                            row = next(chosen, -1)
                    continue
                for row in rows:
                    path = self.folder / table.paths[row]
                    yield Encoded(shown(path), labels[row], partial(open_file, path))

        def names() -> Iterator[str]:
            for table, _, row in self._rows(places):
                own = f"{table.path.name} row {row}" if table.paths is None else table.paths[row]
                yield shown(own)

        labels = array("i", (labels[row] for _, labels, row in self._rows(places)))
        return OwnPart(labels, names, Part(len(labels), encoded))
