"""Evaluation after training: a run's closed test door, or a weights file on its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kdgap.data import Dataset, Request, load_dataset, split_dataset
from kdgap.engine.device import environment_digest, make_deterministic, pick_device
from kdgap.engine.evaluate import fidelity, predict, scores
from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.spec import RunSpec
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.record import BEST, LAST, RUN, Record, RunDirectory
from kdgap.store.weights import read_weights, write_weights
from kdgap.study.door import open_door
from kdgap.study.results import results_of
from kdgap.study.single import prepare
from kdgap.study.teacher import TeacherWeights, check_teacher, open_teacher, val_accuracy

if TYPE_CHECKING:
    from kdgap.spec.run import Precision


def finish_run(
    path: Path, data_root: Path | None, device: str, say: Callable[[str], None]
) -> Record:
    """Return a run's record, opening its test door if it is still closed.

    A record that has its test metrics is returned as it is: the door opens once.
    """
    directory = RunDirectory(path)
    record = directory.read()
    if record.test is not None:
        return record
    run = RunSpec.model_validate(record.run["spec"])
    root = str(data_root) if data_root else run.place.data_root
    run = run.model_copy(
        update={"place": run.place.model_copy(update={"device": device, "data_root": root})}
    )
    weights = None
    if run.teacher is not None:
        weights = open_teacher(Path(run.teacher.weights), run.teacher.model.name, unmeasured=True)
        if weights.card.weight_hash != run.teacher.weight_hash:
            raise BadInputError(
                f"{run.teacher.weights}: hashes to {weights.card.weight_hash[:12]}, the run's"
                f" teacher was {run.teacher.weight_hash[:12]}"
            )
    prepared = prepare(run, weights)
    if prepared.dataset.fingerprint != record.run["data"]["fingerprint"]:
        raise BadInputError(f"{path}: the data is not what the run was trained on")
    states = {}
    for name, file in (("best", BEST), ("last", LAST)):
        state, card = read_weights(path / file)
        if card.weight_hash != record.results[f"weight_hash_{name}"]:
            raise StoreDamagedError(f"{path / file}: not the weights of this run")
        states[name] = state
    test = open_door(
        run,
        "single",
        states,
        prepared.dataset,
        prepared.parts.test,
        prepared.teacher,
        prepared.device,
    )
    hashes = {name: test[name]["weight_hash"] for name in states}
    directory.finish(results_of(run, directory.history(), hashes, test), test)
    directory.log_opening({"when": _now(), "by": "evaluate"})
    say(f"test door opened: {path}")
    return directory.read()


def evaluate_weights(
    path: Path,
    teacher: Path | None,
    split: Literal["val", "test"],
    data_root: Path,
    device_name: str,
    architecture: str | None = None,
    teacher_architecture: str | None = None,
) -> dict[str, Any]:
    """Return accuracy, calibration and, with a teacher, fidelity of a weights file.

    A look at the test images by way of a run's weights file is noted in that run's `timing.json`.
    """
    student = open_teacher(path, architecture, unmeasured=True)
    other = None
    if teacher is not None:
        other = open_teacher(teacher, teacher_architecture, unmeasured=True)
    device = pick_device(device_name)
    make_deterministic(0, None)
    dataset = _dataset_of(student.card, data_root)
    check_teacher(student, dataset, device, same_data=False)
    conditions = _conditions(student, dataset)
    parts = split_dataset(
        dataset, conditions["val_size"], conditions["split_seed"], conditions["limit"]
    )
    images = parts.val if split == "val" else parts.test
    precision: Precision = conditions["precision"]

    def answers(weights: TeacherWeights) -> Any:
        network = weights.network.to(device)
        return predict(network, images, dataset.mean, dataset.std, precision, device)

    logits = answers(student)
    scored: dict[str, Any] = {
        "weights": str(path),
        "weight_hash": student.card.weight_hash,
        "split": split,
        "images": len(images),
        "smoke": conditions["limit"] is not None,
        **scores(logits, images.labels, dataset.classes),
    }
    if other is not None:
        check_teacher(other, dataset, device, same_data=False)
        theirs = answers(other)
        scored |= {
            "teacher": str(teacher),
            "teacher_weight_hash": other.card.weight_hash,
            "teacher_accuracy": scores(theirs, images.labels, dataset.classes)["accuracy"],
            **fidelity(logits, theirs),
        }
    if split == "test" and (path.parent / RUN).exists():
        RunDirectory(path.parent).log_opening({"when": _now(), "by": f"evaluate {path.name}"})
    return scored


def write_measured_card(path: Path, data_root: Path, device_name: str) -> Card:
    """Measure validation accuracy on the data at hand and write it into the file's card."""
    weights = open_teacher(path, None, unmeasured=True)
    device = pick_device(device_name)
    make_deterministic(0, None)
    dataset = _dataset_of(weights.card, data_root)
    check_teacher(weights, dataset, device, same_data=False)
    conditions = _conditions(weights, dataset)
    parts = split_dataset(
        dataset, conditions["val_size"], conditions["split_seed"], conditions["limit"]
    )
    value = val_accuracy(weights.network, parts.val, dataset, conditions["precision"], device)
    accuracy = MeasuredAccuracy(value=value, environment=environment_digest(device), **conditions)
    update = {"accuracy": accuracy, "fingerprint": dataset.fingerprint}
    card = weights.card.model_copy(update=update)
    state, _ = read_weights(path)
    try:
        write_weights(path, state, card)
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror}") from None
    return card


def _dataset_of(card: Card, data_root: Path) -> Dataset:
    resized = card.data == "imagefolder"
    return load_dataset(card.data, Request(data_root, card.image_size[0] if resized else None))


def _conditions(weights: TeacherWeights, dataset: Dataset) -> dict[str, Any]:
    """Split and precision of the card's own measurement, or the data set's usual ones in fp32."""
    from kdgap.data import DATASETS

    if weights.card.accuracy is not None:
        return weights.card.accuracy.model_dump(exclude={"value", "environment"})
    return {
        "val_size": DATASETS[dataset.name].val_size,
        "split_seed": 1234,
        "limit": None,
        "precision": "fp32",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
