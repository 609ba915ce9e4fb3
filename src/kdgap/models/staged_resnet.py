"""torchvision's ResNet with our stems and output; importing torchvision takes two seconds."""

from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from kdgap.models.output import Network, Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

STAGES = ("layer1", "layer2", "layer3", "layer4")


class StagedResNet(ResNet, StagedNetwork):  # type: ignore[misc]  # torchvision has no types
    """torchvision's ResNet, returning `Output`; its state has torchvision's names.

    The `cifar` stem is a 3x3 convolution of stride 1 without max-pooling; the `imagenet` stem is
    torchvision's own (7x7 of stride 2, then max-pooling of stride 2).

    Everything starts as torchvision has it, but for the `cifar` stem's convolution: the reference
    study puts it into a finished network, so it starts as torch's own convolutions do, uniform
    within 1/sqrt(fan-in).
    """

    stages = STAGES
    conv1: nn.Conv2d
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    fc: nn.Linear

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: list[int],
        classes: int,
        channels: int,
        stem: str,
    ) -> None:
        super().__init__(block, depths, num_classes=classes)
        if stem == "cifar":
            self.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
            self.maxpool = nn.Identity()
            return
        if channels != 3:  # which the reference never has
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        # torchvision's initialisation; drawn again even for 3 channels, as it always was here.
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(self.maxpool(self.relu(self.bn1(self.conv1(images)))), taps)

    def before_relu(self, block: nn.Module, x: Tensor) -> Tensor:
        """See `StagedNetwork.before_relu`; torchvision's blocks do not stop there."""
        assert isinstance(block, BasicBlock | Bottleneck)
        identity = x if block.downsample is None else block.downsample(x)
        out = block.relu(block.bn1(block.conv1(x)))
        out = block.bn2(block.conv2(out))
        if isinstance(block, Bottleneck):
            out = block.bn3(block.conv3(block.relu(out)))
        before: Tensor = out + identity
        return before

    def last_norm(self, block: nn.Module) -> nn.BatchNorm2d:
        """See `StagedNetwork.last_norm`."""
        assert isinstance(block, BasicBlock | Bottleneck)
        norm: nn.BatchNorm2d = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        return norm


def build(depths: tuple[str, list[int]], classes: int, channels: int, stem: str) -> Network:
    """Build a network from the kind of its blocks and their number in each stage."""
    kind, numbers = depths
    block = {"basic": BasicBlock, "bottleneck": Bottleneck}[kind]
    return StagedResNet(block, numbers, classes, channels, stem)
