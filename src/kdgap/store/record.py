"""A run directory: what was asked, what happened, and one manifest that commits it.

| file | what it holds |
|---|---|
| `run.json` | the spec, its id, provenance, data and teacher |
| `history.jsonl` | one line an epoch |
| `results.json` | the reference study's keys and ours |
| `test.json` | test metrics, written once, when the test door was opened |
| `timing.json` | times, host, memory: outside every promise of equality |
| `failure.json` | why a run failed, in place of results |
| `attempts.jsonl` | when and where training began and ended; outside every promise of equality |
| `state-N.json`, `state-N.safetensors` | where a run in training goes on from (`state.py`) |
| `.lock` | held by the process that trains the run |
| `checkpoint_best.safetensors`, `checkpoint_last.safetensors` | weights with their cards |
| `manifest.json` | the SHA-256 of run, history, results, test and weights; written last |
"""

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import (
    TEMPORARY_PREFIX,
    append_line,
    entries,
    file_hash,
    json_text,
    make_folder,
    names_in,
    parse_json,
    read_bytes,
    read_json,
    remove,
    remove_tree,
    write_atomic,
    write_json,
)
from kdgap.store.locks import Lock, try_lock

RUN, HISTORY, RESULTS, TEST = "run.json", "history.jsonl", "results.json", "test.json"
TIMING, FAILURE, MANIFEST = "timing.json", "failure.json", "manifest.json"
ATTEMPTS, LOCK = "attempts.jsonl", ".lock"
STATE = re.compile(r"state-([0-9]+)\.(json|safetensors)")
TENSORBOARD = "tensorboard"
BEST, LAST = "checkpoint_best.safetensors", "checkpoint_last.safetensors"
FORMAT = 1
_REQUIRED = (RUN, HISTORY, RESULTS, BEST, LAST)
_COMMITTED = (*_REQUIRED, TEST)
_WEIGHTS = (BEST, LAST)
_OURS = {*_COMMITTED, TIMING, FAILURE, MANIFEST, TENSORBOARD, ATTEMPTS, LOCK}


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(TEMPORARY_PREFIX) or bool(STATE.fullmatch(name))


@dataclass(frozen=True)
class Record:
    """A finished run, read back and verified."""

    path: Path
    run: dict[str, Any]
    results: dict[str, Any]
    test: dict[str, Any] | None

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.run["id"])

    @property
    def tested(self) -> bool:
        """Whether its test door was opened, and what was seen is in its results."""
        return self.test is not None and self.results["test_acc_best"] is not None


