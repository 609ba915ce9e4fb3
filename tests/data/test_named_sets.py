"""A named data set is the one that everybody has under its name, or it is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kdgap.data import DATASETS, Dataset, Images, Request, load_dataset
from kdgap.data.dataset import DatasetEntry, _unlike_published
from kdgap.data.shards import find_shards
from kdgap.errors import BadInputError

NAMES = ("cifar10", "cifar100", "digits")


def changed_set(entry: DatasetEntry, change: Callable[[dict[str, torch.Tensor]], None]) -> Dataset:
    """A data set of the published counts, whose images are one pixel wide and all unlike."""
    assert entry.shape is not None
    tensors = {}
    for part, count in (("train", entry.shape.train), ("test", entry.shape.test)):
        numbers = torch.arange(count, dtype=torch.int64) + (part == "test") * 2**30
        tensors[f"{part}.pixels"] = numbers.view(torch.uint8).view(count, 8, 1, 1)
        tensors[f"{part}.labels"] = torch.arange(count) % entry.shape.classes
    change(tensors)
    train, test = (
        Images(tensors[f"{p}.pixels"], tensors[f"{p}.labels"]) for p in ("train", "test")
    )
    classes = tuple(f"kind{i}" for i in range(entry.shape.classes))
    return Dataset("x", train, test, classes, (0.5,), (0.5,), "", "")


def without(part: str, count: int) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for kind in ("pixels", "labels"):
            tensors[f"{part}.{kind}"] = tensors[f"{part}.{kind}"][count:]

    return change


def relabelled(part: str) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{part}.labels"][0] = 1  # was 0

    return change


def repeated(count: int) -> Callable[[dict[str, torch.Tensor]], None]:
    """The first images again in the place of the last ones, labels and all."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for kind in ("pixels", "labels"):
            whole = tensors[f"train.{kind}"]
            whole[-count:] = whole[:count].clone()

    return change


@pytest.mark.parametrize("name", NAMES)
def test_the_published_counts_pass(name: str) -> None:
    entry = DATASETS[name]
    assert _unlike_published(entry, changed_set(entry, lambda _: None)) == ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["train", "test"])
def test_one_image_too_few_is_not_the_set(name: str, part: str) -> None:
    entry = DATASETS[name]
    assert entry.shape is not None
    message = _unlike_published(entry, changed_set(entry, without(part, 1)))
    assert f"not {entry.shape.train:,} and {entry.shape.test:,}" in message


@pytest.mark.parametrize(
    ("name", "part", "expected"),
    [
        ("cifar10", "train", "class 'kind0' has 4,999 training images, not 5,000"),
        ("cifar10", "test", "class 'kind0' has 999 test images, not 1,000"),
        ("cifar100", "train", "class 'kind0' has 499 training images, not 500"),
        ("cifar100", "test", "class 'kind0' has 99 test images, not 100"),
    ],
)
def test_a_class_with_other_counts_is_not_the_set(name: str, part: str, expected: str) -> None:
    entry = DATASETS[name]
    assert _unlike_published(entry, changed_set(entry, relabelled(part))) == expected


@pytest.mark.parametrize("count", [10_000, 25_000])
def test_a_file_there_twice_is_not_the_set_though_it_counts_right(count: int) -> None:
    entry = DATASETS["cifar10"]
    message = _unlike_published(entry, changed_set(entry, repeated(count)))
    assert message.startswith(f"{count:,} of 50,000 training images are copies")


def test_a_few_copies_are_what_published_sets_have() -> None:
    entry = DATASETS["cifar100"]
    assert _unlike_published(entry, changed_set(entry, repeated(100))) == ""


def test_folders_of_ones_own_have_any_counts() -> None:
    entry = DATASETS["imagefolder"]
    assert entry.shape is None
    assert not entry.balanced


# --- whole releases on disk


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    """CIFAR-10's binary release of random images: 50,000 and 10,000 rows of 3,073 bytes."""
    random = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", 50_000), ("test", 10_000)):
        parts[part] = random.integers(0, 256, (count, 3073), dtype=np.uint8)
        parts[part][:, 0] = np.arange(count) % 10
    return parts


