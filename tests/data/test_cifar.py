"""CIFAR from any of its layouts: the same images, or one line that says what is wrong."""

import hashlib
import io
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kdgap.data import DATASETS, Dataset, Request, Shape, load_dataset
from kdgap.data.decoded import require_memory
from kdgap.errors import BadInputError

TRAIN, TEST = 7, 4
LABEL = {"cifar10": "label", "cifar100": "fine_label"}
CLASSES = {
    "cifar10": tuple(f"kind{i}" for i in range(10)),
    "cifar100": tuple(f"fine{i}" for i in range(100)),
}


@pytest.fixture(autouse=True)
def small_releases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish releases of a few images: what is tested here is how each layout is read.

    That the published counts are insisted on is tested in `test_named_sets.py`.
    """
    if request.node.get_closest_marker("shared_data") is None:
        for name, classes in (("cifar10", 10), ("cifar100", 100)):
            shape = Shape(classes, 3, (32, 32), TRAIN, TEST)
            entry = replace(DATASETS[name], shape=shape, balanced=False)
            monkeypatch.setitem(DATASETS._entries, name, entry)


def images_of(part: str, name: str) -> tuple[np.ndarray, list[int]]:
    """Random images uint8 [N, H, W, C] and labels; the highest label is among them."""
    count = TRAIN if part == "train" else TEST
    rng = np.random.default_rng(count)
    labels = rng.integers(0, len(CLASSES[name]), count).tolist()
    labels[-1] = len(CLASSES[name]) - 1
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), labels


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_shard(
    path: Path,
    images: Sequence[object],
    labels: Sequence[object],
    *,
    label: str = "label",
    names: Sequence[str] | None = CLASSES["cifar10"],
) -> None:
    """Write a parquet file as the Hugging Face hub has it; bytes become image structs."""
    rows = [{"bytes": x, "path": None} if isinstance(x, bytes) else x for x in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"img": {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    table = pa.table({"img": pa.array(rows, kind), label: pa.array(labels)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(about), path)


def write_parquet(root: Path, name: str, shards: int = 2) -> None:
    for part in ("train", "test"):
        images, labels = images_of(part, name)
        count = shards if part == "train" else 1
        for i, chosen in enumerate(np.array_split(np.arange(len(labels)), count)):
            write_shard(
                root / f"{part}-{i:05}-of-{count:05}.parquet",
                [png(images[j]) for j in chosen],
                [labels[j] for j in chosen],
                label=LABEL[name],
                names=CLASSES[name],
            )


def write_binary(root: Path, name: str) -> None:
    fine = name == "cifar100"
    folder = root / ("cifar-100-binary" if fine else "cifar-10-batches-bin")
    folder.mkdir()
    train_files = ["train.bin"] if fine else [f"data_batch_{i}.bin" for i in range(1, 6)]
    for part, files in (
        ("train", train_files),
        ("test", ["test.bin" if fine else "test_batch.bin"]),
    ):
        images, labels = images_of(part, name)
        for file, chosen in zip(
            files, np.array_split(np.arange(len(labels)), len(files)), strict=True
        ):
            rows = [
                (bytes([9]) if fine else b"")  # the coarse label
                + bytes([labels[j]])
                + images[j].transpose(2, 0, 1).tobytes()
                for j in chosen
            ]
            (folder / file).write_bytes(b"".join(rows))
    names = "fine_label_names.txt" if fine else "batches.meta.txt"
    (folder / names).write_text("\n".join(CLASSES[name]) + "\n\n")


def write_python(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the Python release; its published checksums are replaced by those of our files."""
    fine = name == "cifar100"
    folder = root / ("cifar-100-python" if fine else "cifar-10-batches-py")
    folder.mkdir()

    def dump(file: str, value: object) -> str:
        content = pickle.dumps(value)
        (folder / file).write_bytes(content)
        return hashlib.md5(content).hexdigest()

    lists = {}
    for part in ("train", "test"):
        images, labels = images_of(part, name)
        data = images.transpose(0, 3, 1, 2).reshape(len(labels), -1)
        key = "fine_labels" if fine else "labels"
        lists[part] = [[part, dump(part, {"data": data, key: labels})]]
    key = "fine_label_names" if fine else "label_names"
    digest = dump("meta", {key: list(CLASSES[name])})
    release = getattr(torchvision.datasets, name.upper())
    monkeypatch.setattr(release, "train_list", lists["train"])
    monkeypatch.setattr(release, "test_list", lists["test"])
    monkeypatch.setattr(release, "meta", {"filename": "meta", "key": key, "md5": digest})


