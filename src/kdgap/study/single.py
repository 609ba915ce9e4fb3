"""One run from a flat configuration: set up, train, evaluate behind the door, record."""

import resource
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from kdgap.data import BatchStream, Images, Request, load_dataset, split_dataset
from kdgap.engine.device import make_deterministic, pick_device
from kdgap.engine.tracker import NoTracker, TensorBoard, Tracker
from kdgap.engine.train import (
    DivergedError,
    Student,
    Teacher,
    Trained,
    check_trainable,
    train,
)
from kdgap.errors import BadInputError, RunFailedError
from kdgap.spec import RunSpec, run_id
from kdgap.store.record import BEST, LAST, Record, RunDirectory
from kdgap.store.weights import weight_hash, write_weights
from kdgap.study.door import open_door
from kdgap.study.results import SMOKE_FLAG, Prepared, make_card, results_of, run_header
from kdgap.study.teacher import TeacherWeights, check_teacher


def prepare(run: RunSpec, weights: TeacherWeights | None, *, download: bool = False) -> Prepared:
    """Load the data and check the teacher against it.

    Raises:
        BadInputError: data missing, too large or broken; teacher and data do not fit.
    """
    device = pick_device(run.place.device)
    make_deterministic(run.seed, run.place.threads)
    request = Request(Path(run.place.data_root), run.data.image_size, download)
    dataset = load_dataset(run.data.name, request)
    parts = split_dataset(dataset, run.data.val_size, run.data.split_seed, run.data.limit)
    check_trainable(run, len(parts.train))
    if weights is not None:
        check_teacher(weights, dataset, device)
    teacher = None if weights is None else Teacher(weights.network, run, device)
    return Prepared(run, device, dataset, parts, teacher, None if weights is None else weights.card)


def train_single(
    run: RunSpec,
    weights: TeacherWeights | None,
    *,
    watchers: Sequence[Tracker] = (),
    open_test: bool = True,
    download: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Record:
    """Train one run into its directory and return the verified record.

    A directory that already holds this very run on this very data, finished, is returned as it is.

    Args:
        run: the resolved run.
        weights: its opened teacher, if it has one.
        watchers: told of the run's progress.
        open_test: whether to compute test metrics at the end.
        download: whether missing data may be fetched.
        say: takes one-line remarks for the user.

    Raises:
        BadInputError: before anything is written.
        RunFailedError: the run diverged, or its results could not be written.
    """
    identifier = run_id(run)
    directory = RunDirectory(Path(run.place.output_dir))
    directory.refuse_other(identifier)
    begun = Stopwatch()
    prepared = prepare(run, weights, download=download)
    if directory.is_done():
        record = directory.read()
        if record.run["data"]["fingerprint"] != prepared.dataset.fingerprint:
            raise BadInputError(
                f"output_dir {directory.path}: holds this run on other data;"
                " give another output_dir"
            )
        closed = record.test is None and open_test
        hint = f"; `kdgap evaluate {directory.path}` opens its test door" if closed else ""
        say(f"already finished: {directory.path}{hint}")
        return record
    student = Student(run, prepared.dataset, prepared.teacher, prepared.device)
    header = run_header(prepared)
    directory.start(header)
    if run.smoke:
        say(SMOKE_FLAG)
    everyone: list[Tracker] = [_History(directory), begun, *watchers]
    if run.place.tracker == "tensorboard":
        everyone.append(TensorBoard(directory.path / "tensorboard"))
    for watcher in everyone:
        watcher.start(header)
    results = None
    try:
        trained = _train(prepared, student, everyone)
        results = _record(prepared, trained, directory, open_test=open_test)
        directory.write_timing(begun.timing(opened=open_test))
    except DivergedError as error:
        failure = {"reason": "diverged", "epoch": error.epoch, "step": error.step}
        with suppress(OSError):  # a full disk must not hide why the run failed
            directory.fail(failure, begun.timing())
        raise
    except OSError as error:
        raise RunFailedError(f"{directory.path}: {error.strerror or error}") from None
    finally:
        for watcher in everyone:
            watcher.finish(results)
    return directory.read()


def _train(prepared: Prepared, student: Student, watchers: Sequence[Tracker]) -> Trained:
    run, dataset, device = prepared.run, prepared.dataset, prepared.device
    stream = BatchStream(
        _on(device, prepared.parts.train),
        run.recipe.batch_size,
        run.seed,
        run.data.augmentation,
        dataset.mean,
        dataset.std,
    )
    return train(student, prepared.teacher, stream, _on(device, prepared.parts.val), watchers)


def _on(device: torch.device, images: Images) -> Images:
    return Images(images.pixels.to(device), images.labels.to(device))


def _record(
    prepared: Prepared, trained: Trained, directory: RunDirectory, *, open_test: bool
) -> dict[str, Any]:
    run = prepared.run
    states = {"best": trained.best, "last": trained.last}
    card = make_card(prepared, trained.best, "best", trained.best_epoch, trained.history)
    write_weights(directory.path / BEST, trained.best, card)
    card = make_card(prepared, trained.last, "last", run.recipe.epochs, trained.history)
    write_weights(directory.path / LAST, trained.last, card)
    test = None
    if open_test:
        test = open_door(
            run,
            "single",
            states,
            prepared.dataset,
            prepared.parts.test,
            prepared.teacher,
            prepared.device,
        )
    hashes = {name: weight_hash(state) for name, state in states.items()}
    results = results_of(run, trained.history, hashes, test)
    directory.finish(results, test)
    return results


class _History(NoTracker):
    """Writes `history.jsonl`, which is always the truth."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def epoch(self, entry: dict[str, Any]) -> None:
        self._directory.append_history(entry)


class Stopwatch(NoTracker):
    """Times a run; what it knows goes to `timing.json`, outside every promise of equality."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._begun = time.perf_counter()
        self._first_step: float | None = None
        self._epochs: list[float] = []
        self._mark = self._begun

    def start(self, run: dict[str, Any]) -> None:
        """Set-up is over."""
        self._mark = time.perf_counter()

    def step(self, epoch: int, step: int, steps: int) -> None:
        """Note when the first step was done."""
        if self._first_step is None:
            self._first_step = time.perf_counter() - self._begun

    def epoch(self, entry: dict[str, Any]) -> None:
        """Note how long the epoch took."""
        now = time.perf_counter()
        self._epochs.append(round(now - self._mark, 3))
        self._mark = now

    def timing(self, *, opened: bool = False) -> dict[str, Any]:
        """Return what `timing.json` holds."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "started": self._started.isoformat(timespec="seconds"),
            "finished": now,
            "seconds": round(time.perf_counter() - self._begun, 3),
            "seconds_to_first_step": self._first_step,
            "seconds_per_epoch": self._epochs,
            "host": socket.gethostname(),
            # ru_maxrss counts bytes on macOS and KiB elsewhere.
            "peak_memory_bytes": peak if sys.platform == "darwin" else peak * 1024,
            "test_openings": [{"when": now, "by": "train"}] if opened else [],
        }
