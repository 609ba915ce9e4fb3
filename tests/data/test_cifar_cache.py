"""What was decoded is kept, and is never believed without a look; what is too large is refused."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kdgap.data.decoded import require_memory
from kdgap.errors import BadInputError
from tests.data.cifar_files import (
    CLASSES,
    GOOD,
    SHARD,
    TRAIN,
    check,
    load,
    refusal,
    write_binary,
    write_parquet,
    write_shard,
)

pytestmark = pytest.mark.usefixtures("small_releases")


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


@pytest.fixture(scope="module")
def _cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cached") / "kept"


@pytest.fixture
def cached(_cached: Path, tmp_path: Path) -> Path:
    """Two shards whose images are in the cache: decoded by the first test that asks for them."""
    cache = os.environ["KDGAP_CACHE"]
    if not _cached.exists():
        write_parquet(tmp_path / "first", "cifar10", shards=1)
        load(tmp_path / "first")
        shutil.copytree(cache, _cached / "cache")
        (tmp_path / "first").rename(_cached / "data")
    shutil.copytree(_cached / "cache", cache, dirs_exist_ok=True)
    return _cached / "data"


def cache_file() -> Path:
    (path,) = Path(os.environ["KDGAP_CACHE"]).rglob("*.safetensors")
    return path


@pytest.mark.usefixtures("columns_here")
def test_a_second_load_decodes_nothing_and_is_equal(tmp_path: Path, decoded: list[str]) -> None:
    write_parquet(tmp_path, "cifar10")
    first = load(tmp_path)
    assert len(decoded) == 3
    second = load(tmp_path)
    assert len(decoded) == 3
    check(second, "cifar10")
    assert replace(first, train=second.train, test=second.test) == second


@pytest.mark.usefixtures("columns_here")
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


@pytest.mark.usefixtures("columns_here")
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
    corrupt: Callable[[Path], None], cached: Path, decoded: list[str]
) -> None:
    check(load(cached), "cifar10")
    assert decoded == []
    corrupt(cache_file())
    for _ in range(2):
        check(load(cached), "cifar10")
        assert len(decoded) == 2


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
