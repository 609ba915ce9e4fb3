"""Images that stand in a data set more than once, pixel for pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


@dataclass(frozen=True)
class Copies:
    """How many images of a split are not new to what is trained.

    Attributes:
        val: validation images that are training images too.
        test: test images that are training or validation images too.
    """

    val: int
    test: int


def image_numbers(chunks: Iterable[Tensor]) -> list[int]:
    """Return a number of 64 bits for each image of some chunks uint8 `[B, C, H, W]`.

    Equal images have one number, and others do not: among 60,000 images the chance of a single
    mistake is 1 in 10 billion. The numbers mean something in this process only.
    """
    return [hash(row.tobytes()) for pixels in chunks for row in pixels.contiguous().numpy()]


def count_copies(train: Iterable[int], val: list[int], test: list[int]) -> Copies:
    """Count what stands in several parts, from the images' numbers."""
    trained = set(train)
    seen = trained.union(val)
    return Copies(
        val=sum(number in trained for number in val), test=sum(number in seen for number in test)
    )
