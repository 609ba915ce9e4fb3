"""Networks that are not ours: the same bits whatever is read of them, and one line if they fail."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdgap.errors import BadInputError
from kdgap.files import file_hash
from kdgap.models.adapted import AdaptedNetwork
from kdgap.models.build import (
    build_model,
    check_model,
    check_training,
    count_cost,
    load_state,
    with_code,
)
from kdgap.models.entry import anatomy
from kdgap.models.fold import folded
from kdgap.models.kept_layout import pixel_mean
from kdgap.models.reused import ReusedClassifier
from kdgap.models.taps import Taps
from kdgap.spec.identity import canonical_json, identity
from kdgap.spec.model import ModelSpec, Modules

HERE = "tests.models.user_networks"
NAMED = Modules(stages=["blocks.0", "blocks.1"], pooled="blocks.1", classifier="head")
VIT: dict[str, Any] = {"img_size": 16, "patch_size": 4, "depth": 2, "embed_dim": 12, "num_heads": 2}
SPECS = {
    "own": ModelSpec(name=f"{HERE}:Tiny", modules=NAMED),
    "tokens": ModelSpec(name=f"{HERE}:Tokens", modules=Modules(stages=["block"])),
    "torchvision": ModelSpec(name="torchvision:mobilenet_v2"),
    "timm vit": ModelSpec(name="timm:vit_tiny_patch16_224", arguments=VIT),
    "timm cnn": ModelSpec(name="timm:regnetx_002"),
    "timm named": ModelSpec(
        name="timm:resnet10t", modules=Modules(stages=["layer1", "layer4"], pooled="layer4")
    ),
}


def built(spec: ModelSpec, classes: int = 5) -> AdaptedNetwork:
    network = build_model(spec, classes, 3, (16, 16), 0)
    assert isinstance(network, AdaptedNetwork)
    return network


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_is_read_changes_no_bit_of_the_answer(spec: ModelSpec) -> None:
    network, known = built(spec).eval(), anatomy(spec)
    assert known.stages == network.stages
    with torch.no_grad():
        plain = network(images()).logits
        asked = Taps(maps=known.stages, embedding=True, classifier=True)
        whole = network(images(), asked)
    assert torch.equal(whole.logits, plain)
    assert whole.embedding is not None
    assert whole.classifier is not None
    weight, bias = whole.classifier
    # A linear layer of the embedding, up to the order of its sums.
    torch.testing.assert_close(whole.embedding @ weight.T + bias, plain, rtol=1e-4, atol=1e-5)
    for stage in known.stages:
        assert whole.features[stage].ndim == 4
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_teacher_answers_as_the_network_does(spec: ModelSpec) -> None:
    """Batch norms of timm hold an activation, which folding would drop."""
    network = built(spec)
    with torch.no_grad():
        for _ in range(3):  # running statistics that are not the initial ones
            network.train()(3 * images(8) + 1)
        wanted = network.eval()(images()).logits
        assert torch.equal(folded(network)(images()).logits, wanted)
        if network.reading.pooled is not None and spec is not SPECS["timm vit"]:
            whole = ReusedClassifier(network, torch.zeros(1, 4, 2, 2), 5, 2).eval()
            torch.testing.assert_close(folded(whole)(images()).logits, whole(images()).logits)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_its_state_has_the_names_of_its_own_code(spec: ModelSpec) -> None:
    network = built(spec)
    state = network.state_dict()
    assert list(state) == list(network.inner.state_dict())
    other = build_model(spec, 5, 3, (16, 16), 9)
    other.load_state_dict(state)
    assert all(torch.equal(state[name], value) for name, value in other.state_dict().items())
    # Also where it is part of another module.
    outer = nn.ModuleDict({"body": network})
    assert list(outer.state_dict()) == [f"body.{name}" for name in state]
    outer.load_state_dict(outer.state_dict())


@pytest.mark.parametrize("name", ["own", "torchvision", "timm cnn", "timm named"])
def test_the_map_that_is_averaged_is(name: str) -> None:
    network = built(SPECS[name]).eval()
    with torch.no_grad():
        answer = network(images(), Taps(pooled=True, embedding=True))
    assert answer.pooled is not None
    torch.testing.assert_close(pixel_mean(answer.pooled), answer.embedding)


@pytest.mark.parametrize(
    "spec",
    [
        SPECS["timm vit"],
        ModelSpec(name="timm:mobilenetv3_small_050"),
        ModelSpec(
            name=f"{HERE}:Tiny",
            modules=Modules(stages=["blocks.0"], pooled="blocks.0", classifier="head"),
        ),
    ],
    ids=["tokens", "hidden layer", "wrong module"],
)
def test_a_map_whose_mean_the_classifier_does_not_get_is_refused(spec: ModelSpec) -> None:
    with torch.no_grad(), pytest.raises(BadInputError, match="does not get the mean of its last"):
        built(spec).eval()(images(), Taps(pooled=True))


def test_tokens_become_a_square_without_what_stands_before_them() -> None:
    network = built(SPECS["tokens"]).eval()
    block = network.inner.get_submodule("block")
    kept: list[Tensor] = []
    block.register_forward_hook(lambda *call: kept.append(call[-1]))
    with torch.no_grad():
        (tokens,) = network(images(), Taps(maps=("stage1",))).features.values()
    assert tokens.shape == (3, 6, 8, 8)
    assert torch.equal(tokens[:, :, 2, 5], kept[0][:, 1 + 2 * 8 + 5])


def test_stages_are_counted_from_the_first() -> None:
    network = built(SPECS["own"]).eval()
    with torch.no_grad():
        maps = network(images(), Taps(maps=network.stages)).features
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "stage1": (8, 8, 8),
        "stage2": (16, 4, 4),
    }


def test_two_builds_of_one_address_are_equal_and_leave_the_global_state_alone() -> None:
    for spec in SPECS.values():
        before = torch.get_rng_state()
        first, second = built(spec).state_dict(), built(spec).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_code_of_a_factory_is_a_part_of_what_it_is() -> None:
    spec = with_code(SPECS["own"])
    assert spec.code is not None
    assert spec.model_dump()["code"] == spec.code
    assert with_code(SPECS["torchvision"]).code is None
    assert spec.code == file_hash(Path(__file__).with_name("user_networks.py"))


def test_arguments_that_are_filled_in_elsewhere_are_a_part_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `partial` says of itself that it is in Python's own functools."""
    monkeypatch.syspath_prepend(tmp_path)
    codes = []
    for width in (2, 3):
        module = f"filled_in_{width}"
        lines = (
            "from functools import partial",
            f"from {HERE} import Tiny",
            f"make = partial(Tiny, width={width})",
        )
        (tmp_path / f"{module}.py").write_text("\n".join(lines))
        codes.append(with_code(ModelSpec(name=f"{module}:make")).code)
    here = with_code(SPECS["own"]).code
    assert len({*codes, here}) == 3


