"""The named errors of kdgap and the exit code that each one means.

An error that a user can cause is a `KdgapError`: the command line prints its text as one line on
stderr and exits with its code. Anything else is a defect of ours and keeps its traceback.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from kdgap.text import one_line as one_line


class KdgapError(Exception):
    """An error with a text for the user and an exit code."""

    exit_code = 1


class BadInputError(KdgapError, ValueError):
    """What was asked for cannot be done as asked; nothing was written.

    Args:
        text: what the user is told.
        key: the configuration key at fault, where the raiser knows it.
    """

    exit_code = 2

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


@contextmanager
def placed(where: str | Callable[[str], str], key: str = "") -> Iterator[None]:
    """Say in the text of a `BadInputError` where what is at fault was given.

    Args:
        where: file and line, or what returns them for a key.
        key: a key to name in the text, where the error does not know a better one.
    """
    try:
        yield
    except BadInputError as error:
        fault = error.key or key
        place = where if isinstance(where, str) else where(fault)
        named = f"{fault}: " if key else ""
        raise type(error)(f"{place}: {named}{error}", fault or None) from None


class ClaimError(BadInputError):
    """A claim, or what is compared, does not fit the runs that it is about."""


class TeacherError(BadInputError):
    """The teacher's weights are missing, unreadable, or not what they claim to be."""


class RunFailedError(KdgapError):
    """A run could not be finished, for example because it diverged."""

    exit_code = 3


class WorkerError(KdgapError):
    """A worker process ended with an exit code and a text, which become this process's own."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class StoppedError(WorkerError):
    """The user (130) or the system (143) asked to stop; what was done is saved."""


class StoreDamagedError(KdgapError):
    """A record on disk is torn or was changed by hand."""

    exit_code = 4


class UnreadableError(StoreDamagedError):
    """A file is there and cannot be read, for the disk or the permissions: it may well be whole."""


def not_read(path: object, error: OSError) -> StoreDamagedError:
    """Return what to raise for a file of a record that was not read: gone, odd, or unreadable."""
    gone = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    odd = error.errno in (errno.EINVAL, errno.ELOOP, errno.ENXIO)
    kind = StoreDamagedError if gone or odd else UnreadableError
    return kind(f"{path}: {error.strerror or error}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest known word, or an empty string."""
    match = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""
