"""Wide ResNets (Zagoruyko and Komodakis 2016), built in `kdgap/models/wrn.py`.

`wrn_40_2` has 40 layers and twice the channels. In training `arguments: {dropout: 0.3}` leaves out
numbers between the convolutions of a block.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kdgap.models.entry import MODELS, ModelEntry

if TYPE_CHECKING:
    from kdgap.models.output import Network
    from kdgap.spec.model import Architecture

# (depth, widening) → parameters and FLOPs, as `ModelEntry.cifar10_cost` has them.
_COSTS = {
    (16, 1): (175_066, 53_314_816),
    (16, 2): (691_674, 202_213_888),
    (16, 4): (2_748_890, 785_224_704),
    (28, 2): (1_467_610, 428_706_304),
    (28, 4): (5_849_050, 1_691_194_368),
    (28, 10): (36_479_194, 10_486_657_536),
    (40, 1): (563_930, 166_561_024),
    (40, 2): (2_243_546, 655_198_720),
    (40, 4): (8_949_210, 2_597_164_032),
}


def _build(size: tuple[int, int], model: Architecture, classes: int, channels: int) -> Network:
    from kdgap.models.wrn import WideResNet

    dropout = model.arguments.get("dropout", 0.0)
    assert isinstance(dropout, int | float)
    return WideResNet(*size, classes, channels, float(dropout))


for _size, _cost in _COSTS.items():
    MODELS.register("wrn_{}_{}".format(*_size))(
        ModelEntry(
            build=partial(_build, _size),
            citation="Zagoruyko and Komodakis 2016, Wide Residual Networks (arXiv 1605.07146)",
            family="Wide ResNet",
            stages=("layer1", "layer2", "layer3"),
            stems=("cifar",),
            total_stride={"cifar": 4},
            cifar10_cost={"cifar": _cost},
            shares=("dropout",),
            draws=True,
        )
    )
