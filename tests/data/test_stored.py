"""Images that memory cannot hold stay in a file: same bits, and memory that does not grow."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap import disk
from kdgap.data import BatchStream, Dataset, Request, load_dataset, split_dataset
from kdgap.data.contact import contact_sheet
from kdgap.data.images import StoredImages
from kdgap.errors import BadInputError
from kdgap.shipping import evidence

SIZE = 12
TIGHT = SimpleNamespace(available=2**20)


@pytest.fixture(params=["split", "whole"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two classes, with a split of their own and without."""
    rng = np.random.default_rng(0)
    parts = {"split": {"train": 11, "test": 4}, "whole": {".": 15}}[request.param]
    for part, count in parts.items():
        for name in ("ant", "bee"):
            for number in range(count):
                path = tmp_path / "images" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (9, 20, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: TIGHT)


def both(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: Request
) -> tuple[Dataset, Dataset]:
    """Return the data as it is in memory, and decoded into a file."""
    resident = load_dataset("imagefolder", request)
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "other"))
    tight(monkeypatch)
    mapped = load_dataset("imagefolder", request)
    assert not isinstance(resident.train, StoredImages)
    assert isinstance(mapped.train, StoredImages)
    assert isinstance(mapped.test, StoredImages)
    return resident, mapped


@pytest.mark.parametrize("size", [SIZE, None])
def test_everything_that_is_known_of_the_data_is_the_same(
    size: int | None, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resident, mapped = both(root, monkeypatch, tmp_path, Request(root, size))
    assert mapped.fingerprint == resident.fingerprint
    assert (mapped.mean, mapped.std) == (resident.mean, resident.std)
    assert (mapped.shape, mapped.split) == (resident.shape, resident.split)
    for own, other in zip(mapped.image_numbers, resident.image_numbers, strict=True):
        assert own.tolist() == other.tolist()
    assert contact_sheet(mapped) == contact_sheet(resident)
    assert torch.equal(mapped.train.pixels, resident.train.pixels)
    assert torch.equal(mapped.test.labels, resident.test.labels)


def test_batches_and_parts_have_the_same_bits(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = [
        split_dataset(d, 5, 7, 13) for d in both(root, monkeypatch, tmp_path, Request(root, SIZE))
    ]
    assert own[0].copies == own[1].copies
    for name in ("train", "val", "test"):
        first, second = (getattr(parts, name) for parts in own)
        assert isinstance(second, StoredImages)
        assert len(first) == len(second)
        chunks = zip(first.chunks(3), second.chunks(3), strict=True)
        assert all(torch.equal(a, b) for a, b in chunks)
    streams = [BatchStream(parts.train.to(torch.device("cpu")), 4, 0, "crop_flip") for parts in own]
    for step in range(streams[0].steps):
        (pixels, labels), (others, theirs) = (stream.pixels(1, step) for stream in streams)
        assert torch.equal(pixels, others)
        assert torch.equal(labels, theirs)
        assert pixels.stride() == others.stride()


def test_what_either_way_has_kept_serves_the_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(root, SIZE)
    with monkeypatch.context() as patch:
        tight(patch)
        mapped = load_dataset("imagefolder", request)
        patch.setattr("kdgap.data.decoding.fitted", lambda *_: pytest.fail("decoded again"))
        assert isinstance(load_dataset("imagefolder", request).train, StoredImages)
    monkeypatch.setattr("kdgap.data.decoding.fitted", lambda *_: pytest.fail("decoded again"))
    resident = load_dataset("imagefolder", request)
    assert not isinstance(resident.train, StoredImages)
    assert resident.fingerprint == mapped.fingerprint


def test_what_is_skipped_is_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in sorted(root.rglob("1*.png")):
        path.write_bytes(b"no image")
    request = Request(root, SIZE, skip_broken=True)
    resident, mapped = both(root, monkeypatch, tmp_path, request)
    assert mapped.left_out == resident.left_out
    assert mapped.fingerprint == resident.fingerprint


def test_a_broken_image_leaves_no_file_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    next(iter(sorted(root.rglob("*.png")))).write_bytes(b"no image")
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))
    tight(monkeypatch)
    with pytest.raises(BadInputError, match="its content is not PNG"):
        load_dataset("imagefolder", Request(root, SIZE))
    assert not list((tmp_path / "cache" / "images").iterdir())


def test_a_cache_that_cannot_be_written_says_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "file"))
    tight(monkeypatch)
    with pytest.raises(BadInputError, match="too many images for the free memory") as caught:
        load_dataset("imagefolder", Request(root, SIZE))
    assert "set KDGAP_CACHE to a folder on a larger disk" in str(caught.value)


def test_a_torn_file_is_decoded_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))
    tight(monkeypatch)
    first = load_dataset("imagefolder", Request(root, SIZE)).fingerprint
    (path,) = (tmp_path / "cache" / "images").iterdir()
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.unlink()  # what is mapped stays as it was
    path.write_bytes(content)
    assert load_dataset("imagefolder", Request(root, SIZE)).fingerprint == first
    assert path.read_bytes() != content


