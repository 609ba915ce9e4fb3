"""What a loader returns: both parts of a data set in pixels, and what became of the files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from kdgap.data.images import Images, StoredImages
from kdgap.deferred import torch
from kdgap.errors import BadInputError
from kdgap.numbers import gib

if TYPE_CHECKING:
    from kdgap.data.listing import LeftOut


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used: its part (0: training, 1: test), place there, and why."""

    part: int
    place: int
    reason: str


@dataclass(frozen=True)
class Split:
    """How test images were set apart.

    Attributes:
        seed, test_share: what drew them; see `kdgap.data.apart`.
        alike: images that are near-duplicates of others, and so kept on their side.
        groups: how many groups of near-duplicates these make.
    """

    seed: int
    test_share: float
    alike: int
    groups: int


@dataclass(frozen=True)
class Decoded:
    """What a loader returns: both parts, class names in label order, and where they came from.

    The fingerprint is filled in by whoever has already computed it.

    Attributes:
        left_out: what of the user's own files that were found is not in the set.
        split: how the test images were set apart, where the images came without a split.
        skipped: what could not be used and was to be skipped.
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    source: str
    fingerprint: str | None = None
    left_out: tuple[LeftOut, ...] | None = None
    split: Split | None = None
    skipped: tuple[Skipped, ...] = ()


def check_decoded(name: str, decoded: Decoded) -> None:
    """Check shapes, types and label range, whoever decoded the images."""
    if len(set(decoded.classes)) != len(decoded.classes):
        raise BadInputError(f"{name}: two classes have one name")
    for part, images in (("train", decoded.train), ("test", decoded.test)):
        stored = len(images)
        if not isinstance(images, StoredImages):  # those are checked where they are written
            stored = len(images.pixels)
            if images.pixels.dtype != torch.uint8 or images.pixels.ndim != 4:
                raise BadInputError(f"{name}: {part} images are not uint8 [N, C, H, W]")
        if stored != len(images) or stored == 0:
            raise BadInputError(f"{name}: {stored} {part} images with {len(images)} labels")
        low, high = int(images.labels.min()), int(images.labels.max())
        if low < 0 or high >= len(decoded.classes):
            raise BadInputError(
                f"{name}: {part} labels run from {low} to {high},"
                f" but there are {len(decoded.classes)} classes"
            )


def fingerprint(decoded: Decoded) -> str:
    """Return the SHA-256 of class names, pixels and labels: one changed byte changes it."""
    digest = hashlib.sha256("\0".join(decoded.classes).encode())
    for images in (decoded.train, decoded.test):
        digest.update(f"{[len(images), *images.shape]}".encode())
        for pixels in images.chunks():
            digest.update(pixels.contiguous().numpy().data)
        digest.update(images.labels.contiguous().numpy().data)
    return digest.hexdigest()


def fits_in_memory(images: int, bytes_each: int) -> bool:
    """Whether images can be held in memory, decoded and trained on.

    Decoding and training need room beside the pixels, so twice their size plus 512 MB must be free.
    """
    return _needed(images, bytes_each) <= psutil.virtual_memory().available


def _needed(images: int, bytes_each: int) -> int:
    return 2 * images * bytes_each + 512 * 2**20


def require_memory(what: str, images: int, bytes_each: int) -> None:
    """Refuse images that would not fit in memory, before loading any of them.

    Raises:
        BadInputError: with the size and what to do.
    """
    if not fits_in_memory(images, bytes_each):
        free = psutil.virtual_memory().available
        raise BadInputError(
            f"{what}: {images:,} images need about {gib(_needed(images, bytes_each))} of memory,"
            f" {gib(free)} are free; use a smaller image_size or a larger machine"
        )