def write_release(root: Path, rows: dict[str, np.ndarray]) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for number, batch in enumerate(np.array_split(rows["train"], 5), start=1):
        batch.tofile(folder / f"data_batch_{number}.bin")
    rows["test"].tofile(folder / "test_batch.bin")
    (folder / "batches.meta.txt").write_text("\n".join(f"kind{i}" for i in range(10)))
    return folder


def refusal(root: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        load_dataset("cifar10", Request(root))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"cifar10 under {root} (binary): ")
    assert message.endswith(f"`kdgap data cifar10 --download --data-root {root / 'whole'}`")
    return message


def test_a_whole_release_is_read_and_what_is_wrong_with_it_is_refused(
    tmp_path: Path, rows: dict[str, np.ndarray]
) -> None:
    folder = write_release(tmp_path, rows)
    dataset = load_dataset("cifar10", Request(tmp_path))
    assert (len(dataset.train), len(dataset.test)) == (50_000, 10_000)
    # One batch under two names: the counts are right, the images are not.
    first, second = folder / "data_batch_1.bin", folder / "data_batch_2.bin"
    kept = second.read_bytes()
    second.write_bytes(first.read_bytes())
    assert "10,000 of 50,000 training images are copies" in refusal(tmp_path)
    # A batch that was cut between two images.
    second.write_bytes(kept[: 3073 * 9999])
    assert "has 49,999 training and 10,000 test images, not 50,000 and" in refusal(tmp_path)
    # A class that is one short, and another one over.
    second.write_bytes(b"\x01" + kept[1:])
    assert "class 'kind0' has 4,999 training images, not 5,000" in refusal(tmp_path)


# --- names of shards


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00001.parquet"],
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
        ["train-00000-of-00002-b42a775f407cee45.parquet", "train-00001-of-00002-0a1b.parquet"],
        ["train-00000-of-00002-b42a775f407cee45.parquet", "train-00001-of-00002.parquet"],
        [f"train-{i:05}-of-00012.parquet" for i in range(12)],
    ],
)
def test_shards_come_in_the_order_of_their_numbers(names: list[str], tmp_path: Path) -> None:
    touch(tmp_path, *names[::-1], "test-00000-of-00003.parquet", "._train-00000-of-00009.parquet")
    assert [path.name for path in find_shards(tmp_path, "train")] == names


def test_no_shards_are_no_error(tmp_path: Path) -> None:
    touch(tmp_path, "train.parquet", "train-notes.parquet", "train-00000-of-00001.json")
    assert find_shards(tmp_path, "train") == []
    assert find_shards(tmp_path / "nowhere", "train") == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train-00000-of-00002-b42a5e4d3e8f2e4b.parquet"], "1 of 2 train parquet files are here"),
        (["train-00001-of-00003-b4.parquet", "train-00000-of-00003-c5.parquet"], "number 00002"),
        (["train-00001-of-00002.parquet"], "number 00000 is missing"),
        (["train-00000-of-99999999999999999999.parquet"], "number 00001 is missing"),
        (["train-00000-of-00001-aaaa.parquet", "train-00000-of-00001-bbbb.parquet"], "same shard"),
        (["train-00000-of-00001-aaaa.parquet", "train-00000-of-00001.parquet"], "same shard"),
        (["train-00000-of-00001.parquet", "train-00001-of-00002.parquet"], "two releases"),
        (["train-00000-of-00001-aaaa.parquet", "train-00000-of-00002-bbbb.parquet"], "two rel"),
        (["train-00001-of-00001.parquet"], "none of a shard, which count from 0"),
        (["train-00000-of-00001.parquet", "train-00001-of-00001.parquet"], "none of a shard"),
        (["train-00000-of-00000.parquet"], "none of a shard"),
        (["train-00000-of-00001 (1).parquet"], "none of a shard"),
        (["train-00000-of-00001.copy.parquet"], "none of a shard"),
        (["train-a-of-b.parquet"], "none of a shard"),
    ],
)
def test_shards_that_are_no_whole_release_are_refused_by_name(
    names: list[str], words: str, tmp_path: Path
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(BadInputError) as caught:
        find_shards(tmp_path, "train")
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
