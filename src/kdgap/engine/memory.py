"""Freed memory stays with the process while it trains.

A training step frees what the step before it freed. Handed back to the kernel in between, every
page is zeroed and mapped anew: a tenth of a step (benchmarks/NOTES.md). Only glibc can be asked to
keep it; elsewhere nothing happens.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Names and numbers of malloc.h. Blocks that are mapped one by one go back when they are freed.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1
_USUAL_TRIM, _USUAL_MMAP_MAX = 64 * 2**20, 2**16


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep memory that is freed within for what is allocated next; hand it back at the end."""
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _USUAL_MMAP_MAX)
        libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM)
        hand_back()


def hand_back() -> None:
    """Give memory that is free within this process back to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
