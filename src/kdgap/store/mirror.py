"""A study that is kept at a URL, as a study directory on this machine.

Whatever reads a study reads the directory. What lies at the URL is listed once, and what changed
since the last look is fetched; weights stay where they are until they are asked for. A manifest
comes after what it vouches for, on the way here as on the way there.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import entries, json_text, make_folder, read_bytes, read_json, remove, write_atomic
from kdgap.paths import cache_folder
from kdgap.store.instead import PLAN, STUDY
from kdgap.store.manifest import ELSEWHERE, MANIFEST, WEIGHTS
from kdgap.store.storage import Storage, Url
from kdgap.store.study import SEEN

INCOMING = "incoming"
_LOOKS = 5


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
        self._tokens: dict[str, str] = {}
        self._pushed: dict[str, str] = {}
        with suppress(StoreDamagedError):
            known = read_json(path / SEEN)
            if isinstance(known, dict) and known.get("of") == storage.where:
                self._tokens = {str(k): str(v) for k, v in dict(known["tokens"]).items()}

    def pull(self, prefix: str = "") -> None:
        """Bring the directory up to date with what the storage holds, weights apart.

        Args:
            prefix: only what lies below it.

        Raises:
            StorageError: the storage does not answer.
        """
        for _ in range(_LOOKS):
            there = {
                name: token
                for name, token in self.storage.listing(prefix).items()
                if not name.startswith((f"{INCOMING}/", "."))
            }
            changed = self._fetch(there)
            gone = [n for n in self._tokens if n.startswith(prefix) and n not in there]
            for name in gone:
                remove(self.path / name)
                del self._tokens[name]
            if not changed and not gone:
                break  # nothing changed while it was read
        if self._tokens:
            self._keep()

    def _fetch(self, there: dict[str, str]) -> bool:
        """Fetch what is new or changed; return whether anything was."""
        wanted = {
            name
            for name, token in there.items()
            if self._tokens.get(name) != token and not _is_weights(name)
        }
        wanted |= {n for n in there if not _is_weights(n) and not (self.path / n).exists()}
        contents = self.storage.read_many(wanted)
        for name in sorted(contents, key=_order):
            path = self.path / name
            make_folder(path.parent)
            if not path.exists() or read_bytes(path) != contents[name]:
                write_atomic(path, contents[name])
            self._tokens[name] = there[name]
        self._note_weights(there)
        return bool(contents)

    def _note_weights(self, there: dict[str, str]) -> None:
        """Say in each run's folder which weights lie at the URL alone."""
        elsewhere: dict[str, list[str]] = {}
        for name, token in there.items():
            if _is_weights(name):
                run, _, file = name.rpartition("/")
                elsewhere.setdefault(run, []).append(file)
                self._tokens[name] = token
        for run, files in elsewhere.items():
            path = self.path / run / ELSEWHERE
            content = json_text({"at": f"{self.storage.where}/{run}", "files": sorted(files)})
            if not path.exists() or read_bytes(path) != content.encode():
                make_folder(path.parent)
                write_atomic(path, content.encode())

    def _keep(self) -> None:
        make_folder(self.path)
        known = {"of": self.storage.where, "tokens": self._tokens}
        write_atomic(self.path / SEEN, json_text(known, indent=None).encode())

    def push(self, names: Iterable[str]) -> None:
        """Write files of the directory to the storage, in this order, unless they are there."""
        for name in names:
            content = read_bytes(self.path / name)
            digest = hashlib.sha256(content).hexdigest()
            if self._pushed.get(name) != digest:
                self.storage.write(name, content)
                self._pushed[name] = digest


def url_of(path: Path) -> str:
    """Return the URL of the study that a directory is the mirror of; empty if it is none."""
    with suppress(StoreDamagedError):
        known = read_json(path / SEEN)
        if isinstance(known, dict) and isinstance(known.get("of"), str):
            return str(known["of"])
    return ""


def shared_facts(path: Path) -> list[str]:
    """Return the names of a study's own files, in the order in which they are written."""
    locked = [f"locked/{entry.name}" for entry in entries(path / "locked", "*.json")]
    files = [name for name in (STUDY, "selection.json") if (path / name).exists()]
    return [*locked, *files, *([PLAN] if (path / PLAN).exists() else [])]


def _is_weights(name: str) -> bool:
    return name.rpartition("/")[2] in WEIGHTS


def _order(name: str) -> tuple[bool, bool, str]:
    file = name.rpartition("/")[2]
    return (file == PLAN, file == MANIFEST, name)


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
