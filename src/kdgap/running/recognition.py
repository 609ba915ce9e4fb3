"""Which architecture a checkpoint holds: names and shapes of its tensors decide.

Every registered network of ours is built without memory, with every stem and shortcut that it has
and with the widths that the checkpoint's first layer allows. How many classes and colour channels
there are is read from the checkpoint. Where none of ours fits, those of others are tried.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kdgap.errors import BadInputError
from kdgap.models import MODELS
from kdgap.running.beside import Recognised, beside, shapes_of
from kdgap.running.elsewhere import Search, search_elsewhere
from kdgap.running.fitting import Shape
from kdgap.running.namings import shared_name
from kdgap.running.trained_on import Facts
from kdgap.spec.model import ModelSpec
from kdgap.store.stored_tensor import StoredTensor

_WIDEST = 16
"""Most that a width may be (`spec.model`)."""
_CLOSE = 0.5
"""Share of tensors in common from which on an architecture is worth naming."""
_MOST_TENSORS = 5_000
"""Of a file that is searched: several times what averages and an optimiser's state make."""
_FEWEST_TENSORS = 12
"""Of a file that is searched for networks of others: torchvision's smallest has 16."""
_MOST_NAMED = 8
"""Of several networks that fit, in a message."""
_MOST_WIDTHS = 4
"""Of a first layer, where a file holds several networks."""


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
    tried = [beside(model, checkpoint) for key in names for model in _variants(key, checkpoint)]
    fits = [each for each in tried if each.fitting.sets]
    near = max(tried, key=lambda each: each.share(len(checkpoint)), default=None)
    return fits, None if fits else near


def recognised(
    source: Path, checkpoint: Sequence[StoredTensor]
) -> tuple[Recognised, Sequence[str]]:
    """Return the one architecture that fits, and what was not tried, a clause each.

    Networks of others are only searched where none of ours fits.

    Args:
        source: the checkpoint's file, for messages.
        checkpoint: its tensors.

    Raises:
        BadInputError: none fits, or several do.
    """
    fits, near = recognise(checkpoint)
    search = Search()
    if not fits and _FEWEST_TENSORS <= len(checkpoint) <= _MOST_TENSORS:
        search = search_elsewhere(checkpoint)
        fits = search.fits
        both = [each for each in (near, search.near) if each is not None]
        near = max(both, key=lambda each: each.share(len(checkpoint)), default=None)
    bounds = "".join(f"; {bound}" for bound in search.bounds)
    if len(fits) == 1:
        return fits[0], search.bounds
    if fits:
        names = [each.options.removeprefix("--model ") for each in fits]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise BadInputError(
            f"{source}: several networks fit: {', '.join(names[:_MOST_NAMED])}{more}{bounds};"
            f" choose with --model, such as {fits[0].options}"
        )
    close = near is not None and near.share(len(checkpoint)) >= _CLOSE
    reason = f"; {near.model.name} comes nearest: {near.fitting.misfit}" if near and close else ""
    example = "" if close or not checkpoint else f", such as {'.'.join(checkpoint[0].path)!r}"
    raise BadInputError(
        f"{source}: no network of ours, torchvision or timm that was tried fits its"
        f" {len(checkpoint):,} tensors{example}{reason}{bounds}; name its architecture with --model"
        " (one of ours, timm:NAME, torchvision:NAME or package.module:factory)"
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


def _variants(name: str, checkpoint: Sequence[StoredTensor]) -> Iterator[ModelSpec]:
    entry = MODELS[name]
    for stem in entry.stems or ("cifar",):
        for shortcut in entry.shortcuts:
            plain = ModelSpec.model_validate({"name": name, "stem": stem, "shortcut": shortcut})
            if entry.base_channels is None:
                yield plain
                continue
            first, shape = next(iter(shapes_of(plain).items()))
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
