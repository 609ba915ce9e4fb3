"""Images without a split: a fixed one, stratified, and no twin on the other side."""

import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from kdgap.data import Dataset, Images, Request, apart, load_dataset
from kdgap.data.apart import cells, near_duplicates, set_apart
from kdgap.errors import BadInputError

SIZE = 16
CLASSES = ("ant", "bee", "wasp")


def photographs(count: int, side: int = 96) -> list[Image.Image]:
    """Cut photographs of different places out of two that scikit-learn brings."""
    rng = np.random.default_rng(0)
    cuts: list[Image.Image] = []
    whole = load_sample_images().images
    while len(cuts) < count:
        photo = whole[len(cuts) % 2]
        top, left = rng.integers(0, photo.shape[0] - side), rng.integers(0, photo.shape[1] - side)
        cut = photo[top : top + side, left : left + side]
        if cut.std() > 40:  # not the plain sky
            cuts.append(Image.fromarray(cut))
    return cuts


def saved_again(image: Image.Image, form: str = "JPEG", **options: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return Image.open(stream).convert("RGB")


def images_of(pictures: list[Image.Image], labels: list[int] | None = None) -> Images:
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    numbers = labels or [0] * len(pictures)
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor(numbers))


def groups_of(pictures: list[Image.Image]) -> list[list[int]]:
    return near_duplicates(cells(images_of(pictures)))


def put(root: Path, counts: tuple[int, ...], side: int = SIZE) -> None:
    rng = np.random.default_rng(1)
    for name, count in zip(CLASSES, counts, strict=False):
        for number in range(count):
            path = root / name / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


def load(root: Path, **asked: float) -> Dataset:
    return load_dataset("imagefolder", Request(root, SIZE, **asked))  # type: ignore[arg-type]


def rows(images: Images) -> set[bytes]:
    return {row.numpy().tobytes() for row in images.pixels.contiguous()}


# --- near-duplicates


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_photograph_saved_again_is_known(quality: int) -> None:
    own = photographs(24)
    again = [saved_again(image, quality=quality) for image in own]
    assert groups_of([*own, *again]) == [[n, n + 24] for n in range(24)]


def test_a_photograph_resized_and_back_is_known() -> None:
    own = photographs(24)
    again = [image.resize((48, 48)).resize((96, 96)) for image in own]
    assert groups_of([*own, *again]) == [[n, n + 24] for n in range(24)]


def test_photographs_of_one_scene_are_no_duplicates() -> None:
    whole = load_sample_images().images[0]
    moved = [Image.fromarray(whole[280:376, left : left + 96]) for left in range(0, 480, 16)]
    assert all(len(group) == 1 for group in groups_of(moved))


def test_flat_images_are_told_apart_by_their_brightness() -> None:
    flat = [Image.new("RGB", (20, 20), (level,) * 3) for level in (0, 100, 101, 200)]
    assert groups_of(flat) == [[0], [1, 2], [3]]


def test_cells_are_exact_means_whatever_the_size() -> None:
    ramp = np.repeat(np.arange(0, 90, 10, dtype=np.uint8)[None], 8, 0)
    image = Image.fromarray(ramp.repeat(3, 0).repeat(2, 1)).convert("RGB")
    assert cells(images_of([image]))[0] == pytest.approx(ramp)


def test_colours_count_as_eyes_see_them() -> None:
    colours = [Image.new("RGB", (9, 8), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    for picture, share in zip(cells(images_of(colours)), (0.299, 0.587, 0.114), strict=True):
        assert picture == pytest.approx(255 * share)


def test_images_of_many_blocks_are_compared_across_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_BLOCK", 2)
    flat = np.full((8, 9), 100.0)
    assert near_duplicates(np.stack([flat + level for level in (0, 50, 1, 51, 2)])) == [
        [0, 2, 4],
        [1, 3],
    ]


def test_eight_bits_and_three_levels_may_differ_and_no_more() -> None:
    flat, dotted = np.full((8, 9), 100.0), []
    for count in (8, 9):  # each cell that is a little brighter than its left neighbour is a bit
        cells_ = flat.copy()
        places = [(row, column) for row in range(8) for column in (2, 4)][:count]
        for place in places:
            cells_[place] += 2.5
        dotted.append(cells_)
    assert near_duplicates(np.stack([flat, dotted[0]])) == [[0, 1]]
    assert near_duplicates(np.stack([flat, dotted[1]])) == [[0], [1]]
    assert near_duplicates(np.stack([flat, flat + 3])) == [[0, 1]]
    assert near_duplicates(np.stack([flat, flat + 3.1])) == [[0], [1]]


def test_slight_slopes_are_no_bits() -> None:
    """What noise turns: neighbours that differ by 2 grey levels or less are called equal."""
    flat = np.full((8, 9), 100.0)
    slope = flat + 2.0 * (np.arange(9) % 2)
    assert near_duplicates(np.stack([flat, slope])) == [[0, 1]]
    assert near_duplicates(np.stack([flat, flat + 2.5 * (np.arange(9) % 2)])) == [[0], [1]]


@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=2, max_size=40),
    st.integers(0, 2**20),
)
def test_every_pair_within_the_bounds_is_looked_at(bits: list[list[bool]], seed: int) -> None:
    """Against all pairs, one by one: means that rise by 4 or fall, with some noise."""
    rng = np.random.default_rng(seed)
    steps = np.where(np.resize(np.array(bits), (len(bits), 8, 8)), 4.0, -4.0)
    means = np.cumsum(np.concatenate([np.full((len(bits), 8, 1), 99.0), steps], 2), 2)
    means += rng.integers(0, 2, (len(bits), 1, 1))
    sides = np.diff(means, axis=2) > 2
    alike = [
        [
            (a != b).sum() <= 8 and np.abs(p - q).mean() <= 3
            for b, q in zip(sides, means, strict=True)
        ]
        for a, p in zip(sides, means, strict=True)
    ]
    reached = np.linalg.matrix_power(np.array(alike, dtype=float), len(bits)) > 0
    expected = sorted({tuple(np.flatnonzero(row).tolist()) for row in reached})
    assert sorted(map(tuple, near_duplicates(means))) == expected


