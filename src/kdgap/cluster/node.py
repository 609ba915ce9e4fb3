"""What one machine does for a study: it looks, trains, or tests, and says what came of it.

It works in a study directory of its own, in the cache, which holds what it needs and no more. What
it leaves goes to where the study is kept; see `upload.py`.
"""

import hashlib
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

import kdgap
from kdgap.cluster.aside import aside
from kdgap.cluster.job import BEGUN, OTHER_CODE, Job, planned_run
from kdgap.cluster.upload import Uploader, bring_record, bring_state, prefix_of
from kdgap.engine.device import (
    environment,
    environment_digest,
    free_memory,
    make_deterministic,
    pick_device,
)
from kdgap.errors import BadInputError, KdgapError, StoppedError, StoreDamagedError
from kdgap.files import entries, make_folder, remove_at_once, remove_tree
from kdgap.paths import cache_folder
from kdgap.planning.plan import PlannedRun
from kdgap.running.evaluation import open_recorded, recorded_states
from kdgap.running.stop import STOPPED
from kdgap.running.teacher import TeacherWeights
from kdgap.spec.study import StudySpec
from kdgap.store.locks import wait_for_lock
from kdgap.store.manifest import PREDICTIONS_TEST, read_manifest
from kdgap.store.provenance import source_digest
from kdgap.store.record import LOCK, Record, RunDirectory
from kdgap.store.remote import local_place
from kdgap.store.storage import Folder, Storage
from kdgap.store.study import StudyDirectory
from kdgap.store.url import storage_at
from kdgap.study.inputs import Inputs, Loaded
from kdgap.study.live import Live
from kdgap.study.trainer import Trainer

Report = Callable[[Mapping[str, Any]], bool]
"""Takes what is going on; returns whether to stop."""
REPORT_SECONDS = 0.5


def perform(job: Job, report: Report) -> dict[str, Any]:
    """Do a job; return what came of it. What a user can cause is an answer and no error."""
    about: dict[str, Any] = {"host": socket.gethostname()}
    try:
        code = source_digest()
        about |= {"version": kdgap.__version__, "code": code}
        if code != job.code:
            return about | {"error": OTHER_CODE, "exit_code": BadInputError.exit_code}
        return about | _Work(job, report).do()
    except KdgapError as error:
        return about | {"error": str(error), "exit_code": error.exit_code}
    except OSError as error:
        place = error.filename or job.place
        return about | {"error": f"{place}: {error.strerror or error}", "exit_code": 3}


class _Pause:
    """Stops when the driver says so; tells it what is going on."""

    def __init__(self, report: Report) -> None:
        self._report, self._told = report, 0.0
        self.now: Mapping[str, Any] = {}

    def __call__(self) -> None:
        if time.monotonic() - self._told >= REPORT_SECONDS:
            self._told = time.monotonic()
            if self._report(self.now):
                raise StoppedError(STOPPED, 143)


class _Live(Live):
    """What a runner is doing, for the driver in place of a file."""

    def __init__(self, study: Path, pause: _Pause) -> None:
        super().__init__(study)
        self._pause = pause

    def _flush(self) -> None:
        self._written = time.monotonic()
        self._pause.now = self._now

    def close(self) -> None:
        pass


