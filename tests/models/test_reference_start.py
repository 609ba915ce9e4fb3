"""ResNet-18/34/50/101 start as the reference study's, tensor by tensor."""

import math
from typing import Any, Literal

import pytest
import torch
import torchvision
from torch import Tensor, nn

from kdgap.engine.device import make_deterministic
from kdgap.models.build import build_model
from kdgap.spec import ModelSpec

SEED = 5
NAMES = ("resnet18", "resnet34", "resnet50", "resnet101")


def theirs(name: str, stem: str, channels: int = 3) -> nn.Module:
    """The reference's network: torchvision's, its first convolution replaced afterwards."""
    torch.manual_seed(SEED)
    network: Any = getattr(torchvision.models, name)(weights=None, num_classes=10)
    if stem == "cifar":
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network  # type: ignore[no-any-return]


def moments(tensor: Tensor) -> list[float]:
    """Mean, standard deviation, smallest and largest number."""
    numbers = tensor.double()
    found = (numbers.mean(), numbers.std(correction=0), numbers.min(), numbers.max())
    return [value.item() for value in found]


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_starts_as_the_references(
    name: str, stem: Literal["cifar", "imagenet"]
) -> None:
    with torch.random.fork_rng(devices=[]):
        expected = theirs(name, stem).state_dict()
    ours = build_model(ModelSpec(name=name, stem=stem), 10, 3, (64, 64), SEED).state_dict()
    assert list(ours) == list(expected)
    drawn_again = {"conv1.weight"} if stem == "imagenet" else set()
    for key, tensor in ours.items():
        other = expected[key]
        # From one seed, bit for bit, but where the numbers are drawn again from the same law.
        assert key in drawn_again or torch.equal(tensor, other), key
        mean, deviation, low, high = moments(tensor)
        mean_there, deviation_there, low_there, high_there = moments(other)
        error = 5 * deviation_there / math.sqrt(tensor.numel())
        assert mean == pytest.approx(mean_there, abs=2 * error + 1e-12), key
        assert deviation == pytest.approx(deviation_there, abs=2 * error + 1e-12), key
        assert low == pytest.approx(low_there, rel=0.35, abs=1e-12), key
        assert high == pytest.approx(high_there, rel=0.35, abs=1e-12), key


@pytest.mark.parametrize(("channels", "fan_in"), [(3, 27), (1, 9), (4, 36)])
def test_the_cifar_stem_is_uniform_within_one_over_the_root_of_its_fan_in(
    channels: int, fan_in: int
) -> None:
    network = build_model(ModelSpec(name="resnet18"), 10, channels, (32, 32), 0)
    weight = network.get_parameter("conv1.weight")
    bound = 1 / math.sqrt(fan_in)
    assert weight.abs().max().item() <= bound
    assert weight.abs().max().item() > 0.98 * bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_imagenet_stem_is_torchvisions_whatever_its_channels(channels: int) -> None:
    spec = ModelSpec(name="resnet18", stem="imagenet")
    weight = build_model(spec, 10, channels, (64, 64), 0).get_parameter("conv1.weight")
    assert weight.shape == (64, channels, 7, 7)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 7 * 7)), rel=0.05)
    assert weight.mean().item() == pytest.approx(0, abs=0.003)


def test_cudnn_is_told_what_the_reference_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    make_deterministic(0, None)
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()
