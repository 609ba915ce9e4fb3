"""The study as it is now: looked at when somebody asks, read again only when something changed."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from kdgap.explorer.documents import live_document, rank_document, runs_document, study_document
from kdgap.explorer.power import power_document
from kdgap.explorer.snapshot import Snapshot, take
from kdgap.files import entries
from kdgap.judge.load import GivenClaims
from kdgap.store.imports.directory import RUNS
from kdgap.store.instead import IMPORT
from kdgap.store.mirror import mirror_of
from kdgap.store.pace import Pace
from kdgap.store.record import FAILURE, LOCK, MANIFEST, RUN
from kdgap.store.storage import stamp
from kdgap.store.study import PLAN, SELECTION, StudyDirectory

LOOK_SECONDS = 1.0
REST = 4.0
"""A look waits so many times as long as the last reading took, so that reading is never most."""
WHOLE = {
    "study": study_document,
    "runs": runs_document,
    "rank": rank_document,
    "power": power_document,
}
"""Documents of the whole study: asked for by every visitor, and made once for each snapshot."""


class Watch:
    """Keeps the last snapshot of a study, and the documents that are asked for most.

    Args:
        path: the study's directory, or an import's.
        claims: claims in place of the study's own.

    Raises:
        BadInputError: there is nothing to show.
        StoreDamagedError: it cannot be read.
    """

    def __init__(self, path: Path, claims: GivenClaims | None = None) -> None:
        self._path, self._claims = path, claims
        self._mirror = mirror_of(path)
        self._lock = threading.Lock()
        self._making = {name: threading.Lock() for name in WHOLE}
        self._pace, self._timing = Pace(), threading.Lock()
        self._documents: dict[str, tuple[Snapshot, bytes]] = {}
        self._planned: tuple[str, list[str]] = ("", [])
        self._signature = self._sign()
        begun = time.monotonic()
        self.snapshot: Snapshot = take(path, claims)
        self._looked = time.monotonic()
        self._cost = self._looked - begun
        self._lived: tuple[Snapshot | None, float, bytes] = (None, 0.0, b"")

    def look(self) -> Snapshot:
        """Return the study as it is; a study that became unreadable stays as it was.

        Who comes while it is read gets what was there before, and does not wait.
        """
        if self._lock.acquire(blocking=False):
            try:
                self._read_if_changed()
            finally:
                self._lock.release()
        return self.snapshot

    def _read_if_changed(self) -> None:
        if time.monotonic() - self._looked < max(LOOK_SECONDS, REST * self._cost):
            return
        begun = time.monotonic()
        try:
            if self._mirror is not None:  # of a study at a URL: bring what is new there
                self._mirror.pull()
            signature = self._sign()
            if signature != self._signature:
                self.snapshot = take(self._path, self._claims)
                self._signature = signature
        except Exception:  # noqa: BLE001, S110  # half written, or by hand: what was shown stays
            pass
        self._looked = time.monotonic()
        self._cost = self._looked - begun

    def document(self, name: str) -> bytes:
        """Return one of the `WHOLE` documents as JSON."""
        snapshot = self.look()
        with self._making[name]:
            known = self._documents.get(name)
            if known is None or known[0] is not snapshot:
                known = self._documents[name] = (snapshot, as_json(WHOLE[name](snapshot)))
            return known[1]

    def live(self) -> bytes:
        """Return what is being trained right now as JSON, of this second."""
        snapshot = self.look()
        with self._timing:
            if snapshot is not self._lived[0] or time.monotonic() - self._lived[1] > LOOK_SECONDS:
                document = as_json(live_document(snapshot, self._pace))
                self._lived = (snapshot, time.monotonic(), document)
            return self._lived[2]

    def _sign(self) -> tuple[str, ...]:
        """Return what changes when a run begins, ends, fails or is tested, or the plan does."""
        directory = StudyDirectory(self._path)
        if not directory.exists():
            return tuple(stamp(self._path / name) for name in (IMPORT, RUNS))
        locked = entries(self._path / "locked", "*.json")
        stamps = [stamp(path) for path in (self._path / PLAN, self._path / SELECTION, *locked)]
        if not stamps[0] or stamps[0] != self._planned[0]:
            self._planned = stamps[0], [run["path"] for run in directory.plan()["runs"]]
        for run in self._planned[1]:
            place = self._path / run
            # A finished run is written once more when its test door opens.
            finished = stamp(place / MANIFEST)
            stamps.append(finished)
            if not finished:
                stamps += [stamp(place / name) for name in (FAILURE, LOCK)]
                stamps.append("begun" if (place / RUN).exists() else "")
        return tuple(stamps)


def as_json(value: Any) -> bytes:
    """Return a document as JSON that no browser mistakes for markup."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").encode("utf-8", "backslashreplace")
