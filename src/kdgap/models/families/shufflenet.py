"""ShuffleNet V1 and V2 for small images, built in `kdgap/models/shufflenet.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture

_WIDTHS = {
    "shufflenetv2": (116, 232, 464, 1024),
    "shufflenetv2_1.5": (176, 352, 704, 1024),
}
# As `ModelEntry.cifar10_cost` has them.
_COSTS = {
    "shufflenetv1": (862_768, 77_210_112),
    "shufflenetv2": (1_263_278, 88_824_576),
    "shufflenetv2_1.5": (2_488_298, 187_339_776),
}
_CITATION_V1 = "Zhang et al. 2018, ShuffleNet (arXiv 1707.01083), with 3 groups"
_CITATION_V2 = "Ma et al. 2018, ShuffleNet V2 (arXiv 1807.11164)"


def _build_v1(_: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.shufflenet import ShuffleNetV1

    return ShuffleNetV1(3, classes, channels)


def _build_v2(
    widths: tuple[int, int, int, int], _: Architecture, classes: int, channels: int
) -> Network:
    from kdgap.models.shufflenet import ShuffleNetV2

    return ShuffleNetV2(widths, classes, channels)


def _register(name: str, build: Callable[[Architecture, int, int], Network], citation: str) -> None:
    MODELS.register(name)(
        ModelEntry(
            build=build,
            citation=f"{citation}, as Tian et al. 2020 (arXiv 1910.10699) train it",
            family="ShuffleNet",
            stages=("layer1", "layer2", "layer3"),
            stems=("cifar",),
            total_stride={"cifar": 8},
            cifar10_cost={"cifar": _COSTS[name]},
            # Halves of a last block have batch norms of their own, or none.
            lacks=("before_relu", "norms"),
        )
    )


_register("shufflenetv1", _build_v1, _CITATION_V1)
for _name, _widths in _WIDTHS.items():
    _register(_name, partial(_build_v2, _widths), _CITATION_V2)
