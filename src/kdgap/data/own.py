"""The user's own images, listed: checked before any is decoded, then decoded and split."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdgap.data.apart import set_apart, test_counts
from kdgap.data.cache import content_key
from kdgap.data.dataset import ListedShape
from kdgap.data.decoding import Part, Wanted, common_size, decoded_images
from kdgap.data.listing import LeftOut
from kdgap.errors import BadInputError
from kdgap.spec.run import TEST_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from kdgap.data.dataset import Request
    from kdgap.data.decoded import Decoded

SKIPPED = "cannot be used, and skip_broken is set"
LABELS = ("label", "labels", "class", "class_name", "fine_label", "target", "category")
"""What labels are called, in any case; the first that is there counts."""
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
}
"""What parts are called → which they are."""


@dataclass(frozen=True)
class OwnPart:
    """A part of the user's images.

    Attributes:
        labels: of all images in order.
        names: yields those of all images in order, by which the split draws and records name them;
            all different.
        encoded: what gives the images, in the same order.
    """

    labels: Sequence[int]
    names: Callable[[], Iterable[str]]
    encoded: Part


NOTHING = OwnPart((), tuple, Part(0, tuple))


def is_whole(text: str) -> bool:
    """Whether a label is a whole number as it is usually written."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and str(int(text[:20])) == text


def in_order(labels: Collection[str]) -> tuple[str, ...]:
    """Return different labels in the order of classes: as numbers where all are whole ones."""
    return tuple(sorted(labels, key=int) if all(map(is_whole, labels)) else sorted(labels))


@dataclass(frozen=True)
class OwnImages:
    """The user's images before any is decoded.

    Attributes:
        what: names them in messages.
        classes: class names in label order.
        source: where they come from, for records.
        train: the training images; where there is no split, all of them.
        test: the test images; None = there is no split.
        left_out: what was listed and is not among them.
    """

    what: str
    classes: tuple[str, ...]
    source: str
    train: OwnPart
    test: OwnPart | None
    left_out: tuple[LeftOut, ...]

    def check(self, request: Request) -> None:
        """Refuse what is certain to fail.

        Raises:
            BadInputError: one class, a class without an image in a part, or with one image where
                both parts need one; a share of test images where there are some already.
        """
        if len(self.classes) < 2:
            what = f"one class ({self.classes[0]!r})" if self.classes else "no class"
            raise BadInputError(
                f"{self.what} has {what}: there is nothing to tell apart; name the place that holds"
                " all classes"
            )
        parts = {"training": self.train} | ({"test": self.test} if self.test else {})
        for part, images in parts.items():
            counts = Counter(images.labels)
            for label, name in enumerate(self.classes):
                if not counts[label]:
                    raise BadInputError(
                        f"{self.what}: class {name!r} has no {part} image; add some, or leave the"
                        " class out"
                    )
                if self.test is None and counts[label] < 2:
                    raise BadInputError(
                        f"{self.what}: class {name!r} has one image, so there is none to train on"
                        " and another to test on; add some, or leave the class out"
                    )
        if self.test is not None and request.test_share != TEST_SHARE:
            raise BadInputError(
                f"test_share: {self.what} has test images of its own; leave it out", "test_share"
            )

    def shape(self, request: Request) -> ListedShape:
        """Return numbers and sizes; near-duplicates may move some images between the parts."""
        self.check(request)
        size = request.image_size
        height, width = (
            common_size(self._parts, self._wanted(request)) if size is None else (size,) * 2
        )
        counts, test = Counter(self.train.labels), 0
        if self.test is not None:
            test = len(self.test.labels)
        else:
            chosen = test_counts(self.train.labels, request.test_share)
            test = sum(chosen.values())
            counts.subtract(chosen)
        per_class = tuple(counts[label] for label in range(len(self.classes)))
        train = sum(per_class)
        return ListedShape(
            len(self.classes), 3, (height, width), train, test, per_class, self.classes
        )

    def load(
        self, request: Request, kind: str, root: Path, files: Iterable[Path], *how: object
    ) -> Decoded:
        """Return the images, decoded now or before from the same files, and split if need be.

        Args:
            request: what is asked for.
            kind: the data set's name.
            root: the folder that the names of files are relative to.
            files: all that the images are read from.
            how: what else decides on them.

        Raises:
            BadInputError: see `check` and `decoded_images`; a class cannot be split.
        """
        self.check(request)
        size, skip = request.image_size, request.skip_broken
        how = ("as stored" if size is None else size, *how, *["skip"] * skip)
        key = content_key(root, files, kind, *how, skip=skip)
        decoded = decoded_images(key, self._parts, self._wanted(request))
        gone = [{x.place for x in decoded.skipped if x.part == part} for part in (0, 1)]
        skipped = sorted(
            name
            for places, part in zip(gone, (self.train, self.test or NOTHING), strict=True)
            for place, name in enumerate(part.names() if places else ())
            if place in places
        )
        left_out = [*self.left_out, LeftOut(SKIPPED, tuple(skipped))] if skipped else self.left_out
        decoded = replace(decoded, left_out=tuple(left_out))
        if self.test is not None:
            return decoded
        names = (n for place, n in enumerate(self.train.names()) if place not in gone[0])
        kept, chosen, split = set_apart(
            decoded.train, names, self.classes, request.split_seed, request.test_share
        )
        everything = decoded.train
        return replace(
            decoded,
            train=everything.take(kept),
            test=everything.take(chosen),
            split=split,
            fingerprint=None,
        )

    @property
    def _parts(self) -> list[Part]:
        return [self.train.encoded, (self.test or NOTHING).encoded]

    def _wanted(self, request: Request) -> Wanted:
        return Wanted(self.what, self.classes, self.source, request.image_size, request.skip_broken)
