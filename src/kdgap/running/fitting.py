"""Which tensors of a checkpoint are the network's: its architecture decides, not their names.

A name fits where it ends in one of the network's, whatever stands before it and whatever wrappers
(`_orig_mod`, `module`) stand between; where none does, also by what other toolboxes call its layers
(`namings`). All that share what stands before are a candidate; one that has every tensor in its
shape, and nothing of another architecture beside, is a set.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from kdgap.running.joined import Joined, joined
from kdgap.running.namings import by_shared_name, shared_name
from kdgap.store.stored_tensor import Contents, StoredTensor
from kdgap.store.weights import DTYPES

COUNTER = "num_batches_tracked"
"""What older checkpoints lack, and nothing computes with."""
ANY = -1
"""A size in a wanted shape that is not known: of classes, or of colour channels."""
TOP = "."
"""The name of a set with nothing before its tensors' names."""
WRAPPERS = frozenset(["_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
"""What torch.compile, data-parallel and sharded training put into names."""
MAX_SETS = 16
"""Sets that are looked for; a file with more is not read to its end."""
_FLOATS = {"F64", "F32", "F16", "BF16"}
_COUNTS = {"I64", "I32", *_FLOATS}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorSet:
    """Tensors of one network in a checkpoint.

    Attributes:
        name: what stands before their names, or `TOP`.
        tensors: by the network's name.
        filled: batch counters that the checkpoint lacks.
    """

    name: str
    tensors: dict[str, StoredTensor]
    filled: tuple[str, ...]


@dataclass(frozen=True)
class Fitting:
    """The sets that fit, and why the best other candidate does not.

    Attributes:
        sets: those that fit.
        misfit: what keeps the best other candidate from being a set.
        matching: how many of the wanted tensors that candidate has by name.
    """

    sets: tuple[TensorSet, ...]
    misfit: str
    matching: int


def fit(checkpoint: Sequence[StoredTensor], wanted: Mapping[str, Shape]) -> Fitting:
    """Return the sets of tensors that are the wanted network's.

    Args:
        checkpoint: the tensors of a checkpoint.
        wanted: shape by name of the network's own state; a size may be `ANY`.
    """
    whole = [tuple(".".join(tensor.path).split(".")) for tensor in checkpoint]
    bare = [_bare(name) for name in whole]
    own = {name: name for name in wanted}
    sets: list[TensorSet] = []
    misfits: list[tuple[int, str]] = [(0, "wrong architecture: " + _nothing(wanted, whole))]
    # First with the wrappers in what stands before, for they may tell two sets apart; then without,
    # for one around a part of a network must not split it; last by the names of other toolboxes.
    together = joined(checkpoint)  # as the networks that other toolboxes' names stand for
    for tensors, names, called in (
        (checkpoint, whole, own),
        (checkpoint, bare, own),
        (together, _shared(together), by_shared_name(wanted)),
    ):
        kinds = {_kind(name.split(".")[0]) for name in called}
        for head, group in _candidates(tensors, names, called).items():
            problem = _problem(group, wanted) or _stranger(head, group, names, kinds, tensors)
            if problem is None:
                filled = tuple(n for n in wanted if n not in group and n.endswith(COUNTER))
                chosen = {name: those[0] for name, those in group.items()}
                sets.append(TensorSet(".".join(head) or TOP, chosen, filled))
            else:
                misfits.append((len(group), problem))
            if len(sets) == MAX_SETS:
                break
        if sets:
            break
    matching, misfit = max(misfits, key=lambda misfit: misfit[0])
    return Fitting(tuple(sets), misfit, matching)


def _candidates(
    checkpoint: Sequence[StoredTensor],
    names: Sequence[tuple[str, ...]],
    called: Mapping[str, str],
) -> dict[tuple[str, ...], dict[str, list[StoredTensor]]]:
    """Return tensors by what stands before a wanted name, and by that name.

    Args:
        checkpoint: the tensors.
        names: of each, what it is looked up by.
        called: what a wanted tensor is called there → its own name.
    """
    groups: dict[tuple[str, ...], dict[str, list[StoredTensor]]] = {}
    deepest = max((name.count(".") for name in called), default=0)
    for tensor, parts in zip(checkpoint, names, strict=True):
        name = ""
        for index in range(len(parts) - 1, -1, -1):
            if parts[index] in WRAPPERS:
                continue
            name = f"{parts[index]}.{name}" if name else parts[index]
            if name.count(".") > deepest:
                break
            if name in called:
                group = groups.setdefault(parts[:index], {})
                group.setdefault(called[name], []).append(tensor)
    return groups


def _shared(checkpoint: Sequence[StoredTensor]) -> list[tuple[str, ...]]:
    bare = [_bare(tuple(".".join(tensor.path).split("."))) for tensor in checkpoint]
    return [tuple(shared_name(".".join(name)).split(".")) for name in bare]


def _bare(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in parts if part not in WRAPPERS)


def _problem(group: Mapping[str, list[StoredTensor]], wanted: Mapping[str, Shape]) -> str | None:
    """Return what keeps a candidate from being a set, by its own tensors."""
    for name, shape in wanted.items():
        tensors = group.get(name, [])
        if not tensors and not name.endswith(COUNTER):
            return f"wrong architecture: tensor {name!r} is missing"
        for tensor in tensors[1:]:
            return f"{name!r} is there twice, as {_path(tensors[0])} and {_path(tensor)}"
        for tensor in tensors:
            if not _alike(tensor.shape, shape):
                return (
                    f"wrong architecture: {name!r} is {list(tensor.shape)}, expected {list(shape)}"
                )
            if tensor.dtype not in (_COUNTS if name.endswith(COUNTER) else _FLOATS):
                return f"{name!r} is of the type {tensor.dtype}, which is cast to no weight"
    return None


def _alike(shape: Shape, wanted: Shape) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(size == asked or asked == ANY for size, asked in zip(shape, wanted, strict=True))


def _path(tensor: StoredTensor) -> str:
    return ".".join(tensor.path)


def _stranger(
    head: tuple[str, ...],
    group: Mapping[str, list[StoredTensor]],
    names: Sequence[tuple[str, ...]],
    kinds: set[str],
    checkpoint: Sequence[StoredTensor],
) -> str | None:
    """Return what says that a candidate is part of a larger network: `layer4` beside `layer1`."""
    own = {id(tensor) for tensors in group.values() for tensor in tensors}
    for tensor, parts in zip(checkpoint, names, strict=True):
        beside = parts[: len(head)] == head and len(parts) > len(head)
        if beside and id(tensor) not in own and _kind(parts[len(head)]) in kinds:
            name = ".".join(parts[len(head) :])
            return f"wrong architecture: unexpected tensor {name!r}"
    return None


def _kind(part: str) -> str:
    return re.sub(r"\d+", "#", part)


def _nothing(wanted: Mapping[str, Shape], names: Sequence[tuple[str, ...]]) -> str:
    first = next(iter(wanted))
    example = f"; it holds {len(names):,}, such as {'.'.join(names[0])!r}" if names else ""
    return f"tensor {first!r} is missing{example}"


def remarks(chosen: TensorSet, contents: Contents, types: Mapping[str, torch.dtype]) -> list[str]:
    """Say what was taken, renamed, cast, filled and left: one line each kind, if there is any.

    Args:
        chosen: the set that was taken.
        contents: all that the checkpoint holds.
        types: the type that each tensor was given.
    """
    where = "" if chosen.name == TOP else f" from {chosen.name}"
    lines = [f"took: {len(chosen.tensors)} tensors{where}"]
    paths = {name: ".".join(tensor.path) for name, tensor in chosen.tensors.items()}
    renamed = [(path, name) for name, path in paths.items() if path != name]
    if renamed:
        lines.append(f"renamed: {len(renamed)} tensors, such as {renamed[0][0]} to {renamed[0][1]}")
    together = [tensor for tensor in chosen.tensors.values() if isinstance(tensor, Joined)]
    if together:
        lines.append(f"joined: query, key and value, into {len(together)} tensors")
    cast = Counter(
        f"{_type(DTYPES[tensor.dtype])} to {_type(types[name])}"
        for name, tensor in chosen.tensors.items()
        if DTYPES[tensor.dtype] != types[name]
    )
    if cast:
        lines.append("cast: " + _listed([f"{n} tensors from {what}" for what, n in cast.items()]))
    if chosen.filled:
        lines.append(f"filled: {len(chosen.filled)} batch counters ({COUNTER}) with 0")
    taken = {tensor.path for tensor in chosen.tensors.values()}
    taken |= {part.path for tensor in together for part in tensor.parts}
    beside = [tensor for tensor in contents.tensors if tensor.path not in taken]
    left = Counter(_place(tensor.path, chosen) for tensor in beside)
    if left:
        lines.append("left: " + _listed([f"{n} tensors of {place}" for place, n in left.items()]))
    if contents.others:
        lines.append("left: " + _listed(list(contents.others)))
    return lines


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _place(path: tuple[str, ...], chosen: TensorSet) -> str:
    """Return where a tensor is: by its first name beyond what leads to the chosen set."""
    name = ".".join(path)
    start = "" if chosen.name == TOP else f"{chosen.name}."
    if start and name.startswith(start):
        return start + name.removeprefix(start).split(".")[0]
    shared = 0
    heads = start.split(".")
    while shared < len(heads) and name.split(".")[shared : shared + 1] == [heads[shared]]:
        shared += 1
    return ".".join(name.split(".")[: shared + 1])


def _listed(names: list[str], most: int = 8) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
