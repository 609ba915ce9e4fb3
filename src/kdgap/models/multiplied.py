"""What a network multiplies, counted while it answers."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_OTHER_PRODUCTS = frozenset(
    [
        "matmul",
        "__matmul__",
        "__rmatmul__",
        "mm",
        "mv",
        "bmm",
        "addmm",
        "addbmm",
        "baddbmm",
        "dot",
        "vdot",
        "inner",
        "outer",
        "einsum",
        "tensordot",
        "bilinear",
        "scaled_dot_product_attention",
        "multi_head_attention_forward",
        "convolution",
        "conv1d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "conv_tbc",
    ]
)


class Multiplied(TorchFunctionMode):
    """Counts convolutions and linear layers as torch's counter does, without its compiler.

    Attributes:
        flops: what was counted.
        complete: whether there was nothing else that torch's counter may count, such as attention.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.complete = 0, True

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func in (torch.conv2d, F.linear):
            self.flops += 2 * answer.numel() * args[1][0].numel()
        elif getattr(func, "__name__", "") in _OTHER_PRODUCTS:
            self.complete = False
        return answer
