"""A teacher is what its card says, or it is refused: never a silently wrong or random teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch

from kdgap.data import Dataset, split_dataset
from kdgap.engine.device import environment_digest
from kdgap.engine.evaluate import accuracy, predict
from kdgap.engine.layout import place
from kdgap.errors import TeacherError
from kdgap.models import Network, build_model, load_state
from kdgap.spec import canonical_json
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.record import BEST, RunDirectory
from kdgap.store.weights import read_weights
from kdgap.study.measured import keep_measured, measured_folder, read_measured

TOLERANCE = 0.005
"""How far a re-measured accuracy may be from the card's in another environment."""


@dataclass(frozen=True)
class TeacherWeights:
    """A network with the weights of a file, and the file's card.

    `run_id` names the run that made them, where that run's verified record lies beside the file.
    """

    path: Path
    network: Network
    card: Card
    run_id: str | None = None


def open_teacher(path: Path, architecture: str | None, *, unmeasured: bool) -> TeacherWeights:
    """Read a teacher, checking everything that can be checked without data.

    Args:
        path: a safetensors file with a card.
        architecture: what the configuration says it is; None = whatever the card says.
        unmeasured: whether a teacher whose accuracy was never measured may be used.

    Raises:
        TeacherError: a `ValueError`, as in the reference.
    """
    state, card = read_weights(path)
    if architecture is not None and card.model.name != architecture:
        raise TeacherError(
            f"weights {path}: wrong architecture: they are a {card.model.name},"
            f" the configuration says {architecture}"
        )
    if card.accuracy is None and not unmeasured:
        raise TeacherError(
            f"weights {path}: their accuracy was never measured; measure it with `kdgap evaluate"
            f" {path} --write-card`, or set allow_unmeasured_teacher: true"
        )
    network = build_model(card.model, len(card.classes), card.channels, card.image_size, 0)
    load_state(network, state, f"weights {path}")
    return TeacherWeights(path, network.eval(), card, _verified_run(path, card))


def _verified_run(path: Path, card: Card) -> str | None:
    """Return the run whose best weights these are, if its record is here and verifies."""
    directory = RunDirectory(path.parent)
    if path.name != BEST or not directory.is_done():
        return None
    record = directory.read()
    return record.id if record.id == card.run_id else None


def check_teacher(
    teacher: TeacherWeights,
    dataset: Dataset,
    device: torch.device,
    *,
    same_data: bool = True,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Check a teacher against the data: classes, images, and its accuracy on validation.

    Args:
        teacher: an opened teacher.
        dataset: the student's data.
        device: where to measure.
        same_data: whether the card must name this very data, and its accuracy must hold.
        pause: called before each batch of the measurement, and may raise to stop.

    Raises:
        TeacherError: naming what differs.
    """
    card, name = teacher.card, f"teacher {teacher.path}"
    if card.classes != dataset.classes:
        odd = next(
            (f"{a!r} against {b!r}" for a, b in zip(card.classes, dataset.classes) if a != b),  # noqa: B905
            f"{len(card.classes)} against {len(dataset.classes)}",
        )
        raise TeacherError(f"{name}: its classes are not those of {dataset.name} ({odd})")
    if (card.channels, card.image_size) != (dataset.channels, dataset.image_size):
        takes = "x".join(map(str, (card.channels, *card.image_size)))
        has = "x".join(map(str, (dataset.channels, *dataset.image_size)))
        raise TeacherError(f"{name}: it takes {takes} images, {dataset.name} has {has}")
    if (card.mean, card.std) != (dataset.mean, dataset.std):
        raise TeacherError(
            f"{name}: it was trained with another normalisation: mean {card.mean}, std {card.std}"
        )
    if not same_data:
        return
    if card.fingerprint is not None and card.fingerprint != dataset.fingerprint:
        raise TeacherError(
            f"{name}: it was trained on other data: fingerprint {card.fingerprint[:12]},"
            f" this {dataset.name} is {dataset.fingerprint[:12]}; if that is meant, measure it here"
            " with `kdgap evaluate COPY --write-card` on a copy of the file"
        )
    if card.accuracy is not None:
        _check_accuracy(teacher, card.accuracy, dataset, device, pause)


def _check_accuracy(
    teacher: TeacherWeights,
    claimed: MeasuredAccuracy,
    dataset: Dataset,
    device: torch.device,
    pause: Callable[[], None],
) -> None:
    measured = measure(teacher, dataset, claimed, device, pause)
    same_environment = claimed.environment == environment_digest(device)
    allowed = 0.0 if same_environment else TOLERANCE
    if abs(measured - claimed.value) > allowed:
        environment = "an equal" if same_environment else "another"
        raise TeacherError(
            f"teacher {teacher.path}: its card says {claimed.value:.2%} validation accuracy,"
            f" measured {measured:.2%} (in {environment} environment,"
            f" {allowed * 100:g} pp allowed)"
        )


def measure(
    teacher: TeacherWeights,
    dataset: Dataset,
    on: MeasuredAccuracy,
    device: torch.device,
    pause: Callable[[], None] = lambda: None,
) -> float:
    """Return validation accuracy, measured once per (weights, data, split, environment).

    Args:
        teacher: an opened teacher.
        dataset: the data.
        on: which split and precision; its value is not read.
        device: where to measure.
        pause: called before each batch, and may raise to stop.
    """
    split = on.model_dump(include={"val_size", "split_seed", "limit", "choose_on"})
    key = canonical_json(
        {
            "weights": teacher.card.weight_hash,
            "data": dataset.fingerprint,
            "split": split,
            "precision": on.precision,
            "environment": environment_digest(device),
        }
    )
    path = measured_folder() / f"{sha256(key.encode()).hexdigest()}.json"
    known = read_measured(path)
    if known is not None:
        return known["val_acc"]
    parts = split_dataset(dataset, **split)
    # Exactly as a training run measures it each epoch, so that equal environments agree exactly.
    network = place(teacher.network, teacher.card.model, device)
    logits = predict(network, parts.val, dataset.mean, dataset.std, on.precision, device, pause)
    value = accuracy(logits, parts.val.labels)
    keep_measured(path, {"val_acc": value})
    return value
