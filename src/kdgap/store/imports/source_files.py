"""What stands in a source of others' result files: read, unreadable, or passed over by name."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kdgap.errors import BadInputError
from kdgap.store.instead import FIDELITY as FIDELITY
from kdgap.store.instead import WANTED as WANTED
from kdgap.store.manifest import RESULTS as RESULTS

MOST_FILES, MOST_BYTES, MOST_FILE_BYTES = 20_000, 2**30, 16 * 2**20
MOST_IN_MEMORY = 30_000_000
"""Values of all files together, by their commas and brackets, all of which stay in memory: 3 GB."""
_NAMED = 1000
"""Paths that are kept of one reason; all are counted."""
_PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lzma")
HIDDEN = "a hidden folder: if it holds results, rename it or import it by itself"
PACKED = "packed: if it holds results, unpack it"
NAMES = f"neither {RESULTS} nor {FIDELITY}: give each run a folder, and its file this name"
LINKS = "a link in an archive: pack what it leads to"
BROKEN = "a link that leads nowhere"
AGAIN = "a link to a folder that is read by its own name, or that holds the source"
EMPTY = f"a folder without {RESULTS}, beside others that have one"
ODD = "neither a file nor a folder"


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that holds no results that could be read, and why."""

    path: str
    sha256: str
    why: str


@dataclass
class PassedOver:
    """What was not read: reason → how many and which; and files that are no results, by suffix.

    `folders` are all that were seen.
    """

    counts: Counter[str] = field(default_factory=Counter)
    paths: dict[str, list[str]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    folders: set[str] = field(default_factory=set)
    _perhaps: list[str] = field(default_factory=list)

    def note(self, reason: str, path: str) -> None:
        """Note one thing that was passed over."""
        known = self.paths.setdefault(reason, [])
        if path in known[-1:]:
            return  # a hidden folder in an archive is met with each file in it
        self.counts[reason] += 1
        if len(known) < _NAMED:
            known.append(path)

    def file(self, path: str) -> None:
        """Note a file that has another name than those that are read."""
        name = PurePosixPath(path).name.lower()
        suffix = PurePosixPath(name).suffix
        if ".json" in name and any(word in name for word in ("result", "fidelity")):
            self.note(NAMES, path)
        elif suffix in _PACKED or (suffix in (".json", ".jsonl", ".csv") and "metric" in name):
            self._perhaps.append(path)
        else:
            self._other(suffix)

    def _other(self, suffix: str) -> None:
        # Of suffixes nobody has heard of there may be as many as there are files.
        self.others[suffix if len(self.others) < 50 and len(suffix) < 20 else "others"] += 1

    def settle(self, read: Iterable[str]) -> None:
        """Note what may hold results only now that the paths of the results are known.

        These are packed files and tables in folders that have no result, and folders without one
        whose neighbours, named alike but for numbers, have one.
        """
        paths = [PurePosixPath(path) for path in read]
        holding = {str(folder) for path in paths for folder in path.parents}
        own = {str(path.parent) for path in paths}
        for perhaps in self._perhaps:
            path = PurePosixPath(perhaps)
            if str(path.parent) in own:
                self._other(path.suffix.lower())
            else:
                self.note(PACKED if path.suffix.lower() in _PACKED else NAMES, perhaps)
        kinds = {(str(path.parent.parent), _kind(path.parent.name)) for path in paths}
        for folder in sorted(self.folders - holding):
            path = PurePosixPath(folder)
            if (str(path.parent), _kind(path.name)) in kinds:
                self.note(EMPTY, folder)
        for known in self.paths.values():
            known.sort()


def _kind(name: str) -> str:
    return re.sub(r"[0-9]+", "#", name)


class Total:
    """What was read so far, of one source."""

    def __init__(self, source: Path) -> None:
        self.source, self.files, self.bytes, self.values = source, 0, 0, 0

    def add(self, content: bytes) -> bytes:
        """Count a file that was read, and return it.

        Raises:
            BadInputError: these are more files, or larger ones, than an import may have.
        """
        self.files, self.bytes = self.files + 1, self.bytes + len(content)
        self.values += sum(map(content.count, (b",", b"[", b"{")))
        for count, most, what in (
            (self.files, MOST_FILES, "result files"),
            (self.bytes, MOST_BYTES, "bytes of result files"),
            (self.values, MOST_IN_MEMORY, "values in result files"),
        ):
            if count > most:
                raise BadInputError(f"{self.source}: more than {most:,} {what}; import it in parts")
        return content


class OddMemberError(Exception):
    """A file that is not read, and why."""


def text_of(path: Path | str) -> str:
    """Return a path as text that any file can hold: a byte that is no UTF-8 as `\\xff`."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def bounded(stream: BinaryIO) -> bytes:
    """Return what a stream holds, in small reads.

    Raises:
        OddMemberError: it is more than a result file may have.
    """
    parts, size = [], 0
    while part := stream.read(2**16):
        parts.append(part)
        if (size := size + len(part)) > MOST_FILE_BYTES:
            raise OddMemberError(too_large(MOST_FILE_BYTES, "more than "))
    return b"".join(parts)


def too_large(size: int, how: str = "") -> str:
    """Return what is said of a file beyond the bound."""
    return f"has {how}{size:,} bytes; a result file has a few thousand"
