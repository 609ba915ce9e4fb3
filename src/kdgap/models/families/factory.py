"""`package.module:factory`: a network of the user's own, built in `models/from_factory.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.errors import BadInputError
from kdgap.models.entry import MODELS, Anatomy, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture


def _build(name: str, model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.from_factory import build

    return build(name, model, classes, channels)


def _anatomy(name: str, model: Architecture) -> Anatomy:
    from kdgap.models.from_factory import anatomy

    return anatomy(name, model)


def _code(name: str) -> str:
    from kdgap.models.from_factory import code

    return code(name)


@MODELS.source("")
def _entry(name: str) -> ModelEntry:
    module, _, factory = name.partition(":")
    words = [*module.split("."), *factory.split(".")]
    if not all(word.isidentifier() for word in words):
        raise BadInputError(
            f"{name!r} is no network; a network of your own is written package.module:factory"
        )
    return ModelEntry(
        build=partial(_build, name),
        citation="your own",
        anatomy=partial(_anatomy, name),
        takes_arguments=True,
        code=partial(_code, name),
        draws=True,
    )