def load(root: Path, name: str = "cifar10", **options: Any) -> Dataset:
    return load_dataset(name, Request(root, **options))


def refusal(root: Path, name: str = "cifar10", **options: Any) -> str:
    with pytest.raises(BadInputError) as caught:
        load(root, name, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def check(dataset: Dataset, name: str) -> None:
    for part, loaded in (("train", dataset.train), ("test", dataset.test)):
        images, labels = images_of(part, name)
        assert loaded.pixels.dtype == torch.uint8
        assert np.array_equal(loaded.pixels.numpy(), images.transpose(0, 3, 1, 2))
        assert loaded.labels.dtype == torch.int64
        assert loaded.labels.tolist() == labels
    assert dataset.classes == CLASSES[name]
    assert dataset.name == name
    assert (dataset.channels, dataset.image_size) == (3, (32, 32))


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

SHARD = "train-00000-of-00001.parquet"
GOOD = [png(image) for image in images_of("train", "cifar10")[0]]


def other_size(height: int, width: int) -> bytes:
    return png(np.zeros((height, width, 3), np.uint8))


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


def test_an_unreadable_image_is_described_without_a_memory_address(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, [b"no image"], [0])
    assert "0x" not in refusal(tmp_path)


@pytest.mark.parametrize("label", [10, -1])
def test_a_label_out_of_range_is_refused(label: int, tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, GOOD, [0] * (len(GOOD) - 1) + [label])
    message = refusal(tmp_path)
    assert message.startswith("cifar10: train labels run from ")
    assert message.endswith("but there are 10 classes")


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


@pytest.mark.parametrize("column", ["img", "label"])
def test_a_missing_column_is_named(column: str, tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    shard = tmp_path / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(shard).drop_columns([column]), shard)
    assert refusal(tmp_path) == f"{shard}: has no column {column!r}"


def test_an_image_column_that_holds_no_encoded_images_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    table = pq.read_table(tmp_path / SHARD)
    plain = pa.table({"img": pa.array(GOOD), "label": table["label"]})
    pq.write_table(plain.replace_schema_metadata(table.schema.metadata), tmp_path / SHARD)
    assert refusal(tmp_path).startswith(f"{tmp_path / SHARD}: ")


@pytest.mark.parametrize("names", [None, CLASSES["cifar10"][:9], CLASSES["cifar100"]])
def test_missing_or_too_few_class_names_are_refused(
    names: tuple[str, ...] | None, tmp_path: Path
) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, GOOD, [0] * len(GOOD), names=names)
    expected = f"{tmp_path / SHARD}: its schema names no 10 classes for a column 'label'"
    assert refusal(tmp_path).startswith(expected)


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    write_shard(tmp_path / SHARD, GOOD, [0] * len(GOOD), names=["cat"] * 10)
    assert refusal(tmp_path) == "cifar10: two classes have one name"


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


