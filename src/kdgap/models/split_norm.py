"""Batch norm over a batch that several ranks share.

torch has it for CUDA alone, as a module of another class. Here the function that every module calls
is answered otherwise while a context lasts, so that networks of others, fused layers of theirs and
the methods' own parts are served alike, and what is saved has the same names as ever.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode


class Sharing(Protocol):
    """Those that share a batch."""

    def gather(self, values: Tensor) -> Tensor:
        """Return what all of them have, `[size, ...]`, in their order; equal on all of them."""

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all of them, in place."""


class Synchronised(TorchFunctionMode):
    """Computes batch norm in training with the statistics of the whole batch.

    Args:
        ranks: those that share it.
    """

    def __init__(self, ranks: Sharing) -> None:
        super().__init__()
        self._ranks = ranks

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return _batch_norm(self._ranks, *args, **kwargs)
        return func(*args, **kwargs)


def _batch_norm(
    ranks: Sharing,
    input: Tensor,  # noqa: A002  (the name that torch gives it)
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    mean, variance, count = whole_statistics(ranks, input)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    channels = input.shape[1]
    scale = torch.ones(channels, device=input.device) if weight is None else weight
    shift = torch.zeros(channels, device=input.device) if bias is None else bias
    normed: Tensor = _BatchNorm.apply(input, scale, shift, mean, variance, count, eps, ranks)
    return normed


def whole_statistics(ranks: Sharing, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return each channel's mean and biased variance over the batch of all ranks, and the count.

    Each rank's mean and sum of squares about it are combined (Chan et al. 1979), in the order of
    ranks, so that all of them get the same bits. Summing squares as they are would cancel.

    Args:
        ranks: those that share the batch.
        x: this rank's part, `[B, D, ...]`.

    Returns:
        `[D]` and `[D]`, in at least float32, and over how many numbers they are: a scalar on the
        device, for nothing here waits for that.
    """
    wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, _but_channels(x), correction=0)
    own = torch.full_like(mean[:1], x.numel() // x.shape[1])
    every = ranks.gather(torch.cat([own, mean, variance]))
    counts, rest = every[:, :1], every[:, 1:]
    means, variances = rest.chunk(2, 1)
    count = counts.sum()
    whole = (counts * means).sum(0) / count
    squares = (counts * (variances + (means - whole).square())).sum(0)
    return whole, squares / count, count


def _but_channels(x: Tensor) -> list[int]:
    return [dimension for dimension in range(x.dim()) if dimension != 1]


class _BatchNorm(torch.autograd.Function):
    """`scale * (x - mean) / sqrt(variance + eps) + shift`, mean and variance those of all ranks.

    Scale and shift get the gradient of this rank's part: their sum is taken with all the others'.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
        ranks: Sharing,
    ) -> Tensor:
        ctx.save_for_backward(x, scale, mean, (variance + eps).rsqrt(), count)
        ctx.ranks = ranks
        return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, inverse, count = ctx.saved_tensors
        shape, dimensions = [1, -1, *[1] * (x.dim() - 2)], _but_channels(x)
        slope = gradient.to(mean.dtype)
        normed = (x.to(mean.dtype) - mean.view(shape)) * inverse.view(shape)
        by_shift, by_scale = slope.sum(dimensions), (slope * normed).sum(dimensions)
        sums = torch.stack([by_shift, by_scale])
        ctx.ranks.add_up([sums])
        along, across = (sums / count).unbind()
        by_x = slope - along.view(shape) - normed * across.view(shape)
        by_x = by_x * (inverse * scale.to(mean.dtype)).view(shape)
        by_parameters = by_scale.to(scale.dtype), by_shift.to(scale.dtype)
        return by_x.to(x.dtype), *by_parameters, None, None, None, None, None
