"""What is compared with an image beside its own partner: images of other classes."""

import torch
from torch import Tensor


def most_negatives(labels: Tensor) -> int:
    """Return how many images of other classes every image has: all but the largest class."""
    return len(labels) - int(labels.bincount().max())


def negatives(labels: Tensor, own: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw images of other classes, for each image of a batch each of them at most once.

    Args:
        labels: classes of all training images, int64 `[N]`.
        own: classes of the batch's images, int64 `[B]`.
        count: images to draw for each, at most `most_negatives(labels)`.
        generator: on the CPU; draws for one image of the batch after the other.

    Returns:
        Places in `labels`, int64 `[B, count]`: each set of them is equally likely.
    """
    excluded = labels.cpu() == own.cpu()[:, None]
    assert count <= len(labels) - int(excluded.sum(1).max())
    # The highest of independent numbers; a permutation for each image takes several times as long.
    ranks = torch.rand(excluded.shape, generator=generator).masked_fill_(excluded, -1)
    return ranks.topk(count, dim=1, sorted=False).indices.to(labels.device)
