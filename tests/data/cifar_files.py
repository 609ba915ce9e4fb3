"""CIFAR of a few random images, in each of its layouts."""

import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image

from kdgap.data import Dataset, Request, load_dataset
from kdgap.errors import BadInputError

TRAIN, TEST = 7, 4
LABEL = {"cifar10": "label", "cifar100": "fine_label"}
CLASSES = {
    "cifar10": tuple(f"kind{i}" for i in range(10)),
    "cifar100": tuple(f"fine{i}" for i in range(100)),
}
SHARD = "train-00000-of-00001.parquet"


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


GOOD = [png(image) for image in images_of("train", "cifar10")[0]]


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
