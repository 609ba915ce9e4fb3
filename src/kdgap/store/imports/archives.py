"""Others' result files in a zip, a tar or a tar.gz, unpacked in memory and with bounds.

Names in an archive are only text: nothing is unpacked to the disk, no link is followed.
"""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from kdgap.errors import BadInputError, one_line
from kdgap.files import open_file
from kdgap.placeholder import HEAD_BYTES, placeholder
from kdgap.store.imports import source_files
from kdgap.store.imports.source_files import (
    HIDDEN,
    LINKS,
    ODD,
    WANTED,
    OddMemberError,
    PassedOver,
    Total,
    Unreadable,
    bounded,
    text_of,
    too_large,
)

MOST_MEMBERS, MOST_LIST_BYTES = 200_000, 32 * 2**20
MOST_UNPACKED, MOST_LZMA_BYTES = 8 * 2**30, 128 * 2**20
_OTHER_PACKS = {
    b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc": "7z",
    b"Rar!": "rar",
}  # fmt: skip
Read = Iterator[tuple[str, bytes | Unreadable]]


def in_archive(source: Path, passed: PassedOver, total: Total) -> Read:
    """Return each result file of an archive; see `kdgap.store.imports.sources.members`."""
    try:
        stream = open_file(source)
    except OSError as error:
        raise BadInputError(f"{source}: {error.strerror}") from None
    with stream:
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        if what := placeholder(head):
            raise BadInputError(f"{source}: {what}")
        known = next((name for magic, name in _OTHER_PACKS.items() if head.startswith(magic)), "")
        if known:
            raise BadInputError(
                f"{source}: packed as {known}, which is not read; unpack it, or pack it as .zip or"
                " .tar.gz"
            )
        if head.lstrip()[:1] == b"{":
            raise BadInputError(
                f"{source}: is one file; result files are called results.json, each in a folder of"
                " its own: import the folder above them"
            )
        if head.startswith(b"\x1f\x8b"):
            unpacked = gzip.GzipFile(fileobj=stream)
            yield from _in_tar(cast("BinaryIO", unpacked), passed, total, packed=True)
        elif head[257:262] == b"ustar" or source.suffix.lower() == ".tar":
            yield from _in_tar(stream, passed, total, packed=False)
        else:
            yield from _in_zip(stream, passed, total)


def _hidden(name: str) -> str:
    """Return the first folder of a path that is hidden; empty if none is."""
    folders = PurePosixPath(name).parts[:-1]
    for number, part in enumerate(folders, 1):
        if part == "__MACOSX" or (part.startswith(".") and part != ".."):
            return "/".join(folders[:number])
    return ""


