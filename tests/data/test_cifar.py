"""CIFAR from any of its layouts: the same images, or one line that says what is wrong."""

import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.cifar_files import (
    CLASSES,
    GOOD,
    SHARD,
    check,
    load,
    png,
    refusal,
    write_binary,
    write_parquet,
    write_python,
    write_shard,
)

pytestmark = pytest.mark.usefixtures("small_releases")


# --- layouts


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_every_layout_gives_the_same_images_labels_and_classes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints = set()
    for layout in ("parquet", "binary", "python"):
        root = tmp_path / layout
        root.mkdir()
        if layout == "parquet":
            write_parquet(root, name)
        elif layout == "binary":
            write_binary(root, name)
        else:
            write_python(root, name, monkeypatch)
        dataset = load(root, name)
        check(dataset, name)
        fingerprints.add(dataset.fingerprint)
    assert len(fingerprints) == 1


@pytest.mark.parametrize("folder", [".", "plain_text", "data", "cifar10"])
def test_parquet_is_found_where_the_hub_puts_it(folder: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / folder, "cifar10", shards=1)
    check(load(tmp_path), "cifar10")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_binary_files_may_be_given_directly(name: str, tmp_path: Path) -> None:
    write_binary(tmp_path, name)
    (folder,) = tmp_path.iterdir()
    check(load(folder, name), name)


@pytest.mark.usefixtures("columns_here")
def test_the_published_normalisation_is_used(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10")
    dataset = load(tmp_path)
    assert dataset.mean == (0.4914, 0.4822, 0.4465)
    assert dataset.std == (0.2470, 0.2435, 0.2616)


def test_images_of_fixed_size_are_not_resized(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10")
    assert refusal(tmp_path, image_size=64).startswith("image_size: ")


# --- missing data


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("cifar10", ("cifar-10-batches-bin/", "cifar-10-batches-py/")),
        ("cifar100", ("cifar-100-binary/", "cifar-100-python/")),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_missing_data_names_what_was_looked_for_and_the_command_to_get_it(
    name: str, folders: tuple[str, str], there: bool, tmp_path: Path
) -> None:
    root = tmp_path if there else tmp_path / "none"
    message = refusal(root, name)
    assert message.startswith(f"{name} not found under {root}: looked for train-*.parquet")
    assert all(folder in message for folder in folders)
    assert f"`kdgap data {name} --download --data-root {root}`" in message
    assert list(tmp_path.iterdir()) == []


def no_network(*_: object, **__: object) -> NoReturn:
    raise URLError("no network")


def test_a_download_without_network_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    message = refusal(tmp_path / "data", download=True)
    assert message.startswith("cifar10 not found under ")
    assert "no network" in message
    assert list(tmp_path.rglob("*")) == []


def test_a_damaged_download_is_fetched_again_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"torn")
    assert "corrupted" in refusal(tmp_path)
    assert "no network" in refusal(tmp_path, download=True)


@pytest.mark.usefixtures("columns_here")
def test_nothing_is_downloaded_if_the_data_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    write_parquet(tmp_path, "cifar10")
    check(load(tmp_path, download=True), "cifar10")


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_is_not_the_published_one_never_runs(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [f"data_batch_{i}" for i in range(1, 6)]
    for file in [*names, "test_batch", "batches.meta"]:
        (folder / file).write_bytes(pickle.dumps(Payload(tmp_path / "pwned")))
    assert "corrupted" in refusal(tmp_path)
    assert not (tmp_path / "pwned").exists()


# --- broken parquet


def other_size(height: int, width: int) -> bytes:
    return png(np.zeros((height, width, 3), np.uint8))


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (b"no image", "image in row 3: cannot be read"),
        (b"", "image in row 3: cannot be read"),
        (GOOD[0][:500], "image in row 3: cannot be read"),
        (other_size(28, 28), "image in row 3: is 28x28, expected 32x32"),
        (other_size(32, 31), "image in row 3: is 32x31, expected 32x32"),
        (None, "row 3"),
        ({"bytes": None}, "image in row 3: cannot be read"),
    ],
    ids=["garbage", "empty", "truncated", "28x28", "32x31", "null", "null bytes"],
)
def test_a_broken_image_is_refused_by_file_and_row(
    image: object, expected: str, tmp_path: Path
) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, [*GOOD[:3], image, *GOOD[4:]], [0] * len(GOOD))
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path / SHARD}: ")
    assert expected in message


@pytest.mark.usefixtures("columns_here")
def test_an_unreadable_image_is_described_without_a_memory_address(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, [b"no image"], [0])
    assert "0x" not in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize("label", [10, -1])