class RunDirectory:
    """One run's directory; see the module for its files.

    Args:
        path: where it is.
        in_slot: whether the folder around it is a study's slot, and as much ours as the run.
    """

    def __init__(self, path: Path, *, in_slot: bool = False) -> None:
        self.path = path
        self._ours = (path, path.parent) if in_slot else (path,)

    def link(self) -> Path | None:
        """Return the symbolic link in place of a folder of ours: none is trained in or believed."""
        return next((folder for folder in self._ours if folder.is_symlink()), None)

    def refuse_other(self, run_id: str) -> None:
        """Refuse a directory that holds another run, or something that is no run.

        Raises:
            BadInputError: naming what is there and how to go on.
        """
        if link := self.link():
            raise BadInputError(f"output_dir {link}: is a symbolic link; name a real folder")
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise BadInputError(f"output_dir {self.path}: is a file")
        hint = "give another output_dir"
        if (self.path / RUN).exists():
            try:
                other = str(read_json(self.path / RUN)["id"])
            except (KeyError, TypeError):
                raise StoreDamagedError(f"{self.path / RUN}: has no id") from None
            if other != run_id:
                raise BadInputError(
                    f"output_dir {self.path}: already holds another run"
                    f" ({other[:12]}, this one is {run_id[:12]}); {hint}"
                )
            return
        strangers = [name for name in names_in(self.path) if not _is_ours(name)]
        if strangers:
            raise BadInputError(
                f"output_dir {self.path}: not empty and no run of ours"
                f" (holds {min(strangers)!r}); {hint}"
            )

    def is_done(self) -> bool:
        """Whether a finished run is here; `read` verifies it."""
        return (self.path / MANIFEST).exists()

    def try_lock(self) -> Lock | None:
        """Make the directory and take its lock; None while another process holds it.

        Raises:
            BadInputError: the directory cannot be written.
        """
        try:
            make_folder(self.path)
            with suppress(FileNotFoundError):
                return try_lock(self.path / LOCK)
            make_folder(self.path)  # empty, it was tidied away meanwhile
            return try_lock(self.path / LOCK)
        except OSError as error:
            raise BadInputError(f"output_dir {self.path}: {error.strerror}") from None

    def start(self, run: dict[str, Any], resumed: Sequence[dict[str, Any]] = ()) -> None:
        """Begin training, or go on: clear what does not belong, write `run.json` and the history.

        Args:
            run: what `run.json` holds; on resuming, the one that is there stays.
            resumed: the history up to the state that training goes on from; empty = from scratch.
        """
        kept = {LOCK, ATTEMPTS, RUN} if resumed else {LOCK, ATTEMPTS}
        make_folder(self.path)
        for entry in entries(self.path):
            if entry.name == TENSORBOARD:
                remove_tree(entry)
            elif STATE.fullmatch(entry.name):
                continue  # whoever reads the states also drops them
            elif _is_ours(entry.name) and entry.name not in kept:
                remove(entry)
        if not (self.path / RUN).exists():
            write_json(self.path / RUN, run)
        if resumed:
            lines = [json_text(entry, indent=None) + "\n" for entry in resumed]
            write_atomic(self.path / HISTORY, "".join(lines).encode())

    def note_attempt(self, entry: dict[str, Any]) -> None:
        """Add one line to `attempts.jsonl`."""
        append_line(self.path / ATTEMPTS, json_text(entry, indent=None))

    def attempts(self) -> list[dict[str, Any]]:
        """Return the attempts noted so far; a line that is torn or no object is left out."""
        return _lines(self.path / ATTEMPTS)

    def flag(self, text: str) -> None:
        """Add a flag to `run.json`: something a reader must know before believing the numbers."""
        run = read_json(self.path / RUN)
        if text not in run["flags"]:
            write_json(self.path / RUN, {**run, "flags": [*run["flags"], text]})

    def append_history(self, entry: dict[str, Any]) -> None:
        """Add one epoch to `history.jsonl`."""
        append_line(self.path / HISTORY, json_text(entry, indent=None))

    def fail(self, failure: dict[str, Any], timing: dict[str, Any]) -> None:
        """Record why the run failed."""
        write_json(self.path / TIMING, timing)
        write_json(self.path / FAILURE, failure)

    def finish(self, results: dict[str, Any], test: dict[str, Any] | None) -> None:
        """Write the test record (if its door was opened) and the results, and commit the run.

        Opening the door of a finished run changes its `results.json`, and a `test.json` of before.
        Until these are written, the manifest vouches for the old content as well, so a crash at any
        point leaves a valid run. What it says of other files stays: they may be damaged by now.
        """
        old: dict[str, Any] = {"format": FORMAT, "files": {}}
        if self.is_done():
            old = read_json(self.path / MANIFEST)
        new = {RESULTS: (json_text(results) + "\n").encode()}
        if test is not None:
            new[TEST] = (json_text(test) + "\n").encode()
        before = {name: file_hash(self.path / name) for name in new if name in old["files"]}
        known = old["files"] or {n: file_hash(self.path / n) for n in _REQUIRED if n != RESULTS}
        known |= {name: hashlib.sha256(content).hexdigest() for name, content in new.items()}
        files = {name: known[name] for name in _COMMITTED if name in known}
        manifest = {key: value for key, value in old.items() if key != "before"} | {"files": files}
        if TEST in new and TEST not in before:
            write_atomic(self.path / TEST, new.pop(TEST))  # nothing vouches for it until below
        if before:
            write_json(self.path / MANIFEST, {**manifest, "before": before})
        for name, content in new.items():
            write_atomic(self.path / name, content)
        write_json(self.path / MANIFEST, manifest)

    def write_timing(self, timing: dict[str, Any]) -> None:
        """Write what is outside the promise of equality."""
        write_json(self.path / TIMING, timing)

    def log_opening(self, opening: dict[str, Any]) -> None:
        """Note in `timing.json` that the test images were looked at once more."""
        timing = read_json(self.path / TIMING) if self._has(TIMING) else {}
        timing.setdefault("test_openings", []).append(opening)
        write_json(self.path / TIMING, timing)

    def _has(self, name: str) -> bool:
        return (self.path / name).exists()

    def has_weights(self) -> bool:
        """Whether any weights file is here."""
        return any(self._has(name) for name in _WEIGHTS)

    def drop_weights(self) -> None:
        """Delete the weights of a finished run; its manifest goes on naming their hashes."""
        manifest = read_json(self.path / MANIFEST)
        files = manifest["files"]
        kept = {name: files.pop(name) for name in _WEIGHTS if name in files}
        if kept:
            dropped = manifest.get("dropped", {}) | kept
            write_json(self.path / MANIFEST, {**manifest, "dropped": dropped})
        for name in _WEIGHTS:
            remove(self.path / name)

    def read(self, *, hash_weights: bool = True) -> Record:
        """Read a finished run and verify every file against the manifest.

        Args:
            hash_weights: also hash the weights; without it they only have to be there.

        Raises:
            BadInputError: there is no finished run here.
            StoreDamagedError: a file is missing, torn or was changed.
        """
        if link := self.link():
            raise StoreDamagedError(f"{link}: is a symbolic link, which no run of ours is")
        if not self.is_done():
            state = "no finished run" if self._has(RUN) else "no run"
            if self._has(FAILURE):
                state = f"a failed run ({self.failure()})"
            raise BadInputError(f"{self.path}: {state} here")
        while True:
            before = read_json(self.path / MANIFEST)
            try:
                return self._read(before, hash_weights=hash_weights)
            except StoreDamagedError:
                # Another process may have opened the door or dropped the weights meanwhile.
                if read_json(self.path / MANIFEST) == before:
                    raise

    def _read(self, manifest: Any, *, hash_weights: bool) -> Record:
        contents = self._verify(manifest, hash_weights=hash_weights)
        parsed: dict[str, Any] = {}
        for name in (RUN, RESULTS, TEST):
            try:
                parsed[name] = parse_json(contents[name].decode()) if name in contents else None
            except (ValueError, RecursionError) as error:
                raise StoreDamagedError(f"{self.path / name}: {error}") from None
        return Record(self.path, parsed[RUN], parsed[RESULTS], parsed[TEST])

    def _verify(self, manifest: Any, *, hash_weights: bool) -> dict[str, bytes]:
        """Check every file; return what the small ones hold, so that what is parsed was hashed."""
        path = self.path / MANIFEST
        try:
            if manifest["format"] != FORMAT:
                raise StoreDamagedError(f"{path}: format {manifest['format']!r}, expected {FORMAT}")
            files, before = dict(manifest["files"]), dict(manifest.get("before", {}))
            dropped = dict(manifest.get("dropped", {}))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreDamagedError(f"{path}: {error}") from None
        for name in _REQUIRED:
            if name not in files and not (name in _WEIGHTS and name in dropped):
                raise StoreDamagedError(f"{path}: does not vouch for {name}")
        contents: dict[str, bytes] = {}
        for name, expected in files.items():
            if name not in _COMMITTED:
                raise StoreDamagedError(f"{path}: names {name!r}")
            if name in _WEIGHTS and not hash_weights and self._has(name):
                continue
            try:
                if name in _WEIGHTS:
                    found = file_hash(self.path / name)
                else:
                    contents[name] = read_bytes(self.path / name)
                    found = hashlib.sha256(contents[name]).hexdigest()
            except OSError as error:
                raise StoreDamagedError(f"{self.path / name}: {error.strerror}") from None
            if found not in (expected, before.get(name)):
                raise StoreDamagedError(f"{self.path / name}: changed after the run was finished")
        return contents

    def failure(self) -> str:
        """Return why the run failed, in words."""
        try:
            failure = read_json(self.path / FAILURE)
            if "step" in failure:
                step, epoch = failure["step"], failure["epoch"]
                return f"{failure['reason']} at step {step} of epoch {epoch}"
            return str(failure["reason"])
        except (StoreDamagedError, KeyError, TypeError):
            return "its failure record is damaged"

    def history(self) -> list[dict[str, Any]]:
        """Return the epochs recorded so far; a line that is torn or no object is left out."""
        return _lines(self.path / HISTORY)


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    entries = []
    for line in text.splitlines():
        with suppress(ValueError):
            entry = parse_json(line)
            if isinstance(entry, dict):
                entries.append(entry)
    return entries


def export_bytes(path: Path, content: bytes) -> None:
    """Write a file for the user, making its folder; a disk error is bad input, not a traceback."""
    try:
        make_folder(path.parent)
        write_atomic(path, content)
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror}") from None
