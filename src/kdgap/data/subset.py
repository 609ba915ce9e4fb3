"""The fixed split into training and validation images, and the cap of a smoke run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kdgap.data.copies import Copies, count_copies
from kdgap.data.dataset import DATASETS, Dataset, Images, Request
from kdgap.deferred import torch
from kdgap.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Parts:
    """The images a run may see: `train` and `val`; `test` only behind the test door."""

    train: Images
    val: Images
    test: Images
    copies: Copies


def smaller_val_size(val_size: int, count: int) -> int | None:
    """Return a validation size that fits so many training images; None where the given one does."""
    return None if val_size < count else max(1, count // 5)


def needed_val_size(name: str, root: Path) -> int | None:
    """Return what to give as the validation size of a data set; None where the usual one does.

    Nothing is decoded. What cannot be listed is no reason to give any.
    """
    survey, usual = DATASETS[name].survey, DATASETS[name].val_size
    if survey is not None:
        with suppress(BadInputError):
            # Of any size: how many images there are does not depend on it.
            return smaller_val_size(usual, survey(Request(root, image_size=32)).train)
    return None


def split_dataset(
    dataset: Dataset,
    val_size: int,
    split_seed: int,
    limit: int | None,
    choose_on: Literal["val", "test"] = "val",
) -> Parts:
    """Split once, independently of the run's seed.

    The first `val_size` places of a permutation drawn from a torch generator with `split_seed`
    are validation, as in the reference study. A smoke run's `limit` keeps that many images of each
    part; the test images it keeps come from a permutation too, for they may be sorted by class.
    A study that declares `choose_on: test` has the test images in the place of validation.

    Raises:
        BadInputError: no training image would be left.
    """
    count = len(dataset.train)
    if smaller := smaller_val_size(val_size, count):
        raise BadInputError(
            f"val_size {val_size:,} leaves no training image: {dataset.name} has {count:,};"
            f" give a smaller val_size, such as {smaller} (evaluate: --val-size {smaller})"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(split_seed))
    val, train = order[:val_size], order[val_size:]
    test, kept = dataset.test, torch.arange(len(dataset.test))
    if limit is not None:
        val, train = val[:limit], train[:limit]
        kept = torch.randperm(len(test), generator=torch.Generator().manual_seed(split_seed))[
            :limit
        ]
        test = test.take(kept)
    chosen_on = test if choose_on == "test" else dataset.train.take(val)
    of_train, of_test = dataset.image_numbers
    copies = count_copies(of_train[train.numpy()], of_train[val.numpy()], of_test[kept.numpy()])
    return Parts(dataset.train.take(train), chosen_on, test, copies)
