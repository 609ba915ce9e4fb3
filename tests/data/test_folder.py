"""A folder of images becomes a data set, or one line says which file or class is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.data import Dataset, Request, load_dataset
from kdgap.data.own import SKIPPED
from kdgap.errors import BadInputError
from kdgap.spec.run import DataSpec

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


@pytest.mark.parametrize("size", [(SIZE, SIZE), (6, 11)])
def test_without_a_size_images_of_one_size_are_taken_as_they_are(
    size: tuple[int, int], root: Path
) -> None:
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        put(path, noise(number, *size))
    dataset = load(root, None)
    assert dataset.image_size == size
    assert np.array_equal(
        dataset.test.pixels.numpy(), np.stack([noise(n, *size).transpose(2, 0, 1) for n in (0, 1)])
    )


def test_a_turned_photo_has_the_size_that_viewers_show(root: Path) -> None:
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        put(path, noise(number, 6, 11))
    lying = Image.fromarray(noise(9, 11, 6))
    exif = lying.getexif()
    exif[0x0112] = 6
    (root / "train" / "ant" / "1.png").unlink()
    lying.save(root / "train" / "ant" / "1.jpg", exif=exif)
    assert load(root, None).image_size == (6, 11)


@pytest.mark.parametrize("size", [SIZE, None])
def test_broken_images_are_skipped_and_named_if_asked(size: int | None, root: Path) -> None:
    put(root / "train" / "ant" / "0.png", noise(5))
    (root / "train" / "ant" / "1.png").write_bytes(b"no image")
    torn = root / "train" / "bee" / "2.png"
    torn.write_bytes(torn.read_bytes()[:120])
    request = Request(root, size, skip_broken=True)
    for _ in ("decoded", "from the cache"):
        dataset = load_dataset("imagefolder", request)
        assert np.array_equal(dataset.train.pixels.numpy(), pixels(5, 2, 11))
        assert dataset.train.labels.tolist() == [0, 0, 1]
        assert dataset.left_out is not None
        assert [left.record() for left in dataset.left_out] == [
            {"reason": SKIPPED, "count": 2, "names": ["train/ant/1.png", "train/bee/2.png"]}
        ]
    assert "set skip_broken: true" in refusal(root, size)


def test_a_class_of_broken_images_alone_is_named_where_they_are_skipped(root: Path) -> None:
    (root / "test" / "bee" / "3.png").write_bytes(b"no image")
    with pytest.raises(BadInputError, match=r"no image of class 'bee' \(test\) can be used"):
        load_dataset("imagefolder", Request(root, SIZE, skip_broken=True))


# --- refused


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(Path(), 8), "image_size: the images of digits are not resized; leave it out"),
        (Request(Path(), test_share=0.3), "test_share: digits has test images of its own"),
        (Request(Path(), skip_broken=True), "skip_broken: digits is used whole or not at all"),
    ],
)
def test_keys_of_own_images_are_refused_for_other_data(request_: Request, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        load_dataset("digits", request_)


@pytest.mark.parametrize(("name", "seed"), [("cifar10", 1234), ("imagefolder", 7)])
def test_the_seed_of_the_split_makes_another_request_where_it_may_matter(
    name: str, seed: int
) -> None:
    data = DataSpec(name=name, val_size=1, split_seed=7)
    assert Request.of(data, Path("x")) == Request(Path("x"), split_seed=seed)


def test_a_share_of_test_images_is_refused_where_there_are_some(root: Path) -> None:
    with pytest.raises(BadInputError, match="has test images of its own; leave it out"):
        load_dataset("imagefolder", Request(root, SIZE, test_share=0.3))


def test_what_is_no_folder_is_named(root: Path) -> None:
    message = refusal(root / "gone")
    assert message.startswith(f"imagefolder {root / 'gone'}: looked for CLASS/, ")
    assert message.endswith(
        "there is no such folder; name the folder that holds them with --data-root"
    )


def test_an_image_size_must_be_given_where_sizes_differ(root: Path) -> None:
    put(root / "train" / "bee" / "1.png", noise(5, 30, 9))
    put(root / "test" / "bee" / "3.png", noise(5, 2, 5))
    message = refusal(root, None)
    assert message == (
        f"imagefolder {root}: the images are of 3 sizes, from 2x5 ({root}/test/bee/3.png) to 30x9"
        f" ({root}/train/bee/1.png), most often 8x8 (4 of 6); give image_size, the side in pixels"
        " to resize to, such as 8"
    )


def test_images_of_several_megapixels_are_not_taken_as_they_are(root: Path) -> None:
    for path in root.rglob("*.png"):
        put(path, np.zeros((1030, 8, 3), np.uint8))
    assert "the images are 1030x8, and 4 to 1,024 pixels a side are trained on" in refusal(
        root, None
    )


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named(part: str, root: Path) -> None:
    (root / part).rename(root / "elsewhere")
    message = refusal(root)
    assert message.startswith(f"imagefolder {root}: looked for CLASS/, or for train/CLASS/ and ")
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


# --- cache


def no_decoding(*_: object) -> NoReturn:
    raise AssertionError("decoded again")


def test_a_second_load_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(root)
    monkeypatch.setattr("kdgap.data.decoding.fitted", no_decoding)
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


def test_parts_in_another_spelling_are_not_taken_for_classes(root: Path) -> None:
    for part, name in (("train", "Training"), ("val", "dev"), ("test", "Test")):
        if (root / part).is_dir():
            (root / part).rename(root / name)
    assert "look like the parts of a split" in refusal(root)


def test_training_images_alone_are_refused_with_the_way_to_use_them(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        put(tmp_path / "train" / name / "1.png", noise(1))
    assert f"or {tmp_path}/train to set test images apart" in refusal(tmp_path)
