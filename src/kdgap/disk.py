"""The door to the disk: every system call that reads, lists or changes files, one method each.

The product calls the system through `current` and nothing else, so that a test can put another
door in its place that counts the calls and lets any one of them fail, fall short or be the last
(`tests/faults/`). `kdgap.files` builds on it what the rest of the house uses.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

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
"""The door in use."""


def call(operation: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """Do an operation of the door, again if a signal interrupted it.

    Python itself repeats reads and writes, but not the calls that change folders.
    """
    while True:
        try:
            return operation(*given, **named)
        except InterruptedError:
            continue
