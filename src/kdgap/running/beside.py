"""One architecture beside a checkpoint: whether its tensors are there, and in which shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from kdgap.models import MODELS
from kdgap.models.unfilled import EmptyOnMeta, Unfilled
from kdgap.running.fitting import ANY, Fitting, Shape, fit
from kdgap.spec.model import ModelSpec
from kdgap.store.stored_tensor import StoredTensor

_CLASSES, _CHANNELS = 9_973, 97
"""Sizes that no layer has otherwise, so that they can be found in shapes."""
COLOURS = 3
"""Channels of the networks of others, which are looked for as they are published."""


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
        for key, value in model.arguments.items():
            words += ["--argument", f"{key}={value}"]
        return " ".join(words)

    def share(self, held: int) -> float:
        """Return how much it and a checkpoint of `held` tensors have in common, of either's."""
        return self.fitting.matching / max(self.tensors, min(held, 4 * self.tensors), 1)


def beside(model: ModelSpec, checkpoint: Sequence[StoredTensor]) -> Recognised:
    """Compare an architecture with a checkpoint; classes and colours are read from the latter.

    Args:
        model: the architecture; one that is not ours is compared with `COLOURS` channels.
        checkpoint: the tensors of a checkpoint.

    Raises:
        BadInputError: the network is not ours and cannot be built.
    """
    shapes = shapes_of(model)
    ours = not MODELS[model.name].takes_arguments
    open_sizes = (_CLASSES, _CHANNELS) if ours else (_CLASSES,)
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
    channels = sizes[_CHANNELS] if ours else COLOURS
    return Recognised(model, sizes[_CLASSES], channels, fitting, len(shapes))


@lru_cache(maxsize=256)
def shapes_of(model: ModelSpec) -> dict[str, Shape]:
    """Return the shape of each tensor of a network, built without memory.

    Raises:
        BadInputError: the network is not ours and cannot be built.
    """
    entry = MODELS[model.name]
    if entry.takes_arguments:
        with EmptyOnMeta():  # theirs compute widths with tensors while they are built
            network = entry.build(model, _CLASSES, COLOURS)
    else:
        with torch.device("meta"), Unfilled():
            network = entry.build(model, _CLASSES, _CHANNELS)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
