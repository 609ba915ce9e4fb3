"""Tensors that one toolbox keeps apart and others as one: query, key and value of an attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from kdgap.store.stored_tensor import StoredTensor

_APART = ("query", "key", "value")
"""In the order in which timm and torchvision stack them; names of Hugging Face Transformers."""
TOGETHER = "qkv"


@dataclass(frozen=True)
class Joined(StoredTensor):
    """Several tensors of a file, one below the other.

    Attributes:
        parts: the tensors as the file has them, top to bottom.
    """

    parts: tuple[StoredTensor, ...] = ()

    @property
    def extent(self) -> int:
        """Bytes that its parts take in the file."""
        return sum(part.extent for part in self.parts)


def joined(checkpoint: Sequence[StoredTensor]) -> list[StoredTensor]:
    """Return the tensors with query, key and value as one wherever all three are alike.

    Args:
        checkpoint: the tensors of a checkpoint.
    """
    names = [tuple(".".join(tensor.path).split(".")) for tensor in checkpoint]
    known = dict(zip(names, checkpoint, strict=True))
    whole: list[StoredTensor] = []
    for parts, tensor in zip(names, checkpoint, strict=True):
        if len(parts) < 3 or parts[-3] != "attention" or parts[-2] not in _APART:
            whole.append(tensor)
            continue
        three = [known.get((*parts[:-2], word, parts[-1])) for word in _APART]
        alike = [t for t in three if t and (t.shape, t.dtype) == (tensor.shape, tensor.dtype)]
        if len(alike) < len(_APART) or not tensor.shape:
            whole.append(tensor)
        elif tensor is alike[0]:
            whole.append(_stacked((*parts[:-2], TOGETHER, parts[-1]), alike))
    return whole


def _stacked(path: tuple[str, ...], parts: Sequence[StoredTensor]) -> Joined:
    first = parts[0]
    shape = (len(parts) * first.shape[0], *first.shape[1:])
    stride = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return Joined(path, first.dtype, shape, stride, 0, 0, parts=tuple(parts))
