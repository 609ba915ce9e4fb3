"""`timm:NAME`: any network of timm (an extra), built in `kdgap/models/from_timm.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, Anatomy, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture


def _build(name: str, model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.from_timm import build

    return build(name, model, classes, channels)


def _anatomy(name: str, model: Architecture) -> Anatomy:
    from kdgap.models.from_timm import anatomy

    return anatomy(name, model)


def _names() -> list[str]:
    from kdgap.models.from_timm import names

    return names()


def _weights(name: str) -> str | None:
    from kdgap.models.from_timm import offered

    return offered(name)


@MODELS.source("timm", _names)
def _entry(name: str) -> ModelEntry:
    return ModelEntry(
        build=partial(_build, name),
        citation="timm (Apache-2.0), github.com/huggingface/pytorch-image-models",
        anatomy=partial(_anatomy, name),
        takes_arguments=True,
        draws=True,
        weights=partial(_weights, name),
    )
