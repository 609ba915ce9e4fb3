"""torchvision's ResNet with our stems and output; importing torchvision takes two seconds."""

from collections.abc import Collection

from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from kdgap.models.kept_layout import pixel_mean
from kdgap.models.output import Network, Output

STAGES = ("layer1", "layer2", "layer3", "layer4")


class StagedResNet(ResNet, Network):  # type: ignore[misc]  # torchvision has no types
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
    fc: nn.Module

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

    def forward(self, images: Tensor, stages: Collection[str] = ()) -> Output:
        """See `Network.forward`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features: dict[str, Tensor] = {}
        for stage in STAGES:
            x = getattr(self, stage)(x)
            if stage in stages:
                features[stage] = x
        return Output(self.fc(pixel_mean(x)), features)


def build(depths: tuple[str, list[int]], classes: int, channels: int, stem: str) -> Network:
    """Build a network from the kind of its blocks and their number in each stage."""
    kind, numbers = depths
    block = {"basic": BasicBlock, "bottleneck": Bottleneck}[kind]
    return StagedResNet(block, numbers, classes, channels, stem)
