"""Operations whose gradients lie in memory as their inputs do.

torch's own slicing and averaging return contiguous gradients. Where activations are channels-last,
each elementwise operation that meets such a gradient walks one of its operands against the grain,
at up to twenty times the cost (benchmarks/NOTES.md).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def pixel_mean(x: Tensor) -> Tensor:
    """Return the mean over pixels of `[B, D, H, W]`, `[B, D]`, in at least float32."""
    mean: Tensor = _PixelMean.apply(x)
    return mean


def zero_padded_shortcut(x: Tensor, stride: int, channels: int) -> Tensor:
    """Return every `stride`-th pixel of `[B, D, H, W]`, with zero channels around the D.

    "Option A" of He et al. 2016, section 4.2: `[B, channels, H / stride, W / stride]`, rounded up;
    `channels` is at least D.
    """
    shortcut: Tensor = _ZeroPaddedShortcut.apply(x, stride, channels)
    return shortcut


def layout_in_memory(x: Tensor) -> torch.memory_format:
    """Return the layout of `[B, D, H, W]`; contiguous if it is both of the two or neither."""
    only_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if only_last else torch.contiguous_format


class _PixelMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        return x.mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        pixels = ctx.shape[2] * ctx.shape[3]
        # Expanded and not written out: what meets it keeps its own layout.
        by_channel: Tensor = (gradient / pixels).to(ctx.dtype)
        return by_channel[:, :, None, None].expand(ctx.shape)


class _ZeroPaddedShortcut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, channels: int) -> Tensor:
        kept = x[:, :, ::stride, ::stride]
        before = (channels - x.shape[1]) // 2
        ctx.stride, ctx.own = stride, slice(before, before + x.shape[1])
        ctx.shape, ctx.layout = x.shape, layout_in_memory(x)
        padded = _zeros((x.shape[0], channels, *kept.shape[2:]), x, ctx.layout)
        padded[:, ctx.own] = kept
        return padded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        spread = _zeros(ctx.shape, gradient, ctx.layout)
        spread[:, :, :: ctx.stride, :: ctx.stride] = gradient[:, ctx.own]
        return spread, None, None


def _zeros(shape: tuple[int, ...], like: Tensor, layout: torch.memory_format) -> Tensor:
    empty = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
    return empty.zero_()
