"""A checkpoint from elsewhere becomes safetensors with a card: the one way in for pickles."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from kdgap import child
from kdgap.errors import BadInputError, TeacherError, one_line
from kdgap.files import open_file, parse_json
from kdgap.models import MODELS
from kdgap.models.build import build_model, check_model, load_state, seen_size, with_code
from kdgap.placeholder import HEAD_BYTES, placeholder
from kdgap.running.fitting import TensorSet, fit, remarks
from kdgap.running.joined import Joined
from kdgap.running.recognition import hint, recognised
from kdgap.running.teacher import measuring_command
from kdgap.running.trained_on import TrainedOn
from kdgap.spec.model import InputSpec, ModelSpec
from kdgap.store.card import Card, is_pickle
from kdgap.store.record import export_bytes
from kdgap.store.stored_tensor import Contents, StoredTensor
from kdgap.store.tensorfile import NotSafetensorsError, read_header
from kdgap.store.weights import DTYPES, read_into, require_free, safetensors_bytes, weight_hash

SECONDS = 600


@dataclass(frozen=True)
class Converted:
    """The file that was written, what was done (a line each), and the command that measures it."""

    path: Path
    remarks: list[str]
    measuring: str


def convert_checkpoint(
    source: Path,
    model: ModelSpec | None,
    on: TrainedOn,
    out: Path | None,
    take: str | None = None,
    own_input: InputSpec | None = None,
) -> Converted:
    """Convert a checkpoint; the card of what is written has no accuracy yet.

    Args:
        source: any file that holds one set of tensors of that architecture: a pickle of torch, or
            safetensors.
        model: its architecture; None = the one that fits, of ours or else of torchvision or timm.
        on: what it was trained on, for classes and normalisation.
        out: where to write; None = the source with the suffix `.safetensors`.
        take: which set of tensors to take, where several fit.
        own_input: the size that it sees images in, and how they are resized to it.

    Raises:
        BadInputError: the file holds no such set, or several; or no architecture fits, or several.
    """
    target = out or source.with_suffix(".safetensors")
    if target.exists() and (out is None or target.resolve() == source.resolve()):
        raise BadInputError(f"{target}: exists already; name the file to write with --out")
    if model is not None:
        check_model(model)
    notes = []
    try:
        with open_file(source) as stream:
            contents = _contents(source, stream)
            if model is None:
                with _whole_modules_named(contents):
                    only, bounds = recognised(source, contents.tensors)
                model = only.model
                where = "".join(f"; {bound}" for bound in bounds)
                notes.append(f"recognised: {only.options} of {only.classes:,} classes{where}")
            model = with_code(model.model_copy(update={"input": own_input}))
            facts = on.facts()
            size = seen_size(model, facts.image_size)
            network = build_model(model, len(facts.classes), facts.channels, size, 0)
            own = network.state_dict()
            with _whole_modules_named(contents):
                try:
                    chosen, state = _choose(source, stream, contents, own, take)
                except TeacherError as error:
                    looks = hint(contents.tensors, model, facts, on.data)
                    raise TeacherError(f"{error}{looks}") from None
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else error.strerror
        raise BadInputError(f"{source}: {reason}") from None
    load_state(network, state, str(source))
    card = Card(
        model=model,
        data=on.data,
        fingerprint=None,
        weight_hash=weight_hash(state),
        checkpoint="converted",
        trained_on=on.images,
        **{**vars(facts), "image_size": size},
    )
    export_bytes(target, safetensors_bytes(state, card))
    types = {name: tensor.dtype for name, tensor in own.items()}
    notes += [one_line(remark, 600) for remark in remarks(chosen, contents, types)]
    if on.mean is None and MODELS[model.name].takes_arguments:  # others' are often trained so
        mean, std = (", ".join(f"{number:g}" for number in each) for each in (card.mean, card.std))
        notes.append(
            f"normalised: as {on.data} is, with mean {mean} and std {std}; give --mean and --std if"
            " it was trained with others"
        )
    return Converted(target, notes, measuring_command(target, on.data_root, on.data))


@contextmanager
def _whole_modules_named(contents: Contents) -> Iterator[None]:
    """Say of what does not fit that it is a whole module, whose own code has other names."""
    try:
        yield
    except BadInputError as error:
        if not contents.modules:
            raise
        key, kind = contents.modules[0]
        under = f" under the key {key!r}" if key else ""
        raise type(error)(
            f"{error}; the file holds a whole pickled module ({one_line(kind, 100)}){under}, which"
            " is read as data and never executed: where its own code is at hand, save its weights"
            " alone, with torch.save(model.state_dict(), FILE)"
        ) from None


# What is in the file


def _contents(source: Path, stream: BinaryIO) -> Contents:
    if what := placeholder(stream.read(HEAD_BYTES)):
        raise BadInputError(f"{source}: {what}")
    pickled = is_pickle(stream)
    stream.seek(8)
    if not pickled and (source.suffix == ".safetensors" or stream.read(1) == b"{"):
        try:
            header = read_header(stream)
        except NotSafetensorsError as error:
            raise BadInputError(f"{source}: not a safetensors file ({one_line(error)})") from None
        return Contents(
            tuple(
                StoredTensor((name,), e.dtype, e.shape, _dense(e.shape), e.start, e.size)
                for name, e in header.tensors.items()
            )
        )
    try:
        done = subprocess.run(
            child.command("kdgap.store.unpickle", str(source)),
            env=child.environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadInputError(f"{source}: not read within {SECONDS} s") from None
    if done.returncode != 0:
        if not pickled:  # what it breaks off over in a text or an image is no help
            raise BadInputError(f"{source}: {_no_checkpoint(stream)}")
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise BadInputError(f"{source}: cannot be converted: {one_line(lines[-1], 200)}")
    listed = parse_json(done.stdout)
    modules = tuple((str(key), str(kind)) for key, kind in listed["modules"])
    return Contents(
        tuple(map(StoredTensor.of, listed["tensors"])), tuple(listed["others"]), modules
    )


def _no_checkpoint(stream: BinaryIO) -> str:
    if not stream.seek(0, 2):
        return "is empty; name a checkpoint"
    return "is no checkpoint; expected what torch.save wrote (.pt, .pth, …) or a safetensors file"


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(torch.Size(shape[axis + 1 :]).numel() for axis in range(len(shape)))


def _choose(
    source: Path,
    stream: BinaryIO,
    contents: Contents,
    own: dict[str, Tensor],
    take: str | None,
) -> tuple[TensorSet, dict[str, Tensor]]:
    """Return the one set that fits, read, in the types of the network."""
    fitting = fit(contents.tensors, {name: tuple(tensor.shape) for name, tensor in own.items()})
    if not fitting.sets:
        raise TeacherError(f"{source}: {fitting.misfit}")
    names = ", ".join(each.name for each in fitting.sets)
    sets = [each for each in fitting.sets if take in (None, each.name)]
    if not sets:
        raise BadInputError(f"--take {take}: {source} holds no such set; it holds {names}")
    length = stream.seek(0, 2)
    by_hash: dict[str, tuple[TensorSet, dict[str, Tensor]]] = {}
    for each in sets:
        state = _read(source, stream, length, each, own)
        by_hash.setdefault(weight_hash(state), (each, state))
        if len(by_hash) > 1:
            raise BadInputError(
                f"{source}: holds {len(fitting.sets)} sets of tensors that fit: {names}; choose one"
                f" with --take, such as --take {fitting.sets[0].name}"
            )
    return next(iter(by_hash.values()))


def _read(
    source: Path, stream: BinaryIO, length: int, chosen: TensorSet, own: dict[str, Tensor]
) -> dict[str, Tensor]:
    tensors = chosen.tensors.values()
    # Nothing is read that repeats what the file holds once: a few bytes could be any size.
    needed = max(sum(t.size for t in tensors), sum(t.extent for t in tensors))
    if needed > length:
        raise BadInputError(
            f"{source}: its tensors share or repeat what it holds: {needed:,} bytes of tensors in a"
            f" file of {length:,}"
        )
    require_free(source, needed)
    state = {}
    for name, like in own.items():
        stored = chosen.tensors.get(name)
        if stored is None:
            state[name] = torch.zeros_like(like)
            continue
        tensor = _tensor(source, stream, length, stored)
        if tensor.is_floating_point() and not like.is_floating_point():
            tensor = tensor.nan_to_num().round()  # a counter that was averaged
        state[name] = tensor.to(like.dtype)
    return state


def _tensor(source: Path, stream: BinaryIO, length: int, entry: StoredTensor) -> Tensor:
    if isinstance(entry, Joined):
        return torch.cat([_tensor(source, stream, length, part) for part in entry.parts])
    dtype = DTYPES[entry.dtype]
    inside = entry.content is not None or entry.start + entry.extent <= length
    if entry.extent > entry.room or not inside:
        raise BadInputError(f"{source}: {'.'.join(entry.path)!r} is cut short; the file is damaged")
    flat = torch.empty(entry.extent // dtype.itemsize, dtype=dtype)
    if entry.content is None:
        read_into(stream, entry.start, flat)
    elif entry.extent:
        flat = torch.frombuffer(bytearray(entry.content[: entry.extent]), dtype=dtype)
    return flat.as_strided(entry.shape, entry.stride).clone(memory_format=torch.contiguous_format)