class _Work:
    def __init__(self, job: Job, report: Report) -> None:
        self._job = job
        self._study = StudySpec.model_validate(job.study)
        self._storage: Storage = storage_at(job.place)
        self._runs = [planned_run(entry) for entry in job.runs]
        self._pause = _Pause(report)
        self._notes: list[str] = []
        if isinstance(self._storage, Folder) and not StudyDirectory(Path(job.place)).exists():
            raise BadInputError(
                f"{job.place}: the study is not seen from here; keep it in a folder that every"
                " machine sees under the same path, or at a URL (--out s3://…)"
            )
        self._directory = _scratch(job)
        make_deterministic(0, job.threads)
        self._device = pick_device(job.device)
        self._live = _Live(self._directory.path, self._pause)
        self._inputs = Inputs(
            self._directory,
            self._device,
            self._study.data,
            self._pause,
            lambda: self._live.write({"phase": "loading data"}),
            self._notes.append,
            lambda: self._runs,
            self._study.teachers,
            _loaded(self._directory.path),
            self._find,
        )

    def do(self) -> dict[str, Any]:
        """Do what is asked."""
        digest = environment_digest(self._device)
        if self._job.environment not in (None, digest):
            raise BadInputError(
                f"{socket.gethostname()}: another environment than the study requires"
                f" ({digest}, not {self._job.environment})"
            )
        done = {"look": self._look, "train": self._train, "test": self._test}[self._job.kind]()
        facts = {
            entry.stem: self._directory.locked(entry.stem)
            for entry in entries(self._directory.path / "locked", "*.json")
        }
        return {**done, "facts": facts, "notes": self._notes, "environment": digest}

    def _look(self) -> dict[str, Any]:
        for planned in self._runs[:1]:
            self._inputs.dataset(planned)
        memory = free_memory(self._device) if self._device.type == "cuda" else 0
        return {
            "about": dict(environment(self._device)),
            "device": self._device.type,
            "device_memory": memory,
            "memory": int(psutil.virtual_memory().available),
        }

    def _train(self) -> dict[str, Any]:
        with ExitStack() as stack:
            directories: dict[str, RunDirectory] = {}
            for planned in self._runs:
                directory = self._directory.run(planned.path)
                lock = directory.try_lock()
                if lock is None:
                    continue  # trained on this very machine already; its execution will tell
                stack.callback(lock.release)
                directories[planned.id] = directory
                if not directory.is_done():
                    bring_state(self._storage, planned.id, directory, planned.path)
            mine = [p for p in self._runs if p.id in directories]
            if not mine:
                return {"runs": {}, "busy": True}
            uploader = Uploader(self._storage, self._job.id, directories, self._job.save_seconds)
            try:
                self._train_runs(mine, uploader)
            finally:
                uploader.close()
            for planned in mine:
                if uploader.done.get(planned.id) and not _teaches(planned):
                    remove_at_once(self._directory.path / planned.path)
        return {"runs": uploader.done}

    def _train_runs(self, mine: list[PlannedRun], uploader: Uploader) -> None:
        left = []
        for planned in mine:
            if self._directory.run(planned.path).is_done():  # ended here, and not brought there
                uploader.ended(planned.id)
            else:
                left.append(planned)
        if not left:
            return
        owner = next((planned for planned in left if planned.run.teacher is not None), None)
        weights = None if owner is None else self._teacher(owner)
        trainer = Trainer(
            self._directory, self._inputs, self._live, self._pause, self._notes.append
        )
        trainer.train(left, weights, lambda planned: uploader.ended(planned.id))

    def _find(self, place: str) -> Path:
        """Return where on this machine data or a given teacher's file is; it is brought here."""
        name = self._job.given.get(place)
        if name is None:
            return local_place(place, self._pause)
        path = self._directory.path / name
        make_folder(path.parent)
        with wait_for_lock(path.parent / LOCK, self._pause):
            if not path.exists():
                self._storage.fetch(name, path)
        return path

    def _teacher(self, student: PlannedRun) -> TeacherWeights:
        assert student.run.teacher is not None
        if student.teacher is None:
            return self._inputs.teacher(student)
        path = Path(student.run.teacher.weights).parent.as_posix()
        directory = self._directory.run(path)
        make_folder(directory.path)
        # Other jobs on this machine may want the same teacher at this moment, as it is now there.
        with wait_for_lock(directory.path / LOCK, self._pause):
            bring_record(self._storage, directory, path)
            return self._inputs.teacher(student)

    def _test(self) -> dict[str, Any]:
        opened: dict[str, Any] = {}
        damaged: dict[str, str] = {}
        known: Any = {}
        teachers: dict[str, TeacherWeights] = {}
        # Another job may test a run here that is the baseline of these.
        with aside(self._directory.path) as study:
            for planned in self._runs:
                self._live.write({"phase": "testing", "runs": [planned.id]})
                door = self._job.doors[planned.id]
                try:
                    opened[planned.id] = self._open(study, planned, door, teachers, known)
                except StoreDamagedError as error:
                    damaged[planned.id] = str(error)
        return {"opened": opened, "damaged": damaged}

    def _open(
        self,
        study: StudyDirectory,
        planned: PlannedRun,
        door: Mapping[str, Any],
        teachers: dict[str, TeacherWeights],
        known: Any,
    ) -> dict[str, Any]:
        teacher = planned.run.teacher
        key = str(teacher and (teacher.run or teacher.weight_hash))
        if teacher is not None and key not in teachers:
            teachers[key] = self._teacher(planned)
        record, beside = self._brought(study, planned.path), None
        directory = study.run(planned.path)
        if door.get("baseline"):
            path = planned_run(door["baseline"]).path
            other = self._brought(study, path)
            beside = {"run_id": other.id, "states": recorded_states(study.run(path), other)}
        prepared = self._inputs.prepare(planned, teachers.get(key))
        before = read_manifest(directory.path).files.keys()
        open_recorded(
            prepared,
            directory,
            record,
            door["role"],
            "run",
            baseline=beside,
            known=known,
            pause=self._pause,
        )
        record = study.record(planned.path)
        left = None
        if PREDICTIONS_TEST in read_manifest(directory.path).files.keys() - before:
            left = f"{prefix_of(planned.id, self._job.id)}/{PREDICTIONS_TEST}"
            self._storage.send(left, directory.path / PREDICTIONS_TEST)
        answer = {
            "results": record.results,
            "test": record.test,
            "predictions": left,
            "openings": (directory.timing() or {}).get("test_openings", []),
        }
        remove_tree(directory.path)
        return answer

    def _brought(self, study: StudyDirectory, path: str) -> Record:
        directory = study.run(path)
        make_folder(directory.path)
        bring_record(self._storage, directory, path)
        return study.record(path, hash_weights=True)


_kept: dict[Path, Loaded] = {}
"""The images of the study that this process served last: its next job is likely to need them."""


def _loaded(path: Path) -> Loaded:
    if path not in _kept:
        _kept.clear()
    return _kept.setdefault(path, Loaded())


def _teaches(planned: PlannedRun) -> bool:
    return "teacher" in planned.roles


def _scratch(job: Job) -> StudyDirectory:
    """Return this machine's directory for a study, with what is locked in it.

    What an earlier study at the same place left goes.
    """
    name = hashlib.sha256(job.place.encode()).hexdigest()[:16]
    path = cache_folder() / "nodes" / name
    directory = StudyDirectory(path)
    make_folder(path)
    with wait_for_lock(path / ".facts-lock"):
        try:
            same = directory.locked(BEGUN) == job.facts[BEGUN] and all(
                directory.locked(fact) in (None, value) for fact, value in job.facts.items()
            )
        except StoreDamagedError:
            same = False
        if not same:
            for entry in entries(path):
                if entry.name != ".facts-lock":
                    remove_tree(entry)
        for fact, value in job.facts.items():
            directory.lock_fact(fact, value)
    return directory
