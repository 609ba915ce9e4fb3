"""Which of our architectures a checkpoint holds: names and shapes of its tensors decide.

Every registered network is built without memory, with every stem and shortcut that it has and with
the widths that the checkpoint's first layer allows. How many classes and colour channels there are
is read from the checkpoint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from kdgap.errors import BadInputError
from kdgap.models import MODELS
from kdgap.planning.parts import Unfilled
from kdgap.running.fitting import ANY, Fitting, Shape, fit
from kdgap.running.namings import shared_name
from kdgap.running.trained_on import Facts
from kdgap.spec.model import ModelSpec
from kdgap.store.stored_tensor import StoredTensor

_CLASSES, _CHANNELS = 9_973, 97
"""Sizes that no layer has otherwise, so that they can be found in shapes."""
_WIDEST = 16
"""Most that a width may be (`spec.model`)."""
_CLOSE = 0.5
"""Share of tensors in common from which on an architecture is worth naming."""
_MOST_TENSORS = 5_000
"""Of a file that is searched: several times what averages and an optimiser's state make."""
_MOST_WIDTHS = 4
"""Of a first layer, where a file holds several networks."""


@dataclass(frozen=True)
class Recognised:
    """An architecture beside a checkpoint.

    Attributes:
        model: the architecture.
        classes, channels: how many the checkpoint has; 0 where it does not fit.
        fitting: the sets of tensors that fit, or what does not.
        tensors: how many the architecture has.
    """

    model: ModelSpec
    classes: int
    channels: int
    fitting: Fitting
    tensors: int

    @property
    def options(self) -> str:
        """What to give to `kdgap convert`, such as `--model resnet20 --shortcut B`."""
        model, usual = self.model, ModelSpec(name=self.model.name)
        words = ["--model", model.name]
        for key in ("stem", "width", "shortcut"):
            value = getattr(model, key)
            if value != getattr(usual, key):
                words += [f"--{key}", f"{value:g}" if isinstance(value, float) else value]
        return " ".join(words)


def recognise(
    checkpoint: Sequence[StoredTensor], name: str | None = None
) -> tuple[list[Recognised], Recognised | None]:
    """Return the architectures that fit, and of the others the one that comes nearest.

    Args:
        checkpoint: the tensors of a checkpoint.
        name: the one network to try, with all of its stems, shortcuts and widths; None = all.

    Of more than `_MOST_TENSORS` nothing is tried: what that takes is for the file to choose.
    """
    names = list(MODELS) if name is None else [name] if name in MODELS else []
    if len(checkpoint) > _MOST_TENSORS:
        names = []
    tried = [_beside(model, checkpoint) for key in names for model in _variants(key, checkpoint)]
    fits = [each for each in tried if each.fitting.sets]
    near = max(tried, key=lambda each: _share(each, len(checkpoint)), default=None)
    return fits, None if fits else near


def recognised(source: Path, checkpoint: Sequence[StoredTensor]) -> Recognised:
    """Return the one architecture of ours that fits.

    Args:
        source: the checkpoint's file, for messages.
        checkpoint: its tensors.

    Raises:
        BadInputError: none fits, or several do.
    """
    fits, near = recognise(checkpoint)
    if len(fits) == 1:
        return fits[0]
    if fits:
        listed = ", ".join(each.options.removeprefix("--model ") for each in fits)
        raise BadInputError(
            f"{source}: several of our networks fit: {listed}; choose with --model, such as"
            f" {fits[0].options}"
        )
    close = near is not None and _share(near, len(checkpoint)) >= _CLOSE
    reason = f"; {near.model.name} comes nearest: {near.fitting.misfit}" if near and close else ""
    example = "" if close or not checkpoint else f", such as {'.'.join(checkpoint[0].path)!r}"
    raise BadInputError(
        f"{source}: none of our networks fits its {len(checkpoint):,} tensors{example}{reason};"
        " name its architecture with --model (one of ours, timm:NAME, torchvision:NAME or"
        " package.module:factory)"
    )


def hint(checkpoint: Sequence[StoredTensor], model: ModelSpec, on: Facts, data: str) -> str:
    """Return what a checkpoint looks like that does not fit; nothing where that is not known.

    Args:
        checkpoint: its tensors.
        model: what it was said to be.
        on: what it was said to be trained on.
        data: name of that.
    """
    fits, _ = recognise(checkpoint, model.name)
    if not fits:
        fits, _ = recognise(checkpoint)
    if len(fits) != 1:
        return ""
    looks, how = fits[0], "; name its data with --data, or its classes with --classes"
    if (own := looks.model).name != model.name:
        return f"; it fits {looks.options}"
    for key in ("shortcut", "stem", "width"):
        if (value := getattr(own, key)) != getattr(model, key):
            text = f"{value:g}" if isinstance(value, float) else value
            return f"; this looks like {key}: {text} (--{key} {text})"
    if looks.channels != on.channels:
        return f"; colour channels: {looks.channels}, images of {data} have {on.channels}{how}"
    if looks.classes != len(on.classes):
        return f"; it has {looks.classes:,} classes, not {len(on.classes):,} as {data}{how}"
    return ""


def _share(each: Recognised, held: int) -> float:
    """Return how much an architecture and a checkpoint have in common, of what either has."""
    return each.fitting.matching / max(each.tensors, min(held, 4 * each.tensors), 1)


def _variants(name: str, checkpoint: Sequence[StoredTensor]) -> Iterator[ModelSpec]:
    entry = MODELS[name]
    for stem in entry.stems or ("cifar",):
        for shortcut in entry.shortcuts:
            plain = ModelSpec.model_validate({"name": name, "stem": stem, "shortcut": shortcut})
            if entry.base_channels is None:
                yield plain
                continue
            first, shape = next(iter(_shapes(plain).items()))
            for channels in _first_layers(first, shape, checkpoint):
                width = channels / entry.base_channels
                if 0 < width <= _WIDEST:
                    yield plain.model_copy(update={"width": width})


def _first_layers(first: str, shape: Shape, checkpoint: Sequence[StoredTensor]) -> list[int]:
    """Return the channels of what may be the first layers of networks in a checkpoint."""
    shared, known = f".{shared_name(first)}", dict[int, None]()
    for tensor in checkpoint:
        ends = f".{shared_name('.'.join(tensor.path))}".endswith(shared)
        if ends and len(tensor.shape) == len(shape) and tensor.shape[2:] == shape[2:]:
            known[tensor.shape[0]] = None
    return list(known)[:_MOST_WIDTHS]


def _beside(model: ModelSpec, checkpoint: Sequence[StoredTensor]) -> Recognised:
    shapes = _shapes(model)
    open_sizes = (_CLASSES, _CHANNELS)
    wanted = {n: tuple(ANY if s in open_sizes else s for s in shape) for n, shape in shapes.items()}
    fitting = fit(checkpoint, wanted)
    if not fitting.sets:
        return Recognised(model, 0, 0, fitting, len(shapes))
    held = fitting.sets[0].tensors
    sizes = {
        size: held[name].shape[axis]
        for name, shape in shapes.items()
        for axis, size in enumerate(shape)
        if size in open_sizes
    }
    return Recognised(model, sizes[_CLASSES], sizes[_CHANNELS], fitting, len(shapes))


@lru_cache(maxsize=256)
def _shapes(model: ModelSpec) -> dict[str, Shape]:
    """Return the shape of each tensor of a network, built without memory."""
    with torch.device("meta"), Unfilled():
        network = MODELS[model.name].build(model, _CLASSES, _CHANNELS)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
