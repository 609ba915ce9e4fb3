"""The operations compute what torch's own do, and their gradients lie as their inputs do."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.models.kept_layout import pixel_mean, zero_padded_shortcut

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def maps(layout: torch.memory_format, dtype: torch.dtype = torch.float64, side: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    x = torch.randn(3, 4, side, side + 1, dtype=torch.float64, generator=generator)
    return x.to(dtype).contiguous(memory_format=layout).requires_grad_()


def padded_slice(x: Tensor, stride: int, channels: int) -> Tensor:
    """The same shortcut in torch's own operations."""
    before = (channels - x.shape[1]) // 2
    after = channels - x.shape[1] - before
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, before, after))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize(("stride", "channels"), [(2, 8), (1, 7), (2, 4), (3, 5)])
def test_the_shortcut_is_every_other_pixel_between_zeros(
    layout: torch.memory_format, side: int, stride: int, channels: int
) -> None:
    x = maps(layout, side=side)
    shortcut = zero_padded_shortcut(x, stride, channels)
    expected = padded_slice(x, stride, channels)
    assert torch.equal(shortcut, expected)
    assert shortcut.is_contiguous(memory_format=layout)
    weights = torch.randn_like(expected)
    (own,) = torch.autograd.grad((shortcut * weights).sum(), x)
    (other,) = torch.autograd.grad((expected * weights).sum(), x)
    assert torch.equal(own, other)
    assert own.is_contiguous(memory_format=layout)
    for foreign in LAYOUTS:
        gradient = weights.contiguous(memory_format=foreign)
        (again,) = torch.autograd.grad(zero_padded_shortcut(x, stride, channels), x, gradient)
        assert torch.equal(again, other)
        assert again.is_contiguous(memory_format=layout)
    assert torch.autograd.gradcheck(lambda x: zero_padded_shortcut(x, stride, channels), (x,))


def test_a_map_of_one_channel_counts_as_contiguous() -> None:
    shortcut = zero_padded_shortcut(maps(torch.contiguous_format)[:, :1].contiguous(), 2, 2)
    assert shortcut.is_contiguous()
    assert not shortcut.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_mean_over_pixels_and_its_gradient(layout: torch.memory_format) -> None:
    x = maps(layout)
    torch.testing.assert_close(pixel_mean(x), x.mean((2, 3)), rtol=0, atol=0)
    assert torch.autograd.gradcheck(pixel_mean, (x,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_mean_is_wide_and_its_gradient_has_the_type_of_the_map(dtype: torch.dtype) -> None:
    x = maps(torch.channels_last, dtype)
    mean = pixel_mean(x)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, x.double().mean((2, 3)).float())
    (gradient,) = torch.autograd.grad(mean.sum(), x)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / 30))


def test_a_mean_and_another_use_of_a_map_add_up() -> None:
    x = maps(torch.channels_last)
    (gradient,) = torch.autograd.grad((x**2).sum() + pixel_mean(x).sum(), x)
    torch.testing.assert_close(gradient, 2 * x + 1 / 30)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
