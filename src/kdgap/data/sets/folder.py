"""Any images in class folders: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` without a split."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.data.dataset import Decoded, Request, Shape, dataset
from kdgap.data.decoding import Encoded, Part
from kdgap.data.listing import VALIDATION, Listed, Listing
from kdgap.data.own import OwnImages, OwnPart
from kdgap.data.pixels import is_image
from kdgap.errors import BadInputError
from kdgap.files import open_file
from kdgap.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PARTS = frozenset(
    {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
)
"""Names that folders of a split have; the three that are read are `train`, `test` and `val`."""


def survey(request: Request) -> Shape:
    """Return numbers and sizes of a folder's images, of which none is decoded."""
    return _listed(request.root)[0].shape(request)


@dataset(
    "imagefolder",
    summary="your images in CLASS/, or in train/CLASS/ and test/CLASS/ (or val/)",
    citation="your own",
    val_size=500,
    augmentation="crop_flip",
    resized=True,
    survey=survey,
)
def imagefolder(request: Request) -> Decoded:
    """Load a folder of images: the shorter side is resized to `image_size`, the centre kept.

    Which files are in the set is said in `kdgap.data.listing`, what becomes of their pixels in
    `kdgap.data.pixels`, how test images are set apart in `kdgap.data.apart`.
    """
    own, files = _listed(request.root)
    whole = ["whole"] * (own.test is None)
    return own.load(request, "imagefolder", request.root, files, *whole)


def _listed(root: Path) -> tuple[OwnImages, Iterator[Path]]:
    """Return the images of a folder, and their files."""
    listing, name = Listing(root, is_image), f"imagefolder {shown(root)}"
    looked_for = "looked for CLASS/, or for train/CLASS/ and test/CLASS/ (or val/CLASS/)"
    where = "name the folder that holds them with --data-root"
    if not root.is_dir():
        raise BadInputError(f"{name}: {looked_for}, but there is no such folder; {where}")
    test_name = "test" if listing.has("test") else "val"
    if not (listing.has("train") or listing.has(test_name)):
        listed, test = listing.part(""), None
        if _PARTS.issuperset(each.casefold() for each in listed.classes):
            # Else the network would learn to tell training images from test images.
            folders = " and ".join(f"{each}/" for each in listed.classes)
            raise BadInputError(
                f"{name}: {folders} look like the parts of a split, not like classes; rename them"
                " to train/ and test/ (or val/)"
            )
    else:
        for part in ("train", test_name):
            if not listing.has(part):
                raise BadInputError(
                    f"{name}: {looked_for}, but {part}/ is missing; {where}{_whole(part, root)}"
                )
        listing.beside({"val": VALIDATION, "train": None, test_name: None})
        listed, test = listing.part("train"), listing.part(test_name)
        if listed.classes != test.classes:
            odd = min(set(listed.classes) ^ set(test.classes))
            place = "train" if odd in listed.classes else test_name
            raise BadInputError(f"{name}: class {odd!r} is in {place}/ only")
    own = OwnImages(
        name,
        listed.classes,
        "imagefolder",
        _part(listed),
        None if test is None else _part(test),
        listing.left_out(),
    )
    return own, (path for part in (listed, test) if part for path, _ in part.images)


def _whole(missing: str, root: Path) -> str:
    if missing == "train":
        return ""
    return f", or {shown(root / 'train')} to set test images apart from those in train/"


def _part(listed: Listed) -> OwnPart:
    def encoded() -> Iterator[Encoded]:
        for path, label in listed.images:
            yield Encoded(shown(path), label, partial(open_file, path))

    return OwnPart(
        listed.labels,
        lambda: map(shown, listed.names),
        Part(len(listed.labels), encoded),
    )
