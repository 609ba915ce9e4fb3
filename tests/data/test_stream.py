"""The stream: any batch by its address, each image once an epoch, crops and flips as promised."""

from itertools import chain, product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kdgap.addressing import address
from kdgap.data import BatchStream, Images, Request, load_dataset, normalise
from kdgap.data.stream import augment, steps_in
from kdgap.spec.run import Augmentation

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
COUNT, BATCH = 23, 5


def noise(count: int, side: int = 8, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(
        0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator
    )


def stream_of(seed: int = 3, augmentation: Augmentation = "crop_flip") -> BatchStream:
    """A stream over images whose label is their index."""
    images = Images(noise(COUNT), torch.arange(COUNT))
    return BatchStream(images, BATCH, seed, augmentation)


def labels_of(stream: BatchStream, epoch: int) -> list[list[int]]:
    return [stream.pixels(epoch, step)[1].tolist() for step in range(stream.steps)]


# --- batches


def test_a_batch_is_the_same_in_whatever_order_batches_are_asked_for() -> None:
    places = list(product(range(3), range(5)))
    forwards, backwards = stream_of(), stream_of()
    in_order = {place: forwards.pixels(*place) for place in places}
    other = {place: backwards.pixels(*place) for place in reversed(places)}
    again = {place: forwards.pixels(*place) for place in places[::2]}
    for place in places:
        for batches in (other, again):
            if place in batches:
                assert torch.equal(in_order[place][0], batches[place][0])
                assert torch.equal(in_order[place][1], batches[place][1])


def test_a_batch_depends_on_no_global_random_state_and_leaves_it_alone() -> None:
    batches = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        batches.append(stream_of().pixels(2, 1)[0])
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(batches[0], batches[1])


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_holds_every_image_once_and_keeps_the_last_partial_batch(epoch: int) -> None:
    labels = labels_of(stream_of(), epoch)
    assert [len(batch) for batch in labels] == [5, 5, 5, 5, 3]
    assert sorted(chain.from_iterable(labels)) == list(range(COUNT))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (24, 5, [5, 5, 5, 5, 4]),
        (25, 5, [5, 5, 5, 5, 5]),
        (26, 5, [5, 5, 5, 5, 6]),
        (27, 5, [5, 5, 5, 5, 5, 2]),
        (3, 2, [3]),
        (7, 2, [2, 2, 3]),
        (9, 8, [9]),
        (8, 9, [8]),
        (2, 128, [2]),
    ],
)
def test_a_single_image_that_is_left_over_joins_the_batch_before_it(
    count: int, batch_size: int, sizes: list[int]
) -> None:
    images = Images(noise(count), torch.arange(count))
    stream = BatchStream(images, batch_size, 3, "crop_flip")
    assert stream.steps == steps_in(count, batch_size) == len(sizes)
    for epoch in (0, 4):
        batches = [stream.pixels(epoch, step) for step in range(stream.steps)]
        assert [len(pixels) for pixels, _ in batches] == sizes
        # The order of the epoch is what it was, cut elsewhere.
        assert torch.cat([labels for _, labels in batches]).tolist() == stream.order(epoch).tolist()