class _Listed:
    """A zip whose list of members is bounded: `zipfile` reads it in one go, and keeps it."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > MOST_LIST_BYTES:
            raise OddMemberError(f"its list of members has {size:,} bytes")
        return self._stream.read(size)


def _in_zip(stream: io.BufferedReader, passed: PassedOver, total: Total) -> Read:
    source = total.source
    try:
        archive = zipfile.ZipFile(cast("BinaryIO", _Listed(stream)))
    except Exception as error:  # noqa: BLE001  # see below
        raise BadInputError(
            f"{source}: no folder and no readable zip or tar ({one_line(error)})"
        ) from None
    with archive:
        infos = archive.infolist()
        _refuse_many(source, len(infos))
        _refuse_lost(source, stream, archive)
        for info in infos:
            name = text_of(info.filename.replace("\\", "/"))  # some Windows tools write them
            if hidden := _hidden(name):
                passed.note(HIDDEN, hidden)
            elif stat.S_ISLNK(info.external_attr >> 16):
                passed.note(LINKS, name)
            elif name.endswith("/"):
                passed.folders.add(str(PurePosixPath(name)))
            elif PurePosixPath(name).name not in WANTED:
                passed.folders.add(str(PurePosixPath(name).parent))
                passed.file(name)
            else:
                try:
                    yield name, total.add(_zip_member(archive, info))
                except BadInputError:
                    raise
                except OddMemberError as error:
                    yield name, Unreadable(name, "", str(error))
                # A flipped byte reaches the decoders, each with errors of its own (`zlib.error`,
                # `LZMAError`, `struct.error`, …), and no list of them is documented.
                except Exception as error:  # noqa: BLE001
                    why = f"damaged in the zip: {one_line(error, 100)}"
                    yield name, Unreadable(name, "", why)


def _refuse_lost(source: Path, stream: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Refuse a list of members that is shorter than its end says: `zipfile` does not compare."""
    stream.seek(-22 - len(archive.comment), os.SEEK_END)
    end = stream.read(22)
    expected, count = int.from_bytes(end[10:12], "little"), len(archive.infolist())
    if end.startswith(b"PK\5\6") and expected not in (0xFFFF, count & 0xFFFF):
        raise BadInputError(
            f"{source}: no readable zip (its list is damaged: {count} members of {expected})"
        )


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack one member, at most as much as it may have.

    `zipfile` itself asks the decoders of bzip2 and LZMA for all that a piece of input unpacks to,
    which can be gigabytes.
    """
    if info.flag_bits & 1:
        raise OddMemberError("encrypted: pack it without a password")
    if max(info.file_size, info.compress_size) > source_files.MOST_FILE_BYTES:
        raise OddMemberError(too_large(max(info.file_size, info.compress_size)))
    packed = zipfile.ZipInfo(info.filename)
    for name in ("orig_filename", "header_offset", "flag_bits", "compress_size"):
        setattr(packed, name, getattr(info, name))
    packed.file_size = info.compress_size
    with suppress(AttributeError):
        del packed.CRC  # of the unpacked bytes: checked below
    with archive.open(packed) as stream:
        raw = stream.read()
    most = info.file_size + 1
    match info.compress_type:
        case zipfile.ZIP_STORED:
            content = raw
        case zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-15).decompress(raw, most)
        case zipfile.ZIP_BZIP2:
            content = bz2.BZ2Decompressor().decompress(raw, most)
        case zipfile.ZIP_LZMA:
            # The zip's own head of four bytes, then what an .lzma file has, but for the size.
            alone = raw[4:9] + info.file_size.to_bytes(8, "little") + raw[9:]
            reader = lzma.LZMADecompressor(lzma.FORMAT_ALONE, MOST_LZMA_BYTES)
            content = reader.decompress(alone, most)
        case _:
            raise OddMemberError("packed in a way that is not read: pack it again as usual")
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise ValueError("its bytes are not those that were packed")
    return content


def _refuse_many(source: Path, count: int) -> None:
    if count > MOST_MEMBERS:
        raise BadInputError(f"{source}: more than {MOST_MEMBERS:,} members; import it in parts")


class _TarStream:
    """A tar as `tarfile` reads it, with bounds: names are small, and so is the whole."""

    def __init__(self, stream: BinaryIO, *, packed: bool) -> None:
        self._stream, self._packed = stream, packed

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 2**20:  # members are read in small pieces, so this is a head
            raise OddMemberError("a member's head is too large")
        self._refuse(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._refuse(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _refuse(self, place: int) -> None:
        if self._packed and place > MOST_UNPACKED:  # to skip in it is to unpack it
            raise OddMemberError(
                f"more than {MOST_UNPACKED / 2**30:g} GiB when unpacked; unpack it, and import"
                " the folder"
            )


def _in_tar(stream: BinaryIO, passed: PassedOver, total: Total, *, packed: bool) -> Read:
    source, count = total.source, 0
    bounds = _TarStream(stream, packed=packed)
    try:
        archive = tarfile.open(fileobj=bounds, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        while (info := archive.next()) is not None:
            archive.members.clear()  # each is looked at once
            _refuse_many(source, count := count + 1)
            name = text_of(info.name)
            if hidden := _hidden(name):
                passed.note(HIDDEN, hidden)
            elif info.issym() or info.islnk():
                passed.note(LINKS, name)
            elif info.isdir():
                passed.folders.add(str(PurePosixPath(name)))
            elif not info.isreg() or info.issparse():
                passed.note(ODD, name)
            elif PurePosixPath(name).name not in WANTED:
                passed.folders.add(str(PurePosixPath(name).parent))
                passed.file(name)
            elif info.size > source_files.MOST_FILE_BYTES:
                yield name, Unreadable(name, "", too_large(info.size))
            else:
                yield name, total.add(bounded(archive.extractfile(info)))
        # `tarfile` takes a head that is damaged for the end, and looks at no checksum of gzip.
        bounds.seek(archive.offset)
        if bounds.read(512).strip(b"\0"):
            raise OddMemberError(f"damaged after {count} members")
        while bounds.read(2**16):
            pass
    except BadInputError:
        raise
    # As in a zip: a flipped byte may end in any error; and after it no member can be found.
    except Exception as error:  # noqa: BLE001
        kind = "tar.gz" if packed else "tar"
        raise BadInputError(f"{source}: no readable {kind} ({one_line(error)})") from None
