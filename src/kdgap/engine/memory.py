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

# Names and numbers of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST = 2**31 - 1
_MOST_OF_OLD_GLIBC = 2**25


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep memory that is freed within for what is allocated next; hand it back at the end."""
    libc = _glibc()
    if libc is None:
        yield
        return
    if not libc.mallopt(_M_MMAP_THRESHOLD, _MOST):
        libc.mallopt(_M_MMAP_THRESHOLD, _MOST_OF_OLD_GLIBC)
    libc.mallopt(_M_TRIM_THRESHOLD, _MOST)
    try:
        yield
    finally:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
