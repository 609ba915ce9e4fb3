"""Any images in class folders: `train/CLASS/*` and `test/CLASS/*` (or `val/CLASS/*`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kdgap.data.cache import content_key, decoded_once
from kdgap.data.dataset import Decoded, Images, Request, dataset, require_memory
from kdgap.data.listing import VALIDATION, Listing
from kdgap.data.pixels import ImageError, decoders, fitted, is_image
from kdgap.data.unusable import unusable
from kdgap.deferred import torch
from kdgap.errors import BadInputError
from kdgap.files import open_file
from kdgap.text import shown

if TYPE_CHECKING:
    from pathlib import Path


@dataset(
    "imagefolder",
    summary="your images in train/CLASS/ and test/CLASS/ (or val/), resized to image_size",
    citation="your own",
    val_size=500,
    augmentation="crop_flip",
    resized=True,
)
def imagefolder(request: Request) -> Decoded:
    """Load a folder of images: the shorter side is resized to `image_size`, the centre kept.

    Which files are in the set is said in `kdgap.data.listing`, what becomes of their pixels in
    `kdgap.data.pixels`.
    """
    if request.image_size is None:
        raise BadInputError(
            "imagefolder: give image_size, the side in pixels to resize to, such as 64"
        )
    size, root = request.image_size, request.root
    listing = Listing(root, is_image)
    name = f"imagefolder {shown(root)}"
    test_name = "test" if listing.has("test") else "val"
    for part in ("train", test_name):
        if not listing.has(part):
            raise BadInputError(
                f"{name}: looked for train/CLASS/ and test/CLASS/ (or val/CLASS/),"
                f" but {part}/ is missing; name the folder that holds them with --data-root"
            )
    listing.beside({"val": VALIDATION, "train": None, test_name: None})
    train, test = listing.part("train"), listing.part(test_name)
    if train.classes != test.classes:
        odd = min(set(train.classes) ^ set(test.classes))
        place = "train" if odd in train.classes else test_name
        raise BadInputError(f"{name}: class {odd!r} is in {place}/ only")
    require_memory(name, len(train.images) + len(test.images), 3 * size * size)
    files = [path for path, _ in (*train.images, *test.images)]

    def decode() -> Decoded:
        problems: list[tuple[str, str]] = []
        parts = [_decode(part.images, size, problems) for part in (train, test)]
        if problems:
            raise BadInputError(unusable(problems, "images", "repair, convert or remove"))
        return Decoded(parts[0], parts[1], train.classes, "imagefolder")

    decoded = decoded_once(content_key(root, files, "imagefolder", size), decode)
    return replace(decoded, left_out=listing.left_out())


def _decode(samples: list[tuple[Path, int]], size: int, problems: list[tuple[str, str]]) -> Images:
    """Decode the images of a part; note what is wrong with those that cannot be used."""
    with decoders() as pool:
        rows = list(pool.map(lambda sample: _open(sample[0], size), samples))
    problems += [
        (shown(path), row)
        for (path, _), row in zip(samples, rows, strict=True)
        if isinstance(row, str)
    ]
    whole = [row for row in rows if not isinstance(row, str)]
    if problems:
        whole = whole[:0]  # for nothing will be made of them
    pixels = np.stack(whole) if whole else np.empty((0, size, size, 3), np.uint8)
    labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels)


def _open(path: Path, size: int) -> np.ndarray | str:
    """Return an image's pixels, or why it cannot be used."""
    try:
        with open_file(path) as stream:
            return fitted(stream, size)
    except OSError as error:
        return error.strerror or str(error)
    except ImageError as error:
        return str(error)
