"""Networks that a function of the user's own makes.

The function is called with `num_classes`, with `in_chans` (or `in_channels`) where it takes one,
and with the `arguments` of the configuration. Its module is looked for where Python looks for
modules, the current directory apart: a study from elsewhere must not run what lies beside it.
"""

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdgap.errors import BadInputError, nearest
from kdgap.files import file_hash
from kdgap.models.adapted import (
    AdaptedNetwork,
    Reading,
    anatomy_of,
    checked_arguments,
    find_classifier,
    network_from,
    said_by,
    with_modules,
)
from kdgap.models.entry import MODELS, Anatomy
from kdgap.models.output import Output
from kdgap.models.taps import NOTHING, Taps
from kdgap.spec.model import Architecture
from kdgap.terminal import aside

_OURS = {
    "num_classes": "the data says how many classes there are",
    **dict.fromkeys(
        ("in_chans", "in_channels"), "the data says how many colour channels there are"
    ),
}


@lru_cache(maxsize=256)
def factory(name: str) -> Callable[..., Any]:
    """Return the function that a name stands for.

    Raises:
        BadInputError: there is none, or its module cannot be imported.
    """
    place, _, path = name.partition(":")
    top = place.split(".")[0]
    try:
        known = find_spec(top) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        here = Path.cwd()
        beside = (here / f"{top}.py").exists() or (here / top).is_dir()
        way = "; it lies here: set PYTHONPATH=$PWD to use it" if beside else ""
        near = nearest(top, [source for source in MODELS.sources() if source])
        raise BadInputError(f"{name}: Python finds no module {top!r}{way or near}")
    try:
        with aside():  # what it prints is no answer of ours
            thing: Any = import_module(place)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (code that is not ours)
        reason = said_by(error)
        raise BadInputError(f"{name}: {place} cannot be imported: {reason}") from None
    for word in path.split("."):
        if not hasattr(thing, word):
            raise BadInputError(f"{name}: {place} has no {path!r}{nearest(word, dir(thing))}")
        thing = getattr(thing, word)
    if not callable(thing):
        raise BadInputError(f"{name}: {path!r} is no function or class")
    made_by: Callable[..., Any] = thing
    return made_by


def code(name: str) -> str:
    """Return the SHA-256 of the file that a factory is in: another file is another network.

    Where it is defined in one file and named in another, which may fill in arguments
    (`functools.partial`), both count.
    """
    made_by = factory(name)
    while isinstance(made_by, partial):
        made_by = made_by.func
    files = dict.fromkeys(map(_source, (made_by.__module__, name.partition(":")[0])))
    hashes = [file_hash(file) for file in files if file is not None]
    if not hashes:
        raise BadInputError(f"{name}: its module has no source file, so it cannot be told apart")
    return hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest()


def _source(module: str) -> Path | None:
    try:
        file = inspect.getsourcefile(sys.modules[module])
    except (KeyError, TypeError):  # it is not loaded, or built in
        return None
    return None if file is None else Path(file)


class OwnNetwork(AdaptedNetwork):
    """A network of the user's own; what its code prints goes to stderr."""

    def __call__(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.__call__`."""
        with aside():
            return super().__call__(images, taps)


def build(name: str, model: Architecture, classes: int, channels: int) -> AdaptedNetwork:
    """Build a network of the user's own with torch's current random state."""
    make = factory(name)
    given = checked_arguments(name, model.arguments, _OURS)
    try:
        takes = inspect.signature(make).parameters
    except (TypeError, ValueError):
        takes = {}  # type: ignore[assignment]  # something without a signature
    anything = any(each.kind is each.VAR_KEYWORD for each in takes.values())
    for key in ("in_chans", "in_channels"):
        if key in takes:
            given[key] = channels
    unknown = [key for key in given if key not in takes and not anything]
    if takes and unknown:
        raise BadInputError(f"{name} takes no argument {unknown[0]!r}{nearest(unknown[0], takes)}")
    with aside():
        inner = network_from(name, lambda: make(num_classes=classes, **given))
    for path, parameter in inner.named_parameters():
        if parameter.dtype != torch.float32:
            raise BadInputError(
                f"{name}: its parameter {path!r} is {str(parameter.dtype).removeprefix('torch.')},"
                " expected float32; let it return the network .float(), and choose the precision of"
                " training in the configuration"
            )
    reading = Reading(classifier=find_classifier(inner, classes))
    return OwnNetwork(name, inner, with_modules(name, inner, reading, model.modules))


@lru_cache(maxsize=256)
def anatomy(name: str, model: Architecture) -> Anatomy:
    """Return what can be read of a network of the user's own."""
    return anatomy_of(partial(build, name), model)
