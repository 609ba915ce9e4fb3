"""A network as it is deployed: normalisation inside, images in, logits out."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from kdgap.errors import BadInputError, one_line
from kdgap.models.output import Network
from kdgap.store.card import Card

Answer = Callable[[Tensor], Tensor]
"""Images float32 `[B, C, H, W]` in [0, 1] → logits float32 `[B, classes]`, on the CPU."""
IMAGES, LOGITS = "images", "logits"
"""What input and output of a graph are called."""


class DeployedNetwork(nn.Module):
    """A trained network behind its normalisation.

    Args:
        network: in evaluation mode; it comes to take images as they lie in memory.
        card: its card.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, card: Card) -> None:
        super().__init__()
        network.layout = None  # a graph is free to lay out its own numbers
        self.network = network
        self.register_buffer("mean", torch.tensor(card.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(card.std).view(1, -1, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Classify images `[B, C, H, W]` in [0, 1]; return logits `[B, classes]`."""
        logits: Tensor = self.network((images - self.mean) / self.std).logits
        return logits


def answer_of(network: Network, card: Card, device: torch.device) -> Answer:
    """Return what answers with PyTorch."""
    deployed = DeployedNetwork(network, card).to(device)

    def answer(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = deployed(images.to(device))
        return logits.float().cpu()

    return answer


def traced(network: Network, card: Card, name: str) -> ExportedProgram:
    """Return a network's graph, for batches of any size.

    Args:
        network: the network, in evaluation mode.
        card: its card.
        name: what it is called, for messages.

    Raises:
        BadInputError: its code cannot be traced.
    """
    deployed = DeployedNetwork(network, card)
    # Two images: a batch of one would be taken for a constant.
    example = torch.full((2, card.channels, *card.image_size), 0.5)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(deployed, (example,), dynamic_shapes=({0: Dim("batch")},))
    except Exception as error:  # noqa: BLE001  (code that is not ours raises anything)
        raise BadInputError(
            f"{name}: {card.model.name} cannot be exported as a graph"
            f" ({one_line(error, 160) or type(error).__name__});"
            " --to safetensors or --to hub keeps it for machines that have kdgap"
        ) from None
    for node in program.graph.nodes:
        # They hold paths and lines of code of the machine that exported it.
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn"):
            node.meta.pop(key, None)
    return program


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters warn, log and print of their own making off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        nowhere = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