@given(st.integers(2, 400), st.integers(2, 90))
def test_no_batch_holds_one_image_and_every_image_is_seen_once(count: int, batch_size: int) -> None:
    images = Images(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), torch.arange(count))
    stream = BatchStream(images, batch_size, 0, "none")
    batches = labels_of(stream, 1)
    assert sorted(chain.from_iterable(batches)) == list(range(count))
    assert min(map(len, batches)) >= 2
    assert max(map(len, batches)) <= batch_size + 1
    # Nothing moves where no single image is left over: the batches are those of a plain loader.
    if count % batch_size != 1:
        plain = [range(count)[at : at + batch_size] for at in range(0, count, batch_size)]
        assert list(map(len, batches)) == list(map(len, plain))


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = [labels_of(stream_of(seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_the_order_belongs_to_its_address() -> None:
    generator = torch.Generator().manual_seed(address(3, "order", 6))
    expected = torch.randperm(COUNT, generator=generator)
    assert torch.equal(stream_of(seed=3).order(6), expected)


def test_augmentation_changes_neither_order_nor_labels() -> None:
    plain, cropped = stream_of(augmentation="none"), stream_of(augmentation="crop_flip")
    assert labels_of(plain, 1) == labels_of(cropped, 1)


def test_without_augmentation_a_batch_is_its_images() -> None:
    stream = stream_of(augmentation="none")
    images, labels = stream.pixels(0, 0)
    assert torch.equal(images, stream.images.pixels[labels])


def test_a_batch_is_augmented_at_its_own_address() -> None:
    stream = stream_of(seed=3)
    images, labels = stream.pixels(4, 2)
    generator = torch.Generator().manual_seed(address(3, "augment", 4, 2))
    expected = augment(stream.images.pixels[labels], generator, flip=True)
    assert torch.equal(images, expected)


def test_the_draws_of_an_address_never_change() -> None:
    _, labels = stream_of(seed=0).pixels(0, 0)
    assert labels.tolist() == [15, 10, 4, 20, 8]
    augmented = augment(noise(6), torch.Generator().manual_seed(0), flip=True)
    assert augmented[:, 0, 0, 0].tolist() == [26, 0, 133, 0, 247, 0]


# --- crops and flips

Draw = tuple[int, int, bool]


def all_crops(image: np.ndarray, pad: int) -> dict[Draw, np.ndarray]:
    """Every crop and mirrored crop of one image [C, H, W] after zero padding, pixel by pixel."""
    channels, height, width = image.shape
    crops = {}
    for top, left, mirrored in product(range(2 * pad + 1), range(2 * pad + 1), (False, True)):
        crop = np.zeros_like(image)
        for c, y, x in product(range(channels), range(height), range(width)):
            source_y, source_x = y + top - pad, x + left - pad
            if 0 <= source_y < height and 0 <= source_x < width:
                crop[c, y, width - 1 - x if mirrored else x] = image[c, source_y, source_x]
        crops[top, left, mirrored] = crop
    return crops


def draw(image: Tensor, augmented: Tensor, pad: int) -> Draw:
    """Which crop and flip turned one image into the other; there must be exactly one."""
    fits = [
        where
        for where, crop in all_crops(image.numpy(), pad).items()
        if np.array_equal(crop, augmented.numpy())
    ]
    (where,) = fits
    return where


@pytest.mark.parametrize(("side", "channels", "pad"), [(8, 3, 1), (16, 1, 2), (4, 2, 1)])
@pytest.mark.parametrize("flip", [True, False])
def test_each_image_becomes_one_of_its_crops(
    side: int, channels: int, pad: int, flip: bool
) -> None:
    pixels = noise(12, side, channels)
    before = pixels.clone()
    augmented = augment(pixels, torch.Generator().manual_seed(1), flip=flip)
    assert augmented.dtype == torch.uint8
    assert augmented.shape == pixels.shape
    assert torch.equal(pixels, before)
    mirrored = [draw(a, b, pad)[2] for a, b in zip(pixels, augmented, strict=True)]
    assert any(mirrored) == flip


def test_images_of_32_pixels_are_padded_by_4_and_drawn_one_by_one() -> None:
    # One image 1,000 times, whose pixels tell their place: row in one channel, column in another.
    side, count = 32, 1000
    row = torch.arange(1, side + 1, dtype=torch.uint8).view(-1, 1).expand(side, side)
    pixels = torch.stack([row, row.T]).expand(count, 2, side, side)
    augmented = augment(pixels, torch.Generator().manual_seed(0), flip=True)
    centre = augmented[:, :, 16, 15:17].int()
    top = (centre[:, 0, 0] - 13).tolist()
    mirrored = (centre[:, 1, 0] > centre[:, 1, 1]).tolist()
    left = (centre[:, 1].amin(1) - 12).tolist()
    assert set(top) == set(left) == set(range(9))
    draws = set(zip(top, left, mirrored, strict=True))
    # 1,000 independent draws out of 162 leave none out but for a few.
    assert len(draws) > 150
    assert 400 < sum(mirrored) < 600
    unflipped = augment(pixels, torch.Generator().manual_seed(0), flip=False)
    expected = torch.where(torch.tensor(mirrored).view(-1, 1, 1, 1), augmented.flip(3), augmented)
    assert torch.equal(unflipped, expected)


def test_digits_are_cropped_but_never_mirrored() -> None:
    dataset = load_dataset("digits", Request(Path()))
    stream = BatchStream(dataset.train, 30, 0, "crop")
    images, _ = stream.pixels(0, 0)
    originals = dataset.train.pixels[stream.order(0)[:30]]
    for original, image in zip(originals, images, strict=True):
        crops = all_crops(original.numpy(), 1).items()
        assert any(np.array_equal(image.numpy(), crop) for where, crop in crops if not where[2])


def test_padding_is_black() -> None:
    white = Images(
        torch.full((50, 3, 8, 8), 255, dtype=torch.uint8), torch.zeros(50, dtype=torch.int64)
    )
    images, _ = BatchStream(white, 50, 0, "crop").pixels(0, 0)
    assert images.unique().tolist() == [0, 255]


# --- normalisation


def test_normalisation_is_that_of_numpy() -> None:
    pixels = noise(6)
    mean, std = np.array(MEAN).reshape(3, 1, 1), np.array(STD).reshape(3, 1, 1)
    expected = (pixels.numpy().astype(np.float64) / 255 - mean) / std
    normalised = normalise(pixels, MEAN, STD)
    assert normalised.dtype == torch.float32
    assert normalised.numpy() == pytest.approx(expected, abs=1e-5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)


# --- shapes and memory


def test_images_need_not_be_square() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (9, 3, 6, 10), dtype=torch.uint8, generator=generator)
    augmented = augment(pixels, torch.Generator().manual_seed(2), flip=True)
    assert augmented.shape == pixels.shape
    crops = F.pad(pixels, (1, 1, 1, 1)).unfold(2, 6, 1).unfold(3, 10, 1)
    for number, image in enumerate(augmented):
        choices = crops[number].permute(1, 2, 0, 3, 4).reshape(-1, 3, 6, 10)
        fits = [torch.equal(image, c) or torch.equal(image, c.flip(2)) for c in choices]
        assert sum(fits) == 1
    expected = normalise(pixels.permute(0, 1, 3, 2), MEAN, STD).permute(0, 1, 3, 2)
    assert torch.equal(normalise(pixels, MEAN, STD), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_stream_holds_no_second_copy_of_what_was_taken(channels: int) -> None:
    taken = Images(noise(COUNT, channels=channels), torch.arange(COUNT)).take(torch.arange(9))
    assert torch.equal(taken.pixels, noise(COUNT, channels=channels)[:9])
    stream = BatchStream(taken, BATCH, 0, "none")
    assert isinstance(stream._pixels, torch.Tensor)
    assert stream._pixels.data_ptr() == taken.pixels.data_ptr()
