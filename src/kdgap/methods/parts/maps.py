"""Feature maps of unlike sizes, and what several methods make of them."""

import torch.nn.functional as F
from torch import Tensor

from kdgap.methods.shared import wide


def align(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Average-pool `[B, D, H, W]` to `[B, D, *size]`.

    Integer pooling where the sizes divide, for its gradient is deterministic on CUDA; adaptive
    pooling otherwise.
    """
    height, width = features.shape[2:]
    if (height, width) == size:
        return features
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(features, (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(features, size)


def to_smaller(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool the larger of two maps to the size of the smaller, in at least float32."""
    size = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    return align(wide(a), size), align(wide(b), size)
