"""ResNet-18/34/50/101 start as the reference study's, tensor by tensor."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torchvision
from torch import Tensor, nn

import kdgap
from kdgap.engine.device import make_deterministic
from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import study_text

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
    statistics = (numbers.mean(), numbers.std(correction=0), numbers.min(), numbers.max())
    return [value.item() for value in statistics]


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


def unlike_reference(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, bool]]:
    """Set torch otherwise than the reference does; return a look at what it is told now."""
    cudnn = torch.backends.cudnn
    for name, value in (("deterministic", False), ("benchmark", True), ("allow_tf32", True)):
        monkeypatch.setattr(cudnn, name, value)
    torch.use_deterministic_algorithms(False)
    return lambda: {
        "deterministic": cudnn.deterministic,
        "benchmark": cudnn.benchmark,
        "allow_tf32": cudnn.allow_tf32,
        "algorithms": torch.are_deterministic_algorithms_enabled(),
    }


AS_THE_REFERENCE = {
    "deterministic": True, "benchmark": False, "allow_tf32": False, "algorithms": True,
}  # fmt: skip


def test_every_single_run_begins_with_these_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    look = unlike_reference(monkeypatch)
    kdgap.train(model="resnet8", width=0.0625, data="digits", epochs=1, limit=32, val_size=16,
                batch_size=16, threads=1, tracker="none", output_dir="run")  # fmt: skip
    assert look() == AS_THE_REFERENCE


def test_every_runner_of_a_study_begins_with_these_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(study_text(data={"name": "digits", "limit": 64}, recipe={"epochs": 1}))
    workspace = open_study(file, {}, tmp_path / "study")
    start_study(workspace, lambda _: None)
    look = unlike_reference(monkeypatch)
    Worker(workspace, "cpu", ("teachers",)).work()
    assert look() == AS_THE_REFERENCE
