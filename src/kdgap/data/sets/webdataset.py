"""Images in tars, as webdataset keeps them: `train-000000.tar` with 17.jpg and 17.cls in it."""

from __future__ import annotations

import re
from array import array
from functools import partial
from typing import TYPE_CHECKING

from kdgap.data.dataset import Decoded, Request, Shape, dataset
from kdgap.data.decoding import Encoded, Part
from kdgap.data.listing import VALIDATION, LeftOut
from kdgap.data.own import PARTS, OwnImages, OwnPart, in_order
from kdgap.errors import BadInputError, one_line
from kdgap.files import entries
from kdgap.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NUMBER = re.compile(r"(\d+)(?:-of-(\d+))?\Z")


def survey(request: Request) -> Shape:
    """Return numbers and sizes of the images, of which none is decoded."""
    return _Shards(request.root).own().shape(request)


@dataset(
    "webdataset",
    summary="your images in tars: train-000000.tar … with NAME.jpg and NAME.cls (.json, .txt)",
    citation="your own",
    val_size=500,
    augmentation="crop_flip",
    resized=True,
    survey=survey,
)
def webdataset(request: Request) -> Decoded:
    """Load the images of tar files; what is in them is said in `kdgap.data.tars`.

    The root is a tar, a folder with tars, or a folder with `train/` and `val/` or `test/` that have
    them.
    """
    shards = _Shards(request.root)
    return shards.own().load(request, "webdataset", shards.folder, shards.files())


class _Shards:
    """The tars of a data set. Of each image its label is kept, and nothing else.

    Args:
        root: see `webdataset`.
    """

    def __init__(self, root: Path) -> None:
        self.name = f"webdataset {shown(root)}"
        self.folder = root.parent if root.is_file() else root
        self._by_part = {part: _in_sequence(paths) for part, paths in self._by_name(root).items()}
        numbers: dict[str, int] = {}
        read = {
            path: array("i", (numbers.setdefault(label, len(numbers)) for label in _labels(path)))
            for path in self.files()
        }
        self.classes = in_order(numbers)
        if first := next((name for name in self.classes if re.fullmatch(r"-\d+", name)), None):
            raise BadInputError(
                f"{self.name}: label {first} is out of range: 0 and above; -1 often stands for"
                " labels that are kept back"
            )
        place = {name: number for number, name in enumerate(self.classes)}
        order = [place[label] for label in numbers]
        self._labels = {p: array("i", (order[n] for n in own)) for p, own in read.items()}

    def _by_name(self, root: Path) -> dict[str, list[Path]]:
        """Return the tars by the part that they say; an empty name where none says any."""
        if root.is_file():
            return {"": [root]}
        by_part: dict[str, list[Path]] = {}
        try:
            for path in entries(root, "*.tar"):
                parts = {PARTS[word] for word in _words(path) if word in PARTS}
                if len(parts) > 1:
                    raise BadInputError(
                        f"{shown(path)}: its name says {' and '.join(sorted(parts))}; rename it"
                    )
                by_part.setdefault(parts.pop() if parts else "", []).append(path)
            for name, part in {} if by_part else PARTS.items():
                by_part.setdefault(part, []).extend(entries(root / name, "*.tar"))
        except OSError as error:
            raise BadInputError(f"{shown(root)}: {error.strerror}") from None
        by_part = {part: paths for part, paths in by_part.items() if paths}
        if not by_part:
            raise BadInputError(
                f"{self.name}: looked for a .tar, for *.tar in a folder, and in train/, val/ and"
                " test/ there; name the file or folder with --data-root"
            )
        if "" in by_part and len(by_part) > 1:
            raise BadInputError(
                f"{self.name}: {by_part[''][0].name!r} does not say its part, and others do; rename"
                " it to begin with train, test or val, or remove it"
            )
        return by_part

    def files(self) -> list[Path]:
        """Return the tars."""
        return [path for paths in self._by_part.values() for path in paths]

    def own(self) -> OwnImages:
        """Return what is listed."""
        parts = dict(self._by_part)
        test = "test" if "test" in parts else "val"
        if "train" not in parts and test in parts:
            raise BadInputError(f"{self.name}: nothing to train on: no name says train")
        left: tuple[LeftOut, ...] = ()
        if "test" in parts and "val" in parts:
            left = (LeftOut(VALIDATION, tuple(shown(path.name) for path in parts["val"])),)
        split = test in parts
        return OwnImages(
            self.name,
            self.classes,
            "webdataset",
            self._part(parts["train"] if split else [*parts.get("", []), *parts.get("train", [])]),
            self._part(parts[test]) if split else None,
            left,
        )

    def _part(self, paths: list[Path]) -> OwnPart:
        from kdgap.data.tars import content, samples

        labels = array("i")
        for path in paths:
            labels.extend(self._labels[path])

        def encoded() -> Iterator[Encoded]:
            for path in paths:
                for label, sample in zip(self._labels[path], samples(path), strict=False):
                    name = f"{shown(path)}/{sample.name}"
                    yield Encoded(name, label, partial(content, path, sample))

        def names() -> Iterator[str]:
            for path in paths:
                own = shown(path.relative_to(self.folder))
                yield from (f"{own}/{sample.name}" for sample in samples(path))

        return OwnPart(labels, names, Part(len(labels), encoded))


def _labels(path: Path) -> Iterator[str]:
    # Here: it is not needed to know which data sets there are.
    from kdgap.data.tars import samples

    return (sample.label for sample in samples(path))


def _words(path: Path) -> list[str]:
    return re.split(r"[-_.]", path.stem.lower())


def _in_sequence(paths: list[Path]) -> list[Path]:
    """Return the tars of a part, and refuse numbers with a gap: then some of them are missing."""
    series: dict[tuple[Path, str, str], dict[int, Path]] = {}
    for path in paths:
        match = _NUMBER.search(path.stem)
        if match is None:
            continue
        own = series.setdefault((path.parent, path.stem[: match.start()], match[2] or ""), {})
        other = own.setdefault(int(match[1]), path)
        if other is not path:
            raise BadInputError(
                f"{shown(path)}: has the number of {shown(other.name)}; remove one of them"
            )
    for (folder, begin, of), own in series.items():
        last = int(of) - 1 if of else max(own)
        missing = next((n for n in range(min(own), last + 1) if n not in own), None)
        if of and 0 not in own:
            missing = 0
        if missing is not None:
            where = one_line(f"{folder}/{begin}", 120)
            raise BadInputError(
                f"{shown(where)}*.tar: number {missing} is missing; bring back the release's own"
                " files"
            )
    return paths
