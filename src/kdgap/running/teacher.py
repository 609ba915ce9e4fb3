"""A teacher is what its card says, or it is refused: never a silently wrong or random teacher."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdgap.advice import command
from kdgap.data import (
    Dataset,
    Preprocessing,
    needed_val_size,
    smaller_val_size,
    split_dataset,
)
from kdgap.engine.device import environment_digest
from kdgap.engine.evaluate import accuracy, predict
from kdgap.engine.layout import place
from kdgap.errors import TeacherError, nearest
from kdgap.models.build import build_model, load_state
from kdgap.models.output import Network
from kdgap.spec.identity import canonical_json
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.measured import keep_measured, measured_folder, read_measured
from kdgap.store.record import BEST, RunDirectory
from kdgap.store.weights import read_weights

TOLERANCE = 0.005
"""How far a re-measured accuracy may be from the card's in another environment."""
SUBSET_KEY = "teacher_subset: true"
"""What lets a teacher of a flat file have more classes than the data."""
CHANCE = 4.0
"""Standard errors by which an accuracy on other images may be lower; 3 in 100,000 by chance."""


@dataclass(frozen=True)
class TeacherWeights:
    """A network with the weights of a file, and the file's card.

    `run_id` names the run that made them, where that run's verified record lies beside the file;
    `data_root` is where the data is that they are measured on; `subset` lets them have more classes
    than the data, and `subset_key` is how that is asked for.
    """

    path: Path
    network: Network
    card: Card
    run_id: str | None = None
    data_root: str | None = None
    subset: bool = False
    subset_key: str = SUBSET_KEY

    @property
    def preprocessing(self) -> Preprocessing:
        """How it sees images."""
        own = self.card.model.input
        interpolation = own.interpolation if own is not None else "bilinear"
        return Preprocessing(self.card.image_size, self.card.mean, self.card.std, interpolation)

    def order(self, classes: tuple[str, ...]) -> tuple[int, ...] | None:
        """Return where each class of the data is among its own; None = they are the same.

        Raises:
            TeacherError: it lacks one, or has others besides and is not asked to leave them out.
        """
        name, key = f"teacher {self.path}", self.subset_key
        return order_of(self.card.classes, classes, name, subset=self.subset, subset_key=key)


def measuring_command(path: Path, data_root: Path | str | None, data: str | None = None) -> str:
    """Return the command that measures a weights file and notes its accuracy in its card.

    Args:
        path: the file.
        data_root: the folder with the data; None = not known.
        data: name of the data set, where its usual validation images are to be used.
    """
    words: list[object] = ["evaluate", path, "--write-card"]
    if data_root not in (None, "data"):
        words += ["--data-root", data_root]
    size = data and needed_val_size(data, Path(data_root or "data"))
    return command(*words, *(("--val-size", size) if size else ()))


def open_teacher(
    path: Path,
    architecture: str | None,
    *,
    unmeasured: bool,
    data_root: str | None = None,
    otherwise: str = "",
    subset: bool = False,
    subset_key: str = SUBSET_KEY,
) -> TeacherWeights:
    """Read a teacher, checking everything that can be checked without data.

    Args:
        path: a safetensors file with a card.
        architecture: what the configuration says it is; None = whatever the card says.
        unmeasured: whether a teacher whose accuracy was never measured may be used.
        data_root: folder with the data to measure it on, for the advice.
        otherwise: what else the user may do, for the advice.
        subset: whether it may have more classes than the data.
        subset_key: how that is asked for, for the advice.

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
            f"weights {path}: their accuracy was never measured; measure it with"
            f" `{measuring_command(path, data_root, card.data)}`{otherwise}"
        )
    network = build_model(card.model, len(card.classes), card.channels, card.image_size, 0)
    load_state(network, state, f"weights {path}")
    run, own = _verified_run(path, card), network.eval()
    return TeacherWeights(path, own, card, run, data_root, subset, subset_key)


def order_of(
    own: tuple[str, ...],
    classes: tuple[str, ...],
    name: str,
    *,
    subset: bool,
    subset_key: str = SUBSET_KEY,
) -> tuple[int, ...] | None:
    """Return where each of some classes is among a network's own; None = they are the same.

    Args:
        own: class names of the network, in the order of its logits.
        classes: those of the data.
        name: of the network, for messages.
        subset: whether it may have others besides.
        subset_key: what lets it, for messages.

    Raises:
        TeacherError: it lacks one, or has others besides.
    """
    if own == classes:
        return None
    places = {label: index for index, label in enumerate(own)}
    missing = [label for label in classes if label not in places]
    if len(missing) == len(classes):
        raise TeacherError(
            f"{name}: none of its {len(own):,} classes ({_some(own)}) is one of the data's"
            f" ({_some(classes)}); classes are matched by name"
        )
    if missing:
        raise TeacherError(
            f"{name}: lacks {len(missing)} of the data's {len(classes)} classes"
            f" ({_some(missing)}){nearest(missing[0], own)}; classes are matched by name"
        )
    if len(own) > len(classes) and not subset:
        others = [label for label in own if label not in set(classes)]
        raise TeacherError(
            f"{name}: has {len(others):,} classes besides the data's {len(classes)}"
            f" ({_some(others)}); to let it teach those of the data alone, set {subset_key}"
        )
    return tuple(places[label] for label in classes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")


def in_order(logits: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """Return logits `[N, C]` in the order of the data's classes."""
    return logits if order is None else logits[:, list(order)]


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
    """Check a teacher against the data: classes, channels, and its accuracy on validation.

    It may have been trained on other images of these classes, in another order of them, at another
    size and with another normalisation, which stay its own. Its accuracy must hold: exactly in an
    equal environment, within `TOLERANCE` in another; on other images it may be lower by no more
    than `CHANCE` explains, besides.

    Args:
        teacher: an opened teacher.
        dataset: the student's data.
        device: where to measure.
        same_data: whether its accuracy must hold on this data.
        pause: called before each batch of the measurement, and may raise to stop.

    Raises:
        TeacherError: naming what differs.
    """
    card, name = teacher.card, f"teacher {teacher.path}"
    teacher.order(dataset.classes)
    if card.channels != dataset.channels:
        raise TeacherError(
            f"{name}: it takes images of {card.channels} colour channels, {dataset.name} has"
            f" {dataset.channels}"
        )
    if same_data and card.accuracy is not None:
        _check_accuracy(teacher, card.accuracy, dataset, device, pause)


