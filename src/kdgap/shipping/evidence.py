"""Images to compare an exported file on, and what was measured of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdgap.data import DATASETS, Dataset, Images, Request, load_dataset, split_dataset
from kdgap.engine.evaluate import accuracy, calibration_error
from kdgap.errors import BadInputError, one_line
from kdgap.shipping.facts import Facts
from kdgap.shipping.models import Model
from kdgap.shipping.photographs import batches, listed, require_images
from kdgap.shipping.sources import Source
from kdgap.stats.proportion import wilson

COMPARED = 256
"""Images that both answer."""
MEASURED = 2_000
"""Validation images that calibration is measured on, where no test record says it."""
_BATCH = 64
_LEVEL = 0.95


@dataclass(frozen=True)
class Sample:
    """Images uint8 `[B, C, H, W]` as they are stored, and which ones they are.

    Labels are there where the data says them, in the order of the network's classes.
    """

    pixels: Tensor
    source: str
    labels: Tensor | None = None


def sample_of(
    source: Source, facts: Facts, given: Sequence[Path], data_root: Path | None
) -> tuple[Sample, str | None]:
    """Return images to compare on, and why they are not real ones if they are not.

    Named images come first, then the run's validation images, then random pixels. Test images are
    never looked at: where they stand in for validation, training images are taken.

    Args:
        source: the network.
        facts: what will be said of it.
        given: images that the user names.
        data_root: where the data is, if the user says.

    Raises:
        BadInputError: the named images or the named data cannot be used.
    """
    if given:
        require_images(facts, str(source.path))
        paths = listed(given).paths[:COMPARED]
        return Sample(torch.cat(list(batches(paths, facts))), "images that were named"), None
    try:
        images, which = _of_data(source, data_root or source.data_root() or Path("data"))
        return Sample(images.pixels, which, images.labels), None
    except BadInputError as error:
        if data_root is not None:
            raise
        reason = one_line(error, 160)
    card = facts.card
    generator = torch.Generator().manual_seed(0)
    shape = (_BATCH, card.channels, *facts.fitted_size)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return Sample(pixels, "images of random pixels"), reason


def _of_data(source: Source, root: Path) -> tuple[Images, str]:
    card, record = source.weights.card, source.record
    if record is not None:
        data = record.spec.data
        name, on, request = data.name, data.choose_on, Request.of(data, root)
        val_size, seed, limit = data.val_size, data.split_seed, data.limit
    else:
        name, on, limit = card.data, "val", None
        val_size, seed = DATASETS[name].val_size, 1234
        if card.accuracy is not None:
            val_size, seed = card.accuracy.val_size, card.accuracy.split_seed
            limit, on = card.accuracy.limit, card.accuracy.choose_on
        size = card.stored_side if DATASETS[name].resized else None
        request = Request(root, size, split_seed=seed)
    dataset = load_dataset(name, request)
    if record is not None and dataset.fingerprint != card.fingerprint:
        raise BadInputError(f"the data under {root} is not what the run was trained on")
    return _seen_so(source, dataset, val_size, seed, limit, on)


def _seen_so(
    source: Source, dataset: Dataset, val_size: int, seed: int, limit: int | None, on: str
) -> tuple[Images, str]:
    order = source.weights.order(dataset.classes)
    if source.weights.card.channels != dataset.channels:
        raise BadInputError(f"the images of {dataset.name} have {dataset.channels} channels")
    parts = split_dataset(dataset, val_size, seed, limit)
    part, what = (
        (parts.train, "training")
        if on == "test" or not len(parts.val)
        else (
            parts.val,
            "validation",
        )
    )
    count = MEASURED if what == "validation" else COMPARED
    # Taken first: all of them may be more than memory holds.
    part = part.take(torch.arange(min(count, len(part))))
    labels = part.labels if order is None else torch.tensor(order)[part.labels]
    return Images(part.pixels, labels), f"{what} images of {dataset.name}"


def reference_logits(source: Source, pixels: Tensor) -> Tensor:
    """Return logits `[N, C]` as training and evaluation have them, in float32 on the CPU."""
    weights = source.weights
    with torch.inference_mode():
        parts = [
            weights.network(weights.preprocessing(part)).logits.float()
            for part in torch.split(pixels, _BATCH)
        ]
    return torch.cat(parts)


def exported_logits(model: Model, pixels: Tensor) -> Tensor:
    """Return logits `[N, C]` as an exported file answers."""
    return torch.cat([model.logits(part) for part in torch.split(pixels, _BATCH)])


@dataclass(frozen=True)
class Measured:
    """Accuracy of a network on a part of the data.

    Attributes:
        part: which images.
        images: how many.
        accuracy: in [0, 1].
        interval: of it at 95 %, over images (Wilson 1927).
        calibration_error: in [0, 1]; None = not measured.
        calibrated_on: images that it was measured on.
    """

    part: str
    images: int
    accuracy: float
    interval: tuple[float, float]
    calibration_error: float | None
    calibrated_on: int


def measured_of(source: Source, sample: Sample, logits: Tensor) -> Measured | None:
    """Return what is known of the accuracy; None if it was never measured.

    Test images count only where the run's test door was opened, by what was recorded then.

    Args:
        source: the network.
        sample: images that it answered.
        logits: its answers.
    """
    record, card = source.record, source.weights.card
    if record is not None and record.tested and record.test is not None:
        best, count = record.test["best"], int(record.test["images"])
        share, error = float(best["accuracy"]), float(best["ece"])
        return Measured("test", count, share, wilson(share, count, _LEVEL), error, count)
    known, labels = card.accuracy, sample.labels
    if labels is not None and not sample.source.startswith("validation"):
        labels = None
    calibration = None if labels is None else calibration_error(logits, labels)
    count = 0 if labels is None else len(labels)
    if known is not None and known.choose_on == "val":
        share, images = known.value, min(known.val_size, known.limit or known.val_size)
    elif labels is not None:
        share, images = accuracy(logits, labels), count
    else:
        return None
    interval = wilson(share, images, _LEVEL)
    return Measured("validation", images, share, interval, calibration, count)
