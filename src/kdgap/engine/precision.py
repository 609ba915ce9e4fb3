"""fp32 and bf16: what runs narrow, and how a CPU without bfloat16 hardware still computes it.

bf16 means torch's autocast: convolutions and matrix products take bfloat16 inputs and give
bfloat16 outputs with float32 sums; batch-norm statistics, losses, weights and the optimiser stay
float32.

A CPU without bfloat16 instructions falls to reference kernels that are 10 to 14 times slower than
float32. There, `_EmulateBf16` rounds inputs and outputs to bfloat16 and does the sums with the
fast float32 kernels: the same rounding points, at about the speed of float32
(docs/adr/0003-bf16-emulation.md).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kdgap.engine.device import native_bf16
from kdgap.spec.run import Precision

BF16 = torch.bfloat16


@contextmanager
def compute(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run network code within at the given precision."""
    if precision == "fp32":
        yield
    elif device.type == "cpu" and not native_bf16(device):
        with torch.autocast("cpu", BF16, cache_enabled=False), _EmulateBf16():
            yield
    else:
        # The weight cache would keep a stale bfloat16 copy alive over the optimiser's step.
        with torch.autocast(device.type, BF16, cache_enabled=False):
            yield


class _EmulateBf16(TorchFunctionMode):
    """Computes convolutions and linear layers on bfloat16 values with float32 kernels."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Where a loss asks for float32 it switches autocast off, and hardware would not narrow.
        if func in (torch.conv2d, F.linear) and torch.is_autocast_enabled("cpu"):
            return _narrow(func, *args, **kwargs)
        return func(*args, **kwargs)


def _narrow(
    kernel: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *rest: Any,
    **options: Any,
) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        wide_bias = None if bias is None else _rounded(bias)
        return kernel(_rounded(x), _rounded(weight), wide_bias, *rest, **options).to(BF16)


def _rounded(x: Tensor) -> Tensor:
    return x.to(BF16).to(torch.float32)
