"""Where a study is kept that several machines work on: a folder that all of them see, or a URL.

A URL is anything that `fsspec` knows (`s3://`, `gs://`, `file://`, …). Names are paths below the
place, with `/`. Every write is read back and compared before it counts, and what fails is tried
again for a while: a network fails now and then, and every operation here may be done twice.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from kdgap import disk
from kdgap.errors import BadInputError, RunFailedError, one_line
from kdgap.files import (
    entries,
    file_hash,
    make_folder,
    open_file,
    read_bytes,
    remove,
    remove_quietly,
    remove_tree,
    temporary_beside,
    write_atomic,
)
from kdgap.paths import is_url

WAITS = (0.2, 0.5, 1, 2, 4, 8)
"""Seconds to wait before each new try of what failed."""
_BLOCK = 2**22
_AT_ONCE = 16
"""Requests that wait for the storage at the same time."""
_GROUP = 512
_BUCKETS = frozenset({"s3", "gs", "gcs", "az", "abfs", "adl", "oss"})
"""Kinds of URL without folders, where making one would make the bucket of a mistyped name."""
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
        """Return what lies below a prefix: name → a token that changes when the file does."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return what a file holds. Raises `FileNotFoundError` where there is none."""

    @abstractmethod
    def read_many(self, names: Collection[str]) -> dict[str, bytes]:
        """Return what files hold, many at a time; those that are gone by now are left out."""

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
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for begin in range(0, len(names), _GROUP):
                group = names[begin : begin + _GROUP]
                for _ in pool.map(lambda name: self.fetch(name, folder / name), group):
                    pass
                yield group

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Write a file once more under another name."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are passed over."""

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
                with suppress(FileNotFoundError):
                    about = path.stat()
                    token = f"{about.st_size}-{about.st_mtime_ns}-{about.st_ino}"
                    names[path.relative_to(self._root).as_posix()] = token
        return names

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return read_bytes(self._path(name))

    def read_many(self, names: Collection[str]) -> dict[str, bytes]:
        """Return what files hold."""
        contents: dict[str, bytes] = {}
        for name in names:
            with suppress(FileNotFoundError):
                contents[name] = self.read(name)
        return contents

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
        kind = self._fs.protocol
        self._folders = not _BUCKETS & {kind if isinstance(kind, str) else kind[0]}

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

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

    def read_many(self, names: Collection[str]) -> dict[str, bytes]:
        """Return what files hold, as many at a time as fsspec reads."""
        contents: dict[str, bytes] = {}
        if names:
            paths = {self._path(name): name for name in names}
            answers = self._fs.cat(list(paths), on_error="return")
            for path, name in paths.items():
                answer = answers.get(path)
                if isinstance(answer, bytes):
                    contents[name] = answer
                elif not isinstance(answer, FileNotFoundError):
                    with suppress(FileNotFoundError):
                        contents[name] = self.read(name)  # which tries again
        return contents

    def write(self, name: str, content: bytes) -> None:
        """Write a file and read it back."""

        def put() -> None:
            self._make_parent(name)
            self._fs.pipe_file(self._path(name), content)
            if self._fs.cat_file(self._path(name)) != content:
                raise OSError("what was written reads otherwise")

        self._again(put, name)

    def send(self, name: str, path: Path) -> None:
        """Write what a local file holds and read it back."""
        expected = file_hash(path)

        def put() -> None:
            self._make_parent(name)
            with open_file(path) as source, self._fs.open(self._path(name), "wb") as target:
                while block := source.read(_BLOCK):
                    target.write(block)
            if self._hash(name) != expected:
                raise OSError("what was written reads otherwise")

        self._again(put, name)

    def fetch(self, name: str, path: Path) -> None:
        """Write a file to a local path."""
        make_folder(path.parent)

        def get() -> None:
            temporary = temporary_beside(path)
            try:
                self._fs.get_file(self._path(name), str(temporary))
                disk.call(disk.current.rename, temporary, path)
            except BaseException:
                remove_quietly(temporary)
                raise

        self._again(get, name)

    def copy(self, source: str, target: str) -> None:
        """Write a file once more under another name, and read it back."""
        expected = self._again(lambda: self._hash(source), source)

        def put() -> None:
            self._make_parent(target)
            self._fs.cp_file(self._path(source), self._path(target))
            if self._hash(target) != expected:
                raise OSError("what was written reads otherwise")

        self._again(put, target)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            with suppress(FileNotFoundError):
                self._again(lambda name=name: self._fs.rm_file(self._path(name)), name)  # type: ignore[misc]

    def _make_parent(self, name: str) -> None:
        if self._folders:
            with suppress(FileExistsError, NotImplementedError):
                self._fs.mkdirs(self._path(name).rpartition("/")[0], exist_ok=True)

    def _hash(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._fs.open(self._path(name), "rb", cache_type="readahead") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


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
