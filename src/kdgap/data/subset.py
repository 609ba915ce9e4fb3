"""The fixed split into training and validation images, and the cap of a smoke run."""

from dataclasses import dataclass
from typing import Literal

import torch

from kdgap.data.copies import Copies, count_copies
from kdgap.data.dataset import Dataset, Images
from kdgap.errors import BadInputError


@dataclass(frozen=True)
class Parts:
    """The images a run may see: `train` and `val`; `test` only behind the test door."""

    train: Images
    val: Images
    test: Images
    copies: Copies


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
    if val_size >= count:
        raise BadInputError(
            f"val_size {val_size:,} leaves no training image: {dataset.name} has {count:,};"
            " give a smaller val_size (evaluate: --val-size)"
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
    copies = count_copies(
        [of_train[i] for i in train.tolist()],
        [of_train[i] for i in val.tolist()],
        [of_test[i] for i in kept.tolist()],
    )
    return Parts(dataset.train.take(train), chosen_on, test, copies)
