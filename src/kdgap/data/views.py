"""A second, stronger view of a batch, for methods that compare two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdgap.deferred import torch

if TYPE_CHECKING:
    from torch import Tensor

OPERATIONS = 2
"""What RandAugment does to an image, one after the other, at its usual strength of 9 of 30."""


def stronger(pixels: Tensor, seed: int) -> Tensor:
    """Return images changed by RandAugment and cutout, each at random.

    Cubuk et al. 2020 (arXiv 1909.13719), as torchvision has it, then a black square of half the
    image's side at a random place, which may lie partly outside (DeVries and Taylor 2017, arXiv
    1708.04552).

    Args:
        pixels: uint8 `[B, C, H, W]`, which stay as they are.
        seed: the address of all that is drawn; the global random state is left alone.
    """
    from torchvision.transforms.v2 import RandAugment

    change = RandAugment(OPERATIONS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        changed = torch.stack([change(image) for image in pixels.contiguous()])
        batch, _, height, width = changed.shape
        top = torch.randint(height, (batch, 1), device="cpu") - height // 4
        left = torch.randint(width, (batch, 1), device="cpu") - width // 4
    rows, columns = torch.arange(height), torch.arange(width)
    covered = (
        ((rows >= top) & (rows < top + height // 2))[:, None, :, None]
        & ((columns >= left) & (columns < left + width // 2))[:, None, None, :]
    )  # fmt: skip
    return changed.masked_fill_(covered.to(pixels.device), 0)
