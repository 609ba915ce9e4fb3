"""Samples of a tar, as webdataset keeps them: nothing is unpacked, and nothing stays in memory.

- A sample is the files of one name up to its first dot, one after the other in the tar, such as
  `n01/17.jpg` and `n01/17.cls`. Within a tar no name comes again.
- It has one image: a file that is named as one (.jpg, .jpeg, .png, .webp …). Content decides on it.
- It has a label: `.cls`, or else `.json` with a key `label` (or `class`, `target` … as columns of a
  table), or else `.txt`. A label is a text, or a whole number.
- Its other files are passed over, and so are folders and names that begin with a dot.
- Links, devices, sparse files, absolute paths and paths that lead up are refused, and so is a tar
  that is damaged, cut short, packed (.tar.gz), or two in one.
- A tar belongs to the part that its folder (`train/`, `val/`, `test/`) or a word of its name says:
  `train-000000.tar`, `set-val-000000.tar`. Numbers have no gap. Where none says a part, test images
  are set apart. Where `test` and `val` are both there, `val` is left out.
"""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kdgap.data.listing import passed_over
from kdgap.data.own import LABELS
from kdgap.data.pixels import SUFFIXES
from kdgap.errors import BadInputError, one_line
from kdgap.files import decode_text, open_file, parse_json
from kdgap.placeholder import HEAD_BYTES, placeholder
from kdgap.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

LABEL_FILES = ("cls", "json", "txt")
"""What labels are in; of several the first counts."""
HEAD, IMAGE, LABEL, TEXT = 2**20, 64 * 2**20, 2**20, 4096
"""Bytes at most: of a member's head, of an image, of a file with a label, and of the label."""


@dataclass(frozen=True)
class Sample:
    """A sample.

    Attributes:
        name: of its image in the tar.
        label: as text.
        begin, size: where the encoded image lies in the tar, in bytes.
    """

    name: str
    label: str
    begin: int
    size: int


def samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of a tar in order; images are not read.

    Raises:
        BadInputError: it cannot be read, or is not what the module says.
    """
    try:
        with open_file(path) as stream:
            head = stream.read(HEAD_BYTES)
            if what := placeholder(head):
                raise _OddError(what)
            stream.seek(0)
            yield from _samples(stream)
    except _OddError as error:
        raise BadInputError(f"{shown(path)}: {error}") from None
    except OSError as error:
        raise BadInputError(f"{shown(path)}: {error.strerror or one_line(error, 100)}") from None


def content(path: Path, sample: Sample) -> BinaryIO:
    """Return the encoded image of a sample.

    Raises:
        OSError: it cannot be read any more.
    """
    with open_file(path) as stream:
        stream.seek(sample.begin)
        return io.BytesIO(stream.read(sample.size))


class _OddError(Exception):
    """What is wrong with a tar, in words that follow its name."""


class _Heads:
    """A tar as `tarfile` reads it: heads alone, and bounded ones."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.left = stream, HEAD
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        self.left -= size
        if size < 0 or self.left < 0:
            raise _OddError(f"a member's head has more than {HEAD:,} bytes")
        return self._stream.read(size)


