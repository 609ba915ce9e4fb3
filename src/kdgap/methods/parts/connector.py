"""A convolution and its batch norm: what brings a student's map to another number of channels."""

from torch import Tensor, nn


def connector(inputs: int, outputs: int, kernel: int = 1) -> nn.ModuleDict:
    """Return `conv`, which keeps the size and has no bias, and `bn`."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.ModuleDict({"conv": conv, "bn": nn.BatchNorm2d(outputs)})


def connect(part: nn.Module, x: Tensor) -> Tensor:
    """Return BN(conv(x)) of a `connector`."""
    normed: Tensor = part.get_submodule("bn")(part.get_submodule("conv")(x))
    return normed
