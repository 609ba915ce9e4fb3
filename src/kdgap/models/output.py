"""What every network is to the rest of the house."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Output:
    """A network's answer to one batch.

    Attributes:
        logits: `[B, C]`.
        features: feature maps `[B, D, H, W]` by stage name, only for the stages asked for.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """A network whose forward pass returns `Output` and captures only the stages asked for.

    Attributes:
        stages: feature stages by name, first to last.
        layout: what images are laid out as before they enter; None = as they come.
    """

    stages: ClassVar[tuple[str, ...]] = ()
    layout: torch.memory_format | None = None

    def forward(self, images: Tensor, stages: Collection[str] = ()) -> Output:
        """Classify images `[B, C, H, W]`; also return the feature maps after `stages`."""
        raise NotImplementedError

    def __call__(self, images: Tensor, stages: Collection[str] = ()) -> Output:
        """Run `forward` on images in the network's own layout."""
        if self.layout is not None:
            images = images.contiguous(memory_format=self.layout)
        output: Output = super().__call__(images, stages)
        return output
