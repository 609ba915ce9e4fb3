"""A folder of images becomes a data set, or one line says which file or class is wrong."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.data import Dataset, Request, load_dataset
from kdgap.errors import BadInputError

SIZE = 8


def noise(seed: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def put(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes; two training images and one test image of each."""
    for label, name in enumerate(("ant", "bee")):
        put(tmp_path / "train" / name / "2.png", noise(10 * label + 2))
        put(tmp_path / "train" / name / "1.png", noise(10 * label + 1))
        put(tmp_path / "test" / name / "3.png", noise(10 * label + 3))
    return tmp_path


def load(root: Path, size: int | None = SIZE) -> Dataset:
    return load_dataset("imagefolder", Request(root, size))


def refusal(root: Path, size: int | None = SIZE) -> str:
    with pytest.raises(BadInputError) as caught:
        load(root, size)
    message = str(caught.value)
    assert "\n" not in message
    return message


def pixels(*seeds: int) -> np.ndarray:
    return np.stack([noise(seed).transpose(2, 0, 1) for seed in seeds])


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_classes_and_images_come_in_order_of_their_names(test_name: str, root: Path) -> None:
    (root / "test").rename(root / test_name)
    dataset = load(root)
    assert dataset.classes == ("ant", "bee")
    assert np.array_equal(dataset.train.pixels.numpy(), pixels(1, 2, 11, 12))
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(dataset.test.pixels.numpy(), pixels(3, 13))
    assert dataset.test.labels.tolist() == [0, 1]
    assert dataset.train.pixels.dtype == torch.uint8


def test_test_images_are_those_of_test_where_val_is_there_too(root: Path) -> None:
    put(root / "val" / "wasp" / "1.png", noise(0))
    assert load(root).classes == ("ant", "bee")


def test_other_files_are_left_out(root: Path) -> None:
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "train" / "readme.md").write_text("no class")
    assert len(load(root).train) == 4


def test_normalisation_is_computed_from_the_training_images(root: Path) -> None:
    dataset = load(root)
    scaled = pixels(1, 2, 11, 12) / 255
    assert dataset.mean == pytest.approx(scaled.mean(axis=(0, 2, 3)), abs=1e-6)
    assert dataset.std == pytest.approx(scaled.std(axis=(0, 2, 3)), abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(SIZE, 3 * SIZE), (3 * SIZE, SIZE)])
def test_the_centre_of_an_image_that_is_not_square_is_kept(
    height: int, width: int, root: Path
) -> None:
    array = noise(5, height, width)
    put(root / "train" / "ant" / "1.png", array)
    top, left = (height - SIZE) // 2, (width - SIZE) // 2
    centre = array[top : top + SIZE, left : left + SIZE].transpose(2, 0, 1)
    assert np.array_equal(load(root).train.pixels[0].numpy(), centre)


@pytest.mark.parametrize(("height", "width"), [(2, 5), (50, 31), (1, 1)])
def test_images_are_resized_to_the_size_asked_for(height: int, width: int, root: Path) -> None:
    put(root / "train" / "ant" / "1.png", np.full((height, width, 3), 77, np.uint8))
    dataset = load(root, 16)
    assert dataset.image_size == (16, 16)
    assert dataset.train.pixels[0].unique().tolist() == [77]


def test_grey_images_get_three_equal_channels(root: Path) -> None:
    grey = noise(5)[:, :, 0]
    put(root / "train" / "ant" / "1.png", grey)
    assert np.array_equal(load(root).train.pixels[0].numpy(), np.stack([grey] * 3))


# --- refused


def test_an_image_size_must_be_given(root: Path) -> None:
    assert "give image_size" in refusal(root, None)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named(part: str, root: Path) -> None:
    (root / part).rename(root / "elsewhere")
    message = refusal(root)
    assert message.startswith(f"imagefolder {root}: looked for train/CLASS/ and test/CLASS/")
    assert f"{'train' if part == 'train' else 'val'}/ is missing" in message


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_in_one_part_only_is_named(part: str, root: Path) -> None:
    put(root / part / "cat" / "1.png", noise(0))
    assert refusal(root) == f"imagefolder {root}: class 'cat' is in {part}/ only"


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_class_is_named(part: str, root: Path) -> None:
    put(root / "train" / "cat" / "1.png", noise(0))
    put(root / "test" / "cat" / "1.png", noise(1))
    (root / part / "cat" / "1.png").unlink()
    message = refusal(root)
    assert message.startswith(f"{root / part}: ")
    assert "cat" in message


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_classes_is_named(part: str, root: Path) -> None:
    (root / part).rename(root / "elsewhere")
    (root / part).mkdir()
    assert refusal(root).startswith(f"{root / part}: ")


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone.png"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no image"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:120]),
        dangle,
    ],
    ids=["garbage", "empty", "truncated", "dangling link"],
)
@pytest.mark.parametrize("file", ["train/bee/1.png", "test/ant/3.png"])
def test_a_broken_image_is_refused_by_its_path(
    damage: Callable[[Path], None], file: str, root: Path
) -> None:
    damage(root / file)
    assert refusal(root).startswith(f"{root / file}: ")


def test_images_that_would_not_fit_in_memory_are_refused_before_one_is_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "train" / "bee" / "1.png").write_bytes(b"no image")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**20))
    message = refusal(root)
    assert message.startswith(f"imagefolder {root}: 6 images need about 0.5 GiB of memory")
    assert "smaller image_size" in message


# --- cache


def no_decoding(*_: object) -> NoReturn:
    raise AssertionError("decoded again")


def test_a_second_load_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(root)
    monkeypatch.setattr("kdgap.data.sets.folder._decode", no_decoding)
    second = load(root)
    assert second.fingerprint == first.fingerprint
    assert torch.equal(second.train.pixels, first.train.pixels)


def test_another_size_and_other_files_are_decoded_anew(root: Path) -> None:
    prints = [load(root).fingerprint, load(root, 16).fingerprint]
    put(root / "test" / "bee" / "3.png", noise(99))
    prints.append(load(root).fingerprint)
    # The same bytes in the same order, but of another class.
    (root / "train" / "ant" / "2.png").rename(root / "train" / "bee" / "0.png")
    prints.append(load(root).fingerprint)
    assert len(set(prints)) == 4
