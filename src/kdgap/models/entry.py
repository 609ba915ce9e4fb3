"""What a family of networks declares, and the registry of architectures; starts without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kdgap.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kdgap.models.output import Network
    from kdgap.spec.run import ModelSpec


@dataclass(frozen=True)
class ModelEntry:
    """A registered architecture.

    Attributes:
        build: (spec, classes, channels) → network with torch's current random state.
        citation: the paper.
        stages: feature stages by name, first to last.
        stems: the stems it has.
        cifar10_cost: stem → (parameters, FLOPs) for 3x32x32 images and 10 classes, where known.
        base_channels: channels of the first stage at width 1, where a width factor exists.
        lacks: what no method can read of it: names of `Taps`.
        total_stride: stem name → how many times smaller the last feature map is.
    """

    build: Callable[[ModelSpec, int, int], Network]
    citation: str
    stages: tuple[str, ...]
    stems: tuple[str, ...]
    total_stride: Mapping[str, int]
    base_channels: int | None = None
    lacks: tuple[str, ...] = ()
    cifar10_cost: Mapping[str, tuple[int, int]] = field(default_factory=dict)


MODELS: Registry[ModelEntry] = Registry("model")
