"""Weights on disk: safetensors with a card; hashed by content; never a pickle."""

import hashlib
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import psutil
import torch
from safetensors.torch import save
from torch import Tensor

from kdgap.errors import TeacherError
from kdgap.files import write_atomic
from kdgap.numbers import gib
from kdgap.store.card import Card, card_of, opened
from kdgap.store.tensorfile import Entry, Header, NotSafetensorsError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}
"""The types of `tensorfile.BYTES`."""


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


def safetensors_bytes(
    state: dict[str, Tensor], card: Card, others: Mapping[str, str] | None = None
) -> bytes:
    """Return the content of a weights file, with what others may have said in its metadata."""
    metadata = {**(others or {}), **card.metadata()}
    return save({name: value.contiguous() for name, value in state.items()}, metadata)


def write_weights(path: Path, state: dict[str, Tensor], card: Card) -> None:
    """Write weights and card atomically."""
    write_atomic(path, safetensors_bytes(state, card))


def read_tensors(stream: BinaryIO, header: Header) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file whose header was checked.

    Raises:
        NotSafetensorsError: the file shrinks while it is read.
    """
    return {name: _tensor(stream, entry) for name, entry in header.tensors.items()}


def require_free(path: Path, needed: int) -> None:
    """Refuse tensors of so many bytes where they do not fit into memory.

    Raises:
        TeacherError: with both sizes.
    """
    free = psutil.virtual_memory().available
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        free = max(0, min(free, limit - psutil.Process().memory_info().vms))
    if needed > free:
        raise TeacherError(
            f"weights {path}: tensors of {gib(needed)}, but {gib(free)} of memory are free"
        )


def _tensor(stream: BinaryIO, entry: Entry) -> Tensor:
    tensor = torch.empty(entry.shape, dtype=DTYPES[entry.dtype])
    read_into(stream, entry.start, tensor)
    return tensor


def read_into(stream: BinaryIO, start: int, tensor: Tensor) -> None:
    """Fill a contiguous tensor on the CPU with the bytes of a file from `start` on.

    Raises:
        NotSafetensorsError: the file ends before.
    """
    left = tensor.reshape(-1).view(torch.uint8).numpy().data
    stream.seek(start)
    while left:
        count = stream.readinto(left)  # type: ignore[attr-defined]  # every stream of ours has it
        if not count:
            raise NotSafetensorsError("the file ends within a tensor")
        left = left[count:]


def read_weights(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Read weights and card, and check the one against the other.

    Raises:
        TeacherError: see `opened` and `card_of`; or the weights are not those that the card names.
    """
    with opened(path) as (stream, header):
        card = card_of(path, header)
        require_free(path, header.size)
        state = read_tensors(stream, header)
    digest = weight_hash(state)
    if digest != card.weight_hash:
        raise TeacherError(
            f"weights {path}: they hash to {digest[:12]}, but the card says"
            f" {card.weight_hash[:12]}; the file was changed after it was written"
        )
    return state, card
