"""The squared error of a 1x1 projection, without ever holding the projected map.

A teacher's feature map is several times the student's: projected, subtracted and squared at full
size in float32 it costs more than the student's own step. Here blocks of pixels that fit a
processor's cache are projected, compared and folded into the gradients at once, so that only
tensors of the student's size outlive the call.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdgap.models.kept_layout import layout_in_memory

BLOCK = 2**20
"""Numbers of the projected map that are worked on at once."""


def projected_squared_error(features: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Return `mean((W x - t)^2)` over images, channels and pixels, in at least float32.

    Args:
        features: x, `[B, D_s, H, W]`.
        weight: W, `[D_t, D_s]`.
        target: t, `[B, D_t, H, W]`; takes no gradient.

    The products run in the type of the features, as those of a 1x1 convolution would; differences
    and sums over blocks are wide. Once differentiable.
    """
    error: Tensor = _ProjectedSquaredError.apply(features, weight, target)
    return error


def pixels_of(x: Tensor) -> Tensor:
    """Return `[B, D, H, W]` as rows of pixels `[B * H * W, D]`; a view of channels-last maps."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class _ProjectedSquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        x, t, w = pixels_of(features), pixels_of(target), weight.to(features.dtype)
        wide = torch.promote_types(features.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=x.device)
        by_weight = torch.zeros_like(weight, dtype=wide)
        by_features = torch.empty_like(x)
        back = w.t().contiguous()
        rows = max(1, BLOCK // t.shape[1])
        for start in range(0, len(x), rows):
            block = x[start : start + rows]
            # All products are F.linear, which is emulated where bfloat16 is (precision.py).
            difference = F.linear(block, w).to(wide) - t[start : start + rows]
            total += difference.square().sum()
            narrow = difference.to(x.dtype)
            by_features[start : start + rows] = F.linear(narrow, back)
            by_weight += F.linear(narrow.t(), block.t())
        ctx.save_for_backward(by_features, by_weight)
        ctx.shape, ctx.weight_dtype, ctx.count = features.shape, weight.dtype, t.numel()
        ctx.layout = layout_in_memory(features)
        return total / t.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        by_features, by_weight = ctx.saved_tensors
        scale = gradient * (2 / ctx.count)
        batch, channels, height, width = ctx.shape
        rows = by_features * scale  # a scalar tensor keeps its precision and leaves the type
        maps = rows.view(batch, height, width, channels).permute(0, 3, 1, 2)
        maps = maps.contiguous(memory_format=ctx.layout)
        return maps, (by_weight * scale).to(ctx.weight_dtype), None
