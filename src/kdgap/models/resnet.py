"""ResNet-18/34/50/101 (He et al. 2016): torchvision's modules with torchvision's names."""

from collections.abc import Collection
from functools import partial

from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from kdgap.models.output import MODELS, ModelEntry, Network, Output
from kdgap.spec import ModelSpec

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_DEPTHS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
}


class StagedResNet(ResNet, Network):  # type: ignore[misc]  # torchvision has no types
    """torchvision's ResNet, returning `Output`; its state has torchvision's names.

    The `cifar` stem is a 3x3 convolution of stride 1 without max-pooling; the `imagenet` stem is
    torchvision's own (7x7 of stride 2, then max-pooling of stride 2).
    """

    stages = _STAGES
    conv1: nn.Conv2d
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    avgpool: nn.Module
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
        elif channels != 3:
            self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor, stages: Collection[str] = ()) -> Output:
        """See `Network.forward`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features: dict[str, Tensor] = {}
        for stage in _STAGES:
            x = getattr(self, stage)(x)
            if stage in stages:
                features[stage] = x
        return Output(self.fc(self.avgpool(x).flatten(1)), features)


def _build(name: str, spec: ModelSpec, classes: int, channels: int) -> Network:
    block, depths = _DEPTHS[name]
    return StagedResNet(block, depths, classes, channels, spec.stem)


for _name in _DEPTHS:
    MODELS.register(_name)(
        ModelEntry(
            build=partial(_build, _name),
            citation="He et al. 2016, Deep Residual Learning for Image Recognition",
            stages=_STAGES,
            stems=("cifar", "imagenet"),
            total_stride={"cifar": 8, "imagenet": 32},
        )
    )
