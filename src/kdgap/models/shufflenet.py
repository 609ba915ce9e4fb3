"""ShuffleNet V1 and V2 (Zhang et al. 2018, 1707.01083; Ma et al. 2018, 1807.11164) for 32 pixels.

As distillation code has them: a 1x1 stem of 24 channels without stride or pooling. Against the
paper, V1 has a ReLU behind its depthwise convolutions too. Everything starts as torch has it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.kept_layout import shuffled
from kdgap.models.output import Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

_STAGES = ("layer1", "layer2", "layer3")
_BLOCKS = (4, 8, 4)
_STEM = 24
_WIDTHS_V1 = (240, 480, 960)


class _BlockV1(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1; halving ones append the averaged input."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        outputs -= inputs if stride > 1 else 0
        inner = outputs // 4
        # The stem's few channels are not grouped.
        self.groups = 1 if inputs == _STEM else groups
        self.halves = stride > 1
        self.conv1 = nn.Conv2d(inputs, inner, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = shuffled(F.relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        if not self.halves:
            return F.relu(out + x)
        return F.relu(torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1))


class ShuffleNetV1(StagedNetwork):
    """Three stages of 4, 8 and 4 blocks, each at half the size of what comes before.

    Args:
        groups: of the 1x1 convolutions; the channels are those of three.
        classes: number of classes.
        channels: of the images.
    """

    stages = _STAGES

    def __init__(self, groups: int, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, _STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        inputs = _STEM
        for stage, outputs, number in zip(_STAGES, _WIDTHS_V1, _BLOCKS, strict=True):
            first = _BlockV1(inputs, outputs, 2, groups)
            rest = (_BlockV1(outputs, outputs, 1, groups) for _ in range(number - 1))
            self.add_module(stage, nn.Sequential(first, *rest))
            inputs = outputs
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(F.relu(self.bn1(self.conv1(images))), taps)


class _HalfV2(nn.Module):
    """Half of the channels pass; the others go through 1x1, depthwise 3x3 and 1x1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        passed, out = x.chunk(2, dim=1)
        out = F.relu(self.bn1(self.conv1(out)))
        out = F.relu(self.bn3(self.conv3(self.bn2(self.conv2(out)))))
        return shuffled(torch.cat([passed, out], 1), 2)


class _HalvingV2(nn.Module):
    """Two branches at half the size side by side: depthwise and 1x1; 1x1, depthwise and 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 2, 1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv2 = nn.Conv2d(inputs, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(inputs, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = nn.Conv2d(half, half, 3, 2, 1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.bn4(self.conv4(F.relu(self.bn3(self.conv3(x)))))
        right = F.relu(self.bn5(self.conv5(right)))
        return shuffled(torch.cat([left, right], 1), 2)


class ShuffleNetV2(StagedNetwork):
    """Three stages of 4, 8 and 4 blocks, and a 1x1 convolution to the last width.

    Args:
        widths: channels of the stages, and of the last convolution.
        classes: number of classes.
        channels: of the images.
    """

    stages = _STAGES

    def __init__(self, widths: tuple[int, int, int, int], classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, _STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        inputs = _STEM
        for stage, outputs, number in zip(_STAGES, widths[:3], _BLOCKS, strict=True):
            rest = (_HalfV2(outputs) for _ in range(number - 1))
            self.add_module(stage, nn.Sequential(_HalvingV2(inputs, outputs), *rest))
            inputs = outputs
        self.conv2 = nn.Conv2d(inputs, widths[3], 1, bias=False)
        self.bn2 = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], classes)

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(F.relu(self.bn1(self.conv1(images))), taps)

    def last_map(self, x: Tensor) -> Tensor:
        """See `StagedNetwork.last_map`."""
        return F.relu(self.bn2(self.conv2(x)))
