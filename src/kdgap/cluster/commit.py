"""What executions left below `incoming/` is put in its place, each run once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kdgap.errors import StoreDamagedError
from kdgap.files import parse_json
from kdgap.planning.plan import PlannedRun
from kdgap.store.manifest import (
    BEST,
    HISTORY,
    LAST,
    MANIFEST,
    PREDICTIONS_TEST,
    RESULTS,
    TEST,
    WEIGHTS,
    as_manifest,
    read_manifest,
)
from kdgap.store.mirror import INCOMING, Mirror
from kdgap.store.record import ATTEMPTS, FAILURE, STATE, TIMING
from kdgap.store.schema.gate import Manifest
from kdgap.store.seal import sealed_bytes
from kdgap.store.storage import Storage
from kdgap.store.study import StudyDirectory

_PROMISED = (HISTORY, BEST, LAST)
"""Equal in every execution of one run; what else a record holds may tell where it was made."""


@dataclass
class Commits:
    """Puts finished and failed executions in their place in a study.

    Attributes:
        storage: where the study is kept.
        directory: the study here.
        mirror: brings what changed there here; None where the two are one folder.
        dropped: how many equal records came a second time.
    """

    storage: Storage
    directory: StudyDirectory
    mirror: Mirror | None
    dropped: int = 0

    def all(self, planned: Iterable[PlannedRun]) -> list[PlannedRun]:
        """Commit what has come of some runs; return those of which something did.

        Raises:
            StoreDamagedError: two executions of one run gave different records.
        """
        names = self.storage.listing(INCOMING)
        executions: dict[str, dict[str, list[str]]] = {}
        for name in names:
            _, run_id, execution, file = name.split("/", 3)
            executions.setdefault(run_id, {}).setdefault(execution, []).append(file)
        came = [run for run in planned if run.id in executions]
        return [run for run in came if self._locked(run, executions[run.id])]

    def _locked(self, run: PlannedRun, executions: dict[str, list[str]]) -> bool:
        """Commit a run, unless a runner of this very folder is at work on it: then later."""
        if self.mirror is not None:
            return self._run(run, executions)
        lock = self.directory.run(run.path).try_lock()
        if lock is None:
            return False
        with lock:
            return self._run(run, executions)

    def _run(self, run: PlannedRun, executions: dict[str, list[str]]) -> bool:
        finished = sorted(key for key, files in executions.items() if MANIFEST in files)
        for execution in finished:
            self._finished(run, f"{INCOMING}/{run.id}/{execution}", executions[execution])
        if finished:
            # Manifests first: what is cut off leaves no execution that looks finished.
            self.storage.remove(f"{INCOMING}/{run.id}/{key}/{MANIFEST}" for key in finished)
            # Also the states of executions that were lost: nobody goes on from them any more.
            self.storage.remove(
                f"{INCOMING}/{run.id}/{execution}/{file}"
                for execution, files in executions.items()
                for file in files
                if file != MANIFEST
            )
            return True
        self._remove_seen(run, executions)
        failed = [key for key, files in executions.items() if FAILURE in files]
        for execution in failed:
            self._failed(run, f"{INCOMING}/{run.id}/{execution}", executions[execution])
        return bool(failed)

    def _remove_seen(self, run: PlannedRun, executions: dict[str, list[str]]) -> None:
        """Remove test predictions that were left behind, of a run that has its own by now."""
        left = [key for key, files in executions.items() if files == [PREDICTIONS_TEST]]
        folder = self.directory.run(run.path)
        if left and folder.is_done() and PREDICTIONS_TEST in read_manifest(folder.path).files:
            self.storage.remove(f"{INCOMING}/{run.id}/{key}/{PREDICTIONS_TEST}" for key in left)

    def _finished(self, run: PlannedRun, source: str, files: list[str]) -> None:
        """Put a finished execution in its place, unless an equal one is there."""
        new = self._promised(f"{source}/{MANIFEST}")
        before = f"{run.path}/{MANIFEST}"
        there = self.storage.listing(run.path)
        if before in there:
            old = self._promised(before)
            for name in _PROMISED:
                if old[name] != new[name]:
                    raise StoreDamagedError(
                        f"{run.path}: two executions gave different records ({name}):"
                        f" {self._who(run.path)}, kept, and {self._who(source)}, left at"
                        f" {self.storage.where}/{source}"
                    )
            if ATTEMPTS in files and f"{run.path}/{ATTEMPTS}" not in there:  # it was cut off here
                self.storage.copy(f"{source}/{ATTEMPTS}", f"{run.path}/{ATTEMPTS}")
            self.dropped += 1
            return
        self.storage.remove(name for name in there if name == f"{run.path}/{FAILURE}")
        self._copy(source, run.path, files, MANIFEST)
        self._here(run)

    def _failed(self, run: PlannedRun, source: str, files: list[str]) -> None:
        """Note a failed execution; its states stay, for the next one to go on from."""
        self._copy(source, run.path, files, FAILURE)
        self.storage.remove(f"{source}/{file}" for file in files if not STATE.fullmatch(file))
        self._here(run)

    def _copy(self, source: str, target: str, files: list[str], last: str) -> None:
        """Copy an execution's files into place, the one by which the others count at the end.

        Attempts come after it: where they say that a run finished, its manifest has to be there.
        """
        copied = [file for file in files if not STATE.fullmatch(file)]
        rest = [file for file in copied if file not in (last, ATTEMPTS)]
        for part in (rest, [last], [file for file in copied if file == ATTEMPTS]):
            self.storage.each(
                lambda file: self.storage.copy(f"{source}/{file}", f"{target}/{file}"), part
            )

    def opened(self, run: PlannedRun, answer: Mapping[str, Any]) -> None:
        """Take a door that was opened on another machine into the record.

        Args:
            run: a finished run.
            answer: its new `results` and `test`, when its images were looked at (`openings`), and
                where its `predictions` were left, if they are new.
        """
        directory = self.directory.run(run.path)
        left = answer["predictions"]
        predictions = {} if left is None else {PREDICTIONS_TEST: self.storage.read(left)}
        for opening in answer["openings"]:
            directory.log_opening(opening)
        before = read_manifest(directory.path)
        directory.finish(answer["results"], answer["test"], predictions)
        if self.mirror is not None:
            self._bring_opened(run, before, predictions)
        if left is not None:
            self.storage.remove([left])

    def _bring_opened(self, run: PlannedRun, before: Manifest, new: Iterable[str]) -> None:
        """Bring a record whose door was opened to where the study is kept."""
        directory = self.directory.run(run.path)
        # As `finish` does it: what is cut off leaves a manifest that vouches for what is there.
        after = read_manifest(directory.path)
        replaced = {name: before.files[name] for name in (RESULTS, TEST) if name in before.files}
        between = {"files": after.files, "dropped": after.dropped, "before": replaced}
        self.bring(run, *new, *(() if TEST in replaced else (TEST,)))
        self.storage.write(f"{run.path}/{MANIFEST}", sealed_bytes(between))
        self.bring(run, RESULTS, TEST, MANIFEST, TIMING)

    def drop_weights(self, run: PlannedRun) -> None:
        """Drop a finished run's weights; its manifest goes on naming their hashes."""
        directory = self.directory.run(run.path)
        if set(WEIGHTS) & set(read_manifest(directory.path).files):
            directory.drop_weights()
            self.bring(run, MANIFEST)
            self.storage.remove(f"{run.path}/{name}" for name in WEIGHTS)

    def bring(self, run: PlannedRun, *names: str) -> None:
        """Bring files of a run that were written here to where the study is kept."""
        if self.mirror is not None:
            self.mirror.push(f"{run.path}/{name}" for name in names)

    def _here(self, run: PlannedRun) -> None:
        if self.mirror is not None:
            self.mirror.take(run.path)

    def _promised(self, name: str) -> dict[str, str]:
        path = self.directory.path / name
        manifest = as_manifest(parse_json(self.storage.read(name)), path)
        known = {**manifest.dropped, **manifest.files}
        return {name: known[name] for name in _PROMISED}

    def _who(self, prefix: str) -> str:
        """Return who made a record, in words."""
        about: dict[str, Any] = {}
        for file, key in ((TIMING, "host"), ("run.json", "environment")):
            try:
                about[key] = parse_json(self.storage.read(f"{prefix}/{file}")).get(key)
            except (OSError, ValueError, AttributeError):
                about[key] = None
        known = about["environment"]
        kind = ", ".join(str(v) for v in known.values()) if isinstance(known, dict) else "unknown"
        return f"one of {about['host']} ({kind})"
