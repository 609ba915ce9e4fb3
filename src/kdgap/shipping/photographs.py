"""Images that a user names, as pixels a network takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kdgap.data.pixels import ImageError, decoders, fitted, is_image
from kdgap.data.unusable import unusable
from kdgap.errors import BadInputError
from kdgap.files import names_in, open_file
from kdgap.shipping.facts import Facts
from kdgap.text import shown

BATCH = 64
MOST_PIXELS = 4096
"""A side, as in `InputSpec`."""
_MOST_NUMBERS = 2**26
"""Of a batch; large images come in smaller ones."""


@dataclass(frozen=True)
class Photographs:
    """Image files, and how many other files the folders hold."""

    paths: tuple[Path, ...]
    ignored: int


def listed(given: Sequence[Path]) -> Photographs:
    """Return files as they were named, and in their places the images below folders, sorted.

    A file that is named is taken for an image. Of a folder, what is none by its content is left
    out, and so is all whose name begins with a dot; links are followed, each folder once.

    Raises:
        BadInputError: something is not there or cannot be listed, or there is no image.
    """
    paths: list[Path] = []
    ignored = 0
    for path in given:
        if not path.exists():
            raise BadInputError(f"{shown(path)}: not found; name images or folders of them")
        if not path.is_dir():
            paths.append(path)
            continue
        for file in _below(path, set()):
            try:
                taken = not file.name.startswith(".") and file.is_file() and is_image(file)
            except OSError as error:
                raise _unlisted(file, error) from None
            if taken:
                paths.append(file)
            else:
                ignored += 1
    if not paths:
        named = ", ".join(shown(path) for path in given[:3])
        raise BadInputError(f"{named}: no image there; name images or folders of them")
    return Photographs(tuple(paths), ignored)


def _below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        about = folder.stat()
        names = names_in(folder)
    except OSError as error:
        raise _unlisted(folder, error) from None
    if (about.st_dev, about.st_ino) in seen:
        return
    seen.add((about.st_dev, about.st_ino))
    for name in names:
        if (folder / name).is_dir() and not name.startswith("."):
            yield from _below(folder / name, seen)
        else:
            yield folder / name


def _unlisted(path: Path, error: OSError) -> BadInputError:
    return BadInputError(f"{shown(path)}: cannot be read ({error.strerror}); repair or remove it")


def batches(paths: Sequence[Path], facts: Facts) -> Iterator[Tensor]:
    """Yield images as a network was trained on them, uint8 `[B, C, H, W]`.

    Each is fitted to the size that the data's images had, square or not: resized until it covers
    that, the centre kept.

    Raises:
        BadInputError: naming all that cannot be used; from the first of them on nothing is yielded.
    """
    problems: list[tuple[str, str]] = []
    largest = max(prod(facts.fitted_size), prod(facts.card.image_size))
    step = max(1, min(BATCH, _MOST_NUMBERS // (facts.card.channels * largest)))
    with decoders() as pool:
        for start in range(0, len(paths), step):
            part = paths[start : start + step]
            rows = list(pool.map(lambda path: _decoded(path, facts), part))
            problems += [
                (shown(path), row)
                for path, row in zip(part, rows, strict=True)
                if isinstance(row, str)
            ]
            if not problems:
                yield torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()
    if problems:
        raise BadInputError(unusable(problems, "images", "repair, convert or do without"))


def _decoded(path: Path, facts: Facts) -> Any:
    """Return an image's pixels `[H, W, C]`, or why it cannot be used."""
    try:
        with open_file(path) as stream:
            pixels = fitted(stream, facts.fitted_size)
    except OSError as error:
        return error.strerror or str(error)
    except ImageError as error:
        return str(error)
    if facts.card.channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    return pixels


def require_images(facts: Facts, where: str) -> None:
    """Refuse a network for images that no image file holds, or that are too large to be meant.

    Raises:
        BadInputError: with the number of its channels, or the size.
    """
    channels, sides = facts.card.channels, (*facts.fitted_size, *facts.card.image_size)
    if channels not in (1, 3):
        raise BadInputError(
            f"{where}: takes images of {channels} channels; image files have 1 or 3"
        )
    if max(sides) > MOST_PIXELS:
        raise BadInputError(
            f"{where}: takes images of {max(sides):,} pixels a side; {MOST_PIXELS:,} at most are"
            " made of a photograph"
        )
