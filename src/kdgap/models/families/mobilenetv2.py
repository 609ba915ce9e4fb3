"""MobileNetV2 for small images, built in `kdgap/models/mobilenetv2.py`.

`mobilenetv2_half` is what tables of distillation call MobileNetV2.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture

# Name → width; parameters and FLOPs, as `ModelEntry.cifar10_cost` has them.
_WIDTHS = {
    "mobilenetv2_half": (0.5, (697_546, 12_816_896)),
    "mobilenetv2": (1.0, (2_237_770, 44_531_712)),
}


def _build(width: float, _: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.mobilenetv2 import MobileNetV2

    return MobileNetV2(width, classes, channels)


for _name, (_width, _cost) in _WIDTHS.items():
    MODELS.register(_name)(
        ModelEntry(
            build=partial(_build, _width),
            citation="Sandler et al. 2018, MobileNetV2 (arXiv 1801.04381), as Tian et al. 2020"
            " (arXiv 1910.10699) train it",
            family="MobileNetV2",
            stages=("layer1", "layer2", "layer3", "layer4"),
            stems=("cifar",),
            total_stride={"cifar": 16},
            cifar10_cost={"cifar": _cost},
        )
    )
