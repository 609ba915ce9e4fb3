"""The user's own images are decoded: into memory, or into a file where memory would not hold them.

Which of the two follows from how much memory is free, and changes no bit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kdgap.data.cache import cache_path, keep, kept, metadata_of, opened, skipped_text
from kdgap.data.decoded import Decoded, Skipped, fingerprint, fits_in_memory
from kdgap.data.images import CHUNK_BYTES, Images
from kdgap.data.pixels import ImageError, decoders, fitted, upright_size
from kdgap.data.stored import pixel_file
from kdgap.data.unusable import unusable
from kdgap.deferred import torch
from kdgap.errors import BadInputError
from kdgap.files import make_folder
from kdgap.numbers import gib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

Answer = TypeVar("Answer")
_AT_ONCE = 256
"""Images that are read one after the other, where little of each is kept."""
SIDE_AT_MOST = 1024
"""Of images that are taken as they are; larger ones have to be resized."""
_PARTS = ("train", "test")


@dataclass(frozen=True)
class Encoded:
    """An image that is not decoded yet: how messages name it, its label, and what opens it."""

    name: str
    label: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Part:
    """The images of a part: how many, and what yields them, as often as it is asked."""

    count: int
    images: Callable[[], Iterable[Encoded]]


@dataclass(frozen=True)
class Wanted:
    """What to make of images.

    Attributes:
        what: names the data in messages.
        classes: class names in label order.
        source: where they come from, for records.
        size: side to resize to; None = as they are, all of one size.
        skip: leave out what cannot be used.
    """

    what: str
    classes: tuple[str, ...]
    source: str
    size: int | None
    skip: bool


def decoded_images(key: str, parts: Sequence[Part], wanted: Wanted) -> Decoded:
    """Return the images of a training and a test part, decoded now or before under this key.

    Raises:
        BadInputError: naming the images that cannot be used; sizes that differ where none is given;
            a class without a usable image; too little room in memory and in the cache folder.
    """
    path = cache_path(key)
    decoded = kept(path)
    if decoded is None:
        size = wanted.size
        height, width = common_size(parts, wanted) if size is None else (size, size)
        if fits_in_memory(sum(part.count for part in parts), 3 * height * width):
            decoded = keep(path, _in_memory(parts, (height, width), wanted))
        else:
            decoded = _in_a_file(path, parts, (height, width), wanted)
    return decoded


def common_size(parts: Sequence[Part], wanted: Wanted) -> tuple[int, int]:
    """Return height and width of all images, as far as they can be read.

    Raises:
        BadInputError: they have several, or are too large to be taken as they are.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    names: dict[tuple[int, int], str] = {}
    problems: list[tuple[str, str]] = []
    with decoders() as pool:
        for part in parts:
            for some in _some(part.images()):
                answers = pool.map(partial(_tried, read=upright_size), some)
                for image, size in zip(some, answers, strict=True):
                    if isinstance(size, str):
                        problems.append((image.name, size))
                    else:
                        sizes[size] += 1
                        names.setdefault(size, image.name)
    if not sizes:
        raise BadInputError(unusable(problems, "images", "repair, convert or remove"))
    ((usual, count),) = sizes.most_common(1)
    side = max(4, min(*usual, SIDE_AT_MOST))
    if len(sizes) > 1:
        low, high = (
            f"{h}x{w} ({names[h, w]})"
            for h, w in (pick(sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
        )
        raise BadInputError(
            f"{wanted.what}: the images are of {len(sizes):,} sizes, from {low} to {high}, most"
            f" often {usual[0]}x{usual[1]} ({count:,} of {sizes.total():,}); give image_size, the"
            f" side in pixels to resize to, such as {side}",
            "image_size",
        )
    if max(usual) > SIDE_AT_MOST or min(usual) < 4:
        raise BadInputError(
            f"{wanted.what}: the images are {usual[0]}x{usual[1]}, and 4 to {SIDE_AT_MOST:,} pixels"
            " a side are trained on; give image_size, the side in pixels to resize to, such as"
            f" {min(side, 224)}",
            "image_size",
        )
    return usual


@dataclass(frozen=True)
class _Rows:
    """Some images of a part: pixels uint8 `[B, H, W, 3]`, their labels, and what was skipped."""

    part: int
    pixels: np.ndarray
    labels: list[int]
    skipped: list[Skipped]


def _rows(parts: Sequence[Part], shape: tuple[int, int], wanted: Wanted) -> Iterator[_Rows]:
    """Yield all images in order, decoded, and refuse in the end what cannot be used."""
    problems: list[tuple[str, str]] = []
    read = partial(_sized, size=wanted.size, shape=shape)
    at_once = max(16, min(_AT_ONCE, CHUNK_BYTES // (3 * shape[0] * shape[1])))
    with decoders() as pool:
        for number, part in enumerate(parts):
            place = 0
            for some in _some(part.images(), at_once):
                rows, labels, skipped = [], [], []
                answers = pool.map(partial(_tried, read=read), some)
                for at, (image, row) in enumerate(zip(some, answers, strict=True), place):
                    if isinstance(row, str):
                        problems.append((image.name, row))
                        skipped.append(Skipped(number, at, row))
                    else:
                        rows.append(row)
                        labels.append(image.label)
                place += len(some)
                if problems and not wanted.skip:
                    continue  # nothing will be made of them
                pixels = np.stack(rows) if rows else np.empty((0, *shape, 3), np.uint8)
                yield _Rows(number, pixels, labels, skipped)
    if problems and not wanted.skip:
        way = "repair, convert or remove"
        raise BadInputError(
            f"{unusable(problems, 'images', way)}, or set skip_broken: true (data: --skip-broken)"
        )


def _in_memory(parts: Sequence[Part], shape: tuple[int, int], wanted: Wanted) -> Decoded:
    pixels: list[list[np.ndarray]] = [[np.empty((0, *shape, 3), np.uint8)] for _ in parts]
    labels: list[list[int]] = [[] for _ in parts]
    skipped: list[Skipped] = []
    for rows in _rows(parts, shape, wanted):
        pixels[rows.part].append(rows.pixels)
        labels[rows.part] += rows.labels
        skipped += rows.skipped
    _check_classes(parts, labels, wanted)
    train, test = (
        Images(
            torch.from_numpy(np.concatenate(pixels.pop(0))).permute(0, 3, 1, 2),
            torch.tensor(numbers, dtype=torch.int64),
        )
        for numbers in labels
    )
    return Decoded(train, test, wanted.classes, wanted.source, skipped=tuple(skipped))


def _in_a_file(
    path: Path, parts: Sequence[Part], shape: tuple[int, int], wanted: Wanted
) -> Decoded:
    """Decode into a cache file, some images at a time, and map it."""
    total = sum(part.count for part in parts)
    labels: list[list[int]] = [[] for _ in parts]
    skipped: list[Skipped] = []
    # What will have been skipped is known last; each takes less than this.
    room = len("\0".join(wanted.classes).encode()) * 6 + 400 * wanted.skip * total
    try:
        make_folder(path.parent)
        with pixel_file(path, room) as file:
            for rows in _rows(parts, shape, wanted):
                file.add(rows.pixels)
                labels[rows.part] += rows.labels
                skipped += rows.skipped
            _check_classes(parts, labels, wanted)
            numbers = (np.array(own, dtype=np.int64) for own in labels)
            file.finish((*shape, 3), dict(zip(_PARTS, numbers, strict=True)))
            metadata = {"classes": "\0".join(wanted.classes), "source": wanted.source}
            file.describe(metadata | skipped_text(skipped))
            decoded, _ = opened(file.path)
            decoded = replace(decoded, fingerprint=fingerprint(decoded))
            file.describe(metadata_of(decoded))
    except OSError as error:
        needed = gib(total * 3 * shape[0] * shape[1])
        raise BadInputError(
            f"{wanted.what}: too many images for the free memory, and {needed} cannot be written to"
            f" {path.parent} ({error.strerror or error}); make room there, set KDGAP_CACHE to a"
            " folder on a larger disk, or use a smaller image_size"
        ) from None
    return decoded


def _check_classes(parts: Sequence[Part], labels: list[list[int]], wanted: Wanted) -> None:
    """Refuse a class of whose images none can be used."""
    for name, part, numbers in zip(_PARTS, parts, labels, strict=True):
        missing = set(range(len(wanted.classes))) - set(numbers)
        if part.count and missing:
            raise BadInputError(
                f"{wanted.what}: no image of class {wanted.classes[min(missing)]!r} ({name}) can be"
                " used; add some, or remove the class"
            )


def _some(images: Iterable[Encoded], at_once: int = _AT_ONCE) -> Iterator[list[Encoded]]:
    iterator = iter(images)
    while some := list(islice(iterator, at_once)):
        yield some


def _tried(image: Encoded, read: Callable[[BinaryIO], Answer]) -> Answer | str:
    """Return what is read from an image, or why it cannot be used."""
    try:
        with image.open() as stream:
            return read(stream)
    except OSError as error:
        return error.strerror or str(error)
    except ImageError as error:
        return str(error)


def _sized(stream: BinaryIO, size: int | None, shape: tuple[int, int]) -> np.ndarray:
    row = fitted(stream, size)
    if row.shape[:2] != shape:
        raise ImageError(f"is {row.shape[0]}x{row.shape[1]}, expected {shape[0]}x{shape[1]}")
    return row
