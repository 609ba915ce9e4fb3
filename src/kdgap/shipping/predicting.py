"""Images → the most likely classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdgap.errors import BadInputError
from kdgap.shipping.models import Model, open_model
from kdgap.shipping.photographs import batches, listed, require_images


@dataclass(frozen=True)
class Guess:
    """A class and its probability, in [0, 1]."""

    name: str
    probability: float


@dataclass(frozen=True)
class Predictions:
    """The most likely classes of each image, most likely first.

    Attributes:
        model: what answered.
        images: path and guesses, in the order that was asked.
        ignored: other files in the folders that were named.
    """

    model: Model
    images: tuple[tuple[Path, tuple[Guess, ...]], ...]
    ignored: int


def predict_images(path: Path, given: Sequence[Path], top: int, device: str) -> Predictions:
    """Return the most likely classes of images.

    Args:
        path: a run, a weights file with a card, or an exported file or folder.
        given: image files, and folders of them.
        top: how many classes of each image, at least 1; all where there are fewer.
        device: where to compute.

    Raises:
        BadInputError: the model or an image cannot be used.
    """
    photographs = listed(given)
    model = open_model(path, device)
    require_images(model.facts, str(path))
    classes = model.facts.card.classes
    rows: list[tuple[Guess, ...]] = []
    for pixels in batches(photographs.paths, model.facts):
        shares = model.logits(pixels).double().softmax(1)
        if not bool(shares.isfinite().all()):
            raise BadInputError(f"{path}: answers with numbers that are not finite")
        best = shares.topk(min(top, len(classes)), dim=1)
        for values, places in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            guesses = zip(values, places, strict=True)
            rows.append(tuple(Guess(classes[place], value) for value, place in guesses))
    return Predictions(model, tuple(zip(photographs.paths, rows, strict=True)), photographs.ignored)
