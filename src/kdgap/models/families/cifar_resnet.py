"""The CIFAR ResNets (He et al. 2016, section 4.2), built in `kdgap/models/cifar_resnet.py`.

`resnetN` has shortcuts without parameters unless `shortcut: B` is asked for, which is what most
distillation code calls resnetN. `resnetNx4` there has a stem of 32 channels before stages of 64,
128 and 256, and projecting shortcuts (Tian et al. 2020, arXiv 1910.10699, appendix).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture

_BASE_CHANNELS = 16
_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
_WIDE_DEPTHS = (8, 14, 32)
_CITATION = "He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2"
_STAGES = ("layer1", "layer2", "layer3")


def _build(depth: int, model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.cifar_resnet import CifarResNet

    width = round(_BASE_CHANNELS * model.width)
    widths = (width, width, 2 * width, 4 * width)
    return CifarResNet(depth, widths, classes, channels, model.shortcut)


def _build_wide(depth: int, _: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.cifar_resnet import CifarResNet

    return CifarResNet(depth, (32, 64, 128, 256), classes, channels, "B")


for _depth in _DEPTHS:
    MODELS.register(f"resnet{_depth}")(
        ModelEntry(
            build=partial(_build, _depth),
            citation=_CITATION,
            stages=_STAGES,
            stems=("cifar",),
            total_stride={"cifar": 4},
            base_channels=_BASE_CHANNELS,
            shortcuts=("A", "B"),
        )
    )
for _depth in _WIDE_DEPTHS:
    MODELS.register(f"resnet{_depth}x4")(
        ModelEntry(
            build=partial(_build_wide, _depth),
            citation=_CITATION,
            stages=_STAGES,
            stems=("cifar",),
            total_stride={"cifar": 4},
        )
    )
