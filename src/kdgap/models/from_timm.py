"""timm's networks (an extra), read through timm's own interface."""

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from kdgap.errors import BadInputError, nearest
from kdgap.models.adapted import (
    AdaptedNetwork,
    Reading,
    anatomy_of,
    checked_arguments,
    network_from,
    with_modules,
)
from kdgap.models.entry import Anatomy
from kdgap.models.taps import Taps
from kdgap.spec.model import Architecture

_OURS = {
    **dict.fromkeys(
        ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
        "weights are converted with `kdgap convert` and named as a teacher's",
    ),
    "num_classes": "the data says how many classes there are",
    "in_chans": "the data says how many colour channels there are",
    **dict.fromkeys(
        ("features_only", "out_indices", "scriptable", "exportable", "no_jit"),
        "feature maps are read without it",
    ),
}


def names() -> list[str]:
    """Return the names of timm's networks.

    Raises:
        BadInputError: timm is not installed.
    """
    return [str(name) for name in _timm().list_models()]


def makers() -> dict[str, Callable[..., object]]:
    """Return what makes each network; its module is that of the network's family.

    Raises:
        BadInputError: timm is not installed.
    """
    return {name: _timm().models.model_entrypoint(name) for name in names()}


def offered(name: str) -> str | None:
    """Return what timm says of the weights that it offers for a network; nothing is fetched."""
    known: Any = _timm().get_pretrained_cfg(name, allow_unregistered=True)
    if known is None or not known.has_weights:
        return None
    size = "x".join(map(str, known.input_size))
    return (
        f"licence {known.license or 'not stated'}; trained on {size}, mean {_listed(known.mean)},"
        f" std {_listed(known.std)}, {known.num_classes:,} classes"
    )


def _listed(numbers: Any) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _timm() -> Any:
    try:
        return import_module("timm")
    except ImportError:
        raise BadInputError(
            "timm is not installed; `pip install 'kdgap[timm]'` brings it"
        ) from None


class TimmNetwork(AdaptedNetwork):
    """A network of timm with `forward_intermediates`, which gives its maps as `[B, D, H, W]`."""

    def _looked_at(self, images: Tensor, taps: Taps) -> tuple[Tensor, dict[str, Tensor]]:
        model: Any = self.inner
        wanted = [self.stages.index(stage) for stage in taps.maps]
        kept: dict[str, Tensor] = {}
        if wanted:
            final, maps = model.forward_intermediates(images, indices=wanted, output_fmt="NCHW")
            kept |= dict(zip(taps.maps, maps, strict=True))
        else:
            final = model.forward_features(images)
        embedding = model.forward_head(final, pre_logits=True)
        last = getattr(model, "output_fmt", "NCHW") == "NHWC"  # Swin's is
        pooled = final.permute(0, 3, 1, 2) if last and final.ndim == 4 else final
        kept |= {"embedding": embedding, "pooled": pooled}
        if self.reading.classifier is None:
            return self._logits(model.forward_head(final)), kept
        linear = model.get_submodule(self.reading.classifier)
        return self._logits(linear(embedding)), kept


def build(name: str, model: Architecture, classes: int, channels: int) -> AdaptedNetwork:
    """Build a network of timm with torch's current random state."""
    full, known, bare = f"timm:{name}", names(), name.split(".")[0]
    # What else timm takes as a name is an address, from which it would fetch code and weights.
    if bare not in known:
        raise BadInputError(f"timm has no network {name!r}{nearest(name, known)}", "name")
    given = checked_arguments(full, model.arguments, _OURS)
    inner = network_from(
        full,
        lambda: _timm().create_model(
            bare, pretrained=False, num_classes=classes, in_chans=channels, **given
        ),
    )
    if model.modules is not None or not hasattr(inner, "forward_intermediates"):
        plain = Reading(classifier=_classifier(inner))
        return AdaptedNetwork(full, inner, with_modules(full, inner, plain, model.modules))
    known_stages: Any = inner.feature_info
    stages = tuple(str(info["module"]) for info in known_stages)
    pooled = "" if _averages(inner) else None
    return TimmNetwork(full, inner, Reading(stages, pooled, "", _classifier(inner)))


def _averages(inner: Any) -> bool:
    """Whether the classifier may get the mean of the last map over pixels, by how it is built.

    A class token is no such mean, nor is what is normalised behind the pooling (ConvNeXt). What
    hides from this is refused when it is seen.
    """
    behind = (getattr(inner, "fc_norm", None), getattr(getattr(inner, "head", None), "norm", None))
    normalised = any(
        isinstance(layer, nn.Module) and not isinstance(layer, nn.Identity) for layer in behind
    )
    token = getattr(inner, "global_pool", "") == "token"
    return not (token or normalised)


def _classifier(inner: Any) -> str | None:
    """Return the path of the one linear layer that makes the logits of the embedding, if any."""
    layer = inner.get_classifier()
    paths = [path for path, module in inner.named_modules() if module is layer]
    return paths[0] if paths and isinstance(layer, nn.Linear) else None


@lru_cache(maxsize=256)
def anatomy(name: str, model: Architecture) -> Anatomy:
    """Return what can be read of a network of timm."""
    return anatomy_of(partial(build, name), model)
