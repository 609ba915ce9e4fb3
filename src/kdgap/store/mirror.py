"""A study that is kept at a URL, as a study directory on this machine.

Whatever reads a study reads the directory. What lies at the URL is listed once, and what changed
since the last look is fetched; weights and predictions stay where they are until they are asked
for. A manifest comes after what it vouches for, on the way here as on the way there.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import (
    entries,
    json_text,
    make_folder,
    read_bytes,
    read_json,
    remove,
    write_atomic,
    write_volatile,
)
from kdgap.paths import cache_folder
from kdgap.store.instead import PLAN, STUDY
from kdgap.store.manifest import ELSEWHERE, LARGE, MANIFEST, elsewhere
from kdgap.store.storage import Storage, stamp
from kdgap.store.study import SEEN
from kdgap.store.url import Url

INCOMING = "incoming"
_LOOKS = 5
Folders = dict[str, dict[str, str]]
"""Folder → file → the storage's token of it."""


def mirror_folder(url: str) -> Path:
    """Return where on this machine the study at a URL is mirrored: in the cache."""
    name = url.rstrip("/").rpartition("/")[2]
    digest = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:12]
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:60]
    return cache_folder() / "studies" / f"{kept}-{digest}"


class Mirror:
    """The study at a URL and its directory here.

    Args:
        storage: where the study is.
        path: the directory on this machine.
    """

    def __init__(self, storage: Storage, path: Path) -> None:
        self.storage, self.path = storage, path
        self._known: Folders = {}
        self._pushed: dict[str, str] = {}
        with suppress(StoreDamagedError):
            kept = read_json(path / SEEN)
            if isinstance(kept, dict) and kept.get("of") == storage.where:
                self._known = _checked(kept.get("folders"))

    def pull(self) -> None:
        """Bring the directory up to date with what the storage holds, large files apart.

        Raises:
            StorageError: the storage does not answer.
        """
        changed = False
        for _ in range(_LOOKS):
            if not self._look(""):
                break  # nothing changed while it was read
            changed = True
        if changed:
            self.keep()

    def take(self, folder: str) -> None:
        """Bring one run up to date, to which nobody else writes. `keep` is left to the caller."""
        self._look(folder)

    def keep(self) -> None:
        """Remember what was fetched, so that the next process here need not fetch it again."""
        make_folder(self.path)
        known = {"of": self.storage.where, "folders": self._known}
        write_atomic(self.path / SEEN, json_text(known, indent=None).encode())

    def _look(self, folder: str) -> bool:
        """List a folder or all, fetch what is new and drop what is gone; whether there was any."""
        there: Folders = {}
        for name, token in self.storage.listing(folder).items():
            if not name.startswith((f"{INCOMING}/", ".")):
                place, _, file = name.rpartition("/")
                there.setdefault(place, {})[file] = token
        if folder:
            before = {folder: self._known[folder]} if folder in self._known else {}
        else:
            before = dict(self._known)
        changed = self._fetch(there)
        self._note_large(there, before)
        gone = [
            (place, name)
            for place, files in before.items()
            for name in files
            if name not in there.get(place, ())
        ]
        for place, name in gone:
            remove(self.path / place / name)
            del self._known[place][name]
            if not self._known[place]:
                del self._known[place]
        return changed or bool(gone)

    def _fetch(self, there: Folders) -> bool:
        """Fetch what is new, changed, or not here as it was fetched; return whether any was."""
        wanted = [
            f"{place}/{name}" if place else name
            for place, files in there.items()
            for name, token in files.items()
            if name not in LARGE
            if self._known.get(place, {}).get(name) != token
            or not _is_whole(self.path / place / name, token)
        ]
        came = False
        for last in (None, MANIFEST, PLAN):  # what vouches for others comes after them
            names = [n for n in wanted if _vouches(n) == last]
            for name, fetched in zip(names, self.storage.each(self._fetch_one, names), strict=True):
                if fetched:
                    place, _, file = name.rpartition("/")
                    self._known.setdefault(place, {})[file] = there[place][file]
                    came = True
        return came

    def _fetch_one(self, name: str) -> bool:
        """Fetch a file; return whether it was still there."""
        try:
            content = self.storage.read(name)
        except FileNotFoundError:
            return False
        path = self.path / name
        if not path.exists() or read_bytes(path) != content:
            make_folder(path.parent)
            write_volatile(path, content)  # what a power failure cuts short is fetched again
        return True

    def _note_large(self, there: Folders, before: Folders) -> None:
        """Say in each run's folder which large files lie at the URL alone."""
        for run in {**there, **before}:
            names = sorted(name for name in there.get(run, ()) if name in LARGE)
            path = self.path / run / ELSEWHERE
            if not names:
                if any(name in LARGE for name in before.get(run, ())):
                    remove(path)
                continue
            known = self._known.setdefault(run, {})
            new = {name: there[run][name] for name in names}
            dropped = any(name in LARGE and name not in new for name in before.get(run, ()))
            changed = [name for name, token in new.items() if known.get(name) != token]
            for name in changed:
                if name in known:
                    remove(path.parent / name)  # it was fetched, and is another by now
            if dropped or changed or not path.exists():
                content = json_text({"at": f"{self.storage.where}/{run}", "files": names})
                make_folder(path.parent)
                write_volatile(path, content.encode())
                known.update(new)

    def push(self, names: Iterable[str]) -> None:
        """Write files of the directory to the storage, in this order, unless they are there."""
        for name in names:
            content = read_bytes(self.path / name)
            digest = hashlib.sha256(content).hexdigest()
            if self._pushed.get(name) != digest:
                self.storage.write(name, content)
                self._pushed[name] = digest


