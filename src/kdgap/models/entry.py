"""What a family of networks declares, and the registry of architectures; starts without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from kdgap.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture


@dataclass(frozen=True)
class Anatomy:
    """What can be read of a network.

    Attributes:
        stages: feature stages by name, first to last.
        lacks: what no method can read of it: names of `Taps`.
    """

    stages: tuple[str, ...]
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelEntry:
    """A registered architecture.

    Attributes:
        build: (architecture, classes, channels) → network with torch's current random state.
        citation: the paper.
        stages: feature stages by name, first to last.
        stems: the stems it has; none where there is nothing to choose.
        total_stride: stem name → how many times smaller the last feature map is; where it says
            nothing, an image of the size in question is tried.
        base_channels: channels of the first stage at width 1, where a width factor exists.
        lacks: what no method can read of it: names of `Taps`.
        cifar10_cost: stem → (parameters, FLOPs) for 3x32x32 images and 10 classes, where known.
        shortcuts: the shortcuts it has.
        anatomy: finds stages and lacks, where they depend on how it is built.
        takes_arguments: whether `arguments` and `modules` mean something.
        shares: the `arguments` that one of our own networks takes, each from 0 to below 1.
        code: returns the SHA-256 of the file that its code is in, where that is the user's.
        draws: whether it may draw random numbers in training, as dropout does.
        family: what it is listed under.
        weights: returns a line about the weights that its makers offer, where that is known.
    """

    build: Callable[[Architecture, int, int], Network]
    citation: str
    stages: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()
    total_stride: Mapping[str, int] = field(default_factory=dict)
    base_channels: int | None = None
    lacks: tuple[str, ...] = ()
    cifar10_cost: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    shortcuts: tuple[str, ...] = ("A",)
    anatomy: Callable[[Architecture], Anatomy] | None = None
    takes_arguments: bool = False
    shares: tuple[str, ...] = ()
    code: Callable[[], str] | None = None
    draws: bool = False
    family: str = "others"
    weights: Callable[[], str | None] | None = None


def entry_of_others(
    module: str,
    name: str,
    citation: str,
    *,
    code: Callable[[], str] | None = None,
    weights: Callable[[], str | None] | None = None,
) -> ModelEntry:
    """Return the entry of a network that is not ours.

    Args:
        module: has `build` and `anatomy` of its source; it loads torch, so it is imported late.
        name: what these two call the network.
        citation: where it comes from.
        code, weights: see `ModelEntry`.
    """

    def build(model: Architecture, classes: int, channels: int) -> Network:
        network: Network = import_module(module).build(name, model, classes, channels)
        return network

    def find(model: Architecture) -> Anatomy:
        anatomy: Anatomy = import_module(module).anatomy(name, model)
        return anatomy

    return ModelEntry(
        build,
        citation,
        anatomy=find,
        takes_arguments=True,
        code=code,
        draws=True,
        weights=weights,
    )


MODELS: Registry[ModelEntry] = Registry(
    "model", "`kdgap models` lists ours; those of others are torchvision:NAME and timm:NAME"
)


def anatomy(model: Architecture) -> Anatomy:
    """Return what can be read of a network that `check_model` accepts."""
    entry = MODELS[model.name]
    return entry.anatomy(model) if entry.anatomy else Anatomy(entry.stages, entry.lacks)
