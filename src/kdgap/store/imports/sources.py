"""Where others' result files stand: a folder, a zip or a tar. What is not read is named.

Only files named `results.json` and `fidelity.json` are read. A link is read once, by what it leads
to; everything else that could hold results, or hides some, is passed over by name.

Reading takes bounded time and memory, whatever the source holds:

| what | bound | beyond it |
|---|---|---|
| names in folders | `MOST_NAMES` | refused |
| members of an archive; its list of them | `MOST_MEMBERS`; `MOST_LIST_BYTES` | refused |
| what a `.tar.gz` unpacks to | `MOST_UNPACKED` | refused |
| one result file, unpacked, whatever its archive says of its size | `MOST_FILE_BYTES` | named |
| all result files together | `MOST_FILES`, `MOST_BYTES`, `MOST_IN_MEMORY` | refused |
| archives within archives | none is opened | named |
| memory that an LZMA member may ask for | `MOST_LZMA_BYTES` | named |

What a file's content may cost is bounded in `kdgap.store.imports.gate`.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from kdgap.errors import BadInputError
from kdgap.files import names_in, open_file
from kdgap.store.imports.archives import in_archive
from kdgap.store.imports.source_files import (
    AGAIN,
    BROKEN,
    HIDDEN,
    ODD,
    WANTED,
    OddMemberError,
    PassedOver,
    Total,
    Unreadable,
    bounded,
    text_of,
)
from kdgap.store.instead import instead

MOST_NAMES = 1_000_000


def members(source: Path, passed: PassedOver) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Return each result file by its path in the source, or why it could not be read.

    Args:
        source: a folder, a zip, a tar or a tar.gz.
        passed: gets what is not read.

    Raises:
        BadInputError: the source cannot be read, is none of these, or is too large.
    """
    total = Total(source)
    if source.is_dir():
        yield from _in_folder(source, passed, total)
    elif source.name in WANTED and source.is_file():
        raise BadInputError(f"{source}: is one file of a run's folder{instead(source)}")
    elif source.exists():
        yield from in_archive(source, passed, total)
    else:
        raise BadInputError(f"{source}: no such file or folder")


def _in_folder(
    source: Path, passed: PassedOver, total: Total
) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Walk a folder: first all that stands in it, then what links in it lead to."""
    above = {_identity(folder) for folder in source.resolve().parents}
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[Path, str]] = [(source, "")]
    links: list[tuple[Path, str]] = []
    listed = 0
    while folders or links:
        linked = not folders
        path, name = links.pop(0) if linked else folders.pop()
        try:
            identity = _identity(path)
            if identity in seen or (linked and identity in above):
                passed.note(AGAIN, name)
                passed.folders.discard(name)
                continue
            seen.add(identity)
            names = names_in(path)
        except OSError as error:
            passed.folders.discard(name)
            yield name, Unreadable(name or ".", "", f"a folder: {error.strerror}")
            continue
        listed += len(names)
        if listed > MOST_NAMES:
            raise BadInputError(f"{source}: more than {MOST_NAMES:,} names; import it in parts")
        for child in names:
            inner, place = path / child, text_of(f"{name}/{child}" if name else child)
            try:
                mode, link = _kind(inner)
            except OSError as error:
                yield place, Unreadable(place, "", error.strerror or "cannot be read")
                continue
            if mode is None:
                passed.note(BROKEN, place)
            elif stat.S_ISDIR(mode) and child.startswith("."):
                passed.note(HIDDEN, place)
            elif stat.S_ISDIR(mode):
                (links if link else folders).append((inner, place))
                passed.folders.add(place)
            elif not stat.S_ISREG(mode):
                passed.note(ODD, place)
            elif child in WANTED:
                yield place, _whole_file(inner, place, total)
            else:
                passed.file(place)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _kind(path: Path) -> tuple[int | None, bool]:
    """Return what a name leads to, None if nowhere, and whether it is a link."""
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode):
        return mode, False
    try:
        return path.stat().st_mode, True
    except PermissionError:
        raise
    except OSError:  # nothing there, or a circle of links
        return None, True


def _whole_file(path: Path, name: str, total: Total) -> bytes | Unreadable:
    try:
        with open_file(path) as stream:
            return total.add(bounded(stream))
    except OSError as error:
        return Unreadable(name, "", error.strerror or "cannot be read")
    except OddMemberError as error:
        return Unreadable(name, "", str(error))
