"""Maps pooled to another size."""

import torch.nn.functional as F
from torch import Tensor


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
