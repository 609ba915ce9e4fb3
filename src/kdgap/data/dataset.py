"""What a data set is to the rest of the house: uint8 tensors, class names, a fingerprint.

A data set is one function from a `Request` to `Decoded`, entered with `@dataset(...)`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import psutil

from kdgap.advice import command
from kdgap.data.copies import image_numbers
from kdgap.data.preprocessing import Preprocessing
from kdgap.deferred import torch
from kdgap.errors import BadInputError
from kdgap.numbers import gib
from kdgap.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from kdgap.data.listing import LeftOut
    from kdgap.spec.model import InputSpec
    from kdgap.spec.run import Augmentation


@dataclass(frozen=True)
class Images:
    """Images uint8 `[N, C, H, W]` and labels int64 `[N]` in `[0, classes)`."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Images:
        """Return the images at `index`, channels last in memory, as they are trained on."""
        rows = self.pixels.permute(0, 2, 3, 1).index_select(0, index)
        return Images(rows.permute(0, 3, 1, 2), self.labels[index])


@dataclass(frozen=True)
class Decoded:
    """What a loader returns: both parts, class names in label order, and where they came from.

    The fingerprint is filled in by whoever has already computed it. `left_out` says what of the
    files that were found is not in the set, where the user's own files are listed.
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    source: str
    fingerprint: str | None = None
    left_out: tuple[LeftOut, ...] | None = None


@dataclass(frozen=True)
class Request:
    """What a loader is asked for: the root folder, a size for folder images, leave to download."""

    root: Path
    image_size: int | None = None
    download: bool = False


@dataclass(frozen=True)
class Shape:
    """What is known of a data set's images without loading one."""

    classes: int
    channels: int
    image_size: tuple[int, int]
    train: int
    test: int


@dataclass(frozen=True)
class DatasetEntry:
    """A registered data set and its defaults.

    Attributes:
        load: the loader.
        summary: one line for listings.
        citation: where the images come from.
        val_size: validation images taken from the training images unless the spec says otherwise.
        augmentation: what suits these images unless the spec says otherwise.
        mean, std: published normalisation for pixels in [0, 1]; None = computed and recorded.
        resized: whether images need a declared `image_size`.
        shape: numbers and sizes, where every copy has the same.
        balanced: whether each class has the same number of images in each part.
    """

    load: Callable[[Request], Decoded]
    summary: str
    citation: str
    val_size: int
    augmentation: Augmentation
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resized: bool = False
    shape: Shape | None = None
    balanced: bool = False


DATASETS: Registry[DatasetEntry] = Registry("data set")


def dataset(
    name: str,
    *,
    summary: str,
    citation: str,
    val_size: int,
    augmentation: Augmentation,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    resized: bool = False,
    shape: Shape | None = None,
    balanced: bool = False,
) -> Callable[[Callable[[Request], Decoded]], Callable[[Request], Decoded]]:
    """Return the decorator that enters a loader under `name`; see `DatasetEntry`."""

    def enter(load: Callable[[Request], Decoded]) -> Callable[[Request], Decoded]:
        about = (summary, citation, val_size, augmentation, mean, std, resized, shape, balanced)
        DATASETS.register(name)(DatasetEntry(load, *about))
        return load

    return enter


