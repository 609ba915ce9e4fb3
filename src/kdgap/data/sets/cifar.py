"""CIFAR-10 and CIFAR-100 from any of the three layouts that people have on disk.

Looked for under the root, in this order: hub-style parquet, the binary release, and the Python
release as torchvision downloads it (its files are read only if their published MD5 matches).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdgap.advice import command
from kdgap.data.cache import content_key, decoded_once
from kdgap.data.dataset import Decoded, Images, Request, Shape, dataset
from kdgap.data.decoded import require_memory
from kdgap.data.shards import find_shards
from kdgap.deferred import torch
from kdgap.errors import BadInputError, one_line
from kdgap.files import decode_text, make_folder, open_file
from kdgap.leftovers import scratch_prefix
from kdgap.placeholder import HEAD_BYTES, placeholder

if TYPE_CHECKING:
    from collections.abc import Callable

_SHAPE = (3, 32, 32)
_BYTES = 3 * 32 * 32
_IMAGES_AT_MOST = 60_000
"""In a binary file: more than any of the releases has."""
_NAMES_AT_MOST = 64_000
"""Bytes of a file of class names."""


@dataclass(frozen=True)
class _Layout:
    """The names that one of the two data sets uses in its releases."""

    name: str
    binary: str
    binary_train: tuple[str, ...]
    binary_test: str
    binary_classes: str
    label_bytes: int
    python: str
    torchvision: str
    image_column: str
    label_column: str
    classes: int


_CIFAR10 = _Layout(
    name="cifar10",
    binary="cifar-10-batches-bin",
    binary_train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    binary_test="test_batch.bin",
    binary_classes="batches.meta.txt",
    label_bytes=1,
    python="cifar-10-batches-py",
    torchvision="CIFAR10",
    image_column="img",
    label_column="label",
    classes=10,
)
_CIFAR100 = _Layout(
    name="cifar100",
    binary="cifar-100-binary",
    binary_train=("train.bin",),
    binary_test="test.bin",
    binary_classes="fine_label_names.txt",
    label_bytes=2,
    python="cifar-100-python",
    torchvision="CIFAR100",
    image_column="img",
    label_column="fine_label",
    classes=100,
)


@dataset(
    "cifar10",
    summary="50,000 + 10,000 colour images, 32x32, 10 classes",
    citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    val_size=5000,
    augmentation="crop_flip",
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    shape=Shape(10, 3, (32, 32), 50_000, 10_000),
    balanced=True,
)
def cifar10(request: Request) -> Decoded:
    """Load CIFAR-10."""
    return _load(_CIFAR10, request)


@dataset(
    "cifar100",
    summary="50,000 + 10,000 colour images, 32x32, 100 classes",
    citation="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    val_size=5000,
    augmentation="crop_flip",
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2675, 0.2565, 0.2761),
    shape=Shape(100, 3, (32, 32), 50_000, 10_000),
    balanced=True,
)
def cifar100(request: Request) -> Decoded:
    """Load CIFAR-100 with its 100 fine labels."""
    return _load(_CIFAR100, request)


def _load(layout: _Layout, request: Request) -> Decoded:
    root = request.root
    require_memory(layout.name, 60_000, _BYTES)
    for folder in (root, root / "plain_text", root / "data", root / layout.name):
        train, test = find_shards(folder, "train"), find_shards(folder, "test")
        if train and test:
            return _from_parquet(layout, folder, train, test)
    for folder in (root / layout.binary, root):
        if (folder / layout.binary_test).is_file():
            return _from_binary(layout, folder)
    if request.download or (root / layout.python).is_dir():
        return _from_torchvision(layout, request)
    raise BadInputError(_not_found(layout, root))


def _not_found(layout: _Layout, root: Path) -> str:
    download = command("data", layout.name, "--download", "--data-root", root)
    return (
        f"{layout.name} not found under {root}: looked for train-*.parquet and test-*.parquet"
        f" (also in plain_text/, data/, {layout.name}/), {layout.binary}/ and {layout.python}/;"
        f" get it with `{download}`, or name the folder that has it with --data-root"
    )


def _from_parquet(layout: _Layout, folder: Path, train: list[Path], test: list[Path]) -> Decoded:
    def decode() -> Decoded:
        # pyarrow is imported only where something has to be decoded.
        from kdgap.data.parquet import decode_shards, described

        descriptions = described([*train, *test], layout.label_column)
        require_memory(layout.name, sum(shard.rows for shard in descriptions), _BYTES)
        classes = descriptions[0].classes
        if classes is None or len(classes) != layout.classes:
            raise BadInputError(
                f"{train[0]}: its schema names no {layout.classes} classes for a column"
                f" {layout.label_column!r}; is this {layout.name}?"
            )
        named = descriptions[len(train)].classes
        if named not in (classes, None) and len(set(classes)) == len(classes):
            raise BadInputError(f"{test[0]}: its classes are not those of {train[0].name}")
        columns = (layout.image_column, layout.label_column)
        return Decoded(
            train=decode_shards(train, *columns, _SHAPE),
            test=decode_shards(test, *columns, _SHAPE),
            classes=classes,
            source="parquet",
        )

    return decoded_once(content_key(folder, [*train, *test], layout.name, "parquet"), decode)


def _from_binary(layout: _Layout, folder: Path) -> Decoded:
    parts = [_read_binary(layout, folder / name) for name in layout.binary_train]
    train = Images(
        torch.cat([part.pixels for part in parts]), torch.cat([part.labels for part in parts])
    )
    names = folder / layout.binary_classes
    try:
        classes = tuple(decode_text(_read(names, _NAMES_AT_MOST)).split())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{names}: {one_line(error)}") from None
    if len(classes) != layout.classes:
        raise BadInputError(f"{names}: {len(classes)} class names, expected {layout.classes}")
    return Decoded(train, _read_binary(layout, folder / layout.binary_test), classes, "binary")


def _read_binary(layout: _Layout, path: Path) -> Images:
    row = layout.label_bytes + _BYTES
    try:
        content = _read(path, _IMAGES_AT_MOST * row)
    except OSError as error:
        raise BadInputError(f"{path}: {error.strerror}") from None
    if what := placeholder(content[:HEAD_BYTES]):
        raise BadInputError(f"{path}: {what}")
    raw = np.frombuffer(content, dtype=np.uint8)
    if len(raw) == 0 or len(raw) % row:
        raise BadInputError(f"{path}: {len(raw):,} bytes are no whole number of {row}-byte images")
    rows = raw.reshape(-1, row)
    labels = torch.from_numpy(rows[:, layout.label_bytes - 1].astype(np.int64))
    pixels = rows[:, layout.label_bytes :].reshape(-1, *_SHAPE)
    return Images(torch.from_numpy(pixels.copy()), labels)


def _read(path: Path, most: int) -> bytes:
    with open_file(path) as stream:
        size = stream.seek(0, 2)
        if size > most:
            raise BadInputError(f"{path}: {size:,} bytes; no file of the release has {most:,}")
        stream.seek(0)
        return stream.read(size)


def _intact(make: Callable[..., object], root: Path) -> bool:
    """Whether torchvision finds its files there, with their published MD5."""
    try:
        make(str(root))
    except RuntimeError:
        return False
    return True


def _from_torchvision(layout: _Layout, request: Request) -> Decoded:
    import torchvision

    make = getattr(torchvision.datasets, layout.torchvision)
    folder = request.root / layout.python
    parts = []
    try:
        if request.download and not _intact(make, request.root):
            # Fetched elsewhere first, so that a download that fails leaves nothing behind.
            with tempfile.TemporaryDirectory(prefix=scratch_prefix("fetch")) as temporary:
                make(temporary, download=True)
                shutil.rmtree(folder, ignore_errors=True)
                make_folder(request.root)
                shutil.move(Path(temporary) / layout.python, folder)
        for train in (True, False):
            loaded = make(str(request.root), train=train)
            pixels = torch.from_numpy(loaded.data).permute(0, 3, 1, 2).contiguous()
            parts.append(Images(pixels, torch.tensor(loaded.targets, dtype=torch.int64)))
    except (OSError, RuntimeError) as error:
        reason = one_line(error, 120)
        raise BadInputError(f"{_not_found(layout, request.root)} ({reason})") from None
    return Decoded(parts[0], parts[1], tuple(loaded.classes), "torchvision")
