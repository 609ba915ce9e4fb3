"""Pixels become what a network gets: resized as Pillow resizes, normalised as numpy does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from kdgap.data import Preprocessing, Request, load_dataset
from kdgap.data.preprocessing import resized
from kdgap.errors import BadInputError
from kdgap.spec.model import InputSpec


def photograph(side: int, channels: int = 3) -> Tensor:
    """Smooth noise, uint8 `[2, C, side, side]`."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, channels, 5, 5, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return (fine.clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.mark.parametrize("size", [(8, 8), (20, 30), (64, 64)])
@pytest.mark.parametrize(
    ("interpolation", "filter_"),
    [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)],
)
def test_resizing_is_pillow_s_but_for_its_rounding(
    size: tuple[int, int], interpolation: str, filter_: Image.Resampling
) -> None:
    pixels = photograph(32)
    ours = resized(pixels, size, interpolation)  # type: ignore[arg-type]
    for image, own in zip(pixels, ours, strict=True):
        whole = Image.fromarray(image.permute(1, 2, 0).numpy())
        theirs = np.asarray(whole.resize((size[1], size[0]), filter_)).transpose(2, 0, 1)
        # Pillow rounds to whole numbers after each of two passes.
        assert np.abs(own.numpy() - theirs).max() <= 2.5
        assert np.abs(own.numpy() - theirs).mean() < 0.5
    assert ours.min() >= 0
    assert ours.max() <= 255


def test_nearest_takes_pixels_as_they_are() -> None:
    pixels = photograph(8)
    large = resized(pixels, (16, 16), "nearest")
    assert torch.equal(large[:, :, ::2, ::2], pixels.float())
    assert torch.equal(large[:, :, 1::2, 1::2], pixels.float())
    # The pixel that lies in the middle, as Pillow has it, and not the first one.
    for side in (2, 3, 4):
        own = resized(pixels, (side, side), "nearest")
        for image, small in zip(pixels, own, strict=True):
            whole = Image.fromarray(image.permute(1, 2, 0).numpy())
            theirs = np.asarray(whole.resize((side, side), Image.Resampling.NEAREST))
            assert np.array_equal(small.numpy(), theirs.transpose(2, 0, 1))


def test_images_of_the_right_size_are_not_touched() -> None:
    pixels = photograph(8)
    assert resized(pixels, (8, 8), "bicubic") is pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_network_gets_is_normalised_and_channels_last(channels: int) -> None:
    mean, std = (0.2, 0.3, 0.4)[:channels], (0.5, 0.25, 0.125)[:channels]
    pixels = photograph(8, channels)
    kept = pixels.clone()
    for size in ((8, 8), (12, 12)):
        images = Preprocessing(size, mean, std)(pixels)
        by_hand = resized(pixels, size, "bilinear").double() / 255
        for channel in range(channels):
            expected = (by_hand[:, channel] - mean[channel]) / std[channel]
            torch.testing.assert_close(images[:, channel].double(), expected, rtol=1e-5, atol=1e-5)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, kept)


def test_an_image_is_resized_the_same_in_every_batch() -> None:
    pixels = photograph(32)
    both = Preprocessing((20, 20), (0.5,) * 3, (0.5,) * 3, "bicubic")(pixels)
    alone = Preprocessing((20, 20), (0.5,) * 3, (0.5,) * 3, "bicubic")(pixels[1:])
    assert torch.equal(both[1:], alone)


def test_what_a_network_has_of_its_own_stands_beside_what_the_data_has() -> None:
    data = load_dataset("digits", Request(Path()))
    plain = Preprocessing((8, 8), data.mean, data.std)
    assert data.seen_by(None) == plain
    assert data.seen_by(InputSpec(size=32)) == Preprocessing((32, 32), data.mean, data.std)
    own = InputSpec(mean=[0.5], std=[0.1])
    assert data.seen_by(own) == Preprocessing((8, 8), (0.5,), (0.1,))
    with pytest.raises(BadInputError, match="have 3 numbers, but the images of digits have 1 col"):
        data.seen_by(InputSpec(mean=[0.5] * 3, std=[0.1] * 3))