@dataclass(frozen=True)
class Dataset:
    """A loaded data set.

    Attributes:
        name: its registered name.
        train: all training images, validation included.
        test: the test images; only the final evaluation may read them.
        classes: class names in label order.
        mean, std: per-channel normalisation for pixels in [0, 1].
        fingerprint: SHA-256 of pixels, labels and class names.
        source: the files it was read from.
        left_out: see `Decoded`.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    source: str
    left_out: tuple[LeftOut, ...] | None = None

    @cached_property
    def image_numbers(self) -> tuple[list[int], list[int]]:
        """A number for each training and each test image, by which copies are known."""
        return image_numbers(self.train.pixels), image_numbers(self.test.pixels)

    @property
    def shape(self) -> Shape:
        """Numbers and sizes."""
        train, test = len(self.train), len(self.test)
        return Shape(len(self.classes), self.channels, self.image_size, train, test)

    def seen_by(self, own: InputSpec | None) -> Preprocessing:
        """Return how a network sees these images.

        Args:
            own: what it has of its own; None = nothing.

        Raises:
            BadInputError: its normalisation is of another number of channels.
        """
        if own is None:
            return Preprocessing(self.image_size, self.mean, self.std)
        mean, std = self.mean, self.std
        if own.mean is not None and own.std is not None:
            mean, std = tuple(own.mean), tuple(own.std)
        if len(mean) != self.channels:
            raise BadInputError(
                f"input: mean and std have {len(mean)} numbers, but the images of {self.name} have"
                f" {self.channels} colour channels"
            )
        size = self.image_size if own.size is None else (own.size, own.size)
        return Preprocessing(size, mean, std, own.interpolation)

    @property
    def channels(self) -> int:
        """Colour channels."""
        return self.train.pixels.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return (self.train.pixels.shape[2], self.train.pixels.shape[3])


def load_dataset(name: str, request: Request) -> Dataset:
    """Load a registered data set.

    Raises:
        BadInputError: unknown name; files missing, broken or too large for memory; not the images
            that have this name everywhere.
    """
    entry = DATASETS[name]
    if request.image_size is not None and not entry.resized:
        raise BadInputError(f"image_size: the images of {name} are not resized; leave it out")
    decoded = entry.load(request)
    check_decoded(name, decoded)
    mean, std = entry.mean, entry.std
    if mean is None or std is None:
        mean, std = channel_moments(decoded.train.pixels)
    dataset = Dataset(
        name=name,
        train=decoded.train,
        test=decoded.test,
        classes=decoded.classes,
        mean=mean,
        std=std,
        fingerprint=decoded.fingerprint or fingerprint(decoded),
        source=decoded.source,
        left_out=decoded.left_out,
    )
    wrong = _unlike_published(entry, dataset)
    if wrong:
        place = request.root / "whole"  # an empty folder: nothing old is in it
        raise BadInputError(
            f"{name} under {request.root} ({dataset.source}): {wrong}; bring back its own files, or"
            f" fetch it whole: `{command('data', name, '--download', '--data-root', place)}`"
        )
    return dataset


_MOST_COPIES = 0.01
"""Share of training images that may be copies of others: the published sets have none or a few."""


def _unlike_published(entry: DatasetEntry, dataset: Dataset) -> str:
    """Return in what a data set is not the one that everybody has under this name."""
    shape, own = entry.shape, dataset.shape
    if shape is None:
        return ""
    if (own.train, own.test) != (shape.train, shape.test):
        return (
            f"has {own.train:,} training and {own.test:,} test images, not {shape.train:,} and"
            f" {shape.test:,}"
        )
    if entry.balanced:
        for part, images in (("training", dataset.train), ("test", dataset.test)):
            expected = len(images) // shape.classes
            for label, count in enumerate(images.labels.bincount(minlength=shape.classes).tolist()):
                if count != expected:
                    name = dataset.classes[label]
                    return f"class {name!r} has {count:,} {part} images, not {expected:,}"
    numbers = dataset.image_numbers[0]
    copies = len(numbers) - len(set(numbers))
    if copies > _MOST_COPIES * len(numbers):
        return f"{copies:,} of {len(numbers):,} training images are copies; is a file there twice?"
    return ""


def check_decoded(name: str, decoded: Decoded) -> None:
    """Check shapes, types and label range, whoever decoded the images."""
    if len(set(decoded.classes)) != len(decoded.classes):
        raise BadInputError(f"{name}: two classes have one name")
    for part, images in (("train", decoded.train), ("test", decoded.test)):
        if images.pixels.dtype != torch.uint8 or images.pixels.ndim != 4:
            raise BadInputError(f"{name}: {part} images are not uint8 [N, C, H, W]")
        if len(images.pixels) != len(images.labels) or len(images) == 0:
            raise BadInputError(
                f"{name}: {len(images.pixels)} {part} images with {len(images.labels)} labels"
            )
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
        digest.update(f"{list(images.pixels.shape)}".encode())
        digest.update(images.pixels.contiguous().numpy().data)
        digest.update(images.labels.contiguous().numpy().data)
    return digest.hexdigest()


def channel_moments(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return per-channel mean and standard deviation of uint8 `[N, C, H, W]`, for [0, 1] pixels.

    Counts each of the 256 values exactly, so the result does not depend on summation order. A
    constant channel gets the width of one grey level, so that dividing by it stays finite.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in range(pixels.shape[1]):
        counts = torch.bincount(pixels[:, channel].reshape(-1), minlength=256).double()
        share = counts / counts.sum()
        mean = (share * levels).sum()
        variance = (share * (levels - mean) ** 2).sum()
        means.append(round(mean.item(), 6))
        stds.append(max(round(variance.sqrt().item(), 6), round(1 / 255, 6)))
    return tuple(means), tuple(stds)


def require_memory(what: str, images: int, bytes_each: int) -> None:
    """Refuse images that would not fit in memory, before loading any of them.

    Decoding and training need room beside the pixels, so twice their size plus 512 MB must be free.

    Raises:
        BadInputError: with the size and what to do.
    """
    needed = 2 * images * bytes_each + 512 * 2**20
    free = psutil.virtual_memory().available
    if needed > free:
        raise BadInputError(
            f"{what}: {images:,} images need about {gib(needed)} of memory,"
            f" {gib(free)} are free; use a smaller image_size or a larger machine"
        )
