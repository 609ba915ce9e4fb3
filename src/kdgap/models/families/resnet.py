"""ResNet-18/34/50/101 (He et al. 2016), built by torchvision in `staged_resnet.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture

_DEPTHS = {
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
    "resnet101": ("bottleneck", [3, 4, 23, 3]),
}
# (parameters, FLOPs) by stem for 3x32x32 images and 10 classes, as `model_cost` counts them: a plan
# of the published study need not import torchvision. A test counts again.
_COSTS = {
    "resnet18": {"cifar": (11_173_962, 1_110_845_440), "imagenet": (11_181_642, 74_033_152)},
    "resnet34": {"cifar": (21_282_122, 2_318_804_992), "imagenet": (21_289_802, 149_530_624)},
    "resnet50": {"cifar": (23_520_842, 2_595_659_776), "imagenet": (23_528_522, 166_862_848)},
    "resnet101": {"cifar": (42_512_970, 5_019_967_488), "imagenet": (42_520_650, 318_382_080)},
}


def _build(name: str, model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.staged_resnet import build

    return build(_DEPTHS[name], classes, channels, model.stem)


for _name in _DEPTHS:
    MODELS.register(_name)(
        ModelEntry(
            build=partial(_build, _name),
            citation="He et al. 2016, Deep Residual Learning for Image Recognition",
            family="ResNet",
            stages=("layer1", "layer2", "layer3", "layer4"),
            stems=("cifar", "imagenet"),
            total_stride={"cifar": 8, "imagenet": 32},
            cifar10_cost=_COSTS[_name],
        )
    )