def shared_facts(path: Path) -> list[str]:
    """Return the names of a study's own files, in the order in which they are written."""
    locked = [f"locked/{entry.name}" for entry in entries(path / "locked", "*.json")]
    files = [name for name in (STUDY, "selection.json") if (path / name).exists()]
    return [*locked, *files, *([PLAN] if (path / PLAN).exists() else [])]


def _vouches(name: str) -> str | None:
    """Return the name of a file that vouches for others; None for any other."""
    file = name.rpartition("/")[2]
    return file if file in (MANIFEST, PLAN) else None


def _is_whole(path: Path, token: str) -> bool:
    """Whether a file is here and has the size that its token says."""
    here, size = stamp(path).partition("-")[0], token.partition("-")[0]
    return bool(here) and (here == size or not size.isdecimal())


def _checked(folders: object) -> Folders:
    """Return what a file says was fetched; nothing where it is not of this form."""
    known = folders if isinstance(folders, dict) else {}
    return {
        str(place): {str(name): str(token) for name, token in files.items()}
        for place, files in known.items()
        if isinstance(files, dict)
    }


def brought(folder: Path, name: str) -> Path:
    """Return where a run's large file is, which is fetched first where a URL alone has it.

    Raises:
        StorageError: the storage does not answer.
    """
    path = folder / name
    if not path.exists() and (place := elsewhere(folder, name)):
        with suppress(FileNotFoundError):
            Url(place.rpartition("/")[0]).fetch(name, path)
    return path


def mirror_of(path: Path) -> Mirror | None:
    """Return the mirror that a directory is of a study at a URL; None if it is none."""
    with suppress(StoreDamagedError):
        known = read_json(path / SEEN)
        if isinstance(known, dict) and isinstance(known.get("of"), str):
            return Mirror(Url(known["of"]), path)
    return None


def pulled(url: str) -> Path:
    """Return the directory of the study at a URL, up to date.

    Raises:
        BadInputError: there is no study there.
        StorageError: the storage does not answer.
    """
    path = mirror_folder(url)
    Mirror(Url(url), path).pull()
    if not (path / PLAN).exists():
        raise BadInputError(f"{url}: no study was run here (it has no {PLAN})")
    return path
