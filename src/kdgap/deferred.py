"""Torch for files that declare something: loaded when it is first used, not when they are read.

A method's file says what the method is called and which hyper-parameters it has, and `--help`, a
refused study or an import must know that at once; torch takes seconds and hundreds of megabytes.
Such files take `torch`, `nn` and `F` from here. What subclasses something of torch loads it at
once, so it stands in a file that nobody walks over, or in a function.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import nn
else:

    class _Deferred:
        """A module by name, of which every attribute is looked up when it is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            if attribute == "_name":  # of a copy that is being made
                raise AttributeError(attribute)
            return getattr(import_module(self._name), attribute)

    torch, nn, F = _Deferred("torch"), _Deferred("torch.nn"), _Deferred("torch.nn.functional")

__all__ = ["F", "nn", "torch"]
