"""The CIFAR ResNets (He et al. 2016, section 4.2), built in `kdgap/models/cifar_resnet.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.run import ModelSpec

_BASE_CHANNELS = 16
_DEPTHS = (8, 14, 20, 32, 44, 56, 110)


def _build(depth: int, spec: ModelSpec, classes: int, channels: int) -> Network:
    from kdgap.models.cifar_resnet import CifarResNet

    return CifarResNet(depth, round(_BASE_CHANNELS * spec.width), classes, channels)


for _depth in _DEPTHS:
    MODELS.register(f"resnet{_depth}")(
        ModelEntry(
            build=partial(_build, _depth),
            citation="He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2",
            stages=("layer1", "layer2", "layer3"),
            stems=("cifar",),
            total_stride={"cifar": 4},
            base_channels=_BASE_CHANNELS,
        )
    )
