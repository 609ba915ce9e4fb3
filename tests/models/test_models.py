"""Networks: published sizes, the stages asked for and no others, addressed initialisation."""

from itertools import pairwise
from typing import Any

import pytest
import torch
import torchvision

from kdgap.errors import BadInputError, TeacherError
from kdgap.models import MODELS
from kdgap.models.build import build_model, count_cost, load_state, model_cost
from kdgap.models.output import Network
from kdgap.models.taps import Taps
from kdgap.spec.model import ModelSpec
from tests.models.kinds import KINDS

# ResNet-18/34/50/101 with the CIFAR stem: the reference study. ResNet-20 to 110: He et al. 2016,
# table 6, in millions, and exact counts as the layers of section 4.2 add up to them.
PUBLISHED = {
    "resnet18": (11_173_962, 11.17),
    "resnet34": (21_282_122, 21.28),
    "resnet50": (23_520_842, 23.52),
    "resnet101": (42_512_970, 42.51),
    "resnet20": (269_722, 0.27),
    "resnet32": (464_154, 0.46),
    "resnet44": (658_586, 0.66),
    "resnet56": (853_018, 0.85),
    "resnet110": (1_727_962, 1.7),
}


def small(name: str = "resnet8", seed: int = 0, **fields: object) -> Network:
    spec = ModelSpec.model_validate({"name": name, "width": 0.25, **fields})
    return build_model(spec, 10, 3, (32, 32), seed)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    exact, millions = PUBLISHED[name]
    parameters, _ = model_cost(ModelSpec(name=name), 10, 3, (32, 32))
    assert parameters == exact
    assert parameters / 1e6 == pytest.approx(millions, abs=0.05 if millions == 1.7 else 0.005)


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_cifar_resnet_counts_follow_from_its_layers(depth: int) -> None:
    blocks, channels = (depth - 2) // 6, [16, 16, 32, 64]
    weights = 3 * 9 * 16 + 2 * 16
    for inputs, outputs in pairwise(channels):
        weights += 9 * outputs * (inputs + outputs * (2 * blocks - 1)) + 4 * outputs * blocks
    weights += 64 * 10 + 10
    assert model_cost(ModelSpec(name=f"resnet{depth}"), 10, 3, (32, 32))[0] == weights


def test_flops_count_a_multiply_add_as_two() -> None:
    # He et al. 2016 give 1.8e9 multiply-adds for ResNet-18 at 224 pixels (torchvision: 1.814e9).
    spec = ModelSpec(name="resnet18", stem="imagenet")
    assert model_cost(spec, 1000, 3, (224, 224))[1] == pytest.approx(2 * 1.814e9, rel=0.005)


@pytest.mark.parametrize("name", KINDS)
def test_captures_only_the_stages_asked_for(name: str) -> None:
    entry = MODELS[name]
    with torch.device("meta"):
        network = entry.build(ModelSpec(name=name), 7, 3).eval()
        images = torch.empty(2, 3, 32, 32)
        assert network(images).features == {}
        assert set(network(images, Taps(maps=entry.stages[1:2])).features) == {entry.stages[1]}
        output = network(images, Taps(maps=entry.stages))
    assert tuple(output.features) == entry.stages == network.stages
    assert output.logits.shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_state_has_torchvisions_names(name: str) -> None:
    theirs = getattr(torchvision.models, name)(num_classes=10)
    spec = ModelSpec(name=name, stem="imagenet")
    ours = build_model(spec, 10, 3, (64, 64), 0)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours.eval()(images).logits, theirs.eval()(images))


def test_cifar_stem_keeps_the_resolution() -> None:
    spec = ModelSpec(name="resnet18")
    network = build_model(spec, 10, 3, (32, 32), 0)
    assert network.conv1.weight.shape == (64, 3, 3, 3)  # type: ignore[union-attr]
    assert (
        network(torch.zeros(2, 3, 32, 32), Taps(maps=("layer1",))).features["layer1"].shape[-1]
        == 32
    )


def test_initialisation_is_addressed_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(5)
    first = small(seed=1).state_dict()
    after_one = torch.rand(1)
    torch.manual_seed(5)
    torch.rand(1000)
    again = small(seed=1).state_dict()
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after_one)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = small(seed=2).state_dict()
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 16), (4, 33)])
def test_takes_any_channels_and_sensible_sizes(channels: int, size: int) -> None:
    spec = ModelSpec(name="resnet8", width=0.125)
    network = build_model(spec, 4, channels, (size, size), 0)
    assert network(torch.zeros(2, channels, size, size)).logits.shape == (2, 4)


def test_width_multiplies_the_channels() -> None:
    features = (
        small("resnet14")
        .eval()(torch.zeros(1, 3, 32, 32), Taps(maps=("layer1", "layer3")))
        .features
    )
    assert [feature.shape[1] for feature in features.values()] == [4, 16]


def test_shortcut_between_stages_has_no_parameters_and_passes_the_input() -> None:
    network = small()
    block: Any = network.get_submodule("layer2.0")
    with torch.no_grad():
        block.bn2.weight.zero_()  # the residual branch gives nothing
    x = torch.rand(1, 4, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 6:].any()


@pytest.mark.parametrize(
    ("fields", "size", "words"),
    [
        ({"name": "resnet18"}, 4, "too small"),
        ({"name": "resnet18", "stem": "imagenet"}, 16, "too small"),
        ({"name": "resnet20"}, 3, "too small"),
        ({"name": "resnet20", "stem": "imagenet"}, 32, "no 'imagenet' stem"),
        ({"name": "resnet18", "width": 2.0}, 32, "no width factor"),
        ({"name": "resnet8", "width": 0.1}, 32, "multiple of 1/16"),
        ({"name": "resnet-18"}, 32, "did you mean 'resnet18'"),
    ],
)
def test_refuses_what_makes_no_sense(fields: dict[str, object], size: int, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        build_model(ModelSpec.model_validate(fields), 10, 3, (size, size), 0)


def test_weights_must_fit_name_by_name() -> None:
    network = small()
    state = network.state_dict()
    for broken, words in (
        ({k: v for k, v in state.items() if k != "fc.bias"}, "'fc.bias' is missing"),
        ({**state, "extra": torch.zeros(1)}, "unexpected tensor 'extra'"),
        ({**state, "fc.bias": torch.zeros(3)}, r"'fc.bias' is \[3\], expected \[10\]"),
        ({**state, "fc.bias": torch.full((10,), torch.nan)}, "NaN"),
    ):
        with pytest.raises(TeacherError, match=words):
            load_state(network, broken, "here")


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_costs_in_the_table_are_what_counting_gives(name: str, stem: Any) -> None:
    spec = ModelSpec(name=name, stem=stem)
    assert model_cost(spec, 10, 3, (32, 32)) == count_cost(spec, 10, 3, (32, 32))


def test_what_needs_torch_is_offered_by_the_package_too() -> None:
    from kdgap import models
    from kdgap.models import build, output

    for name in ("build_model", "load_state", "model_cost"):
        assert getattr(models, name) is getattr(build, name)
    assert (models.Network, models.Output) == (output.Network, output.Output)
    with pytest.raises(AttributeError, match="no attribute 'build_modell'"):
        _ = models.build_modell
