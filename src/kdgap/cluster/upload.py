"""What a machine leaves of a run while it trains and when it has ended, brought to the storage.

A machine writes below `incoming/RUN/EXECUTION/` alone, so no two executions write the same file.
What is there counts when its manifest is, which comes last, or its `failure.json`; the driver puts
it in its place (`commit.py`). States are brought there every so often: the one that trains next
goes on from the newest whole one.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from kdgap.errors import KdgapError, StoreDamagedError
from kdgap.files import entries, read_bytes, read_json, remove
from kdgap.store.manifest import ELSEWHERE, MANIFEST
from kdgap.store.mirror import INCOMING
from kdgap.store.record import ATTEMPTS, FAILURE, LOCK, STATE, RunDirectory
from kdgap.store.seal import is_whole
from kdgap.store.state import newest_place
from kdgap.store.storage import Storage, StorageError

Place = tuple[int, int]


def prefix_of(run_id: str, execution: str) -> str:
    """Return where an execution of a run leaves its files."""
    return f"{INCOMING}/{run_id}/{execution}"


class Uploader:
    """Brings runs in training to the storage, in a thread of its own.

    Args:
        storage: where the study is kept.
        execution: of these runs.
        runs: run id → its directory on this machine.
        every: seconds between states.
    """

    def __init__(
        self, storage: Storage, execution: str, runs: dict[str, RunDirectory], every: float
    ) -> None:
        self._storage, self._execution = storage, execution
        self._training, self._every = dict(runs), every
        self._ended: list[tuple[str, RunDirectory]] = []
        self._states: dict[str, str] = {}
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._over = False
        self.trouble: StorageError | None = None
        self.done: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(1, "kdgap-upload")
        self._work_done = self._pool.submit(self._work)

    def ended(self, run_id: str) -> None:
        """Note that a run has ended: what it left is brought to the storage."""
        with self._lock:
            self._ended.append((run_id, self._training.pop(run_id)))
        self._wake.set()

    def close(self) -> None:
        """Bring there what is left, the states of unfinished runs too, and end.

        Raises:
            StorageError: something could not be brought; it is still on this machine.
        """
        self._over = True
        self._wake.set()
        self._work_done.result()
        self._pool.shutdown()
        if self.trouble is not None:
            raise self.trouble

    def _work(self) -> None:
        while True:
            self._wake.wait(self._every)
            self._wake.clear()
            over = self._over  # looked at first: what is noted before it is done below
            with self._lock:
                ended, self._ended = self._ended, []
                training = dict(self._training)
            self.trouble = None
            for run_id, directory in ended:
                if not self._bring(lambda r=run_id, d=directory: self._publish(r, d)):  # type: ignore[misc]
                    with self._lock:
                        self._ended.append((run_id, directory))
            for run_id, directory in training.items():
                self._bring(lambda r=run_id, d=directory: self._save(r, d))  # type: ignore[misc]
            if over:
                return

    def _bring(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except StorageError as error:
            self.trouble = error
        except OSError as error:
            place = error.filename or self._storage.where
            self.trouble = StorageError(f"{place}: {error.strerror or error}")
        else:
            return True
        return False

    def _save(self, run_id: str, directory: RunDirectory) -> None:
        """Bring the newest state there, what commits it last; drop the ones before."""
        path, prefix = directory.path, prefix_of(run_id, self._execution)
        for index in reversed(entries(path, "state-*.json")):
            if self._states.get(run_id) == index.stem:
                return
            if not (path / f"{index.stem}.safetensors").exists():
                continue
            try:
                if (path / ATTEMPTS).exists():
                    self._storage.send(f"{prefix}/{ATTEMPTS}", path / ATTEMPTS)
                for name in (f"{index.stem}.safetensors", index.name):
                    self._storage.send(f"{prefix}/{name}", path / name)
            except FileNotFoundError:
                if index.exists():
                    raise  # it is the storage that is gone
                return  # dropped meanwhile: the next one is brought
            before, self._states[run_id] = self._states.get(run_id), index.stem
            if before is not None:
                self._storage.remove([f"{prefix}/{before}.json", f"{prefix}/{before}.safetensors"])
            return

    def _publish(self, run_id: str, directory: RunDirectory) -> None:
        """Bring there what an ended run left: its manifest or failure last."""
        prefix = prefix_of(run_id, self._execution)
        names = [
            entry.name
            for entry in entries(directory.path)
            if entry.is_file()
            and not entry.name.startswith(".")
            and not STATE.fullmatch(entry.name)
        ]
        finished = MANIFEST in names
        last = MANIFEST if finished else FAILURE
        for name in (*(name for name in names if name != last), last):
            self._storage.send(f"{prefix}/{name}", directory.path / name)
        self.done[run_id] = "finished" if finished else "failed"


def bring_state(storage: Storage, run_id: str, directory: RunDirectory, path: str) -> None:
    """Bring the newest state of a run here, where it is further than what is here.

    Args:
        storage: where the study is kept.
        run_id: the run.
        directory: its directory here, whose lock the caller holds.
        path: its path in the study.
    """
    folder = directory.path
    here = tuple(newest_place(folder) or (0, 0))
    names = storage.listing(f"{INCOMING}/{run_id}")
    indexes = [name for name in names if STATE.fullmatch(name.rpartition("/")[2])]
    indexes = [name for name in indexes if name.endswith(".json")]
    places = sorted(
        ((place, name) for name in indexes if (place := _place(storage, name, folder)) is not None),
        reverse=True,
    )
    for place, name in places:
        if place <= here:
            break
        tensors = name.removesuffix(".json") + ".safetensors"
        if tensors not in names:
            continue
        for entry in entries(folder, "state-*"):
            remove(entry)
        storage.fetch(tensors, folder / tensors.rpartition("/")[2])
        storage.fetch(name, folder / name.rpartition("/")[2])
        attempts = f"{name.rpartition('/')[0]}/{ATTEMPTS}"
        if attempts in names:
            storage.fetch(attempts, folder / ATTEMPTS)
        break
    if not (folder / ATTEMPTS).exists():
        with suppress(FileNotFoundError):
            storage.fetch(f"{path}/{ATTEMPTS}", folder / ATTEMPTS)


def _place(storage: Storage, name: str, folder: Path) -> Place | None:
    """Return epoch and step of a state there; None where it is not whole."""
    passing = folder / ".tmp-state"
    try:
        storage.fetch(name, passing)
        state = read_json(passing)
        if is_whole(state):
            return int(state["facts"]["epoch"]), int(state["facts"]["step"])
    except (FileNotFoundError, StoreDamagedError, KeyError, TypeError, ValueError):
        return None
    finally:
        remove(passing)
    return None


def bring_record(storage: Storage, directory: RunDirectory, path: str) -> None:
    """Bring a finished run with its weights here, unless it is here as it is there.

    Args:
        storage: where the study is kept.
        directory: its directory here, whose lock the caller holds.
        path: its path in the study.

    Raises:
        StoreDamagedError: there is no finished run there.
    """
    folder = directory.path
    names = storage.listing(path)
    manifest = f"{path}/{MANIFEST}"
    if manifest not in names:
        raise StoreDamagedError(f"{storage.where}/{path}: no finished run there")
    if directory.is_done() and read_bytes(folder / MANIFEST) == storage.read(manifest):
        with suppress(KdgapError):
            directory.read(hash_weights=True)
            return
    remove(folder / MANIFEST)
    for name in sorted(names, key=lambda name: name == manifest):
        file = name.rpartition("/")[2]
        if file not in (LOCK, ELSEWHERE):
            storage.fetch(name, folder / file)
