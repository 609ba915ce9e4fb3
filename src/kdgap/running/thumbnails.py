"""Some test images of a run as one small picture, from the data that is at hand."""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image, ImageOps

from kdgap.data import Images, Request, load_dataset, split_dataset
from kdgap.errors import BadInputError
from kdgap.running.places import origin_of
from kdgap.spec.run import DataSpec
from kdgap.store.record import RunDirectory
from kdgap.store.remote import local_place


def thumbnails(folder: Path, indices: Sequence[int], *, tile: int, columns: int) -> bytes:
    """Return a PNG of test images, row by row; each is fitted into a square.

    Args:
        folder: the directory of a finished run.
        indices: places among the run's test images, in the order of the picture.
        tile: width and height of a square in pixels.
        columns: squares in a row.

    Raises:
        BadInputError: the data is not at hand, or is not what the run was trained on.
        StoreDamagedError: the record is damaged.
    """
    images = _images(folder)
    rows = -(-len(indices) // columns)
    sheet = Image.new("RGB", (columns * tile, rows * tile))
    taken = images.take(torch.tensor(list(indices))).pixels
    for place, pixels in enumerate(taken):
        image = _fitted(pixels, tile)
        corner = ((tile - image.width) // 2, (tile - image.height) // 2)
        left, top = place % columns * tile, place // columns * tile
        sheet.paste(image, (left + corner[0], top + corner[1]))
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _fitted(pixels: torch.Tensor, tile: int) -> Image.Image:
    grey = pixels.shape[0] == 1
    array = pixels[0].numpy() if grey else pixels[:3].permute(1, 2, 0).numpy()
    small = max(array.shape[:2]) < tile  # pixels that are shown large stay sharp
    method = Image.Resampling.NEAREST if small else Image.Resampling.BOX
    return ImageOps.contain(Image.fromarray(array).convert("RGB"), (tile, tile), method)


def _images(folder: Path) -> Images:
    """Return the test images of a run."""
    directory = RunDirectory(folder)
    record = directory.read(hash_weights=False)
    place = record.spec.place
    root = origin_of(directory, place.output_dir).find(place.data_root)
    return _loaded(record.spec.data, root, record.run["data"]["fingerprint"])


@lru_cache(1)
def _loaded(data: DataSpec, root: str, fingerprint: str) -> Images:
    """Load test images once: a page asks for one configuration after the other."""
    dataset = load_dataset(data.name, Request.of(data, local_place(root)))
    if dataset.fingerprint != fingerprint:
        raise BadInputError(f"{root}: the data is not what the run was trained on")
    parts = split_dataset(dataset, data.val_size, data.split_seed, data.limit, data.choose_on)
    return parts.test
