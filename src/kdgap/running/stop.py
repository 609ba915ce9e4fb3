"""Stopping politely: a signal is noted, and training stops at the next boundary, saved."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Self

from kdgap.errors import StoppedError
from kdgap.terminal import end_at_once

STOPPED = "stopped and saved; the same command goes on from here"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextmanager
def handling(note: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM noted while this lasts.

    Only the main thread of a process may ask for that. In any other one, of a notebook or a server,
    signals stay what they are to the program around it.
    """
    before: dict[signal.Signals, object] = {}
    try:
        for number in CODES:
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not Python that had set it, so Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]


class Stopper:
    """While entered, turns the first SIGINT or SIGTERM into a `StoppedError` at the next call.

    A second SIGINT ends the process at once; whatever is on disk is whole, for every write is
    atomic. A worker also stops when the process that started it is gone.

    Args:
        parent: the process that must be alive; None = nobody's child.
    """

    def __init__(self, parent: int | None = None) -> None:
        self._parent = parent
        self._code: int | None = None
        self._handling: AbstractContextManager[None] = handling(self._note)

    def __enter__(self) -> Self:
        self._handling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handling.__exit__(None, None, None)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._code is not None and number == signal.SIGINT:
            end_at_once(CODES[signal.SIGINT])
        self._code = CODES[signal.Signals(number)]

    def __call__(self) -> None:
        """Raise `StoppedError` if it is time to stop."""
        if self._parent is not None and os.getppid() != self._parent:
            self._code = CODES[signal.SIGTERM]
        if self._code is not None:
            raise StoppedError(STOPPED, self._code)
