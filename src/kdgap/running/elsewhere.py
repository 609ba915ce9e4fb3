"""Which network of torchvision or timm a checkpoint holds.

These are very many, and building one takes a tenth of a second even without memory. So of the
families whose code has most words of the checkpoint's names one network each is built, and their
kinds of tensors say which families are worth more: of these first the networks whose code has the
checkpoint's sizes. The first family in which something fits decides. Bounds are by number, not by
time, so that every machine gives the same answer.
"""

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from math import isqrt
from types import ModuleType

from kdgap.errors import BadInputError
from kdgap.running.beside import Recognised, beside, shapes_of
from kdgap.running.namings import shared_name
from kdgap.spec.model import ModelSpec
from kdgap.store.stored_tensor import StoredTensor

MOST_FAMILIES = {"torchvision": 20, "timm": 12}
"""Of each source, of which a network is built: all of torchvision's, and timm's likeliest."""
MOST_OF_A_FAMILY, MOST_BUILT = 24, 48
"""Networks that are built, of one family and of one source: half a minute of timm's."""
_ALIKE = 0.5
"""Share of the kinds of tensors of a family's first network from which on the rest is tried."""
_SIZE_ARGUMENTS: dict[str, Callable[[int, int], dict[str, int]]] = {
    "torchvision": lambda size, _: {"image_size": size},
    "timm": lambda size, patch: {"img_size": size, "patch_size": patch},
}
"""What makes a vision transformer for images of a size, in patches of a side."""


@dataclass
class Search:
    """What a search among the networks of others came to.

    Attributes:
        fits: the networks that fit.
        near: of the others the one that comes nearest.
        bounds: what was not tried, a clause each.
    """

    fits: list[Recognised] = field(default_factory=list)
    near: Recognised | None = None
    bounds: list[str] = field(default_factory=list)


def search_elsewhere(checkpoint: Sequence[StoredTensor]) -> Search:
    """Return the networks of torchvision that fit; where none does, those of timm, if installed.

    Args:
        checkpoint: the tensors of a checkpoint.
    """
    known = _Traits.of(checkpoint)
    search = Search()
    for source in _SIZE_ARGUMENTS:
        try:
            makers = import_module(f"kdgap.models.from_{source}").makers()
        except BadInputError:
            search.bounds.append(f"{source} is not installed and was not searched")
            continue
        tried: list[Recognised] = []
        for family in _families(source, makers, known):
            those = [_beside(model, checkpoint) for model in family[: MOST_BUILT - len(tried)]]
            beside_it = [each for each in those if each is not None]
            tried += beside_it
            search.fits = [each for each in beside_it if each.fitting.sets]
            if not search.fits:
                search.fits = list(_of_another_size(source, beside_it, checkpoint, known))
            if search.fits:
                break
        if source == "timm":
            search.bounds.append(
                f"of the {len(makers):,} networks of timm the likeliest {len(tried)} were tried"
            )
        if search.fits:
            search.near = None
            break
        tried += [search.near] if search.near else []
        search.near = max(tried, key=lambda each: each.share(len(checkpoint)), default=None)
    return search


