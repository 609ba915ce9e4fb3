"""Weights on disk: safetensors with a card; hashed by content; never a pickle."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from kdgap.errors import TeacherError, one_line
from kdgap.files import write_atomic
from kdgap.store.card import Card, read_card, refuse_pickle


def weight_hash(state: dict[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes, independent of memory layout."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def copy_state(module: torch.nn.Module) -> dict[str, Tensor]:
    """Return a detached, contiguous copy on the CPU of a module's state."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in module.state_dict().items()
    }


def safetensors_bytes(state: dict[str, Tensor], card: Card) -> bytes:
    """Return the content of a weights file."""
    return save({name: value.contiguous() for name, value in state.items()}, card.metadata())


def write_weights(path: Path, state: dict[str, Tensor], card: Card) -> None:
    """Write weights and card atomically."""
    write_atomic(path, safetensors_bytes(state, card))


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        TeacherError: the file is missing, a pickle or damaged.
    """
    refuse_pickle(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise TeacherError(f"weights {path}: {one_line(error)}") from None


def read_weights(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Read weights and card, and check the one against the other.

    Raises:
        TeacherError: see `read_card`; or the weights are not those that the card names.
    """
    card = read_card(path)
    state = read_state(path)
    found = weight_hash(state)
    if found != card.weight_hash:
        raise TeacherError(
            f"weights {path}: they hash to {found[:12]}, but the card says"
            f" {card.weight_hash[:12]}; the file was changed after it was written"
        )
    return state, card
