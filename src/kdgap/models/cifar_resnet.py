"""The CIFAR ResNets of He et al. 2016, section 4.2: 6n+2 layers, 16-32-64 channels.

Shortcuts between stages have no parameters ("option A"): every other pixel, and zeros for the new
channels. With a width factor they also serve small data and small machines.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.kept_layout import zero_padded_shortcut
from kdgap.models.output import Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

_STAGES = ("layer1", "layer2", "layer3")


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut without parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.changes_shape = stride > 1 or inputs != outputs

    def before_relu(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.changes_shape:
            x = zero_padded_shortcut(x, self.stride, residual.shape[1])
        before: Tensor = residual + x
        return before

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.before_relu(x))


class CifarResNet(StagedNetwork):
    """Three stages of n blocks each, at full, half and quarter size."""

    stages = _STAGES

    def __init__(self, depth: int, width: int, classes: int, channels: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, blocks, 1)
        self.layer2 = self._stage(width, 2 * width, blocks, 2)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2)
        self.fc = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
        first = _Block(inputs, outputs, stride)
        return nn.Sequential(first, *(_Block(outputs, outputs, 1) for _ in range(blocks - 1)))

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
