"""Evaluation after training: a run's closed test door, or a weights file on its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from kdgap.advice import command
from kdgap.data import DATASETS, Dataset, Images, Parts, Request, load_dataset, split_dataset
from kdgap.engine.device import environment_digest, make_deterministic, pick_device
from kdgap.engine.evaluate import accuracy, fidelity, predict, scores
from kdgap.engine.layout import place
from kdgap.engine.student import State
from kdgap.errors import BadInputError, StoreDamagedError, TeacherError
from kdgap.running.door import Answers, open_door
from kdgap.running.places import Origin
from kdgap.running.results import Prepared, copied_images, results_of
from kdgap.running.single import prepare
from kdgap.running.teacher import TeacherWeights, check_teacher, in_order, open_teacher
from kdgap.spec.run import DataSpec, RunSpec
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.locks import holder
from kdgap.store.notices import in_record, recorded
from kdgap.store.record import BEST, LAST, LOCK, RUN, Record, RunDirectory, export_bytes
from kdgap.store.study import study_of
from kdgap.store.weights import read_weights, safetensors_bytes

if TYPE_CHECKING:
    from kdgap.spec.run import Precision


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
    began: dict[str, Any] = next(
        (line for line in reversed(directory.attempts()) if "began" in line), {}
    )
    origin = Origin(path, run.place.output_dir, began.get("in"))
    root = origin.find(run.place.data_root) if data_root is None else str(data_root)
    run = run.model_copy(
        update={"place": run.place.model_copy(update={"device": device, "data_root": root})}
    )
    weights = None
    if run.teacher is not None:
        file = teacher or Path(origin.find(run.teacher.weights))
        weights = open_teacher(file, run.teacher.model.name, unmeasured=True)
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
    test = open_door(prepared, role, states, baseline=baseline, known=known, pause=pause)
    test |= {name: value for name, value in (record.test or {}).items() if name in _SEEN}
    hashes = {key: record.results[_HASH[key]] for key in _HASH}
    history = record.results["history"]  # as it was verified: the file may not be readable now
    results = results_of(prepared.run, history, hashes, test, recorded(record.run))
    directory.finish(results, test)


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


@dataclass(frozen=True)
class _Setting:
    """A weights file with the data it belongs to, split and computed as its card says."""

    weights: TeacherWeights
    dataset: Dataset
    parts: Parts
    conditions: dict[str, Any]
    device: torch.device

    def logits(self, weights: TeacherWeights, images: Images) -> Tensor:
        precision: Precision = self.conditions["precision"]
        network = place(weights.network, weights.card.model, self.device)
        logits = predict(network, images, weights.preprocessing, precision, self.device)
        return in_order(logits, weights.order(self.dataset.classes))


def _setting(
    path: Path,
    architecture: str | None,
    data_root: Path,
    device_name: str,
    val_size: int | None = None,
) -> _Setting:
    weights = open_teacher(path, architecture, unmeasured=True)
    device = pick_device(device_name)
    make_deterministic(0, None)
    dataset = _dataset_of(weights.card, data_root)
    check_teacher(weights, dataset, device, same_data=False)
    conditions = _conditions(weights.card)
    if val_size is not None:
        conditions["val_size"] = val_size
    split = {key: conditions[key] for key in ("val_size", "split_seed", "limit", "choose_on")}
    return _Setting(weights, dataset, split_dataset(dataset, **split), conditions, device)


def evaluate_weights(
    path: Path,
    teacher: Path | None,
    split: Literal["val", "test"],
    data_root: Path,
    device: str,
    architecture: str | None = None,
    teacher_architecture: str | None = None,
    val_size: int | None = None,
) -> Mapping[str, object]:
    """Return accuracy, calibration and, with a teacher, fidelity of a weights file.

    A look at the test images by way of a run's weights file is noted in that run's `timing.json`.
    """
    other = None
    if teacher is not None:
        other = open_teacher(teacher, teacher_architecture, unmeasured=True)
    if split == "test":
        _refuse_untested_run(path.parent)
    setting = _setting(path, architecture, data_root, device, val_size)
    dataset = setting.dataset
    images = setting.parts.val if split == "val" else setting.parts.test
    logits = setting.logits(setting.weights, images)
    scored: dict[str, Any] = {
        "weights": str(path),
        "weight_hash": setting.weights.card.weight_hash,
        "split": split,
        "images": len(images),
        "smoke": setting.conditions["limit"] is not None,
        **in_record(copied_images(setting.parts)),
        **scores(logits, images.labels, dataset.classes),
    }
    if other is not None:
        check_teacher(other, dataset, setting.device, same_data=False)
        theirs = setting.logits(other, images)
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
    path: Path, data_root: Path, device: str, val_size: int | None = None
) -> Card:
    """Measure validation accuracy on the data at hand and write it into the file's card.

    Args:
        path: a weights file with a card.
        data_root: folder that holds the data.
        device: where to measure.
        val_size: validation images; None = as in its last measurement, or the data set's usual.

    Raises:
        BadInputError: the file belongs to a run, whose manifest vouches for it as it is.
    """
    if (path.parent / RUN).exists():
        raise BadInputError(
            f"{path}: belongs to a finished run, whose record is closed; copy it first"
        )
    setting = _setting(path, None, data_root, device, val_size)
    weights, val = setting.weights, setting.parts.val
    measured = MeasuredAccuracy(
        value=accuracy(setting.logits(weights, val), val.labels),
        environment=environment_digest(setting.device),
        **setting.conditions,
    )
    here, trained = setting.dataset.fingerprint, weights.card.fingerprint
    update = {
        "accuracy": measured,
        "fingerprint": trained or here,
        "measured_on": None if trained in (None, here) else here,
    }
    card = weights.card.model_copy(update=update)
    state, _ = read_weights(path)
    export_bytes(path, safetensors_bytes(state, card))
    return card


def _dataset_of(card: Card, data_root: Path) -> Dataset:
    resized = card.data == "imagefolder"
    return load_dataset(card.data, Request(data_root, card.image_size[0] if resized else None))


def _conditions(card: Card) -> dict[str, Any]:
    """Split and precision of the card's own measurement, or the data set's usual ones in fp32."""
    if card.accuracy is not None:
        return card.accuracy.model_dump(exclude={"value", "environment"})
    usual = DataSpec(name=card.data, val_size=DATASETS[card.data].val_size)
    return {
        "val_size": usual.val_size,
        "split_seed": usual.split_seed,
        "limit": None,
        "choose_on": "val",
        "precision": "fp32",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
