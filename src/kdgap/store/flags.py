"""Flags that a record carries and judging reads: who chose, and images that stand twice.

Both wings of the house need them: training writes them down, judging reads them.
"""

import re
from collections.abc import Iterable
from typing import Literal

TEST_CHOSEN = "epochs were chosen on the test images: the accuracies are optimistic"
_COPIED = re.compile(r"([\d,]+ of [\d,]+ (?:validation|test) images are training images too): .*")


def chosen_on(flags: Iterable[str]) -> Literal["val", "test"]:
    """Return which images chose the epochs of runs with these flags."""
    return "test" if TEST_CHOSEN in set(flags) else "val"


def copied_flag(part: str, copies: int, images: int) -> str:
    """Return the flag of `copies` out of `images` images of a part, `validation` or `test`."""
    return (
        f"{copies:,} of {images:,} {part} images are training images too: accuracies on them are"
        " optimistic"
    )


def copied_marks(flags: Iterable[str]) -> list[str]:
    """Return, of each such flag among flags of any kind, the few words that marks have room for."""
    found = map(_COPIED.fullmatch, flags)
    return sorted({match[1] for match in found if match is not None})