def _members(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar, and refuse one that is not whole."""
    size, heads, count = stream.seek(0, os.SEEK_END), _Heads(stream), 0
    stream.seek(0)
    place = -1
    try:
        archive = tarfile.open(fileobj=heads, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        while (info := archive.next()) is not None:
            archive.members.clear()  # each is looked at once
            if info.size < 0 or info.offset_data <= place:
                raise _OddError(f"damaged after {count:,} members")
            if info.offset_data + info.size > size:
                raise _OddError(f"cut short: {shown(info.name)} goes on after the tar's end")
            heads.left, place, count = HEAD, info.offset_data, count + 1
            yield info
    except (_OddError, OSError):
        raise
    # A flipped byte may end in any error of the library.
    except Exception as error:  # noqa: BLE001
        raise _OddError(f"not a tar that can be read ({one_line(error, 100)})") from None
    # `tarfile` takes a head that is damaged, or missing, for the end.
    stream.seek(archive.offset)
    end = stream.read(512)
    if len(end) < 512:
        raise _OddError(f"cut short after {count:,} members")
    if end.strip(b"\0"):
        raise _OddError(f"damaged after {count:,} members")
    while rest := stream.read(2**16):
        if rest.strip(b"\0"):
            raise _OddError(f"goes on after its end, behind {count:,} members: write it anew")


def _samples(stream: BinaryIO) -> Iterator[Sample]:
    seen: set[str] = set()
    key, files = "", dict[str, tarfile.TarInfo]()
    for info in _members(stream):
        name = PurePosixPath(info.name)
        _refuse(info, name)
        if info.isdir() or any(map(passed_over, name.parts)):
            continue
        stem, _, kind = name.name.partition(".")
        own = str(name.with_name(stem)) if stem else info.name
        if own != key:
            if files:
                yield _sample(stream, key, files)
            if own in seen:
                raise _OddError(f"{shown(own)} comes again after other samples")
            seen.add(own)
            key, files = own, {}
        if kind.lower() in files:
            raise _OddError(f"{shown(info.name)} is there twice")
        files[kind.lower()] = info
    if files:
        yield _sample(stream, key, files)


def _refuse(info: tarfile.TarInfo, name: PurePosixPath) -> None:
    """Refuse a member that is no file of a sample."""
    what = ""
    if info.issym() or info.islnk():
        what = "is a link"
    elif not info.isdir() and (not info.isreg() or info.issparse()):
        what = "is no plain file"
    elif name.is_absolute() or ".." in name.parts:
        what = "is a path that leads out of the tar"
    if what:
        raise _OddError(f"{shown(info.name)} {what}; write the tar without it")


def _sample(stream: BinaryIO, key: str, files: dict[str, tarfile.TarInfo]) -> Sample:
    images = [info for kind, info in files.items() if f".{kind}" in SUFFIXES]
    if len(images) != 1:
        many = f"{len(images)} images" if images else "no image"
        raise _OddError(f"sample {shown(key)} has {many}, expected one")
    (image,) = images
    if not 0 < image.size <= IMAGE:
        raise _OddError(f"{shown(image.name)} has {image.size:,} bytes; 1 to {IMAGE:,} are read")
    kind = next((kind for kind in LABEL_FILES if kind in files), None)
    if kind is None:
        raise _OddError(f"sample {shown(key)} has no label: no {_named(LABEL_FILES)}")
    label = _label(stream, files[kind], as_json=kind == "json")
    return Sample(shown(image.name), label, image.offset_data, image.size)


def _named(kinds: tuple[str, ...]) -> str:
    return f"{', '.join(f'.{kind}' for kind in kinds[:-1])} or .{kinds[-1]}"


def _label(stream: BinaryIO, info: tarfile.TarInfo, *, as_json: bool) -> str:
    name = shown(info.name)
    if info.size > LABEL:
        raise _OddError(f"{name} has {info.size:,} bytes; at most {LABEL:,} are read")
    stream.seek(info.offset_data)
    try:
        text = decode_text(stream.read(info.size))
        value: Any = _from_json(parse_json(text)) if as_json else text.strip()
    except (ValueError, RecursionError) as error:
        raise _OddError(f"{name} holds no label ({one_line(error, 100)})") from None
    label = str(value)
    if value in ("", None) or isinstance(value, (bool, float, dict, list)) or "\0" in label:
        raise _OddError(f"{name} holds no label; expected a text or a whole number")
    if len(label) > TEXT:
        raise _OddError(f"{name} holds a label of {len(label):,} letters; at most {TEXT:,}")
    return label


def _from_json(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    folded = {str(key).casefold(): value for key, value in document.items()}
    return next((folded[name] for name in LABELS if name in folded), None)