def _check_accuracy(
    teacher: TeacherWeights,
    claimed: MeasuredAccuracy,
    dataset: Dataset,
    device: torch.device,
    pause: Callable[[], None],
) -> None:
    elsewhere = teacher.card.measured_data not in (None, dataset.fingerprint)
    if elsewhere and (smaller := smaller_val_size(claimed.val_size, len(dataset.train))):
        claimed = claimed.model_copy(update={"val_size": smaller})
    measured = measure(teacher, dataset, claimed, device, pause)
    same_environment = claimed.environment == environment_digest(device)
    allowed = 0.0 if same_environment else TOLERANCE
    lower, where = claimed.value - measured, "an equal" if same_environment else "another"
    basis = f"in {where} environment"
    if elsewhere:
        # Two samples of images: higher is no sign of other weights, for it may know these images.
        share = (claimed.value + measured) / 2
        allowed = TOLERANCE + CHANCE * sqrt(2 * share * (1 - share) / _images(claimed, dataset))
        wrong, basis = lower > allowed, "on other images than then"
    else:
        wrong = abs(lower) > allowed
    if wrong:
        raise TeacherError(
            f"teacher {teacher.path}: its card says {claimed.value:.2%} validation accuracy,"
            f" measured {measured:.2%} ({basis}, {allowed * 100:.2g} pp allowed); if these weights"
            " are meant, copy the file and measure the copy:"
            f" `{measuring_command(Path('COPY'), teacher.data_root)}`"
        )


def _images(on: MeasuredAccuracy, dataset: Dataset) -> int:
    """Return how many images an accuracy was measured on."""
    count = len(dataset.test) if on.choose_on == "test" else on.val_size
    return min(count, on.limit or count)


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
    card = teacher.card
    asked: dict[str, Any] = {
        "weights": card.weight_hash,
        "data": dataset.fingerprint,
        "split": split,
        "precision": on.precision,
        "environment": environment_digest(device),
    }
    if (card.mean, card.std) != (dataset.mean, dataset.std):
        asked["normalisation"] = [card.mean, card.std]
    view, order = teacher.preprocessing, teacher.order(dataset.classes)
    if view.size != dataset.image_size:
        asked["size"] = [*view.size, view.interpolation]
    if order is not None:
        asked["classes"] = order
    key = canonical_json(asked)
    path = measured_folder() / f"{sha256(key.encode()).hexdigest()}.json"
    known = read_measured(path)
    if known is not None:
        return known["val_acc"]
    parts = split_dataset(dataset, **split)
    # Exactly as a training run measures it each epoch, so that equal environments agree exactly.
    network = place(teacher.network, teacher.card.model, device)
    logits = predict(network, parts.val, view, on.precision, device, pause)
    value = accuracy(in_order(logits, order), parts.val.labels)
    keep_measured(path, {"val_acc": value})
    return value
