"""How a network's numbers lie in memory: a fixed table, measured once (benchmarks/NOTES.md).

Never timed at run time: the layout can change last bits, so it follows from the run's spec alone.
"""

import torch

from kdgap.models import MODELS, Network
from kdgap.spec import ModelSpec
from kdgap.spec.run import Precision

NARROW = 8
"""Channels of the first stage up to which channels-last does not always pay."""
NARROW_BF16 = {"resnet8": 16}
"""The same in bf16, where it is another number."""
TINY = 8
"""Side of images in pixels, likewise."""


def layout_of(
    model: ModelSpec, image_size: tuple[int, int], precision: Precision
) -> torch.memory_format:
    """Return contiguous for narrow networks in bf16 or on tiny images, channels-last otherwise."""
    tiny = max(image_size) <= TINY
    limit = NARROW if tiny or precision == "fp32" else NARROW_BF16.get(model.name, NARROW)
    base = MODELS[model.name].base_channels
    narrow = base is not None and base * model.width <= limit
    if narrow and (precision == "bf16" or tiny):
        return torch.contiguous_format
    return torch.channels_last


def place(
    network: Network,
    model: ModelSpec,
    image_size: tuple[int, int],
    precision: Precision,
    device: torch.device,
) -> Network:
    """Move a network to a device, laid out for its images and precision."""
    network.layout = layout_of(model, image_size, precision)
    return network.to(device).to(memory_format=network.layout)
