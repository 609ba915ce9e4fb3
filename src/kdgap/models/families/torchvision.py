"""`torchvision:NAME`: any of torchvision's classifiers, built in `models/from_torchvision.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, Anatomy, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture


def _build(name: str, model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.from_torchvision import build

    return build(name, model, classes, channels)


def _anatomy(name: str, model: Architecture) -> Anatomy:
    from kdgap.models.from_torchvision import anatomy

    return anatomy(name, model)


def _names() -> list[str]:
    from kdgap.models.from_torchvision import names

    return names()


@MODELS.source("torchvision", _names)
def _entry(name: str) -> ModelEntry:
    return ModelEntry(
        build=partial(_build, name),
        citation="torchvision (BSD-3-Clause), docs.pytorch.org/vision",
        anatomy=partial(_anatomy, name),
        takes_arguments=True,
        draws=True,
    )
