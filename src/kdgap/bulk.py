"""Reading much that stays: with Python's search for cycles put off."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS = 200_000


@contextmanager
def kept() -> Iterator[None]:
    """Search for cycles seldom while records are read that are kept, and hold none.

    The search looks at all that is there again and again: a quarter of the time that reading a
    study of 10,000 runs took. As a decorator it holds for a function. The setting is the process's:
    where two threads are in here, the first to come ends it for both, which costs time alone.
    """
    before = gc.get_threshold()
    if before[0] == 0 or before[0] >= _OBJECTS:  # never searched for, or as seldom already
        yield
        return
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
