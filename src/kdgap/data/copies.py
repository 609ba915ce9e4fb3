"""Images that stand in a data set more than once, pixel for pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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


def image_numbers(chunks: Iterable[Tensor]) -> np.ndarray:
    """Return a number for each image of some chunks uint8 `[B, C, H, W]`, int64 `[N]`.

    Equal images have one number, and others do not: among 60,000 images the chance of a single
    mistake is 1 in 10 billion. The numbers mean something in this process only.
    """
    numbers = (hash(row.tobytes()) for pixels in chunks for row in pixels.contiguous().numpy())
    return np.fromiter(numbers, dtype=np.int64)


def count_copies(train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Copies:
    """Count what stands in several parts, from the images' numbers, int64 `[N]` each."""
    of_val = np.isin(val, train)
    of_test = np.isin(test, train) | np.isin(test, val)
    return Copies(val=int(of_val.sum()), test=int(of_test.sum()))
