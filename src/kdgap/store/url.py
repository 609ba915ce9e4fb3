"""A place that `fsspec` reaches by its URL (`s3://`, `gs://`, `file://`, …).

Every write is read back and compared before it counts, and what fails is tried again for a while: a
network fails now and then, and every operation here may be done twice.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdgap import disk
from kdgap.errors import BadInputError, one_line
from kdgap.files import file_hash, make_folder, open_file, remove_quietly, temporary_beside
from kdgap.paths import is_url
from kdgap.store.storage import Answer, Folder, Storage, StorageError

WAITS = (0.2, 0.5, 1, 2, 4, 8)
"""Seconds to wait before each new try of what failed."""
AT_ONCE = 32
"""Requests that are under way at once, where a storage takes several."""
_BLOCK = 2**22


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
