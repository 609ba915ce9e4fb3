"""Any images in class folders: `train/CLASS/*` and `test/CLASS/*` (or `val/CLASS/*`)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kdgap.data.cache import content_key, decoded_once
from kdgap.data.dataset import Decoded, Images, Request, dataset, require_memory
from kdgap.data.listing import VALIDATION, Listing, shown
from kdgap.data.pixels import ImageError, decoders, fitted, is_image
from kdgap.errors import BadInputError
from kdgap.files import open_file


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
        parts = (_decode(train.images, size), _decode(test.images, size))
        return Decoded(*parts, train.classes, "imagefolder")

    decoded = decoded_once(content_key(root, files, "imagefolder", size), decode)
    return replace(decoded, left_out=listing.left_out())


def _decode(samples: list[tuple[Path, int]], size: int) -> Images:
    with decoders() as pool:
        rows = list(pool.map(lambda sample: _open(sample[0], size), samples))
    pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.tensor([label for _, label in samples], dtype=torch.int64))


def _open(path: Path, size: int) -> np.ndarray:
    try:
        with open_file(path) as stream:
            return fitted(stream, size)
    except OSError as error:
        raise BadInputError(f"{shown(path)}: {error.strerror}; repair or remove it") from None
    except ImageError as error:
        raise BadInputError(f"{shown(path)}: {error}; repair, convert or remove it") from None
