"""Networks without memory: built for their shapes and costs alone, at almost no cost."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Unfilled(TorchFunctionMode):
    """Draws no numbers for what has no memory: torch loads a compiler for that, which takes long.

    So do convolutions without memory, and networks answer one image with theirs instead.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = dict(kwargs or {})
        drawn = func in (Tensor.normal_, Tensor.uniform_)
        if drawn or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


class EmptyOnMeta(Unfilled):
    """Gives no memory to parameters; other tensors have theirs, so that their numbers can be asked.

    A network of others may compute its widths with tensors while it is built, which cannot be done
    on the device without memory.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        return super().__torch_function__(func, types, args, given)
