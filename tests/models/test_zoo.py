"""The networks of the distillation literature: counts, FLOPs and maps, as its own code has them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdgap.errors import BadInputError
from kdgap.models import MODELS
from kdgap.models.build import build_model, check_model, count_cost, model_cost
from kdgap.models.cifar_resnet import CifarResNet
from kdgap.models.kept_layout import shuffled
from kdgap.models.output import Network, Output
from kdgap.models.taps import NOTHING, Taps
from kdgap.spec.model import Architecture, ModelSpec
from kdgap.text import WIDENED, sized

# Parameters at 100 and at 10 classes, FLOPs of a 3x32x32 image at 100 classes as they are printed,
# the maps' channels and sizes, and the embedding's width: counted on the networks of RepDistiller
# and SimKD.
THREE, FOUR = (32, 16, 8), (16, 8, 4, 4)
ROWS: dict[str, tuple[int, int, str, tuple[int, ...], tuple[int, ...], int]] = {
    "resnet8": (83_892, 78_042, "25.0M", (16, 32, 64), THREE, 64),
    "resnet14": (181_108, 175_258, "53.3M", (16, 32, 64), THREE, 64),
    "resnet20": (278_324, 272_474, "81.6M", (16, 32, 64), THREE, 64),
    "resnet32": (472_756, 466_906, "138M", (16, 32, 64), THREE, 64),
    "resnet38": (569_972, 564_122, "167M", (16, 32, 64), THREE, 64),
    "resnet44": (667_188, 661_338, "195M", (16, 32, 64), THREE, 64),
    "resnet56": (861_620, 855_770, "252M", (16, 32, 64), THREE, 64),
    "resnet110": (1_736_564, 1_730_714, "506M", (16, 32, 64), THREE, 64),
    "resnet116": (1_833_780, 1_827_930, "535M", (16, 32, 64), THREE, 64),
    "resnet14x2": (703_732, 692_122, "202M", (32, 64, 128), THREE, 128),
    "resnet38x2": (2_255_604, 2_243_994, "655M", (32, 64, 128), THREE, 128),
    "resnet110x2": (6_911_220, 6_899_610, "2.01G", (32, 64, 128), THREE, 128),
    "resnet8x4": (1_233_540, 1_210_410, "354M", (64, 128, 256), THREE, 256),
    "resnet32x4": (7_433_860, 7_410_730, "2.17G", (64, 128, 256), THREE, 256),
    "resnet38x4": (8_983_940, 8_960_810, "2.62G", (64, 128, 256), THREE, 256),
    "wrn_16_1": (180_916, 175_066, "53.3M", (16, 32, 64), THREE, 64),
    "wrn_16_2": (703_284, 691_674, "202M", (32, 64, 128), THREE, 128),
    "wrn_40_1": (569_780, 563_930, "167M", (16, 32, 64), THREE, 64),
    "wrn_40_2": (2_255_156, 2_243_546, "655M", (32, 64, 128), THREE, 128),
    "wrn_28_2": (1_479_220, 1_467_610, "429M", (32, 64, 128), THREE, 128),
    "wrn_28_4": (5_872_180, 5_849_050, "1.69G", (64, 128, 256), THREE, 256),
    "wrn_28_10": (36_536_884, 36_479_194, "10.5G", (160, 320, 640), THREE, 640),
    "vgg8": (3_965_028, 3_918_858, "192M", (128, 256, 512, 512), FOUR, 512),
    "vgg11": (9_277_284, 9_231_114, "419M", (128, 256, 512, 512), FOUR, 512),
    "vgg13": (9_462_180, 9_416_010, "570M", (128, 256, 512, 512), FOUR, 512),
    "vgg16": (14_774_436, 14_728_266, "796M", (128, 256, 512, 512), FOUR, 512),
    "vgg19": (20_086_692, 20_040_522, "1.02G", (128, 256, 512, 512), FOUR, 512),
    "mobilenetv2_half": (812_836, 697_546, "13.0M", (12, 16, 48, 160), (16, 8, 4, 2), 1280),
    "mobilenetv2": (2_353_060, 2_237_770, "44.8M", (24, 32, 96, 320), (16, 8, 4, 2), 1280),
    "shufflenetv1": (949_258, 862_768, "77.4M", (240, 480, 960), (16, 8, 4), 960),
    "shufflenetv2": (1_355_528, 1_263_278, "89.0M", (116, 232, 464), (16, 8, 4), 1024),
    "shufflenetv2_1.5": (2_580_548, 2_488_298, "188M", (176, 352, 704), (16, 8, 4), 1024),
    "resnet18": (11_220_132, 11_173_962, "1.11G", (64, 128, 256, 512), (32, 16, 8, 4), 512),
    "resnet34": (21_328_292, 21_282_122, "2.32G", (64, 128, 256, 512), (32, 16, 8, 4), 512),
    "resnet50": (23_705_252, 23_520_842, "2.60G", (256, 512, 1024, 2048), (32, 16, 8, 4), 2048),
    "resnet101": (42_697_380, 42_512_970, "5.02G", (256, 512, 1024, 2048), (32, 16, 8, 4), 2048),
}


def printed(flops: int) -> str:
    """FLOPs in three digits."""
    scale, unit = (1e9, "G") if flops >= 9.995e8 else (1e6, "M")
    number = flops / scale
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}{unit}"


@pytest.mark.parametrize("name", ROWS)
def test_counts_and_maps_are_those_of_the_literature(name: str) -> None:
    parameters, fewer, flops, widths, sizes, embedding = ROWS[name]
    entry = MODELS[name]
    spec = ModelSpec(name=name, shortcut="B" if "B" in entry.shortcuts else "A")
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad():
        network = entry.build(spec, 100, 3).eval()
        with counter:
            answer = network(torch.empty(1, 3, 32, 32), Taps(maps=entry.stages, embedding=True))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert printed(counter.get_total_flops()) == flops
    assert count_cost(spec, 100, 3, (32, 32)) == (parameters, counter.get_total_flops())
    assert [x.shape[1:] for x in answer.features.values()] == [
        (width, size, size) for width, size in zip(widths, sizes, strict=True)
    ]
    assert answer.embedding is not None
    assert answer.embedding.shape == (1, embedding)
    # Ten classes have ninety rows less in a classifier with a bias, and nothing else differs.
    assert parameters - fewer == 90 * (embedding + 1)
    if spec.shortcut == "A":
        assert entry.cifar10_cost["cifar"] == (
            fewer,
            counter.get_total_flops() - 90 * 2 * embedding,
        )


class Multiplies(CifarResNet):
    """A network of ours that does more than convolve."""

    def forward(self, images: Tensor, taps: Taps = NOTHING) -> Output:
        answer = super().forward(images, taps)
        return replace(answer, logits=answer.logits @ answer.logits.mT @ answer.logits)


def test_what_else_a_family_multiplies_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(spec: Architecture, classes: int, channels: int) -> Multiplies:
        return Multiplies(8, (16, 16, 32, 64), classes, channels)

    entry = replace(MODELS["resnet8"], build=build, cifar10_cost={})
    parameters, flops = model_cost(ModelSpec(name="resnet8"), 10, 3, (32, 32))
    monkeypatch.setitem(MODELS._entries, "resnet8", entry)
    counted = count_cost(ModelSpec(name="resnet8"), 10, 3, (32, 32))
    assert counted == (parameters, flops + 2 * 2 * 10)


def test_every_network_of_ours_is_in_the_table_but_those_that_no_table_has() -> None:
    assert set(MODELS) - set(ROWS) == {"resnet14x4", "wrn_16_4", "wrn_40_4"}


@pytest.mark.parametrize("name", ["resnet20", "resnet14x4", "wrn_16_4", "wrn_40_4"])
def test_costs_that_are_written_down_are_what_counting_gives(name: str) -> None:
    spec = ModelSpec(name=name)
    counted = model_cost(spec.model_copy(update={"width": 1.0}), 10, 3, (32, 32))
    parameters, flops = model_cost(spec, 11, 3, (32, 32))
    width = {"resnet20": 64}.get(name, 256)
    assert counted == (parameters - width - 1, flops - 2 * width)


def test_another_shortcut_or_width_costs_what_it_costs() -> None:
    size = (10, 3, (32, 32))
    assert model_cost(ModelSpec(name="resnet20", shortcut="B"), *size)[0] == 272_474
    assert model_cost(ModelSpec(name="resnet20", width=0.5), *size)[0] < 70_000


def test_a_width_factor_is_spelled_out_where_another_network_has_the_name() -> None:
    parts = {name: name.rpartition("x") for name in MODELS}
    widened = {
        name
        for name, (base, _, factor) in parts.items()
        if base in MODELS and MODELS[base].base_channels and factor.isdigit()
    }
    assert widened == WIDENED
    assert sized("resnet8", 4.0) == "resnet8-width4"
    assert sized("resnet8x4", 1.0) == "resnet8x4"
    assert sized("resnet8", 2.0) == "resnet8x2"
    assert sized("resnet8", 0.5) == "resnet8x0.5"


def built(name: str, size: int = 32, channels: int = 3, **fields: Any) -> Network:
    return build_model(ModelSpec(name=name, **fields), 10, channels, (size, size), 0)


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [
        *(("wrn_16_1", 20, 1), ("vgg8", 8, 1), ("vgg8", 30, 3), ("mobilenetv2_half", 19, 2)),
        *(("shufflenetv1", 11, 1), ("shufflenetv2", 9, 4)),
    ],
)
def test_any_size_and_any_channels(name: str, size: int, channels: int) -> None:
    network = built(name, size, channels)
    assert network(torch.randn(2, channels, size, size)).logits.shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "size"), [("wrn_16_1", 3), ("vgg8", 7), ("mobilenetv2", 15), ("shufflenetv1", 7)]
)
def test_images_that_leave_no_pixel_are_refused(name: str, size: int) -> None:
    with pytest.raises(BadInputError, match="too small"):
        built(name, size)


def test_vgg_halves_large_images_once_more() -> None:
    with torch.device("meta"):
        network = MODELS["vgg8"].build(ModelSpec(name="vgg8"), 10, 3).eval()
        maps = network(torch.empty(1, 3, 64, 64), Taps(maps=network.stages)).features
    assert [x.shape[-1] for x in maps.values()] == [32, 16, 8, 4]


def test_each_family_starts_as_its_own_code_does() -> None:
    torch.manual_seed(0)
    for name in ("wrn_16_2", "vgg8", "mobilenetv2_half"):
        network = built(name)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        head = network.get_parameter("fc.weight")
        assert not network.get_parameter("fc.bias").any()
        if name != "wrn_16_2":
            assert head.std().item() == pytest.approx(0.01, rel=0.1)
    weight = built("shufflenetv2").get_parameter("conv2.weight")  # torch's own start
    assert weight.std().item() == pytest.approx(1 / (3 * weight.shape[1]) ** 0.5, rel=0.05)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_channels_are_dealt_out_in_turn_and_stay_in_their_layout(
    layout: torch.memory_format,
) -> None:
    x = torch.randn(2, 6, 3, 5).contiguous(memory_format=layout).requires_grad_()
    dealt = shuffled(x, 3)
    assert torch.equal(dealt, x[:, [0, 2, 4, 1, 3, 5]])
    assert dealt.is_contiguous(memory_format=layout)
    weights = torch.randn(2, 6, 3, 5).contiguous(memory_format=layout)
    (gradient,) = torch.autograd.grad(dealt, x, weights)
    assert torch.equal(gradient, weights[:, [0, 3, 1, 4, 2, 5]])
    assert gradient.is_contiguous(memory_format=layout)
    assert shuffled(x, 1) is x


def test_dropout_leaves_out_in_training_only_and_draws_from_torchs_generator() -> None:
    network = built("wrn_16_1", arguments={"dropout": 0.5})
    plain = built("wrn_16_1")
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), plain.state_dict().values(), strict=True)
    )
    images = torch.randn(2, 3, 32, 32)
    answers = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        answers.append(network.train()(images).logits)
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(images).logits, plain.eval()(images).logits)
    assert MODELS["wrn_16_1"].draws


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("wrn_16_2", {"arguments": {"dropuot": 0.1}}, "did you mean 'dropout'"),
        ("wrn_16_2", {"arguments": {"dropout": 1.0}}, "a share from 0 to below 1, got 1.0"),
        ("wrn_16_2", {"arguments": {"dropout": True}}, "a share"),
        ("wrn_16_2", {"arguments": {"dropout": "half"}}, "a share"),
        ("wrn_16_2", {"modules": {"classifier": "fc"}}, "takes no modules"),
        ("wrn_16_2", {"width": 2.0}, "no width factor"),
        ("wrn_16_2", {"stem": "imagenet"}, "no 'imagenet' stem"),
        ("vgg8", {"arguments": {"dropout": 0.1}}, "takes no arguments"),
        ("vgg8", {"shortcut": "B"}, "no shortcut 'B'"),
        ("resnet8x4", {"width": 0.5}, "no width factor"),
    ],
)
def test_what_a_network_does_not_take_is_refused(
    name: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        check_model(ModelSpec.model_validate({"name": name, **fields}), (32, 32))
