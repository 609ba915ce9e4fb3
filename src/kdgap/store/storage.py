"""Where a study is kept that several machines work on: a folder that all of them see, or a URL.

Names are paths below the place, with `/`. URLs are in `url.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from kdgap.errors import BadInputError, RunFailedError
from kdgap.files import (
    entries,
    make_folder,
    read_bytes,
    remove,
    remove_tree,
    write_atomic,
)

_GROUP = 512
"""Files that are fetched between two looks at whether to stop."""
_PROBE = ".write-probe"

Answer = TypeVar("Answer")


class StorageError(RunFailedError):
    """The storage does not answer, is full, or does not keep what it is given."""


class Storage(ABC):
    """Files by name at one place; see the module.

    Attributes:
        where: the place as the user wrote it.
    """

    where: str

    @abstractmethod
    def listing(self, prefix: str = "") -> dict[str, str]:
        """Return what lies below a prefix: name → a token that changes when the file does.

        A token begins with the size in bytes, where that is known, and `-`.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return what a file holds. Raises `FileNotFoundError` where there is none."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a small file, in one step for whoever reads it."""

    @abstractmethod
    def send(self, name: str, path: Path) -> None:
        """Write what a local file holds."""

    @abstractmethod
    def fetch(self, name: str, path: Path) -> None:
        """Write a file to a local path, whose folder is made, in one step."""

    def fetch_many(self, names: Sequence[str], folder: Path) -> Iterator[Sequence[str]]:
        """Write files below a local folder, several at a time; yield which ones are there."""
        for begin in range(0, len(names), _GROUP):
            group = names[begin : begin + _GROUP]
            self.each(lambda name: self.fetch(name, folder / name), group)
            yield group

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Write a file once more under another name."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are passed over."""

    def each(self, action: Callable[[str], Answer], names: Collection[str]) -> list[Answer]:
        """Do something for each name, in no order, and many at once where the storage takes that.

        Args:
            action: may be called by several threads.
            names: what it is called with.

        Returns:
            What it returned, in the order of the names.
        """
        return [action(name) for name in names]

    def probe(self) -> None:
        """Refuse a place that cannot be written and read.

        Raises:
            BadInputError: saying why not.
        """
        try:
            self.write(_PROBE, b"kdgap\n")
            self.remove([_PROBE])
        except (StorageError, OSError) as error:
            text = str(error).removeprefix(f"{self.where}: ")
            raise BadInputError(f"{self.where}: cannot be written ({text})") from None


class Folder(Storage):
    """A folder that every machine sees under the same path."""

    def __init__(self, path: Path) -> None:
        self._root, self.where = path, str(path)

    def _path(self, name: str) -> Path:
        return self._root / name

    def listing(self, prefix: str = "") -> dict[str, str]:
        """Return what lies below a prefix, which is a folder or empty."""
        names: dict[str, str] = {}
        left = [self._path(prefix)]
        while left:
            for path in entries(left.pop()):
                if path.is_dir() and not path.is_symlink():
                    left.append(path)
                    continue
                if token := stamp(path):
                    names[path.relative_to(self._root).as_posix()] = token
        return names

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return read_bytes(self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, durably and in one step."""
        path = self._path(name)
        make_folder(path.parent)
        write_atomic(path, content)

    def send(self, name: str, path: Path) -> None:
        """Write what a local file holds, durably and in one step."""
        self.write(name, read_bytes(path))

    def fetch(self, name: str, path: Path) -> None:
        """Write a file to a local path."""
        make_folder(path.parent)
        write_atomic(path, self.read(name))

    def copy(self, source: str, target: str) -> None:
        """Write a file once more under another name."""
        self.write(target, self.read(source))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and the folders that are empty then."""
        for name in names:
            path = self._path(name)
            remove(path)
            for folder in path.parents:
                if folder == self._root or entries(folder):
                    break
                remove_tree(folder)


def stamp(path: Path) -> str:
    """Return what a file that is replaced does not keep, its size first; empty without a file."""
    try:
        about = path.stat()
    except OSError:
        return ""
    return f"{about.st_size}-{about.st_mtime_ns}-{about.st_ino}"
