"""What the page of one run is made of: the `run/N` document."""

import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kdgap.advice import command
from kdgap.errors import KdgapError, UnreadableError, not_read
from kdgap.explorer.repeat import repeat
from kdgap.explorer.snapshot import Snapshot
from kdgap.files import entries
from kdgap.judge.evidence import Run
from kdgap.notice import written
from kdgap.store.manifest import read_manifest
from kdgap.store.record import ATTEMPTS, FAILURE, HISTORY, MANIFEST, RUN, TIMING
from kdgap.store.study import StudyDirectory

T = TypeVar("T")
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
    document = {
        "version": snapshot.version,
        "number": number,
        "id": run.id,
        "seed": run.seed,
        "configuration": run.configuration,
        "teacher": None if run.teacher is None else snapshot.numbers.get(run.teacher),
        "slots": [asdict(slot) for slot in run.slots],
        "state": run.state,
        "remark": run.remark,
        "parameters": run.parameters,
        "epochs": run.epochs,
        "validation": run.validation.document,
        "test": {weights: scores.document for weights, scores in run.test.items()},
        "history": run.history.document,
        "notices": written(run.notices),
        "environment": run.environment,
        "paths": list(run.paths),
    }
    if snapshot.evidence.origin == "study" and run.paths:
        document |= _on_disk(snapshot, run)
    return document


def _on_disk(snapshot: Snapshot, run: Run) -> dict[str, Any]:
    """Return what a run's directory holds beside its numbers; no link in it is followed."""
    place = StudyDirectory(snapshot.path).run(run.paths[0])
    files = {} if place.link() else _files(place.path)
    odd: list[str] = []
    contents: dict[str, Any] = {"history": run.history.document}
    if not run.history and HISTORY in files:
        contents["history"] = place.history(odd)
    contents["asked"] = _read(place.header) if RUN in files else None
    contents["timing"] = place.timing(odd) if TIMING in files else None
    contents["failure"] = place.failed() if FAILURE in files else None
    if FAILURE in files and contents["failure"] is None:
        odd.append(f"{place.path / FAILURE}: is damaged or cannot be read; passed over")
    contents["repeat"] = _repeat(snapshot, run, contents["asked"])
    manifest = _read(partial(read_manifest, place.path)) if MANIFEST in files else None
    contents["hashes"] = manifest.files if manifest else {}
    attempts = place.attempts(odd)[-MOST_ATTEMPTS:] if ATTEMPTS in files else []
    # Where on somebody's disk a run was begun is nothing for a page that is sent around.
    contents["attempts"] = [{k: v for k, v in line.items() if k != "in"} for line in attempts]
    # The study's own place is as little anybody's business.
    contents["passed_over"] = [text.replace(str(place.path), run.paths[0], 1) for text in odd]
    contents["files"] = [{"name": name, "bytes": size} for name, size in files.items()]
    return contents


def _files(folder: Path) -> dict[str, int]:
    """Return the names and sizes of a folder's own files; training replaces some while we look."""
    sizes = {}
    try:
        listed = entries(folder)
    except OSError as error:
        raise not_read(folder, error) from None
    for entry in listed:
        if not entry.name.startswith("."):
            with suppress(OSError):
                about = entry.lstat()
                if stat.S_ISREG(about.st_mode):
                    sizes[entry.name] = about.st_size
    return sizes


def _read(reader: Callable[[], T]) -> T | None:
    """Return what is read; None where it is damaged, which the run's state says."""
    try:
        return reader()
    except UnreadableError:
        raise
    except KdgapError:
        return None


def _repeat(snapshot: Snapshot, run: Run, asked: Any) -> dict[str, Any] | None:
    """Return the commands that train a run again; None where nothing was asked yet."""
    if asked is None:
        return None
    verify = command("verify", snapshot.path, "--run", run.id[:10])
    return {
        "verify": verify if run.state == "done" else None,
        **vars(repeat(asked, snapshot.path, snapshot.evidence.methods)),
    }
