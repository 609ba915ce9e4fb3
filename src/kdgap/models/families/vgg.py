"""VGG-8 to VGG-19 with batch norm for small images, built in `kdgap/models/vgg.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture

# Depth → convolutions by block; parameters and FLOPs, as `ModelEntry.cifar10_cost` has them.
_DEPTHS = {
    8: ((1, 1, 1, 1, 1), (3_918_858, 192_292_864)),
    11: ((1, 1, 2, 2, 2), (9_231_114, 418_785_280)),
    13: ((2, 2, 2, 2, 2), (9_416_010, 569_780_224)),
    16: ((2, 2, 3, 3, 3), (14_728_266, 796_272_640)),
    19: ((2, 2, 4, 4, 4), (20_040_522, 1_022_765_056)),
}


def _build(depths: tuple[int, ...], _: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.vgg import Vgg

    return Vgg(depths, classes, channels)


for _depth, (_depths, _cost) in _DEPTHS.items():
    MODELS.register(f"vgg{_depth}")(
        ModelEntry(
            build=partial(_build, _depths),
            citation="Simonyan and Zisserman 2015, Very Deep Convolutional Networks (arXiv"
            " 1409.1556), with batch norm, as Tian et al. 2020 (arXiv 1910.10699) train it",
            family="VGG",
            stages=("layer1", "layer2", "layer3", "layer4"),
            stems=("cifar",),
            total_stride={"cifar": 8},
            cifar10_cost={"cifar": _cost},
        )
    )
