"""Evaluation after training: a run's closed test door, or a weights file on its own."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kdgap.advice import command
from kdgap.engine.device import environment_digest
from kdgap.engine.evaluate import accuracy, fidelity, scores
from kdgap.engine.student import State
from kdgap.errors import BadInputError, StoreDamagedError, TeacherError
from kdgap.running.door import Answers, open_door
from kdgap.running.measuring import OnImages, setting
from kdgap.running.places import origin_of
from kdgap.running.results import Prepared, copied_images, results_of
from kdgap.running.single import prepare
from kdgap.running.teacher import check_teacher, open_teacher
from kdgap.spec.run import RunSpec
from kdgap.store.card import Card, MeasuredAccuracy, opened
from kdgap.store.locks import holder
from kdgap.store.manifest import read_manifest
from kdgap.store.notices import in_record, recorded
from kdgap.store.record import (
    BEST,
    LAST,
    LOCK,
    PREDICTIONS_TEST,
    RUN,
    Record,
    RunDirectory,
    export_bytes,
)
from kdgap.store.study import study_of
from kdgap.store.weights import read_weights, safetensors_bytes


def finish_run(
    path: Path,
    data_root: Path | None,
    device: str,
    say: Callable[[str], None],
    teacher: Path | None = None,
) -> Record:
    """Return a run's record, opening its test door if it is still closed.

    A record that has its test metrics is returned as it is: the door opens once. The opening is
    noted before anything is computed, and an opening that was cut off is computed again.

    Args:
        path: the run's directory.
        data_root: where the data is now; None = where the record says.
        device: where to compute.
        say: takes one-line remarks for the user.
        teacher: where the teacher's weights are now; None = where the record says.

    Raises:
        RunFailedError: the disk is full.
    """
    directory = RunDirectory(path)
    record = directory.read()
    if record.tested:
        return record
    study = study_of(path)
    if study is not None:
        raise BadInputError(
            f"{path}: its test door belongs to the study {study}, which opens it once selection is"
            f" over, for runs that count: `{command('run', study)}`"
        )
    return _open_closed_door(directory, record, data_root, device, say, teacher)


def _open_closed_door(
    directory: RunDirectory,
    record: Record,
    data_root: Path | None,
    device: str,
    say: Callable[[str], None],
    teacher: Path | None,
) -> Record:
    path = directory.path
    run = RunSpec.model_validate(record.run["spec"])
    origin = origin_of(directory, run.place.output_dir)
    root = origin.find(run.place.data_root) if data_root is None else str(data_root)
    run = run.model_copy(
        update={"place": run.place.model_copy(update={"device": device, "data_root": root})}
    )
    weights = None
    if run.teacher is not None:
        file = teacher or Path(origin.find(run.teacher.weights))
        # What its run let it do, it may do here.
        weights = open_teacher(file, run.teacher.model.name, unmeasured=True, subset=True)
        if weights.card.weight_hash != record.results["teacher_weight_hash"]:
            raise BadInputError(
                f"{file}: hashes to {weights.card.weight_hash[:12]}, the run's"
                f" teacher was {str(record.results['teacher_weight_hash'])[:12]}"
            )
    prepared = prepare(run, weights)
    lock = directory.try_lock()
    if lock is None:
        raise BadInputError(f"{path}: {holder(path / LOCK)} is at work there")
    with lock:
        open_recorded(prepared, directory, record, "single", "evaluate")
    say(f"test door opened: {path}")
    return directory.read()


def open_recorded(
    prepared: Prepared,
    directory: RunDirectory,
    record: Record,
    role: str,
    by: str,
    *,
    baseline: Mapping[str, object] | None = None,
    known: Answers | None = None,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Open the test door of a finished run whose lock the caller holds; see `open_door`.

    Where it was opened before, what was seen then stays, and what is seen beside it is made again.

    Raises:
        BadInputError: the data or the teacher is not what the run was trained with.
        StoreDamagedError: the weights are not the run's.
    """
    if prepared.dataset.fingerprint != record.run["data"]["fingerprint"]:
        raise BadInputError(f"{directory.path}: the data is not what the run was trained on")
    prepared.refuse_other_view(record.run["teacher"], str(directory.path))
    states = recorded_states(directory, record)
    if record.test is None or record.tested:  # else an opening was cut off, and is noted
        directory.log_opening({"when": _now(), "by": by})
    door = open_door(prepared, role, states, baseline=baseline, known=known, pause=pause)
    seen = {name: value for name, value in (record.test or {}).items() if name in _SEEN}
    test = door.record | seen
    hashes = {key: record.results[_HASH[key]] for key in _HASH}
    history = record.results["history"]  # as it was verified: the file may not be readable now
    results = results_of(prepared.run, history, hashes, test, recorded(record.run))
    # Also of a door opened before predictions were kept, if the same is seen again.
    new = PREDICTIONS_TEST not in read_manifest(directory.path).files and test == door.record
    directory.finish(results, test, {PREDICTIONS_TEST: door.predictions} if new else None)


