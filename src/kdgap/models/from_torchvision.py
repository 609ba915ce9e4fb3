"""torchvision's networks; importing torchvision takes two seconds."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise

from torch import nn
from torchvision import models
from torchvision.models import get_model, get_model_builder, list_models

from kdgap.errors import BadInputError, nearest
from kdgap.models.adapted import (
    AdaptedNetwork,
    Reading,
    anatomy_of,
    checked_arguments,
    find_classifier,
    network_from,
    with_modules,
)
from kdgap.models.entry import Anatomy
from kdgap.spec.model import Architecture

_OURS = {
    "weights": "weights are converted with `kdgap convert` and named as a teacher's",
    "num_classes": "the data says how many classes there are",
    "progress": "nothing is fetched",
}


def names() -> list[str]:
    """Return the names of torchvision's classifiers of images."""
    return [str(name) for name in list_models(module=models)]


def makers() -> dict[str, Callable[..., object]]:
    """Return what makes each network; its module is that of the network's family."""
    return {name: get_model_builder(name) for name in names()}


def build(name: str, model: Architecture, classes: int, channels: int) -> AdaptedNetwork:
    """Build a network of torchvision with torch's current random state."""
    full = f"torchvision:{name}"
    if name not in names():
        raise BadInputError(f"torchvision has no network {name!r}{nearest(name, names())}", "name")
    if channels != 3:
        raise BadInputError(
            f"{full} takes images of 3 colour channels, these have {channels}; choose one of"
            " ours or of timm, which are built for any number"
        )
    given = checked_arguments(full, model.arguments, _OURS)
    inner = network_from(full, lambda: get_model(name, weights=None, num_classes=classes, **given))
    reading = reading_of(name, inner, classes)
    return AdaptedNetwork(full, inner, with_modules(full, inner, reading, model.modules))


@lru_cache(maxsize=256)
def anatomy(name: str, model: Architecture) -> Anatomy:
    """Return what can be read of a network of torchvision."""
    return anatomy_of(partial(build, name), model)


def reading_of(name: str, inner: nn.Module, classes: int) -> Reading:
    """Return where a network's inner values are, by its family; of other families the classifier.

    Stages end where the map is halved next, and the last one at the end.
    """
    classifier = find_classifier(inner, classes)
    for start, read in _FAMILIES.items():
        if name.startswith(start):
            stages, pooled = read(inner)
            return Reading(tuple(stages), pooled, None, classifier, start == "swin")
    return Reading(classifier=classifier)


_Read = Callable[[nn.Module], tuple[Sequence[str], str | None]]


def _of(*stages: str, pooled: str | None = None) -> _Read:
    return lambda _: (stages, pooled)


_LAYERS = _of("layer1", "layer2", "layer3", "layer4", pooled="layer4")
_ODD_FEATURES = _of(*(f"features.{number}" for number in (1, 3, 5, 7)))


def _before_pools(inner: nn.Module) -> tuple[Sequence[str], str | None]:
    features = inner.get_submodule("features")
    pairs = pairwise(features.named_children())
    return [f"features.{a}" for (a, _), (_, b) in pairs if isinstance(b, nn.MaxPool2d)], None


def _encoder(inner: nn.Module) -> tuple[Sequence[str], str | None]:
    layers = inner.get_submodule("encoder.layers")
    return [f"encoder.layers.{name}" for name, _ in layers.named_children()], None


def _before_strides(pooled: str | None) -> _Read:
    """Stages of a `features` sequence that ends in a 1x1 convolution, found by their strides."""

    def read(inner: nn.Module) -> tuple[Sequence[str], str | None]:
        blocks = list(inner.get_submodule("features").children())
        ends = [i - 1 for i, block in enumerate(blocks) if i > 1 and _strides(block)]
        return [f"features.{i}" for i in (*ends, len(blocks) - 2)], pooled

    return read


def _strides(block: nn.Module) -> bool:
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    return any(max(convolution.stride) > 1 for convolution in convolutions)


_FAMILIES: dict[str, _Read] = {
    **dict.fromkeys(("resnet", "resnext", "wide_resnet"), _LAYERS),
    "vgg": _before_pools,
    "densenet": _of(*(f"features.denseblock{number}" for number in range(1, 5))),
    **dict.fromkeys(("mobilenet_v2", "efficientnet"), _before_strides("features")),
    "mobilenet_v3": _before_strides(None),
    "shufflenet": _of("stage2", "stage3", "stage4", pooled="conv5"),
    "regnet": _of(*(f"trunk_output.block{n}" for n in range(1, 5)), pooled="trunk_output"),
    **dict.fromkeys(("convnext", "swin"), _ODD_FEATURES),
    "vit": _encoder,
}
"""Start of a name → how networks of that family are read."""
