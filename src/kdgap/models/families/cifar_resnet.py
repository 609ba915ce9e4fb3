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
# Depth → parameters and FLOPs, as `ModelEntry.cifar10_cost` has them.
_DEPTHS = {
    8: (75_290, 24_478_976),
    14: (172_506, 52_790_528),
    20: (269_722, 81_102_080),
    32: (464_154, 137_725_184),
    38: (561_370, 166_036_736),
    44: (658_586, 194_348_288),
    56: (853_018, 250_971_392),
    110: (1_727_962, 505_775_360),
    116: (1_825_178, 534_086_912),
}
# Depth and widening → channels of the stem and of the stages; the same.
_WIDENED = {
    (14, 2): ((16, 32, 64, 128), (692_122, 202_213_888)),
    (38, 2): ((16, 32, 64, 128), (2_243_994, 655_198_720)),
    (110, 2): ((16, 32, 64, 128), (6_899_610, 2_014_153_216)),
    (8, 4): ((32, 64, 128, 256), (1_210_410, 354_096_128)),
    (14, 4): ((32, 64, 128, 256), (2_760_490, 807_080_960)),
    (32, 4): ((32, 64, 128, 256), (7_410_730, 2_166_035_456)),
    (38, 4): ((32, 64, 128, 256), (8_960_810, 2_619_020_288)),
}
_CITATION = "He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2"
_STAGES = ("layer1", "layer2", "layer3")


def _build(depth: int, model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.cifar_resnet import CifarResNet

    width = round(_BASE_CHANNELS * model.width)
    widths = (width, width, 2 * width, 4 * width)
    return CifarResNet(depth, widths, classes, channels, model.shortcut)


def _build_widened(
    depth: int, widths: tuple[int, int, int, int], _: Architecture, classes: int, channels: int
) -> Network:
    from kdgap.models.cifar_resnet import CifarResNet

    return CifarResNet(depth, widths, classes, channels, "B")


for _depth, _cost in _DEPTHS.items():
    MODELS.register(f"resnet{_depth}")(
        ModelEntry(
            build=partial(_build, _depth),
            citation=_CITATION,
            family="CIFAR ResNet",
            stages=_STAGES,
            stems=("cifar",),
            total_stride={"cifar": 4},
            base_channels=_BASE_CHANNELS,
            cifar10_cost={"cifar": _cost},
            shortcuts=("A", "B"),
        )
    )
for (_depth, _factor), (_widths, _cost) in _WIDENED.items():
    MODELS.register(f"resnet{_depth}x{_factor}")(
        ModelEntry(
            build=partial(_build_widened, _depth, _widths),
            citation=_CITATION,
            family="CIFAR ResNet, wide",
            stages=_STAGES,
            stems=("cifar",),
            total_stride={"cifar": 4},
            cifar10_cost={"cifar": _cost},
        )
    )
