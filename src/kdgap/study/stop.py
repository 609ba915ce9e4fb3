"""Stopping politely: a signal is noted, and training stops at the next boundary, saved."""

import os
import signal
from types import FrameType
from typing import Self

from kdgap.errors import StoppedError

STOPPED = "stopped and saved; the same command goes on from here"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


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
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in CODES:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` returned

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._code is not None and number == signal.SIGINT:
            os._exit(CODES[signal.SIGINT])
        self._code = CODES[signal.Signals(number)]

    def __call__(self) -> None:
        """Raise `StoppedError` if it is time to stop."""
        if self._parent is not None and os.getppid() != self._parent:
            self._code = CODES[signal.SIGTERM]
        if self._code is not None:
            raise StoppedError(STOPPED, self._code)
