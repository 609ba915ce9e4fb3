"""A bucket in memory, for fsspec: `bucket://` counts its requests by kind, and may take its time.

It is asked as the kinds for S3 and GCS are: asynchronously, without folders, by flat listings in
pages of a thousand. A file that is opened is looked up first, unless its size is given.
"""

import asyncio
from collections import Counter
from hashlib import md5
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractBufferedFile

KINDS = ("list", "head", "get", "put", "copy", "delete")
PAGE = 1_000
"""Names that a listing returns at once."""


class Bucket(AsyncFileSystem):  # type: ignore[misc]
    """One bucket, whatever its name; it is the class, as fsspec makes objects of it as it likes.

    Attributes:
        objects: what it holds, by path.
        asked: how many requests there were of each of `KINDS`.
        latency: seconds that a request takes.
        failing: one of so many requests fails before anything is done; 0: none.
        most: how many requests were under way at once.
    """

    protocol = "bucket"
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[Counter[str]] = Counter()
    latency = 0.0
    failing = 0
    most = 0
    _tags: ClassVar[dict[str, str]] = {}
    _going = 0

    @classmethod
    def keep(cls, path: str, content: bytes) -> None:
        """Put an object there."""
        cls.objects[path] = content
        cls._tags[path] = md5(content, usedforsecurity=False).hexdigest()

    @classmethod
    def fill(cls, path: str, study: Path) -> None:
        """Hold a study below a path, and nothing else; nothing was asked yet."""
        cls.objects.clear()
        cls.asked.clear()
        cls.most = 0
        for file in study.rglob("*"):
            if file.is_file() and not file.name.startswith("."):
                cls.keep(f"{path}/{file.relative_to(study).as_posix()}", file.read_bytes())

    async def _request(self, kind: str, pages: int = 1) -> None:
        Bucket.asked[kind] += pages
        Bucket._going += 1
        Bucket.most = max(Bucket.most, Bucket._going)
        try:
            await asyncio.sleep(self.latency * pages)
            if self.failing and self.asked.total() % self.failing == 0:
                raise OSError("the network is away")
        finally:
            Bucket._going -= 1

    def _object(self, path: str) -> bytes:
        if (name := self._strip_protocol(path)) not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[name]

    def _about(self, path: str) -> dict[str, Any]:
        size, name = len(self._object(path)), self._strip_protocol(path)
        return {"name": name, "size": size, "type": "file", "ETag": self._tags[name]}

    async def _find(self, path: str, **_: Any) -> dict[str, Any]:
        start = self._strip_protocol(path) + "/"
        names = sorted(name for name in list(self.objects) if name.startswith(start))
        await self._request("list", max(1, -(-len(names) // PAGE)))
        return {name: self._about(name) for name in names}

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        await self._request("head")
        return self._about(path)

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        await self._request("get")
        return self._object(path)[start:end]

    async def _get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        Path(lpath).write_bytes(await self._cat_file(rpath))

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        await self._request("put")
        self.keep(self._strip_protocol(path), bytes(value))

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        await self._request("copy")
        self.keep(self._strip_protocol(path2), self._object(path1))

    async def _rm_file(self, path: str, **_: Any) -> None:
        await self._request("delete")
        self.objects.pop(self._strip_protocol(path), None)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        await self._request("list")  # s3fs looks whether the bucket is there

    def _open(self, path: str, mode: str = "rb", **given: Any) -> "BucketFile":
        return BucketFile(self, path, mode, **given)


class BucketFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object, read by ranges and written at once."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start=start, end=end))

    def _upload_chunk(self, final: bool = False) -> bool:
        if final:
            self.fs.pipe_file(self.path, self.buffer.getvalue())
        return final


def start_bucket() -> None:
    """Let fsspec know `bucket://`."""
    fsspec.register_implementation("bucket", Bucket, clobber=True)