_HASH = {
    "best": "weight_hash_best",
    "last": "weight_hash_last",
    "teacher": "teacher_weight_hash",
}
_SEEN = ("images", "teacher", "best", "last")


def recorded_states(directory: RunDirectory, record: Record) -> dict[str, State]:
    """Return the `best` and `last` weights of a finished run.

    Raises:
        StoreDamagedError: the files hold other weights.
    """
    states = {}
    for name, file in (("best", BEST), ("last", LAST)):
        try:
            state, card = read_weights(directory.path / file)
        except TeacherError as error:
            raise StoreDamagedError(str(error)) from None
        if card.weight_hash != record.results[_HASH[name]]:
            raise StoreDamagedError(f"{directory.path / file}: not the weights of this run")
        states[name] = state
    return states


def evaluate_weights(
    path: Path,
    teacher: Path | None,
    split: Literal["val", "test"],
    on: OnImages,
    device: str,
    architecture: str | None = None,
    teacher_architecture: str | None = None,
) -> Mapping[str, object]:
    """Return accuracy, calibration and, with a teacher, fidelity of a weights file.

    A look at the test images by way of a run's weights file is noted in that run's `timing.json`.
    """
    other = None
    if teacher is not None:
        other = open_teacher(teacher, teacher_architecture, unmeasured=True, subset=True)
    if split == "test":
        _refuse_untested_run(path.parent)
    measured = setting(path, architecture, on, device)
    dataset, validation = measured.dataset, split == "val"
    images = measured.parts.val if validation else measured.parts.test
    logits = measured.logits(measured.weights, images)
    scored: dict[str, Any] = {
        "weights": str(path),
        "weight_hash": measured.weights.card.weight_hash,
        "split": split,
        "images": len(images),
        "smoke": measured.conditions["limit"] is not None,
        **in_record(
            [
                *copied_images(measured.parts),
                *measured.notices,
                *(measured.of_validation if validation else ()),
            ]
        ),
        **scores(logits, images.labels, dataset.classes),
    }
    if other is not None:
        check_teacher(other, dataset, measured.device, same_data=False)
        theirs = measured.logits(other, images)
        scored |= {
            "teacher": str(teacher),
            "teacher_weight_hash": other.card.weight_hash,
            "teacher_accuracy": accuracy(theirs, images.labels),
            **fidelity(logits, theirs),
        }
    if split == "test" and (path.parent / RUN).exists():
        RunDirectory(path.parent).log_opening({"when": _now(), "by": f"evaluate {path.name}"})
    return scored


def _refuse_untested_run(folder: Path) -> None:
    """Refuse test images to the weights of a study's run whose own door is still closed."""
    study = study_of(folder)
    if (
        study is not None
        and RunDirectory(folder).is_done()
        and not RunDirectory(folder).read().tested
    ):
        raise BadInputError(
            f"{folder}: its test door belongs to the study {study} and is closed; --split val works"
        )


def write_measured_card(
    path: Path, on: OnImages, device: str, say: Callable[[str], None] = lambda _: None
) -> Card:
    """Measure validation accuracy on the data at hand and write it into the file's card.

    Args:
        path: a weights file with a card.
        on: the images; what is None is as in its last measurement, or as usual.
        device: where to measure.
        say: takes one-line remarks for the user.

    Raises:
        BadInputError: the file belongs to a run, whose manifest vouches for it as it is.
    """
    if (path.parent / RUN).exists():
        raise BadInputError(
            f"{path}: belongs to a finished run, whose record is closed; copy it first"
        )
    measured = setting(path, None, on, device)
    weights, val = measured.weights, measured.parts.val
    for notice in (*measured.notices, *measured.of_validation):
        say(f"note: {notice.text}")
    result = MeasuredAccuracy(
        value=accuracy(measured.logits(weights, val), val.labels),
        environment=environment_digest(measured.device),
        **measured.conditions,
    )
    here, trained = measured.dataset.fingerprint, weights.card.fingerprint
    if trained is None and measured.dataset.name == weights.card.data:
        trained = here
    update = {
        "accuracy": result,
        "fingerprint": trained,
        "measured_on": None if trained == here else here,
    }
    card = weights.card.model_copy(update=update)
    state, _ = read_weights(path)
    with opened(path) as (_, header):  # of an exported file: how photographs are fitted, a licence
        others = header.metadata
    export_bytes(path, safetensors_bytes(state, card, others))
    return card


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
