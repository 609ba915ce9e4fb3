"""What is captured of a network is what it computes, and capturing changes no bit of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdgap.data import Preprocessing
from kdgap.engine.teacher import Teacher
from kdgap.models import MODELS
from kdgap.models.build import build_model
from kdgap.models.output import Network
from kdgap.models.taps import NOTHING, Taps, together
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, RunSpec, TeacherSpec
from tests.models.kinds import KINDS

SMALL = ModelSpec(name="resnet8", width=0.25)


SEEN = Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3)


def network_of(spec: ModelSpec) -> Network:
    network, g = build_model(spec, 5, 3, (32, 32), 0), torch.Generator().manual_seed(0)
    with torch.no_grad():  # norms that do something
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=g)
                module.bias.uniform_(-0.5, 0.5, generator=g)
    return network


def everything(network: Network) -> Taps:
    return Taps(network.stages, network.stages, True, True, network.stages)


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "resnet18", "resnet50"])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_captured_is_what_the_network_computes(name: str, training: bool) -> None:
    network = network_of(ModelSpec(name=name)).train(training)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    statistics = {key: value.clone() for key, value in network.state_dict().items()}
    plain = network(images)
    network.load_state_dict(statistics)
    answer = network(images, everything(network))
    assert torch.equal(answer.logits, plain.logits)
    assert plain.features == plain.before_relu == plain.norms == {}
    assert plain.embedding is None
    assert plain.classifier is None
    for stage in network.stages:
        before = answer.before_relu[stage]
        assert bool((before < 0).any())
        assert torch.equal(F.relu(before), answer.features[stage])
        scale, shift = answer.norms[stage]
        assert scale.shape == shift.shape == (before.shape[1],)
    assert answer.embedding is not None
    assert answer.classifier is not None
    pooled = answer.features[network.stages[-1]].mean((2, 3))
    torch.testing.assert_close(answer.embedding, pooled, rtol=1e-5, atol=1e-6)
    assert torch.equal(F.linear(answer.embedding, *answer.classifier), answer.logits)


@pytest.mark.parametrize("name", ["wrn_16_1", "mobilenetv2_half", "vgg8", "shufflenetv2"])
@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_no_bit_of_other_networks_nor_their_statistics(
    name: str, training: bool
) -> None:
    network = network_of(ModelSpec(name=name)).train(training)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    start = {key: value.clone() for key, value in network.state_dict().items()}
    plain = network(images)
    after = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(start)
    lacks = MODELS[name].lacks
    asked = {kind: getattr(everything(network), kind) for kind in Taps.__annotations__}
    answer = network(images, Taps(**{k: v for k, v in asked.items() if k not in lacks}))
    assert torch.equal(answer.logits, plain.logits)
    assert all(torch.equal(after[key], value) for key, value in network.state_dict().items())
    assert answer.embedding is not None
    assert answer.classifier is not None
    assert torch.equal(F.linear(answer.embedding, *answer.classifier), answer.logits)
    pooled = network.eval()(images, Taps(pooled=True, embedding=True))
    assert pooled.pooled is not None
    assert pooled.embedding is not None
    torch.testing.assert_close(pooled.embedding, pooled.pooled.mean((2, 3)))


def test_a_wide_resnets_map_is_signed_and_before_relu_stands_behind_the_next_batch_norm() -> None:
    network = network_of(ModelSpec(name="wrn_16_2")).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answer = network(images, everything(network))
    following = ("layer2.0.bn1", "layer3.0.bn1", "bn1")
    for stage, path in zip(network.stages, following, strict=True):
        assert bool((answer.features[stage] < 0).any())
        norm = network.get_submodule(path)
        assert torch.equal(norm(answer.features[stage]), answer.before_relu[stage])
        assert torch.equal(answer.norms[stage][0], network.get_parameter(f"{path}.weight"))
    assert answer.embedding is not None
    last = F.relu(answer.before_relu["layer3"]).mean((2, 3))
    torch.testing.assert_close(answer.embedding, last)


def test_a_stage_of_mobilenetv2_ends_without_a_relu() -> None:
    network = network_of(ModelSpec(name="mobilenetv2_half")).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answer = network(images, everything(network))
    for stage in network.stages:
        assert bool((answer.features[stage] < 0).any())
        assert torch.equal(answer.before_relu[stage], answer.features[stage])
    assert answer.norms["layer4"][0].shape == (160,)


def test_a_stage_of_vgg_ends_in_batch_norm_and_relu() -> None:
    network = network_of(ModelSpec(name="vgg8")).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answer = network(images, everything(network))
    for stage in network.stages:
        assert torch.equal(F.relu(answer.before_relu[stage]), answer.features[stage])
        assert torch.equal(answer.norms[stage][0], network.get_parameter(f"{stage}.2.weight"))


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "resnet50", "wrn_16_1", "vgg8"])
def test_gradients_are_the_same_bits_whatever_is_captured(name: str) -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    gradients = []
    for capture in (False, True):
        network = network_of(ModelSpec(name=name)).train()
        taps = everything(network) if capture else NOTHING
        network(images, taps).logits.square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first is not None
        assert second is not None
        assert torch.equal(first, second)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_teacher_answers_with_its_own_classifier_and_norms(precision: str) -> None:
    """What answers has batch norms folded and weights narrowed; these are as they were trained."""
    network = network_of(SMALL).eval()
    run = RunSpec(
        data=DataSpec(name="digits", val_size=10),
        model=SMALL,
        method=MethodSpec(name="logit", parameters={"alpha": 0.5, "temperature": 4.0}),
        teacher=TeacherSpec(model=SMALL, weight_hash="0" * 64, weights="none"),
        precision=precision,  # type: ignore[arg-type]
    )
    teacher = Teacher(network, run, torch.device("cpu"), SEEN)
    answer = teacher(torch.randn(2, 3, 32, 32), everything(network))
    assert answer.classifier is not None
    assert torch.equal(answer.classifier[0], network.get_parameter("fc.weight"))
    last = network.stages[-1]
    assert torch.equal(answer.norms[last][0], network.get_parameter(f"{last}.0.bn2.weight"))
    assert not any(value.requires_grad for value in (*answer.classifier, *answer.norms[last]))
    assert set(answer.before_relu) == set(network.stages)
    assert not teacher.network.training


def test_what_several_ask_for_is_captured_once_in_the_networks_order() -> None:
    stages = ("a", "b", "c")
    asked = [Taps(maps=("c",)), Taps(maps=("a",), embedding=True), Taps(before_relu=("b",))]
    union = together(asked, stages)
    assert union == Taps(("a", "c"), ("b",), embedding=True)
    assert together([], stages) == NOTHING
    assert union.kinds == {"maps", "before_relu", "embedding"}


def test_every_architecture_has_every_tap_that_it_does_not_deny() -> None:
    for name in KINDS:
        entry = MODELS[name]
        with torch.device("meta"):
            network = entry.build(ModelSpec(name=name), 7, 3).eval()
            wanted = {kind: getattr(everything(network), kind) for kind in Taps.__annotations__}
            kept = {kind: wanted[kind] for kind in wanted if kind not in entry.lacks}
            answer = network(torch.empty(2, 3, 32, 32), Taps(**kept))
        assert ("before_relu" in entry.lacks) or set(answer.before_relu) == set(entry.stages)
