"""Where a study is kept that several machines work on: a folder that all of them see, or a URL.

A URL is anything that `fsspec` knows (`s3://`, `gs://`, `file://`, …). Names are paths below the
place, with `/`. Every write is read back and compared before it counts, and what fails is tried
again for a while: a network fails now and then, and every operation here may be done twice.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from kdgap.errors import BadInputError, RunFailedError, one_line
from kdgap.files import (
    entries,
    file_hash,
    make_folder,
    open_file,
    read_bytes,
    remove,
    remove_tree,
    write_atomic,
)
from kdgap.paths import is_url

WAITS = (0.2, 0.5, 1, 2, 4, 8)
"""Seconds to wait before each new try of what failed."""
AT_ONCE = 32
"""Requests that are under way at once, where a storage takes several."""
_BLOCK = 2**22
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


class Url(Storage):
    """A place that fsspec reaches.

    Args:
        url: such as `s3://bucket/studies/one`.
        waits: seconds to wait before each new try.

    Raises:
        BadInputError: fsspec, or what it needs for this kind of URL, is not installed, or there is
            no such kind.
    """

    def __init__(self, url: str, waits: Iterable[float] = WAITS) -> None:
        self.where, self._waits = url.rstrip("/"), tuple(waits)
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise BadInputError(
                f"{url}: needs fsspec: pip install 'kdgap[ray]', and what fsspec needs for this"
                " kind of URL, such as s3fs"
            ) from None
        try:
            self._fs, root = url_to_fs(self.where)
        except (ImportError, ValueError) as error:
            raise BadInputError(f"{url}: {one_line(error, 160)}") from None
        self._root = root.rstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _is_bucket(self) -> bool:
        """Whether there are no folders, and several requests may be under way.

        So it is for the kinds that fsspec asks asynchronously. Others may have one connection, as
        FTP has, which is not made for threads.
        """
        return bool(self._fs.async_impl)

    def _again(self, action: Callable[[], Answer], name: str) -> Answer:
        """Do something until it works; what is not there, or not allowed, is not tried again."""
        for wait in (*self._waits, None):
            try:
                return action()
            except FileNotFoundError:
                raise
            except PermissionError as error:
                raise StorageError(f"{self.where}/{name}: {_why(error)}") from error
            except Exception as error:  # every kind of URL has errors of its own
                if wait is None:
                    tries = len(self._waits) + 1
                    text = f"{self.where}/{name}: {_why(error)} (tried {tries} times)"
                    raise StorageError(text) from error
            time.sleep(wait)
        raise AssertionError  # the last try returns or raises

    def listing(self, prefix: str = "") -> dict[str, str]:
        """Return what lies below a prefix."""

        def find() -> dict[str, dict[str, Any]]:
            self._fs.invalidate_cache()
            return dict(self._fs.find(self._path(prefix), detail=True))

        try:
            seen = self._again(find, prefix)
        except FileNotFoundError:
            return {}
        start = len(self._path("")) + 1
        # What is empty may stand for a folder.
        return {
            path[start:]: _token(about) for path, about in seen.items() if about["type"] == "file"
        }

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return bytes(self._again(lambda: self._fs.cat_file(self._path(name)), name))

    def each(self, action: Callable[[str], Answer], names: Collection[str]) -> list[Answer]:
        """Do something for each name; see `Storage.each`."""
        if len(names) < 2 or not self._is_bucket():
            return super().each(action, names)
        with ThreadPoolExecutor(AT_ONCE, "kdgap-storage") as pool:
            return list(pool.map(action, names))

    def write(self, name: str, content: bytes) -> None:
        """Write a file and read it back."""

        def put() -> None:
            self._in_folder(lambda: self._fs.pipe_file(self._path(name), content), name)
            if self._fs.cat_file(self._path(name)) != content:
                raise OSError("what was written reads otherwise")

        self._again(put, name)

    def send(self, name: str, path: Path) -> None:
        """Write what a local file holds and read it back."""
        expected, size = file_hash(path), path.stat().st_size

        def stream() -> None:
            with open_file(path) as source, self._fs.open(self._path(name), "wb") as target:
                while block := source.read(_BLOCK):
                    target.write(block)

        def put() -> None:
            self._in_folder(stream, name)
            if self._hash(name, size) != (expected, size):
                raise OSError("what was written reads otherwise")

        self._again(put, name)

    def fetch(self, name: str, path: Path) -> None:
        """Write a file to a local path."""
        make_folder(path.parent)
        write_atomic(path, self.read(name))

    def copy(self, source: str, target: str) -> None:
        """Write a file once more under another name, and read it back."""
        expected = self._again(lambda: self._hash(source), source)

        def put() -> None:
            self._in_folder(
                lambda: self._fs.cp_file(self._path(source), self._path(target)), target
            )
            if self._hash(target, expected[1]) != expected:
                raise OSError("what was written reads otherwise")

        self._again(put, target)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""

        def drop(name: str) -> None:
            with suppress(FileNotFoundError):
                self._again(lambda: self._fs.rm_file(self._path(name)), name)

        self.each(drop, list(names))

    def _in_folder(self, action: Callable[[], None], name: str) -> None:
        """Write a file; where the storage has real folders and the file's is missing, make it."""
        try:
            action()
        except FileNotFoundError:
            if self._is_bucket():
                raise  # what is missing is the bucket, which nobody asked us to make
            with suppress(FileExistsError, NotImplementedError):
                self._fs.mkdirs(self._path(name).rpartition("/")[0], exist_ok=True)
            action()

    def _hash(self, name: str, size: int | None = None) -> tuple[str, int]:
        """Return the SHA-256 and the size of a file, whose size is asked for unless it is known."""
        digest, known = hashlib.sha256(), {} if size is None else {"size": size}
        path, count = self._path(name), 0
        with self._fs.open(path, "rb", cache_type="readahead", **known) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                count += len(block)
        return digest.hexdigest(), count


def stamp(path: Path) -> str:
    """Return what a file that is replaced does not keep, its size first; empty without a file."""
    try:
        about = path.stat()
    except OSError:
        return ""
    return f"{about.st_size}-{about.st_mtime_ns}-{about.st_ino}"


def _token(about: dict[str, Any]) -> str:
    known = (about.get(key) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified"))
    token = next((value for value in known if value), about.get("created", ""))
    return f"{about.get('size')}-{token}"


def _why(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(text or type(error).__name__, 160)


def storage_at(place: str | Path) -> Storage:
    """Return the storage at a path or URL."""
    return Url(place) if isinstance(place, str) and is_url(place) else Folder(Path(place))
