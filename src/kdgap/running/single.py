"""One run from a flat configuration: set up, train, evaluate behind the door, record."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import get_num_threads

from kdgap.advice import command
from kdgap.data import Request, load_dataset, split_dataset
from kdgap.engine.device import make_deterministic, pick_device
from kdgap.engine.student import State
from kdgap.engine.teacher import Teacher
from kdgap.engine.tracker import Tracker
from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.models.build import check_model
from kdgap.planning.fit import check_trainable
from kdgap.planning.parts import part_sizes
from kdgap.running.door import Opened, open_door
from kdgap.running.ranks import crowding
from kdgap.running.results import Prepared, copied_images, remarks
from kdgap.running.stop import Stopper
from kdgap.running.teacher import TeacherWeights, check_teacher
from kdgap.running.training import Attempt, train_attempts
from kdgap.spec.identity import run_id
from kdgap.spec.run import RunSpec
from kdgap.store.locks import holder
from kdgap.store.notices import SMOKE
from kdgap.store.record import LOCK, Record, RunDirectory
from kdgap.store.remote import local_place
from kdgap.store.state import StateFiles, has_states


def prepare(run: RunSpec, weights: TeacherWeights | None, *, download: bool = False) -> Prepared:
    """Load the data and check the teacher against it.

    Raises:
        BadInputError: data missing, too large or broken; teacher and data do not fit.
    """
    device = pick_device(run.place.device)
    make_deterministic(run.seed, run.place.threads)
    data = run.data
    dataset = load_dataset(
        data.name, Request.of(data, local_place(run.place.data_root), download=download)
    )
    parts = split_dataset(dataset, data.val_size, data.split_seed, data.limit, data.choose_on)
    check_model(run.model, dataset.image_size)
    check_trainable(run, len(parts.train))
    part_sizes(run, dataset.channels, dataset.image_size, len(dataset.classes), parts.train.labels)
    if weights is not None:
        check_teacher(weights, dataset, device)
    teacher, card = None, None
    if weights is not None:
        card = weights.card
        teacher = Teacher(
            weights.network, run, device, weights.preprocessing, weights.order(dataset.classes)
        )
    return Prepared(run, device, dataset, parts, teacher, card)


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

    A directory that already holds this very run on this very data, finished, is returned as it is;
    one that holds a state of it goes on from there.

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
        StoppedError: it was told to stop; its state is saved.
    """
    identifier = run_id(run)
    directory = RunDirectory(Path(run.place.output_dir))
    refuse_other_devices(run, directory)
    directory.refuse_other(identifier)
    if run.place.devices is not None and not (has_states(directory.path) or directory.is_done()):
        raise BadInputError(
            f"output_dir {directory.path}: no run was begun there on {devices_text(run.devices)};"
            " leave --began-with out"
        )
    prepared = prepare(run, weights, download=download)
    if not directory.is_done():
        lock = directory.try_lock()
        if lock is None:
            raise BadInputError(
                f"output_dir {directory.path}: {holder(directory.path / LOCK)} is training there"
            )
        with lock:
            # The former holder may have finished it just now; what was damaged since is refused.
            if not directory.is_done() and not directory.lost_manifest():
                return _train(prepared, directory, watchers, say, open_test=open_test)
    record = directory.read()
    if record.run["data"]["fingerprint"] != prepared.dataset.fingerprint:
        raise BadInputError(
            f"output_dir {directory.path}: holds this run on other data; give another output_dir"
        )
    prepared.refuse_other_view(record.run["teacher"], f"output_dir {directory.path}")
    StateFiles(directory.path, identifier).clear()  # a crash may have left them beside the record
    closed = record.test is None and open_test
    hint = f"; `{command('evaluate', directory.path)}` opens its test door" if closed else ""
    say(f"already finished: {directory.path}{hint}")
    return record


def refuse_other_devices(run: RunSpec, directory: RunDirectory) -> None:
    """Say how to go on with this very run where it was begun on another number of devices.

    Raises:
        BadInputError: that is what the directory holds.
    """
    try:
        header = directory.header()
    except (OSError, StoreDamagedError):
        return  # nothing there, or `refuse_other` has more to say of it
    began = RunSpec.model_validate(header["spec"])
    same = run.model_copy(update={"devices": began.devices, "batch_norm": began.batch_norm})
    if began.devices != run.devices and run_id(same) == header["id"]:
        raise BadInputError(
            f"output_dir {directory.path}: holds this run as begun on"
            f" {devices_text(began.devices)}, this one is on {devices_text(run.devices)}; add"
            f" --began-with {began.devices} to go on with it, which is recorded, or give another"
            " output_dir"
        )


def devices_text(count: int) -> str:
    """Return a number of devices in words."""
    return "1 device" if count == 1 else f"{count} devices"


def _train(
    prepared: Prepared,
    directory: RunDirectory,
    watchers: Sequence[Tracker],
    say: Callable[[str], None],
    *,
    open_test: bool,
) -> Record:
    if prepared.run.smoke:
        say(SMOKE.text)
    if crowd := crowding(prepared.device, prepared.run.ranks, get_num_threads()):
        say(f"note: {crowd}")
    for notice in copied_images(prepared.parts):
        say(notice.text)
    attempt = Attempt(prepared, directory, watchers, say)
    for text in remarks(prepared.dataset):
        say(text)
    with Stopper() as pause:

        def door(prepared: Prepared, states: dict[str, State]) -> Opened | None:
            return open_door(prepared, "single", states, pause=pause) if open_test else None

        train_attempts([attempt], pause=pause, open_test=door)
    if attempt.member.failure is not None:
        raise attempt.member.failure
    return directory.read()