# --- cache


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards decoded so far."""
    from kdgap.data import parquet

    original = parquet.decode_shards
    calls: list[str] = []

    def counted(shards: list[Path], *rest: Any) -> Any:
        calls.extend(path.name for path in shards)
        return original(shards, *rest)

    monkeypatch.setattr(parquet, "decode_shards", counted)
    return calls


def cache_file() -> Path:
    (path,) = Path(os.environ["KDGAP_CACHE"]).rglob("*.safetensors")
    return path


def test_a_second_load_decodes_nothing_and_is_equal(tmp_path: Path, decoded: list[str]) -> None:
    write_parquet(tmp_path, "cifar10")
    first = load(tmp_path)
    assert len(decoded) == 3
    second = load(tmp_path)
    assert len(decoded) == 3
    check(second, "cifar10")
    assert replace(first, train=second.train, test=second.test) == second


def test_the_cache_follows_the_content_of_the_files_not_their_place(
    tmp_path: Path, decoded: list[str]
) -> None:
    write_parquet(tmp_path / "a", "cifar10", shards=1)
    (tmp_path / "a").rename(tmp_path / "b")
    load(tmp_path / "b")
    (tmp_path / "b").rename(tmp_path / "c")
    load(tmp_path / "c")
    assert len(decoded) == 2
    write_shard(tmp_path / "c" / SHARD, GOOD, range(TRAIN))
    assert load(tmp_path / "c").train.labels.tolist() == list(range(TRAIN))


def rewritten(path: Path, tensor: str, **about: str) -> None:
    """Rewrite a cache file, well formed, with one changed byte in a tensor or other metadata."""
    with safe_open(path, framework="pt") as stream:
        metadata = dict(stream.metadata()) | about
    tensors = load_file(path)
    if tensor:
        tensors[tensor].view(-1)[0] ^= 1
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: save_file({"x": torch.zeros(1)}, path),
        lambda path: rewritten(path, "train.pixels"),
        lambda path: rewritten(path, "test.pixels"),
        lambda path: rewritten(path, "train.labels"),
        lambda path: rewritten(path, "", classes="\0".join(CLASSES["cifar10"][::-1])),
        lambda path: rewritten(path, "", fingerprint="0" * 64),
    ],
    ids=[
        "empty",
        "garbage",
        "torn",
        "torn header",
        "other tensors",
        "train pixel",
        "test pixel",
        "label",
        "classes",
        "fingerprint",
    ],
)
def test_a_corrupt_cache_file_is_decoded_again_and_replaced(
    corrupt: Callable[[Path], None], tmp_path: Path, decoded: list[str]
) -> None:
    write_parquet(tmp_path, "cifar10", shards=1)
    load(tmp_path)
    corrupt(cache_file())
    check(load(tmp_path), "cifar10")
    assert len(decoded) == 4
    check(load(tmp_path), "cifar10")
    assert len(decoded) == 4


def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "file"))
    write_parquet(tmp_path / "data", "cifar10", shards=1)
    check(load(tmp_path / "data"), "cifar10")


# --- fingerprint


@pytest.mark.parametrize(
    ("file", "at"),
    [
        ("data_batch_1.bin", 1),
        ("data_batch_5.bin", -1),
        ("data_batch_2.bin", 0),
        ("test_batch.bin", 3072),
        ("batches.meta.txt", 0),
    ],
    ids=["first pixel", "last pixel", "label", "test pixel", "class name"],
)
def test_one_changed_byte_changes_the_fingerprint(file: str, at: int, tmp_path: Path) -> None:
    write_binary(tmp_path, "cifar10")
    before = load(tmp_path).fingerprint
    path = tmp_path / "cifar-10-batches-bin" / file
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert load(tmp_path).fingerprint != before


# --- memory


def give_memory(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=available))


def test_data_that_would_not_fit_in_memory_are_refused_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    write_parquet(tmp_path, "cifar10")
    give_memory(monkeypatch, 100 * 2**20)
    message = refusal(tmp_path)
    assert message.startswith(
        "cifar10: 60,000 images need about 0.84 GiB of memory, 0.098 GiB are "
    )
    assert decoded == []


def test_memory_that_just_suffices_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 2 * 1000 * 3072 + 512 * 2**20
    give_memory(monkeypatch, needed)
    require_memory("images", 1000, 3072)
    give_memory(monkeypatch, needed - 1)
    with pytest.raises(BadInputError, match="images: 1,000 images need"):
        require_memory("images", 1000, 3072)


# --- the real thing


@pytest.mark.shared_data
def test_the_real_cifar10_is_whole_and_in_order(shared_cifar10: Path) -> None:
    dataset = load(shared_cifar10)
    expected = "airplane automobile bird cat deer dog frog horse ship truck"
    assert dataset.classes == tuple(expected.split())
    assert dataset.train.pixels.shape == (50_000, 3, 32, 32)
    assert dataset.test.pixels.shape == (10_000, 3, 32, 32)
    assert dataset.train.labels.bincount().tolist() == [5000] * 10
    assert dataset.test.labels.bincount().tolist() == [1000] * 10
    known = "d3d1d5a5dad06bcc15e7da307ec0570fb957c96aacda46efed98805e94b8990f"
    assert dataset.fingerprint == known
