"""Lists the tensors of one pickled checkpoint on stdout, as JSON, without making any object.

Run as a child process (`python -m kdgap.store.unpickle SOURCE`) with bounded memory, so that what a
hostile file costs stays outside the process that holds the user's work. Prints one line on stderr
and exits with 1 if the file cannot be read.
"""

import json
import struct
import sys
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from kdgap.child import bound_memory
from kdgap.files import open_file
from kdgap.store.checkpoint import Loaded, others_in, read_bare, tensors_in
from kdgap.store.pickled import NotReadableError, read_pickle
from kdgap.store.whole_module import modules_in
from kdgap.terminal import tell

MAX_MEMORY = 4 * 2**30
"""Address space in bytes: several times what a pickle within our bounds can take."""
_MAX_PICKLE = 256 * 2**20


def read_checkpoint(stream: BinaryIO) -> Loaded:
    """Read a checkpoint: torch's archive, its older format, or a plain pickle.

    Raises:
        NotReadableError: the file is none of these, is damaged, or beyond our bounds.
        OSError: it cannot be read.
    """
    archive = stream.read(2) == b"PK"
    stream.seek(0)
    return _read_archive(stream) if archive else read_bare(stream)


_DAMAGED = (BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, EOFError)


def _read_archive(stream: BinaryIO) -> Loaded:
    try:
        with ZipFile(stream) as archive:
            return _of_archive(stream, archive)
    except NotReadableError:
        raise
    except (*_DAMAGED, struct.error):
        raise NotReadableError("is a damaged zip archive") from None


def _of_archive(stream: BinaryIO, archive: ZipFile) -> Loaded:
    records = {record.filename: record for record in archive.infolist()}
    pickles = [name for name in records if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise NotReadableError("is a zip archive, but none that torch writes")
    folder = pickles[0].removesuffix("data.pkl")
    pickle, order = records[pickles[0]], records.get(f"{folder}byteorder")
    # torch compresses none of these; so nothing is longer than the file.
    if any(r.compress_type != ZIP_STORED for r in (pickle, order) if r is not None):
        raise NotReadableError("its records are compressed, which torch never does")
    if pickle.file_size > _MAX_PICKLE:
        raise NotReadableError(f"its pickle is longer than {_MAX_PICKLE:,} bytes")
    if order is not None and archive.open(order).read(7) != b"little":
        raise NotReadableError("its numbers are big-endian")
    root, _ = read_pickle(BytesIO(archive.read(pickle)))
    data = f"{folder}data/"
    storages = {
        name.removeprefix(data): (_start(stream, record), record.file_size)
        for name, record in records.items()
        if name.startswith(data) and record.compress_type == ZIP_STORED
    }
    return Loaded(root, storages)


def _start(stream: BinaryIO, record: ZipInfo) -> int:
    """Return where a record's bytes begin: behind its own header, name and padding."""
    stream.seek(record.header_offset)
    head = stream.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise NotReadableError("is a damaged zip archive")
    name, extra = struct.unpack("<HH", head[26:])
    return int(record.header_offset + 30 + name + extra)


def main(source: str) -> int:
    """List one file; return the exit code."""
    bound_memory(MAX_MEMORY)
    try:
        with open_file(Path(source)) as stream:
            loaded = read_checkpoint(stream)
            tensors = list(tensors_in(loaded))
    except NotReadableError as error:
        tell(str(error))
        return 1
    except OSError as error:
        tell(str(error.strerror or error))
        return 1
    except (MemoryError, RecursionError):
        # On a line of its own: Python may have said something while memory ran out.
        tell("")
        tell("needs more memory than a checkpoint of ours can")
        return 1
    rows = [tensor.row() for tensor in tensors]
    others = others_in(loaded, tensors)[:100]
    print(json.dumps({"tensors": rows, "others": others, "modules": modules_in(loaded)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
