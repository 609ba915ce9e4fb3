"""VGG for small images, as distillation code has it: batch norm, and one linear layer at the end.

The configurations are A, B, D and E of Simonyan and Zisserman 2015 (arXiv 1409.1556, table 1), and
one of a single convolution a block, which Tian et al. 2020 (arXiv 1910.10699) call vgg8.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.models.output import Output
from kdgap.models.staged import StagedNetwork
from kdgap.models.taps import NOTHING, Taps

_WIDTHS = (64, 128, 256, 512, 512)


class _HalveLarge(nn.Module):
    """Halves maps of 8 pixels and more: those of images of 64 pixels and more.

    Of images of 32 pixels the last two blocks see maps of 4.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if min(x.shape[2:]) >= 8 else x


class Vgg(StagedNetwork):
    """A stem block and four stages of 3x3 convolutions, each at half the size of the one before.

    Args:
        depths: convolutions in each of the five blocks.
        classes: number of classes.
        channels: of the images.
    """

    stages = ("layer1", "layer2", "layer3", "layer4")

    def __init__(self, depths: tuple[int, ...], classes: int, channels: int) -> None:
        super().__init__()
        widths = (channels, *_WIDTHS)
        self.stem = nn.Sequential(*_convolutions(channels, _WIDTHS[0], depths[0]))
        for number, stage in enumerate(self.stages, 1):
            halve = _HalveLarge() if stage == "layer4" else nn.MaxPool2d(2)
            convolutions = _convolutions(widths[number], widths[number + 1], depths[number])
            self.add_module(stage, nn.Sequential(halve, *convolutions))
        self.fc = nn.Linear(_WIDTHS[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc.weight, 0.0, 0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        """See `Network.forward`."""
        return self.classify(self.stem(images), taps)

    def before_relu(self, block: nn.Module, x: Tensor) -> Tensor:
        """See `StagedNetwork.before_relu`: the last of a stage's modules is its ReLU."""
        return x

    def norm_of(self, stage: str) -> nn.BatchNorm2d:
        """See `StagedNetwork.norm_of`."""
        norm: nn.BatchNorm2d = getattr(self, stage)[-2]
        return norm


def _convolutions(inputs: int, outputs: int, number: int) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for _ in range(number):
        modules += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return modules
