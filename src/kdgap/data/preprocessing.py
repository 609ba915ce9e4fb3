"""How a network sees images: resized and normalised, from uint8 pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdgap.deferred import F, torch

if TYPE_CHECKING:
    from torch import Tensor

    from kdgap.spec.model import Interpolation


@dataclass(frozen=True)
class Preprocessing:
    """What is done to pixels before a network gets them.

    Attributes:
        size: height and width that it gets.
        mean, std: normalisation by channel, for pixels in [0, 1].
        interpolation: how images of another size are resized, with antialiasing.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"

    def __call__(self, pixels: Tensor) -> Tensor:
        """Turn uint8 `[B, C, H, W]` into what the network gets, float32 and channels last."""
        return normalise(resized(pixels, self.size, self.interpolation), self.mean, self.std)


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Turn uint8 `[B, C, H, W]` into float32 with zero mean and unit deviation, channels last."""
    batch, channels, height, width = pixels.shape
    scale = torch.tensor([1 / (255 * s) for s in std] * width, device=pixels.device)
    shifts = [m / s for m, s in zip(mean, std, strict=True)]
    shift = torch.tensor(shifts * width, device=pixels.device)
    wide = pixels.to(torch.float32, memory_format=torch.channels_last)
    # By whole rows of pixels: a loop over three channels innermost would be ten times as slow.
    rows = wide.permute(0, 2, 3, 1).reshape(-1, width * channels)
    rows = rows.mul_(scale).sub_(shift)
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def resized(pixels: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Return uint8 `[B, C, H, W]` as they are, or float32 in [0, 255] of another size.

    Nothing is rounded, so an image is resized once however it is stored afterwards.
    """
    if tuple(pixels.shape[2:]) == size:
        return pixels
    wide = pixels.to(torch.float32, memory_format=torch.channels_last)
    if interpolation == "nearest":
        return F.interpolate(wide, size, mode="nearest-exact")
    mode = {"bilinear": "bilinear", "bicubic": "bicubic"}[interpolation]
    # Bicubic overshoots at edges.
    return F.interpolate(wide, size, mode=mode, antialias=True).clamp_(0, 255)