# --- the split


def test_each_class_has_its_share_on_each_side(tmp_path: Path) -> None:
    put(tmp_path, (20, 11, 2))
    dataset = load(tmp_path)
    assert Counter(dataset.test.labels.tolist()) == {0: 4, 1: 2, 2: 1}
    assert Counter(dataset.train.labels.tolist()) == {0: 16, 1: 9, 2: 1}
    assert not rows(dataset.train) & rows(dataset.test)
    assert len(rows(dataset.train) | rows(dataset.test)) == 33
    assert dataset.split is not None
    assert vars(dataset.split) == {"seed": 1234, "test_share": 0.2, "alike": 0, "groups": 0}


def test_the_split_depends_on_names_and_seed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a", (12, 12))
    put(tmp_path / "elsewhere" / "b", (12, 12))
    first = load(tmp_path / "a")
    assert load(tmp_path / "elsewhere" / "b").fingerprint == first.fingerprint
    assert len({load(tmp_path / "a", split_seed=seed).fingerprint for seed in range(4)}) == 4
    names = os.listdir
    monkeypatch.setattr("os.listdir", lambda path: names(path)[::-1])
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))
    assert load(tmp_path / "a").fingerprint == first.fingerprint


def test_the_split_does_not_depend_on_the_order_of_images() -> None:
    own = photographs(12)
    pictures = [*own, *(saved_again(image, quality=90) for image in own)]
    names = [f"{(7 * n) % 24:02}.png" for n in range(24)]
    tested = set()
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(24) if seed else np.arange(24)
        images = images_of([pictures[n] for n in order])
        _, chosen, _ = set_apart(images, [names[n] for n in order], CLASSES, 5, 0.25)
        tested.add(frozenset(names[order[place]] for place in chosen.tolist()))
    assert len(tested) == 1
    assert len(tested.pop()) == 6


def test_twins_of_any_name_and_class_stay_on_one_side(tmp_path: Path) -> None:
    put(tmp_path, (10, 10))
    for number, image in enumerate(photographs(10)):
        image.save(tmp_path / "ant" / f"photo {number}.png")
        image.save(tmp_path / "ant" / f"copy {number}.jpg", quality=60)
        image.resize((50, 50)).save(tmp_path / "bee" / f"{number} small.bmp")
    for seed in range(5):
        dataset = load(tmp_path, split_seed=seed)
        assert dataset.split is not None
        assert (dataset.split.alike, dataset.split.groups) == (30, 10)
        both = near_duplicates(cells(dataset.train)), near_duplicates(cells(dataset.test))
        assert {len(group) for groups in both for group in groups} == {1, 3}


@pytest.mark.parametrize(("share", "counts"), [(0.01, {0: 1}), (0.5, {0: 5}), (0.99, {0: 9})])
def test_both_sides_get_an_image_whatever_the_share(share: float, counts: dict[int, int]) -> None:
    assert apart.test_counts([0] * 10, share) == counts
    assert apart.test_counts([0] * 8, 0.2) == {0: 2}  # of 1.6 the nearest


def test_a_class_of_large_groups_gives_its_smallest() -> None:
    first, second, third = photographs(3)
    pictures = [first] * 6 + [second] * 4 + [third]
    labels = [0] * 10 + [1]
    with pytest.raises(BadInputError, match="class 'bee' has one image"):
        set_apart(images_of(pictures, labels), [str(n) for n in range(11)], CLASSES, 0, 0.2)
    kept, chosen, split = set_apart(
        images_of(pictures[:10]), [str(n) for n in range(10)], CLASSES, 0, 0.2
    )
    assert (kept.tolist(), chosen.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9])
    assert (split.alike, split.groups) == (10, 2)


def test_a_class_of_twins_alone_is_named(tmp_path: Path) -> None:
    put(tmp_path, (5,))
    image = photographs(1)[0]
    for number in range(3):
        (tmp_path / "bee").mkdir(exist_ok=True)
        image.save(tmp_path / "bee" / f"{number}.jpg", quality=90 - number)
    with pytest.raises(BadInputError, match="class 'bee' has 3 images that are near-duplicates"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((), "no class folder in it; expected CLASS/ with its images"),
        ((5,), r"has one class \('ant'\): there is nothing to tell apart"),
        ((5, 1), "class 'bee' has one image, so there is none to train on"),
    ],
)
def test_what_cannot_be_split_is_refused(
    counts: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    put(tmp_path, counts)
    with pytest.raises(BadInputError, match=words):
        load(tmp_path)


def test_an_empty_class_is_refused(tmp_path: Path) -> None:
    put(tmp_path, (5, 5))
    (tmp_path / "wasp").mkdir()
    with pytest.raises(BadInputError, match="no image in class 'wasp'"):
        load(tmp_path)
