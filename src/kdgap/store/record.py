"""A run directory: what was asked, what happened, and one manifest that commits it.

| file | what it holds | guarded by |
|---|---|---|
| `run.json` | the spec, its id, provenance, data and teacher | seal, manifest |
| `history.jsonl` | one line an epoch | manifest |
| `results.json` | the reference study's keys and ours | manifest |
| `test.json` | test metrics, written once, when the test door was opened | manifest |
| `failure.json` | why a run failed, in place of results | seal |
| `state-N.json`, `state-N.safetensors` | where a run in training goes on from (`state.py`) | seal |
| `checkpoint_best.safetensors`, `checkpoint_last.safetensors` | weights with cards | manifest |
| `predictions_val.safetensors`, `predictions_test.safetensors` | logits of each image | manifest |
| `manifest.json` | the SHA-256 of all of the above that a finished run has; written last | seal |
| `timing.json` | times, host, memory, looks at the test images | nothing |
| `attempts.jsonl` | when and where training began and ended | nothing |
| `tensorboard/` | the history once more, for TensorBoard | nothing |
| `.lock` | held by the process that trains the run | nothing |

What nothing guards is outside every promise: an odd line or file is passed over, and named by
`kdgap status`. The history of a run in training is written anew from its state. For seals see
`seal.py`, for what each file must look like `schema.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from kdgap.notice import Notice
from kdgap.staging import replace_together
from kdgap.store.instead import instead
from kdgap.store.locks import Lock, try_lock
from kdgap.store.manifest import BEST as BEST
from kdgap.store.manifest import (
    COMMITTED,
    ELSEWHERE,
    REQUIRED,
    WEIGHTS,
    about_to_replace,
    as_manifest,
    read_manifest,
    verified,
    write_manifest,
)
from kdgap.store.manifest import HISTORY as HISTORY
from kdgap.store.manifest import LAST as LAST
from kdgap.store.manifest import MANIFEST as MANIFEST
from kdgap.store.manifest import PREDICTIONS_TEST as PREDICTIONS_TEST
from kdgap.store.manifest import PREDICTIONS_VAL as PREDICTIONS_VAL
from kdgap.store.manifest import RESULTS as RESULTS
from kdgap.store.manifest import RUN as RUN
from kdgap.store.manifest import TEST as TEST
from kdgap.store.notices import in_record, recorded
from kdgap.store.run_files import ATTEMPTS as ATTEMPTS
from kdgap.store.run_files import FAILURE as FAILURE
from kdgap.store.run_files import LOCK as LOCK
from kdgap.store.run_files import STATE as STATE
from kdgap.store.run_files import TENSORBOARD as TENSORBOARD
from kdgap.store.run_files import TIMING as TIMING
from kdgap.store.run_files import Record as Record
from kdgap.store.run_files import RunFiles
from kdgap.store.seal import is_sealed, is_whole, sealed_bytes, without_checksum, write_sealed

_OF_THE_BEGINNING = ("provenance", "environment")
_OURS = {*COMMITTED, ELSEWHERE, TIMING, FAILURE, MANIFEST, TENSORBOARD, ATTEMPTS, LOCK}


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(TEMPORARY_PREFIX) or bool(STATE.fullmatch(name))


class RunDirectory(RunFiles):
    """One run's directory, to be written and verified; see the module for its files."""

    def __init__(self, path: Path, *, in_slot: bool = False) -> None:
        super().__init__(path, in_slot=in_slot)
        self._written: dict[str, bytes] = {}  # of a run in training, what must be on the disk

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
                other = str(self.header()["id"])
            except StoreDamagedError as error:
                if self.is_done():
                    raise
                if not self._is_of(run_id):
                    raise StoreDamagedError(
                        f"{error}; nothing else here says which run it was, so remove {self.path}"
                    ) from None
                return  # `start` writes it anew
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

    def _is_of(self, run_id: str) -> bool:
        """Whether the folder's name in a study, or a saved state, says that this is the run."""
        if len(self._ours) > 1 and self.path.name.endswith(f"-{run_id[:8]}"):
            return True
        for path in entries(self.path, "state-*.json"):
            with suppress(StoreDamagedError):
                state = read_json(path)
                if is_whole(state) and state.get("run_id") == run_id:
                    return True
        return False

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

    def start(self, run: Mapping[str, object], resumed: Sequence[Mapping[str, object]] = ()) -> str:
        """Begin training, or go on: clear what does not belong, write `run.json` and the history.

        Args:
            run: what `run.json` holds. On resuming, the one that is there stays if it is whole and
                of this run: it says on what the training began.
            resumed: the history up to the state that training goes on from; empty = from scratch.

        Returns:
            What was wrong with the `run.json` that was there; empty if nothing was.
        """
        make_folder(self.path)
        before, problem = self._before(run) if resumed else (run, "")
        lines = [json_text(entry, indent=None) + "\n" for entry in resumed]
        self._written = {RUN: sealed_bytes(before), HISTORY: "".join(lines).encode()}
        for entry in entries(self.path):
            if entry.name == TENSORBOARD:
                remove_tree(entry)
            elif STATE.fullmatch(entry.name):
                continue  # whoever reads the states also drops them
            elif _is_ours(entry.name) and entry.name not in (LOCK, ATTEMPTS, RUN):
                remove_tree(entry)
        self._settle(RUN)
        if resumed:
            self._settle(HISTORY)
        return problem

    def _before(self, run: Mapping[str, object]) -> tuple[Mapping[str, object], str]:
        """Return `run.json` as it was when training began, as far as it can be believed."""
        try:
            header = self.header()
        except StoreDamagedError as error:
            return run, str(error)
        if header["id"] != run["id"]:
            return run, f"{self.path / RUN}: is of run {str(header['id'])[:12]}"
        if is_sealed(header):
            return header, ""
        # Written before seals: only what today cannot tell is taken from it.
        return {**run, **{key: header[key] for key in _OF_THE_BEGINNING if key in header}}, ""

    def _settle(self, name: str) -> None:
        """See to it that a file of a run in training is what this process wrote."""
        path = self.path / name
        try:
            same = read_bytes(path) == self._written[name]
        except OSError:
            same = False
        if not same:
            write_atomic(path, self._written[name])

    def note_attempt(self, entry: Mapping[str, object]) -> None:
        """Add one line to `attempts.jsonl`."""
        self._make_way(ATTEMPTS)
        append_line(self.path / ATTEMPTS, json_text(entry, indent=None))

    def add_notice(self, notice: Notice) -> None:
        """Add to `run.json` something that a reader must know before believing the numbers."""
        written = self._written.get(RUN)
        run = self.header() if written is None else parse_json(written)
        known = recorded(run)
        if notice not in known:
            self._written[RUN] = sealed_bytes({**run, **in_record([*known, notice])})
            self._settle(RUN)

    def append_history(self, entry: Mapping[str, object]) -> None:
        """Add one epoch to `history.jsonl`."""
        line = json_text(entry, indent=None)
        append_line(self.path / HISTORY, line)
        self._written[HISTORY] = self._written.get(HISTORY, b"") + line.encode() + b"\n"

    def fail(self, failure: Mapping[str, object], timing: Mapping[str, object]) -> None:
        """Record why the run failed."""
        self.write_timing(timing)
        write_sealed(self.path / FAILURE, failure)

    def finish(
        self,
        results: Mapping[str, object],
        test: Mapping[str, object] | None,
        predictions: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write results, the test record (if its door was opened), predictions; commit the run.

        Opening the door of a finished run changes its `results.json`, and a `test.json` of before.
        Until these are written, the manifest vouches for the old content as well, so a crash at any
        point leaves a valid run. What it says of other files stays: they may be damaged by now.
        """
        new = {RESULTS: (json_text(results) + "\n").encode(), **(predictions or {})}
        if test is not None:
            new[TEST] = (json_text(test) + "\n").encode()
        if self.is_done():
            files, dropped, before = about_to_replace(self.path, new)
        else:
            dropped, before = {}, {}
            for name in self._written:
                self._settle(name)
            files = {n: file_hash(self.path / n) for n in REQUIRED if n != RESULTS}
        files |= {name: hashlib.sha256(content).hexdigest() for name, content in new.items()}
        for name in sorted(new.keys() - before.keys() - {RESULTS}):
            write_atomic(self.path / name, new.pop(name))  # nothing vouches for it until below
        if before:
            write_manifest(self.path, files, dropped, before)
        for name, content in new.items():
            write_atomic(self.path / name, content)
        write_manifest(self.path, files, dropped)

    def write_timing(self, timing: Mapping[str, object]) -> None:
        """Write what is outside the promise of equality."""
        self._make_way(TIMING)
        write_json(self.path / TIMING, timing)

    def log_opening(self, opening: Mapping[str, object]) -> None:
        """Note in `timing.json` that the test images were looked at once more."""
        timing = self.timing() or {}
        openings = [*timing.get("test_openings", []), opening]
        self.write_timing({**timing, "test_openings": openings})

    def _make_way(self, name: str) -> None:
        """Remove a folder in the place of a file that no promise covers: it must end no run."""
        if (self.path / name).is_dir():
            remove_tree(self.path / name)

    def has_weights(self) -> bool:
        """Whether any weights file is here."""
        return any(self._has(name) for name in WEIGHTS)

    def drop_weights(self) -> None:
        """Delete the weights of a finished run; its manifest goes on naming their hashes."""
        manifest = read_manifest(self.path)
        files = {name: known for name, known in manifest.files.items() if name not in WEIGHTS}
        dropped = {name: known for name, known in manifest.files.items() if name in WEIGHTS}
        if dropped:
            # A test door that was cut off may have left a file as it was before.
            write_manifest(self.path, files, {**manifest.dropped, **dropped}, manifest.before)
        for name in WEIGHTS:
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
        if not self.is_done() and not self._is_just_done():
            state = "no finished run" if self._has(RUN) else "no run"
            if self._has(FAILURE):
                state = f"a failed run ({self.failure()})"
            raise BadInputError(f"{self.path}: {state} here{instead(self.path)}")
        while True:
            content = read_json(self.path / MANIFEST)
            try:
                return self._read(content, hash_weights=hash_weights)
            except StoreDamagedError:
                # Another process may have opened the door or dropped the weights meanwhile.
                if read_json(self.path / MANIFEST) == content:
                    raise

    def _is_just_done(self) -> bool:
        """Whether a run that was not finished a moment ago is.

        Raises:
            StoreDamagedError: it was, and its manifest is gone.
        """
        if self.lost_manifest():
            raise StoreDamagedError(f"{self.path / MANIFEST}: is gone, though the run finished")
        return self.is_done()

    def _read(self, content: Any, *, hash_weights: bool) -> Record:
        manifest = as_manifest(content, self.path / MANIFEST)
        contents = verified(self.path, manifest, hash_weights=hash_weights)
        parsed: dict[str, Any] = {}
        for name in (RUN, RESULTS, TEST):
            try:
                parsed[name] = parse_json(contents[name]) if name in contents else None
            except (ValueError, RecursionError) as error:
                raise StoreDamagedError(f"{self.path / name}: {error}") from None
        spec = self._asked(parsed[RUN])
        run = without_checksum(parsed[RUN])  # the manifest vouches for its bytes
        settled = not manifest.before
        return Record(self.path, run, spec, parsed[RESULTS], parsed[TEST], settled)


def export_bytes(path: Path, content: bytes) -> None:
    """Write a file for the user, making its folder. Raises `OSError` where it cannot be."""
    replace_together({path: content})
