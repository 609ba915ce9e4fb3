"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), as distillation code has it for 32 pixels.

Against the paper: the second group does not halve, ReLU has no upper bound, the first block widens
by a convolution of its own too, and channels are cut down to whole numbers, not rounded to eights.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.output import Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

_LAST = 1280
# Of each stage the groups of blocks: how many times wider inside, channels, blocks, stride.
_GROUPS = {
    "layer1": ((1, 16, 1, 1), (6, 24, 2, 1)),
    "layer2": ((6, 32, 3, 2),),
    "layer3": ((6, 64, 4, 2), (6, 96, 3, 1)),
    "layer4": ((6, 160, 3, 2), (6, 320, 1, 1)),
}


class _InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by 1x1 without a ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = inputs * factor
        self.adds = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.adds else out


class MobileNetV2(StagedNetwork):
    """A stem that halves, four stages of inverted residuals, and a 1x1 convolution to 1280.

    Args:
        width: multiplies the channels of the stem and of the stages.
        classes: number of classes.
        channels: of the images.
    """

    stages = tuple(_GROUPS)

    def __init__(self, width: float, classes: int, channels: int) -> None:
        super().__init__()
        inputs = int(32 * width)
        self.conv1 = nn.Conv2d(channels, inputs, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        for stage, groups in _GROUPS.items():
            blocks: list[nn.Module] = []
            for factor, base, number, stride in groups:
                outputs = int(base * width)
                for at in range(number):
                    step = stride if at == 0 else 1
                    blocks.append(_InvertedResidual(inputs, outputs, step, factor))
                    inputs = outputs
            self.add_module(stage, nn.Sequential(*blocks))
        self.conv2 = nn.Conv2d(inputs, _LAST, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(_LAST)
        self.fc = nn.Linear(_LAST, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc.weight, 0.0, 0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(F.relu(self.bn1(self.conv1(images))), taps)

    def last_map(self, x: Tensor) -> Tensor:
        """See `StagedNetwork.last_map`."""
        return F.relu(self.bn2(self.conv2(x)))

    def around_relu(self, stage: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `StagedNetwork.around_relu`; no stage ends in one, so both are the map."""
        x = getattr(self, stage)(x)
        return x, x

    def norm_of(self, stage: str) -> nn.BatchNorm2d:
        """See `StagedNetwork.norm_of`."""
        norm: nn.BatchNorm2d = getattr(self, stage)[-1].conv[-1]
        return norm
