"""Networks with random weights as files with a card, as `kdgap convert` leaves them."""

from pathlib import Path
from typing import Any

import torch

from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec
from kdgap.store.card import Card
from kdgap.store.weights import copy_state, weight_hash, write_weights

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def weights_file(path: Path, spec: ModelSpec, size: int, **fields: Any) -> Path:
    """Write a network's random weights with a card; `fields` change the card."""
    channels = len(fields.get("mean", (0, 0, 0)))
    classes = fields.get("classes", CLASSES)
    network = build_model(spec, len(classes), channels, (size, size), 0)
    # Batch norm that does something, so that a graph that left it out would answer otherwise.
    generator = torch.Generator().manual_seed(1)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
    state = copy_state(network)
    card = Card(
        **{
            "model": spec,
            "classes": CLASSES,
            "channels": channels,
            "image_size": (size, size),
            "mean": (0.4914, 0.4822, 0.4465),
            "std": (0.247, 0.2435, 0.2616),
            "data": "cifar10",
            "fingerprint": None,
            "weight_hash": weight_hash(state),
            "checkpoint": "converted",
            **fields,
        }
    )
    write_weights(path, state, card)
    return path