_CHILD = """
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
import psutil, torch
from kdgap.data import BatchStream, Request, load_dataset, split_dataset
torch.set_num_threads(1)
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
psutil.virtual_memory = lambda: SimpleNamespace(available=2**20)
most = 0
digest = __import__("kdgap.data.decoded", fromlist=["x"])
chunks = digest.StoredImages.chunks
def watched(*given):
    global most
    for chunk in chunks(*given):
        most = max(most, resident())
        yield chunk
digest.StoredImages.chunks = watched
dataset = load_dataset("imagefolder", Request(Path(sys.argv[1]), 256))
parts = split_dataset(dataset, 8, 0, None)
stream = BatchStream(parts.train, 8, 0, "none")
for step in range(stream.steps):
    stream.pixels(0, step)
    most = max(most, resident())
print(most)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process holds")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """All that is resident: what the process holds, and pages of files."""
    most = []
    for count in (60, 400):  # 11 and 75 MiB of pixels
        root = tmp_path / str(count)
        for number in range(count):
            path = root / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(level).save(path)
        environment = {
            **os.environ,
            "KDGAP_CACHE": str(tmp_path / f"cache {count}"),
            "MALLOC_ARENA_MAX": "1",  # what was freed is given back, and counts no more
            "MALLOC_MMAP_THRESHOLD_": "65536",
        }
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(root)],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        )
        most.append(int(done.stdout))
    assert most[1] - most[0] < 20 * 1024  # KiB


def test_an_export_copies_no_more_images_than_it_looks_at(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resident, mapped = both(root, monkeypatch, tmp_path, Request(root, SIZE))
    monkeypatch.setattr(evidence, "MEASURED", 3)
    whole: Any = inspect.getattr_static(StoredImages, "pixels")
    copied: list[int] = []

    def counted(images: StoredImages) -> torch.Tensor:
        copied.append(len(images))
        pixels: torch.Tensor = whole.fget(images)
        return pixels

    monkeypatch.setattr(StoredImages, "pixels", property(counted))
    weights = SimpleNamespace(order=lambda _: (1, 0), card=SimpleNamespace(channels=3))
    answers: list[Any] = [
        evidence._seen_so(cast("Any", SimpleNamespace(weights=weights)), data, 6, 7, None, "val")
        for data in (resident, mapped)
    ]
    assert copied == [3]
    (first, words), (second, same) = answers
    assert words == same == "validation images of imagefolder"
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.labels, second.labels)
    plain = split_dataset(resident, 6, 7, None).val.labels[:3]
    assert torch.equal(first.labels, 1 - plain)


def stored(root: Path, monkeypatch: pytest.MonkeyPatch, channels_last: bool = True) -> StoredImages:
    """Return images that stay in the file, in either layout of the cache."""
    request = Request(root, SIZE)
    if not channels_last:
        load_dataset("imagefolder", request)  # fits, and so is kept as it lies in memory
    tight(monkeypatch)
    images = load_dataset("imagefolder", request).train
    assert isinstance(images, StoredImages)
    return images


@pytest.mark.parametrize("channels_last", [True, False])
def test_any_rows_are_read_in_any_order(
    root: Path, monkeypatch: pytest.MonkeyPatch, channels_last: bool
) -> None:
    images = stored(root, monkeypatch, channels_last)
    everything = images.pixels
    index = torch.tensor([3, 4, 5, 0, 7, 7, 6, 1])
    for places in (index, index[:1], index[:0], index.flip(0)):
        rows = images.rows().index_select(0, places)
        assert rows.is_contiguous()
        assert torch.equal(rows.permute(0, 3, 1, 2), everything[places])
        assert torch.equal(images.take(places).pixels, everything[places])


class Advised(disk.Disk):
    """Keeps what is to be read ahead, and what was read."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def read_at(self, handle: int, buffer: memoryview, place: int) -> int:
        self.calls.append(("read", place))
        return super().read_at(handle, buffer[:100], place)  # the system may give less

    def will_need(self, handle: int, place: int, size: int) -> None:
        self.calls.append(("expect", place))
        super().will_need(handle, place, size)


def test_one_batch_is_read_ahead_in_the_order_of_the_stream(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = BatchStream(stored(root, monkeypatch), 4, 0, "none")
    plain = [stream.pixels(0, step) for step in range(stream.steps)]
    layer = Advised()
    monkeypatch.setattr(disk, "current", layer)
    expected: list[int] = []
    for step in range(stream.steps):
        layer.calls.clear()
        pixels, labels = stream.pixels(0, step)
        assert torch.equal(pixels, plain[step][0])
        assert torch.equal(labels, plain[step][1])
        begun = {place for what, place in layer.calls if what == "read"}
        assert not expected or set(expected) <= begun
        expected = [place for what, place in layer.calls if what == "expect"]
        assert bool(expected) == (step + 1 < stream.steps)


def test_nothing_is_read_ahead_of_what_is_in_memory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load_dataset("imagefolder", Request(root, SIZE)).train
    monkeypatch.setattr(disk.Disk, "will_need", lambda *_: pytest.fail("read ahead"))
    stream = BatchStream(images, 4, 0, "none")
    assert len(stream.pixels(0, 0)[1]) == 4


def test_a_file_that_became_shorter_is_an_error_that_names_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))
    images = stored(root, monkeypatch)
    (path,) = (tmp_path / "cache" / "images").iterdir()
    os.truncate(path, 5000)
    with pytest.raises(OSError, match="shorter than it was"):
        images.rows().index_select(0, torch.arange(len(images)))
