"""Wide ResNets (Zagoruyko and Komodakis 2016, arXiv 1605.07146): batch norm before convolutions.

A stage ends in a sum, so its map is signed; what follows first is the batch norm of the next block.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.output import Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

_STAGES = ("layer1", "layer2", "layer3")


class _Block(nn.Module):
    """Batch norm, ReLU, 3x3 convolution, twice; a 1x1 convolution where the channels change."""

    folds = (("conv1", "bn2"),)

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.dropout = dropout
        self.shortcut: nn.Conv2d | None = None
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def after_norm(self, x: Tensor, normed: Tensor) -> Tensor:
        """Return the block's map of `x`, whose first batch norm is there already."""
        out = F.relu(normed)
        shortcut = x if self.shortcut is None else self.shortcut(out)
        out = F.relu(self.bn2(self.conv1(out)))
        if self.dropout:
            out = F.dropout(out, self.dropout, self.training)
        total: Tensor = self.conv2(out) + shortcut
        return total

    def forward(self, x: Tensor) -> Tensor:
        return self.after_norm(x, self.bn1(x))


class WideResNet(StagedNetwork):
    """Three stages of n blocks each, at full, half and quarter size.

    Args:
        depth: 6n + 4.
        widen: multiplies the channels of the stages, which are 16, 32 and 64; the stem has 16.
        classes: number of classes.
        channels: of the images.
        dropout: share of the numbers between a block's convolutions that training leaves out.
    """

    stages = _STAGES

    def __init__(
        self, depth: int, widen: int, classes: int, channels: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        first, second, third = 16 * widen, 32 * widen, 64 * widen
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.layer1 = _stage(16, first, blocks, 1, dropout)
        self.layer2 = _stage(first, second, blocks, 2, dropout)
        self.layer3 = _stage(second, third, blocks, 2, dropout)
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(self.conv1(images), taps)

    def run_stages(
        self, x: Tensor, taps: Taps
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """See `StagedNetwork.run_stages`; the last map is the one behind the last batch norm.

        A stage's map before the ReLU is behind the batch norm that follows, as distillation code
        has it. It is computed here for the next block anyhow: once, whatever is asked for.
        """
        features: dict[str, Tensor] = {}
        before: dict[str, Tensor] = {}
        normed: Tensor = self.layer1[0].get_submodule("bn1")(x)
        for stage in self.stages:
            first, *rest = getattr(self, stage)
            x = first.after_norm(x, normed)
            for block in rest:
                x = block(x)
            normed = self.norm_of(stage)(x)
            if stage in taps.maps:
                features[stage] = x
            if stage in taps.before_relu:
                before[stage] = normed
        return normed, features, before

    def last_map(self, x: Tensor) -> Tensor:
        """See `StagedNetwork.last_map`."""
        return F.relu(x)

    def norm_of(self, stage: str) -> nn.BatchNorm2d:
        """See `StagedNetwork.norm_of`."""
        following = self.stages.index(stage) + 1
        if following == len(self.stages):
            return self.bn1
        norm: nn.BatchNorm2d = getattr(self, self.stages[following])[0].bn1
        return norm


def _stage(inputs: int, outputs: int, blocks: int, stride: int, dropout: float) -> nn.Sequential:
    first = _Block(inputs, outputs, stride, dropout)
    rest = (_Block(outputs, outputs, 1, dropout) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