@dataclass(frozen=True)
class _Traits:
    """What a checkpoint's names and shapes say of the code that its network was built by.

    Attributes:
        words: words in names.
        kinds: names after the rules of `namings`, with `#` for numbers.
        ends: what these end in, for something may stand before all.
        sizes: sizes in shapes, and how many modules are numbered in a row.
        image: side of the images and of the patches of a vision transformer.
    """

    words: frozenset[str]
    kinds: frozenset[str]
    ends: frozenset[str]
    sizes: frozenset[int]
    image: tuple[int, int] | None

    @classmethod
    def of(cls, checkpoint: Sequence[StoredTensor]) -> "_Traits":
        words, kinds, ends, sizes = set[str](), set[str](), set[str](), set[int]()
        patch, tokens = 0, 0
        for tensor in checkpoint:
            name = ".".join(tensor.path)
            shared = shared_name(name)
            words |= {*re.findall(r"[a-z_]+", f"{name}.{shared}".lower())}
            parts = _kind(shared).split(".")
            kinds.add(".".join(parts))
            ends |= {".".join(parts[start:]) for start in range(len(parts))}
            sizes |= {*tensor.shape, *(int(part) + 1 for part in name.split(".") if _counts(part))}
            if shared.endswith("patch_embed.proj.weight") and len(tensor.shape) == 4:
                patch = tensor.shape[2]
            elif shared.endswith("pos_embed") and len(tensor.shape) == 3:
                tokens = tensor.shape[1]
        side = isqrt(tokens)  # a class token stands before a square of them, or nothing does
        whole = patch > 0 and tokens > 0 and tokens - side * side <= 1
        image = (side * patch, patch) if whole else None
        return cls(frozenset(words), frozenset(kinds), frozenset(ends), frozenset(sizes), image)

    def alike(self, model: ModelSpec) -> tuple[float, float]:
        """Return the share of a network's kinds of tensors that is there, and of those of either.

        Both are from 0 to 1.
        """
        try:
            with _quiet():
                wanted = {_kind(shared_name(name)) for name in shapes_of(model)}
        except BadInputError:  # it cannot be built as it is
            return 0.0, 0.0
        there = len(wanted & self.ends)
        strange = sum(not any(kind.endswith(own) for own in wanted) for kind in self.kinds)
        return there / max(len(wanted), 1), there / max(len(wanted) + strange, 1)


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _counts(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 5


def _families(
    source: str, makers: dict[str, Callable[..., object]], known: _Traits
) -> list[list[ModelSpec]]:
    """Return the likeliest networks of the families that are worth trying, likeliest first."""
    named: dict[str, list[str]] = {}
    for name, maker in makers.items():
        named.setdefault(maker.__module__, []).append(name)
    words = {module: len(_words(sys.modules[module]) & known.words) for module in named}
    families: list[tuple[float, list[ModelSpec]]] = []
    for module in sorted(named, key=lambda module: (-words[module], module))[
        : MOST_FAMILIES[source]
    ]:
        order = {name: (*_unlike(makers[name], known), name) for name in named[module]}
        likely = sorted(order, key=lambda name: order[name])[:MOST_OF_A_FAMILY]
        models = [ModelSpec(name=f"{source}:{name}") for name in likely]
        alike, of_either = known.alike(models[0])
        if alike >= _ALIKE:
            families.append((of_either, models))
    return [models for _, models in sorted(families, key=lambda family: -family[0])]


def _beside(model: ModelSpec, checkpoint: Sequence[StoredTensor]) -> Recognised | None:
    """Return `beside`; None for a network that cannot be built as it is."""
    try:
        with _quiet():
            return beside(model, checkpoint)
    except BadInputError:
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # makers announce what later versions change
        yield


def _words(module: ModuleType) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z_]+", _source(module).lower()))


def _unlike(maker: Callable[..., object], known: _Traits) -> tuple[int, int]:
    """Return how many numbers in a maker's code are no sizes of the checkpoint, and minus the rest.

    Numbers within words, as in `vit_tiny_patch16_224`, are none.
    """
    numbers = {int(text) for text in re.findall(r"(?<![\w.])\d{1,6}(?![\w.])", _source(maker))}
    return len(numbers - known.sizes), -len(numbers & known.sizes)


def _source(code: ModuleType | Callable[..., object]) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):  # code that is installed without its text
        return ""


def _of_another_size(
    source: str,
    tried: Sequence[Recognised],
    checkpoint: Sequence[StoredTensor],
    known: _Traits,
) -> Iterator[Recognised]:
    """Return the vision transformers that fit once they are made for the checkpoint's images."""
    if known.image is None:
        return
    arguments = _SIZE_ARGUMENTS[source](*known.image)
    for each in tried:
        if each.fitting.matching == each.tensors:  # all of its names are there
            sized = each.model.model_copy(update={"arguments": arguments})
            again = _beside(sized, checkpoint)
            if again is not None and again.fitting.sets:
                yield again
