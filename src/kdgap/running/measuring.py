"""A weights file with the images that it is measured on: those of its card, or others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdgap.data import (
    DATASETS,
    Dataset,
    Images,
    Parts,
    Request,
    load_dataset,
    smaller_val_size,
    split_dataset,
)
from kdgap.engine.device import make_deterministic, pick_device
from kdgap.engine.evaluate import predict
from kdgap.engine.layout import place
from kdgap.notice import Notice
from kdgap.running.teacher import TeacherWeights, check_teacher, in_order, open_teacher
from kdgap.spec.run import TEST_SHARE, DataSpec
from kdgap.store.card import Card
from kdgap.store.notices import SEEN_VALIDATION

if TYPE_CHECKING:
    from kdgap.spec.run import Precision


@dataclass(frozen=True)
class OnImages:
    """Which images a weights file is measured on; None = as its card says, or as usual.

    Attributes:
        data_root: folder that holds the data.
        data: name of the data set; classes are matched by name.
        image_size: side in pixels that its images are resized to, where they are.
        val_size: number of validation images.
        split_seed: seed of the permutation that sets them apart.
        test_share, skip_broken: of images that come without a split, as `Request` takes them.
    """

    data_root: Path
    data: str | None = None
    image_size: int | None = None
    val_size: int | None = None
    split_seed: int | None = None
    test_share: float | None = None
    skip_broken: bool = False


@dataclass(frozen=True)
class Setting:
    """A weights file with data, split and computed as its card says, or as was asked.

    Attributes:
        conditions: the fields of `MeasuredAccuracy` that say so.
        notices: what a reader of its accuracy has to know; `of_validation`: of that on validation.
    """

    weights: TeacherWeights
    dataset: Dataset
    parts: Parts
    conditions: Mapping[str, Any]
    device: torch.device
    notices: tuple[Notice, ...] = ()
    of_validation: tuple[Notice, ...] = ()

    def logits(self, weights: TeacherWeights, images: Images) -> Tensor:
        """Return logits `[N, C]` of some weights, in the order of the data's classes."""
        precision: Precision = self.conditions["precision"]
        network = place(weights.network, weights.card.model, self.device)
        logits = predict(network, images, weights.preprocessing, precision, self.device)
        return in_order(logits, weights.order(self.dataset.classes))


def setting(path: Path, architecture: str | None, on: OnImages, device_name: str) -> Setting:
    """Load a weights file and the images to measure it on.

    Of a network with more classes than the data, the logits of the data's are compared. Where the
    usual number of validation images leaves none to train on, a smaller one is taken, and it is
    said; one that was asked for is refused.

    Raises:
        BadInputError: the data is missing, or has no room for so many validation images.
        TeacherError: the weights do not fit the data.
    """
    weights = open_teacher(path, architecture, unmeasured=True, subset=True)
    device = pick_device(device_name)
    make_deterministic(0, None)
    dataset = _dataset(weights.card, on)
    notices, of_validation = list[Notice](), list[Notice]()
    check_teacher(weights, dataset, device, same_data=False)
    conditions = _conditions(weights.card, dataset.name)
    usual, count = conditions["val_size"], len(dataset.train)
    if on.val_size is not None:
        conditions["val_size"] = on.val_size
    elif smaller := smaller_val_size(usual, count):
        conditions["val_size"] = smaller
        text = (
            f"{smaller:,} of {count:,} training images are validation: {usual:,} would leave none"
            " to train on (--val-size chooses)"
        )
        of_validation.append(Notice("smaller-validation", text, severity="info"))
    if on.split_seed is not None:
        conditions["split_seed"] = on.split_seed
    seen = weights.card.has_seen_validation(dataset.name, dataset.fingerprint)
    if seen and conditions["choose_on"] == "val":
        of_validation.append(SEEN_VALIDATION)
    trained = weights.card.fingerprint
    if dataset.split is not None and trained not in (None, dataset.fingerprint):
        text = (
            "these weights were trained on other images, or on another split of these, which came"
            " without one: they may know some of the test images"
        )
        notices.append(Notice("split-otherwise", text))
    split = {key: conditions[key] for key in ("val_size", "split_seed", "limit", "choose_on")}
    parts = split_dataset(dataset, **split)
    return Setting(
        weights, dataset, parts, conditions, device, tuple(notices), tuple(of_validation)
    )


def _dataset(card: Card, on: OnImages) -> Dataset:
    name, size = on.data or card.data, on.image_size
    if size is None and DATASETS[name].resized:
        size = card.stored_side
    seed = on.split_seed if on.split_seed is not None else _conditions(card, name)["split_seed"]
    asked = Request(
        on.data_root,
        size,
        test_share=TEST_SHARE if on.test_share is None else on.test_share,
        split_seed=seed,
        skip_broken=on.skip_broken,
    )
    return load_dataset(name, asked)


def _conditions(card: Card, data: str) -> dict[str, Any]:
    """Split and precision of the card's own measurement, or the data set's usual ones in fp32."""
    if card.accuracy is not None and data == card.data:
        return card.accuracy.model_dump(exclude={"value", "environment"})
    usual = DataSpec(name=data, val_size=DATASETS[data].val_size)
    return {
        "val_size": usual.val_size,
        "split_seed": usual.split_seed,
        "limit": None,
        "choose_on": "val",
        "precision": "fp32",
    }
