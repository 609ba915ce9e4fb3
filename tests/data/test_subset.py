"""The split is made once, by its own seed, whatever the run."""

import pytest
import torch

from kdgap.data import Dataset, Images, split_dataset
from kdgap.errors import BadInputError
from kdgap.spec.run import DataSpec

TRAIN, TEST = 50, 30


@pytest.fixture
def dataset() -> Dataset:
    """Images whose label is their index, and whose first pixel is too."""

    def numbered(count: int) -> Images:
        pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, 4, 4)
        return Images(pixels, torch.arange(count))

    return Dataset(
        name="numbers",
        train=numbered(TRAIN),
        test=numbered(TEST),
        classes=tuple(map(str, range(TRAIN))),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        fingerprint="",
        source="",
    )


def permutation(count: int, seed: int) -> list[int]:
    generator = torch.Generator()
    generator.manual_seed(seed)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


@pytest.mark.parametrize("seed", [1234, 0])
@pytest.mark.parametrize("val_size", [1, 5, TRAIN - 1])
def test_the_first_places_of_the_permutation_are_validation(
    seed: int, val_size: int, dataset: Dataset
) -> None:
    parts = split_dataset(dataset, val_size, seed, None)
    order = permutation(TRAIN, seed)
    assert parts.val.labels.tolist() == order[:val_size]
    assert parts.train.labels.tolist() == order[val_size:]
    assert parts.test.labels.tolist() == list(range(TEST))


def test_the_split_of_the_reference_never_changes(dataset: Dataset) -> None:
    val = split_dataset(dataset, 5, 1234, None).val.labels.tolist()
    assert val == [25, 33, 8, 47, 18]


def test_pixels_stay_with_their_labels(dataset: Dataset) -> None:
    for limit in (None, 7):
        parts = split_dataset(dataset, 10, 1234, limit)
        for images in (parts.train, parts.val, parts.test):
            assert images.pixels[:, 0, 0, 0].tolist() == images.labels.tolist()


def test_the_split_depends_on_no_global_random_state(dataset: Dataset) -> None:
    labels = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        labels.append(split_dataset(dataset, 10, 1234, 5).train.labels.tolist())
        assert torch.equal(torch.get_rng_state(), before)
    assert labels[0] == labels[1]


@pytest.mark.parametrize("val_size", [TRAIN, TRAIN + 1])
def test_a_validation_part_that_leaves_no_training_image_is_refused(
    val_size: int, dataset: Dataset
) -> None:
    with pytest.raises(BadInputError) as caught:
        split_dataset(dataset, val_size, 1234, None)
    expected = f"val_size {val_size} leaves no training image: numbers has {TRAIN}"
    assert str(caught.value).startswith(expected)


def test_a_limit_keeps_the_first_images_of_each_part(dataset: Dataset) -> None:
    whole = split_dataset(dataset, 10, 1234, None)
    parts = split_dataset(dataset, 10, 1234, 7)
    assert parts.train.labels.tolist() == whole.train.labels.tolist()[:7]
    assert parts.val.labels.tolist() == whole.val.labels.tolist()[:7]
    assert parts.test.labels.tolist() == permutation(TEST, 1234)[:7]


@pytest.mark.parametrize("val_size", [1, 10, TRAIN - 2])
@pytest.mark.parametrize("limit", [None, 2, 7, 1000])
def test_what_a_run_trains_on_is_as_many_as_its_data_say(
    val_size: int, limit: int | None, dataset: Dataset
) -> None:
    parts = split_dataset(dataset, val_size, 1234, limit)
    asked = DataSpec(name="numbers", val_size=val_size, limit=limit)
    assert asked.train_images(TRAIN) == len(parts.train)


def test_a_limit_above_the_size_of_a_part_keeps_all_of_it(dataset: Dataset) -> None:
    parts = split_dataset(dataset, 10, 1234, 1000)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (TRAIN - 10, 10, TEST)