def test_nothing_said_is_no_other_network() -> None:
    plain = ModelSpec(name="torchvision:resnet18")
    spelt = ModelSpec.model_validate({"name": plain.name, "input": {}, "modules": {}})
    assert canonical_json(identity(spelt)) == canonical_json(identity(plain))
    assert spelt == plain


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("torchvision:resnet81", {}, "torchvision has no network 'resnet81' (did you mean"),
        ("timm:vit_tiny_patch16", {}, "timm has no network 'vit_tiny_patch16' (did you mean"),
        ("timm:hf-hub:timm/resnet18", {}, "timm has no network 'hf-hub:timm/resnet18'"),
        ("torchvision:resnet18", {"arguments": {"weights": "DEFAULT"}}, "weights is no argument"),
        ("timm:resnet10t", {"arguments": {"pretrained": True}}, "pretrained is no argument"),
        ("timm:resnet10t", {"arguments": {"checkpoint_path": "x"}}, "is no argument to give here"),
        ("torchvision:resnet18", {"arguments": {"no": 1}}, "torchvision:resnet18 cannot be built:"),
        ("torchvision:resnet18", {"modules": Modules(stages=["layer5"])}, "did you mean 'layer"),
        ("torchvision:resnet18", {"modules": Modules(classifier="layer1")}, "is a Sequential"),
        ("torchvision:resnet18", {"width": 2.0}, "has no width factor"),
        ("timm:vit_tiny_patch16_224", {}, "does not take images of 16x16 pixels ("),
        (f"{HERE}:raises", {}, f"{HERE}:raises cannot be built: RuntimeError: no"),
        (
            f"{HERE}:number",
            {},
            f"{HERE}:number: makes an object of type int, expected a torch.nn.Module",
        ),
        (f"{HERE}:Pair", {}, "answers with an object of type tuple, expected logits [B, classes]"),
        (f"{HERE}:of_ten", {}, "answers an image with [11] numbers, expected one for each class"),
        (f"{HERE}:answer", {}, "'answer' is no function or class"),
        (f"{HERE}:Tine", {}, f"{HERE} has no 'Tine' (did you mean 'Tiny'?)"),
        (f"{HERE}:Tiny", {"arguments": {"drap": 1}}, "no argument 'drap' (did you mean 'drop'?)"),
        (f"{HERE}:Tiny", {"arguments": {"num_classes": 1}}, "num_classes is no argument to give"),
        ("no_such_package:make", {}, "Python finds no module 'no_such_package'"),
        ("tests.models.no_such:make", {}, "tests.models.no_such cannot be imported: Module"),
        ("some thing:make", {}, "is no network; a network of your own is written package.module"),
        ("resnet20", {"arguments": {"a": 1}}, "resnet20 takes no arguments; leave them out"),
        ("resnet18", {"shortcut": "B"}, "resnet18 has no shortcut 'B'"),
        ("torchvision:resnet18", {"stem": "imagenet"}, "it has none to choose"),
    ],
)
def test_what_cannot_be_built_is_one_line(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as refusal:
        check_model(ModelSpec(name=name, **fields), (16, 16))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_grey_images_are_refused_where_a_network_takes_colour_alone() -> None:
    with pytest.raises(BadInputError, match="these have 1; choose one of ours or of timm"):
        build_model(SPECS["torchvision"], 10, 1, (16, 16), 0)
    for spec in (SPECS["own"], SPECS["tokens"], SPECS["timm vit"]):
        network = build_model(spec, 10, 1, (16, 16), 0)
        assert network(torch.zeros(2, 1, 16, 16)).logits.shape == (2, 10)


def test_costs_are_those_of_the_images_that_it_sees() -> None:
    parameters, flops = count_cost(SPECS["torchvision"], 5, 3, (16, 16))
    assert parameters == sum(p.numel() for p in built(SPECS["torchvision"]).parameters())
    assert count_cost(SPECS["torchvision"], 5, 3, (32, 32))[1] > flops
    # One whose code looks at its numbers while it is built cannot be built without memory.
    regnet = ModelSpec(name="torchvision:regnet_y_400mf")
    assert count_cost(regnet, 5, 3, (32, 32))[0] > 0
    assert anatomy(regnet).stages == ("stage1", "stage2", "stage3", "stage4")


def test_names_that_stand_twice_lose_no_weights() -> None:
    spec = ModelSpec(name=f"{HERE}:Nested")
    network, again = built(spec), build_model(spec, 5, 3, (16, 16), 1)
    state = network.state_dict()
    assert set(state) == set(network.inner.state_dict())
    load_state(again, state, "copy")
    assert torch.equal(network.eval()(images()).logits, again.eval()(images()).logits)


@pytest.mark.parametrize("name", ["timm:convnext_atto", "timm:swin_tiny_patch4_window7_224"])
def test_only_a_map_whose_mean_the_classifier_gets_is_averaged(name: str) -> None:
    """A blank image proves nothing: before training its map and all that follows are zeros."""
    arguments: dict[str, Any] = {"img_size": 32} if "swin" in name else {}
    network = build_model(ModelSpec(name=name, arguments=arguments), 5, 3, (32, 32), 0).eval()
    network(torch.zeros(1, 3, 32, 32), Taps(pooled=True))
    seen = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    if "swin" in name:  # whose last map has its channels last
        pooled = network(seen, Taps(pooled=True)).pooled
        assert pooled is not None
        assert pooled.shape == (2, 768, 1, 1)
        return
    with pytest.raises(BadInputError, match="does not get the mean of its last map"):
        network(seen, Taps(pooled=True))


def test_dropout_before_the_classifier_is_no_other_map() -> None:
    network = built(SPECS["torchvision"]).train()
    assert network(images(), Taps(pooled=True)).pooled is not None


def test_what_answers_otherwise_in_training_is_refused_before_it() -> None:
    googlenet = ModelSpec(name="torchvision:googlenet", arguments={"init_weights": False})
    with pytest.raises(BadInputError, match=r"cannot be trained as it is .*GoogLeNetOutputs"):
        check_training(googlenet, 5, 3, (64, 64))
    plain = googlenet.model_copy(update={"arguments": {"init_weights": False, "aux_logits": False}})
    check_training(plain, 5, 3, (64, 64))
    check_training(SPECS["own"], 5, 3, (16, 16))
