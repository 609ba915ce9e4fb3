"""How a network's numbers lie in memory: a fixed rule, measured once (benchmarks/NOTES.md).

Never timed at run time: the layout can change last bits, so it follows from the run's spec alone.
"""

import torch

from kdgap.models import MODELS
from kdgap.models.output import Network
from kdgap.spec.model import ModelSpec

NARROW = 4
"""Channels of the first stage up to which contiguous is the faster layout."""


def layout_of(model: ModelSpec) -> torch.memory_format:
    """Return contiguous for very narrow networks, channels-last for all others."""
    base = MODELS[model.name].base_channels
    narrow = base is not None and base * model.width <= NARROW
    return torch.contiguous_format if narrow else torch.channels_last


def place(network: Network, model: ModelSpec, device: torch.device) -> Network:
    """Move a network to a device, in its layout."""
    network.layout = layout_of(model)
    return network.to(device).to(memory_format=network.layout)
