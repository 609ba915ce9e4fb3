"""The CIFAR ResNets of He et al. 2016, section 4.2: 6n+2 layers, 16-32-64 channels.

Shortcuts between stages have no parameters ("option A": every other pixel, and zeros for the new
channels) or are 1x1 convolutions with batch norm ("option B"), as in most distillation code. With a
width factor they also serve small data and small machines.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.kept_layout import zero_padded_shortcut
from kdgap.models.output import Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

_STAGES = ("layer1", "layer2", "layer3")


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        self.stride = stride
        self.changes_shape = stride > 1 or inputs != outputs
        if self.changes_shape and shortcut == "B":
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def before_relu(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.changes_shape:
            x = zero_padded_shortcut(x, self.stride, residual.shape[1])
        before: Tensor = residual + x
        return before

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.before_relu(x))


class CifarResNet(StagedNetwork):
    """Three stages of n blocks each, at full, half and quarter size.

    Args:
        depth: 6n + 2.
        widths: channels of the stem and of the three stages.
        classes: number of classes.
        channels: of the images.
        shortcut: `A` or `B`.
    """

    stages = _STAGES

    def __init__(
        self,
        depth: int,
        widths: tuple[int, int, int, int],
        classes: int,
        channels: int,
        shortcut: str = "A",
    ) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        stem, first, second, third = widths
        self.conv1 = nn.Conv2d(channels, stem, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, first, blocks, 1, shortcut)
        self.layer2 = _stage(first, second, blocks, 2, shortcut)
        self.layer3 = _stage(second, third, blocks, 2, shortcut)
        self.fc = nn.Linear(third, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(F.relu(self.bn1(self.conv1(images))), taps)

    def before_relu(self, block: nn.Module, x: Tensor) -> Tensor:
        """See `StagedNetwork.before_relu`."""
        assert isinstance(block, _Block)
        return block.before_relu(x)

    def last_norm(self, block: nn.Module) -> nn.BatchNorm2d:
        """See `StagedNetwork.last_norm`."""
        assert isinstance(block, _Block)
        return block.bn2


def _stage(inputs: int, outputs: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
    first = _Block(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(_Block(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))
