"""What a data set is to the rest of the house: uint8 tensors, class names, a fingerprint.

A data set is one function from a `Request` to `Decoded`, entered with `@dataset(...)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kdgap.advice import command
from kdgap.data.copies import image_numbers
from kdgap.data.decoded import Decoded, Split, check_decoded, fingerprint
from kdgap.data.images import Images, moments
from kdgap.data.preprocessing import Preprocessing
from kdgap.errors import BadInputError
from kdgap.registry import Registry
from kdgap.spec.run import TEST_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kdgap.data.listing import LeftOut
    from kdgap.spec.model import InputSpec
    from kdgap.spec.run import Augmentation, DataSpec


__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetEntry",
    "Decoded",
    "Images",
    "ListedShape",
    "Request",
    "Shape",
    "check_request",
    "dataset",
    "load_dataset",
]


@dataclass(frozen=True)
class Request:
    """What a loader is asked for.

    Attributes:
        root: the folder, or the file of a manifest.
        image_size: side to resize the user's own images to; None = as they are.
        download: leave to fetch what is missing.
        test_share, split_seed: how the user's own images are split if they come without a split.
        skip_broken: leave to skip images of the user's own that cannot be used.
    """

    root: Path
    image_size: int | None = None
    download: bool = False
    test_share: float = TEST_SHARE
    split_seed: int = 1234
    skip_broken: bool = False

    @classmethod
    def of(cls, data: DataSpec, root: Path, *, download: bool = False) -> Request:
        """Return what a run asks for; the seed counts where it may choose the test images."""
        own = DATASETS[data.name].resized
        asked = (data.test_share, data.split_seed if own else cls.split_seed, data.skip_broken)
        return cls(root, data.image_size, download, *asked)


@dataclass(frozen=True)
class Shape:
    """What is known of a data set's images without loading one.

    Attributes:
        classes, channels, image_size: of all images.
        train, test: how many there are; validation images are still among the former.
        per_class: how many training images each class has, where they were counted.
    """

    classes: int
    channels: int
    image_size: tuple[int, int]
    train: int
    test: int
    per_class: tuple[int, ...] = ()

    def known(self) -> dict[str, object]:
        """Return what records of a study's data hold: plain values, without what was counted."""
        numbers = {key: getattr(self, key) for key in ("classes", "channels", "train", "test")}
        return {**numbers, "image_size": list(self.image_size)}


@dataclass(frozen=True)
class ListedShape(Shape):
    """What is known of the user's own images once they were listed: the classes' names, too."""

    names: tuple[str, ...] = ()


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
        resized: whether these are the user's own images, to which `image_size`, `test_share` and
            `skip_broken` apply.
        shape: numbers and sizes, where every copy has the same.
        balanced: whether each class has the same number of images in each part.
        survey: says what is known of the user's own images without decoding any of them: raises
            `BadInputError` for what is certain to be refused; None = nothing.
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
    survey: Callable[[Request], Shape] | None = None


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
    survey: Callable[[Request], Shape] | None = None,
) -> Callable[[Callable[[Request], Decoded]], Callable[[Request], Decoded]]:
    """Return the decorator that enters a loader under `name`; see `DatasetEntry`."""

    def enter(load: Callable[[Request], Decoded]) -> Callable[[Request], Decoded]:
        about = (summary, citation, val_size, augmentation, mean, std, resized, shape, balanced)
        DATASETS.register(name)(DatasetEntry(load, *about, survey))
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
        left_out, split: see `Decoded`.
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
    split: Split | None = None

    @cached_property
    def image_numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """A number for each training and each test image, int64, by which copies are known."""
        return image_numbers(self.train.chunks()), image_numbers(self.test.chunks())

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
        return self.train.shape[0]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.train.shape[1:]


def load_dataset(name: str, request: Request) -> Dataset:
    """Load a registered data set.

    Raises:
        BadInputError: unknown name; files missing, broken or too large for memory; not the images
            that have this name everywhere.
    """
    entry = DATASETS[name]
    check_request(name, request)
    decoded = entry.load(request)
    check_decoded(name, decoded)
    mean, std = entry.mean, entry.std
    if mean is None or std is None:
        mean, std = moments(decoded.train.chunks())
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
        split=decoded.split,
    )
    wrong = _unlike_published(entry, dataset)
    if wrong:
        place = request.root / "whole"  # an empty folder: nothing old is in it
        raise BadInputError(
            f"{name} under {request.root} ({dataset.source}): {wrong}; bring back its own files, or"
            f" fetch it whole: `{command('data', name, '--download', '--data-root', place)}`"
        )
    return dataset


def check_request(name: str, request: Request, expected: object = None) -> None:
    """Refuse what applies to the user's own images alone.

    Args:
        name: of the data set.
        request: what is asked of it.
        expected: what a study says of images that are not at hand, if it does.

    Raises:
        BadInputError: with the key that it is about.
    """
    if DATASETS[name].resized:
        return
    if request.image_size is not None:
        text = f"image_size: the images of {name} are not resized; leave it out"
        raise BadInputError(text, "image_size")
    if request.test_share != TEST_SHARE:
        text = f"test_share: {name} has test images of its own; leave it out"
        raise BadInputError(text, "test_share")
    if request.skip_broken:
        text = f"skip_broken: {name} is used whole or not at all; leave it out"
        raise BadInputError(text, "skip_broken")
    if expected is not None:
        text = f"expected: the images of {name} are the same everywhere; leave it out"
        raise BadInputError(text, "expected")


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
    copies = len(numbers) - len(np.unique(numbers))
    if copies > _MOST_COPIES * len(numbers):
        return f"{copies:,} of {len(numbers):,} training images are copies; is a file there twice?"
    return ""