def test_a_label_out_of_range_is_refused(label: int, tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, GOOD, [0] * (len(GOOD) - 1) + [label])
    message = refusal(tmp_path)
    assert message.startswith("cifar10: train labels run from ")
    assert message.endswith("but there are 10 classes")


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize(
    "labels",
    [[None], [0.5], ["0"], [[0]], []],
    ids=["null", "decimals", "texts", "lists", "no rows"],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_that_are_no_whole_numbers_are_refused_by_file(
    labels: list[object], part: str, tmp_path: Path
) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    shard = tmp_path / f"{part}-00000-of-00001.parquet"
    write_shard(shard, GOOD[: len(labels)], labels)
    assert str(shard) in refusal(tmp_path)


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize("column", ["img", "label"])
def test_a_missing_column_is_named(column: str, tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    shard = tmp_path / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(shard).drop_columns([column]), shard)
    assert refusal(tmp_path) == f"{shard}: has no column {column!r}"


@pytest.mark.usefixtures("columns_here")
def test_an_image_column_that_holds_no_encoded_images_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    table = pq.read_table(tmp_path / SHARD)
    plain = pa.table({"img": pa.array(GOOD), "label": table["label"]})
    pq.write_table(plain.replace_schema_metadata(table.schema.metadata), tmp_path / SHARD)
    assert refusal(tmp_path).startswith(f"{tmp_path / SHARD}: ")


@pytest.mark.usefixtures("columns_here")
@pytest.mark.parametrize("names", [None, CLASSES["cifar10"][:9], CLASSES["cifar100"]])
def test_missing_or_too_few_class_names_are_refused(
    names: tuple[str, ...] | None, tmp_path: Path
) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, GOOD, [0] * len(GOOD), names=names)
    expected = f"{tmp_path / SHARD}: its schema names no 10 classes for a column 'label'"
    assert refusal(tmp_path).startswith(expected)


@pytest.mark.usefixtures("columns_here")
def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, GOOD, [0] * len(GOOD), names=["cat"] * 10)
    assert refusal(tmp_path) == "cifar10: two classes have one name"


@pytest.mark.usefixtures("columns_here")
def test_one_data_set_is_not_taken_for_the_other(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar100", shards=1)
    assert refusal(tmp_path).endswith("is this cifar10?")


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_shard_is_refused(missing: int, tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=2)
    (tmp_path / f"train-{missing:05}-of-00002.parquet").unlink()
    expected = f"{tmp_path}: 1 of 2 train parquet files are here, number {missing:05} is missing"
    assert refusal(tmp_path).startswith(expected)


@pytest.mark.parametrize("keep", [0, 4, -9])
def test_a_torn_shard_is_refused_by_name(keep: int, tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    shard = tmp_path / SHARD
    shard.write_bytes(shard.read_bytes()[:keep])
    assert refusal(tmp_path).startswith(f"{shard}: not a parquet file")


def test_a_folder_in_the_place_of_a_shard_is_refused_by_name(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    (tmp_path / SHARD).unlink()
    (tmp_path / SHARD).mkdir()
    assert str(tmp_path / SHARD) in refusal(tmp_path)


# --- broken binary files


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("data_batch_2.bin", b"\0" * 3072, "3,072 bytes are no whole number of 3073-byte images"),
        ("test_batch.bin", b"", "0 bytes are no whole number of 3073-byte images"),
        ("data_batch_5.bin", None, "No such file"),
        ("batches.meta.txt", None, "No such file"),
        ("batches.meta.txt", b"cat dog", "2 class names, expected 10"),
        ("batches.meta.txt", b"\xff" * 10, "can't decode"),
    ],
)
def test_a_broken_binary_file_is_refused_by_name(
    file: str, content: bytes | None, expected: str, tmp_path: Path
) -> None:
    write_binary(tmp_path, "cifar10")
    path = tmp_path / "cifar-10-batches-bin" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: ")
    assert expected in message


@pytest.mark.parametrize("name", ["data_batch_3.bin", "batches.meta.txt"])
def test_a_binary_file_of_any_length_is_not_read(name: str, tmp_path: Path) -> None:
    write_binary(tmp_path, "cifar10")
    path = tmp_path / "cifar-10-batches-bin" / name
    with path.open("r+b") as stream:
        stream.truncate(2**33)  # a hole: it takes no room on the disk
    tracemalloc.start()
    try:
        assert refusal(tmp_path).startswith(f"{path}: 8,589,934,592 bytes; no file of the release")
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_a_binary_label_out_of_range_is_refused(tmp_path: Path) -> None:
    write_binary(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"\x0a" + b"\0" * 3072)
    assert refusal(tmp_path).startswith("cifar10: test labels run from 10 to 10")
