"""What the page of one run is made of: the `run/N` document."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdgap.errors import KdgapError
from kdgap.explorer.documents import slot_names
from kdgap.explorer.repeat import repeat
from kdgap.explorer.snapshot import Snapshot
from kdgap.files import parse_json, read_json
from kdgap.judge.evidence import Run
from kdgap.store.record import ATTEMPTS, FAILURE, MANIFEST, RUN, TIMING
from kdgap.store.study import StudyDirectory

MOST_ATTEMPTS = 200
"""Lines of a run's log that a page shows: the last ones."""


def run_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return one run with every epoch, and what its directory says of where it comes from.

    Raises:
        IndexError: there is no such run.
    """
    if number < 0:
        raise IndexError(number)
    run = snapshot.evidence.runs[number]
    found = {
        "version": snapshot.version,
        "number": number,
        "id": run.id,
        "seed": run.seed,
        "cell": run.cell,
        "teacher": None if run.teacher is None else snapshot.numbers.get(run.teacher),
        "slots": [slot_names(slot) for slot in run.slots],
        "state": run.state,
        "remark": run.remark,
        "parameters": run.parameters,
        "epochs": run.epochs,
        "validation": run.validation,
        "test": run.test,
        "history": run.history,
        "flags": list(run.flags),
        "environment": run.environment,
        "paths": list(run.paths),
    }
    if snapshot.evidence.origin == "study" and run.paths:
        found |= _on_disk(snapshot, run)
    return found


def _on_disk(snapshot: Snapshot, run: Run) -> dict[str, Any]:
    """Return what the run's directory holds beside its numbers."""
    directory = StudyDirectory(snapshot.path)
    place = directory.run(run.paths[0])
    found: dict[str, Any] = {"files": [], "history": run.history or place.history()}
    for key, name in (("asked", RUN), ("timing", TIMING), ("failure", FAILURE)):
        found[key] = _json(place.path / name)
    found["repeat"] = _repeat(snapshot, run, found["asked"])
    found["hashes"] = (_json(place.path / MANIFEST) or {}).get("files", {})
    found["attempts"] = _lines(place.path / ATTEMPTS)[-MOST_ATTEMPTS:]
    if place.path.is_dir() and not place.link():
        found["files"] = [
            {"name": entry.name, "bytes": entry.stat().st_size}
            for entry in sorted(place.path.iterdir())
            if entry.is_file() and not entry.is_symlink() and not entry.name.startswith(".")
        ]
    return found


def _json(path: Path) -> Any | None:
    try:
        return read_json(path) if path.is_file() else None
    except KdgapError:
        return None


def _repeat(snapshot: Snapshot, run: Run, asked: Any) -> dict[str, Any] | None:
    """Return the commands that train a run again; None where nothing was asked yet."""
    if asked is None:
        return None
    place = shlex.quote(str(snapshot.path))
    verify = f"kdgap verify {place} --run {run.id[:10]}" if run.state == "done" else None
    return {"verify": verify, **vars(repeat(asked, snapshot.path))}


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log that can be read."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            found.append(parse_json(line))
    return [line for line in found if isinstance(line, dict)]
