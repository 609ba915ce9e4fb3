"""The disk layer: every system call that reads, lists or changes files, one method each.

The product calls the system through `current` and nothing else, so that a test can put another
one in its place that counts the calls and lets any one of them fail, fall short or be the last
(`tests/faults/`). `kdgap.files` builds on it what the rest of the house uses.
"""

import errno
import fcntl
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Disk:
    """The system's own calls. Each raises `OSError` as the system does."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file and return its handle; what is made is readable as the umask says."""
        return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def read_into(self, handle: int, buffer: memoryview) -> int:
        """Fill a buffer from a file; return how many bytes were read, 0 at its end."""
        return os.readv(handle, [buffer])

    def read_at(self, handle: int, buffer: memoryview, place: int) -> int:
        """Fill a buffer from a place of a file; return how many bytes were read, 0 at its end."""
        return os.preadv(handle, [buffer], place)

    def will_need(self, handle: int, place: int, size: int) -> None:
        """Have a part of a file read ahead, where the system can; nothing waits or fails."""
        if hasattr(os, "posix_fadvise"):  # not on macOS
            with suppress(OSError):
                os.posix_fadvise(handle, place, size, os.POSIX_FADV_WILLNEED)

    def write(self, handle: int, content: memoryview) -> int:
        """Write bytes; return how many the system took, which may be fewer."""
        return os.write(handle, content)

    def truncate(self, handle: int, size: int) -> None:
        """Cut an open file to a size."""
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """Wait until an open file or folder is on the medium."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """Close a handle."""
        os.close(handle)

    def lock(self, handle: int, how: int) -> None:
        """Take or free the system's lock on an open file (`fcntl.flock`)."""
        fcntl.flock(handle, how)

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in place of another in one step."""
        os.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, which must be free."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file or a link."""
        os.unlink(path)

    def make_folder(self, path: Path) -> None:
        """Make one folder, whose parent exists."""
        os.mkdir(path)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder, in no order."""
        return os.listdir(path)


current = Disk()
"""The layer in use."""


def call(operation: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """Do an operation of the layer, again if a signal interrupted it.

    Python itself repeats reads and writes, but not the calls that change folders.
    """
    while True:
        try:
            return operation(*given, **named)
        except InterruptedError:
            continue


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error name the file that was meant, and no handle or temporary file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def _opened(path: Path, *, pipes: bool) -> tuple[int, int]:
    """Open a file for reading; return its handle and its size in bytes."""
    # Opening a pipe that nobody writes to would wait without end.
    handle = call(current.open, path, os.O_RDONLY if pipes else os.O_RDONLY | os.O_NONBLOCK)
    about = os.fstat(handle)
    if stat.S_ISREG(about.st_mode) or (pipes and not stat.S_ISDIR(about.st_mode)):
        return handle, about.st_size
    current.close(handle)
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_whole(path: Path) -> bytes:
    """Return what a regular file holds, in as few calls as its size allows."""
    handle, size = _opened(path, pipes=False)
    parts: list[bytearray] = []
    most = min(max(size, 2**12), 2**24) + 1  # one more, so that the end is seen
    try:
        with naming(path):
            while True:
                part = bytearray(most)
                count = call(current.read_into, handle, memoryview(part))
                if not count:
                    return b"".join(parts)
                del part[count:]
                parts.append(part)
    finally:
        current.close(handle)


class Reader(io.RawIOBase):
    """A file that is read through the layer."""

    _handle = -1  # where it could not be opened there is nothing to close

    def __init__(self, path: Path, *, pipes: bool) -> None:
        self._path = path
        self._handle, _ = _opened(path, pipes=pipes)

    def fileno(self) -> int:
        """Return the handle."""
        return self._handle

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it has places: as far as the file does."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how many bytes were read."""
        with naming(self._path):
            return call(current.read_into, self._handle, memoryview(buffer).cast("B"))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, and return it."""
        return os.lseek(self._handle, offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return os.lseek(self._handle, 0, os.SEEK_CUR)

    def close(self) -> None:
        """Close the handle, once."""
        if not self.closed:
            super().close()
            if self._handle >= 0:
                current.close(self._handle)
