"""Every form that checkpoints come in is converted, and answers as the network that was saved."""

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from kdgap.errors import BadInputError
from kdgap.models import MODELS
from kdgap.models.build import build_model
from kdgap.models.unfilled import Unfilled
from kdgap.running.conversion import Converted, convert_checkpoint
from kdgap.running.elsewhere import Search
from kdgap.running.recognition import recognise
from kdgap.running.teacher import open_teacher
from kdgap.running.trained_on import TrainedOn
from kdgap.spec.model import InputSpec, ModelSpec
from kdgap.store.card import Card, read_card
from kdgap.store.stored_tensor import StoredTensor

SMALL = ModelSpec(name="resnet8", width=0.5, shortcut="B")
State = dict[str, Any]


@pytest.fixture(autouse=True)
def _ours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the networks of others (`test_checkpoints_elsewhere`): that takes a minute."""
    monkeypatch.setattr("kdgap.running.recognition.search_elsewhere", lambda _: Search())


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network statistics, scales and shifts that are not those it starts with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))
    return network.eval()


def ours(model: ModelSpec = SMALL, classes: int = 10, seed: int = 0) -> nn.Module:
    return shaken(build_model(model, classes, 3, (32, 32), seed), seed)


def logits(network: nn.Module, size: int = 32) -> Tensor:
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        answer = network(images)
    return answer if isinstance(answer, Tensor) else answer.logits


def names(count: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(count))


class Conversion:
    """A checkpoint that was converted."""

    def __init__(
        self,
        path: Path,
        model: ModelSpec | None = None,
        *,
        classes: int = 10,
        take: str | None = None,
        own_input: InputSpec | None = None,
    ) -> None:
        on = TrainedOn("cifar10", classes=names(classes))
        out = path.with_name("converted.safetensors")
        self.done: Converted = convert_checkpoint(path, model, on, out, take, own_input)
        weights = open_teacher(out, None, unmeasured=True)
        self.network, self.card = weights.network, weights.card

    def remark(self, kind: str) -> str:
        return "; ".join(line for line in self.done.remarks if line.startswith(kind))


def saved(content: Any, path: Path) -> Path:
    """Save as what the suffix says."""
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def lightning(state: State) -> State:
    moments = {number: {"exp_avg": tensor} for number, tensor in enumerate(state.values())}
    return {
        "epoch": 9,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": under("model.", state) | {"criterion.weight": torch.ones(10)},
        "hyper_parameters": argparse.Namespace(lr=0.1, milestones=[1, 2]),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [{"last_epoch": 9}],
    }


def beside_optimiser(state: State) -> State:
    """Momentum and averages have the shapes of the weights, though not all of the names."""
    moments = {number: {"momentum_buffer": tensor} for number, tensor in enumerate(state.values())}
    return {"model": state, "opt": 2, "optimizer": {"state": moments, "param_groups": [{}]}}


FORMS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 240, "best_acc": torch.tensor(0.7)},
    "state_dict": lambda state: {"state_dict": state, "arch": "resnet"},
    "net": lambda state: {"net": state, "acc": 95.5, "epoch": 200},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.1},
    "DataParallel": lambda state: under("module.", state),
    "torch.compile": lambda state: under("_orig_mod.", state),
    "compiled in parallel": lambda state: under("module._orig_mod.", state),
    "parallel and compiled": lambda state: {"net": under("_orig_mod.module.", state)},
    "Lightning": lightning,
    "Lightning's net": lambda state: {"state_dict": under("net.", state), "epoch": 1},
    "optimiser": beside_optimiser,
    "timm's trainer": lambda state: {"state_dict": state, "optimizer": {"state": {}}, "version": 2},
}


@pytest.mark.parametrize("form", list(FORMS))
def test_a_form_of_trainers_answers_as_what_was_saved(tmp_path: Path, form: str) -> None:
    source = ours()
    path = saved(FORMS[form](source.state_dict()), tmp_path / "checkpoint.pth")
    assert torch.equal(logits(Conversion(path, SMALL).network), logits(source))


def test_average_and_weights_are_two_and_each_answers_as_its_own(tmp_path: Path) -> None:
    source, average = ours(), ours(seed=1)
    for key in ("ema", "state_dict_ema"):
        content = {"state_dict": source.state_dict(), key: average.state_dict()}
        path = saved(content, tmp_path / f"{key}.pth")
        with pytest.raises(BadInputError, match=rf"state_dict, {key}; choose one with --take"):
            Conversion(path, SMALL)
        taken = Conversion(path, SMALL, take=key)
        assert torch.equal(logits(taken.network), logits(average))
        assert not torch.equal(logits(taken.network), logits(source))
    assert torch.equal(logits(Conversion(path, SMALL, take="state_dict").network), logits(source))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_precision_answers_as_its_numbers_do(
    tmp_path: Path, dtype: torch.dtype, suffix: str
) -> None:
    low = copy.deepcopy(ours()).to(dtype)
    path = saved(low.state_dict(), tmp_path / f"low{suffix}")
    conversion = Conversion(path)
    assert torch.equal(logits(conversion.network), logits(low.float()))
    assert "float32" in conversion.remark("cast")


# Networks of others, as their own code builds and saves them


class Block(nn.Module):
    """A basic block with the names of kuangliu's pytorch-cifar."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))


class Cifar(nn.Module):
    """A ResNet of stages of `depth` blocks; a head called `linear`."""

    def __init__(self, widths: tuple[int, ...], depth: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = widths[0]
        for number, width in enumerate(widths):
            stride = 1 if number == 0 else 2
            blocks = [Block(before, width, stride)]
            blocks += [Block(width, width, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
            before = width
        self.stages = len(widths)
        self.linear = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(self.stages):
            x = getattr(self, f"layer{number + 1}")(x)
        answer: Tensor = self.linear(x.mean((2, 3)))
        return answer


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    """Return a state with parts of its names replaced."""
    named = {}
    for name, tensor in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        named[name] = tensor
    return named


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (Cifar((16, 32, 64), 3, 100), "--model resnet20 --shortcut B"),
        (Cifar((64, 128, 256, 512), 2, 10), "--model resnet18"),
    ],
    ids=["resnet20", "resnet18"],
)
def test_a_network_of_pytorch_cifar_is_found_and_answers_the_same(
    tmp_path: Path, source: Cifar, options: str
) -> None:
    shaken(source)
    path = saved({"net": under("module.", source.state_dict()), "acc": 90.0}, tmp_path / "c.pth")
    conversion = Conversion(path, classes=source.linear.out_features)
    assert torch.allclose(logits(conversion.network), logits(source), atol=1e-5)
    assert options in conversion.remark("recognised")
    assert "linear" in conversion.remark("renamed") or "module" in conversion.remark("renamed")


def test_a_file_of_torchvision_is_our_resnet_with_the_large_stem(tmp_path: Path) -> None:
    from torchvision.models import get_model

    source = shaken(get_model("resnet18", weights=None, num_classes=12))
    path = saved(source.state_dict(), tmp_path / "resnet18.pth")
    conversion = Conversion(path, classes=12, own_input=InputSpec(size=64))
    assert torch.allclose(logits(conversion.network, 64), logits(source, 64), atol=1e-5)
    assert (conversion.card.model.name, conversion.card.model.stem) == ("resnet18", "imagenet")
    assert conversion.card.image_size == (64, 64)


SHORT, HEAD = ("downsample", "shortcut"), ("fc.", "linear.")
_GROUPS = {1: ((0, 0), (1, 1)), 2: ((2, 0),), 3: ((3, 0), (4, 4)), 4: ((5, 0), (6, 3))}
MOBILE = [
    (f".layer{stage}.{first + block}.conv.", f".blocks.{group}.{block}.conv.")
    for stage, groups in _GROUPS.items()
    for group, first in reversed(groups)
    for block in range(7 - first)
]
LARGE = ModelSpec(name="resnet18", stem="imagenet")
TOOLBOXES: dict[str, tuple[ModelSpec, tuple[tuple[str, str], ...]]] = {
    "RepDistiller": (ModelSpec(name="resnet56", shortcut="B"), ()),
    "RepDistiller's ResNet50": (ModelSpec(name="resnet50"), (SHORT, HEAD)),
    "mdistiller": (ModelSpec(name="resnet32x4"), ()),
    "chenyaofo": (ModelSpec(name="resnet20", shortcut="B"), ()),
    "pytorch-cifar": (ModelSpec(name="resnet50"), (SHORT, HEAD)),
    "blocks within stages": (
        SMALL,
        (*((f"layer{n}.0.", f"block{n}.layer.0.") for n in (1, 2, 3)), ("fc.", "head.")),
    ),
    "another head": (SMALL, (("fc.", "classifier.1."),)),
    "RepDistiller's wrn": (
        ModelSpec(name="wrn_16_2"),
        (*((f"layer{n}.", f"block{n}.layer.") for n in (1, 2, 3)), ("shortcut", "convShortcut")),
    ),
    "RepDistiller's vgg": (
        ModelSpec(name="vgg13"),
        (
            *((f".layer{n}.{k + 1}.", f".block{n}.{k}.") for n in (1, 2, 3, 4) for k in range(9)),
            (".stem.", ".block0."),
            ("fc.", "classifier."),
        ),
    ),
    "RepDistiller's mobilenetv2": (
        ModelSpec(name="mobilenetv2_half"),
        (
            *((f".conv{n}.", f".conv{n}.0.") for n in (1, 2)),
            *((f".bn{n}.", f".conv{n}.1.") for n in (1, 2)),
            *MOBILE,
            ("fc.", "classifier.0."),
        ),
    ),
    "RepDistiller's ShuffleNetV1": (ModelSpec(name="shufflenetv1"), (HEAD,)),
    "RepDistiller's ShuffleNetV2": (ModelSpec(name="shufflenetv2"), (HEAD,)),
    "weiaicunzai": (
        ModelSpec(name="resnet50"),
        (
            *((f".conv{n}.", f".residual_function.{3 * n - 3}.") for n in (1, 2, 3)),
            *((f".bn{n}.", f".residual_function.{3 * n - 2}.") for n in (1, 2, 3)),
            *((f"layer{n}", f"conv{n + 1}_x") for n in (1, 2, 3, 4)),
            (".conv1.", ".conv1.0."),
            (".bn1.", ".conv1.1."),
            SHORT,
        ),
    ),
    "transformers": (
        LARGE,
        (
            *((f"layer{n}.", f"resnet.encoder.stages.{n - 1}.layers.") for n in (1, 2, 3, 4)),
            *((f"{b}.conv{n}.", f"{b}.layer.{n - 1}.convolution.") for b in "01" for n in (1, 2)),
            *((f"{b}.bn{n}.", f"{b}.layer.{n - 1}.normalization.") for b in "01" for n in (1, 2)),
            ("downsample.0", "shortcut.convolution"),
            ("downsample.1", "shortcut.normalization"),
            (".conv1.", ".resnet.embedder.embedder.convolution."),
            (".bn1.", ".resnet.embedder.embedder.normalization."),
            ("fc.", "classifier.1."),
        ),
    ),
}


@pytest.mark.parametrize(
    "toolbox", [name for name in TOOLBOXES if TOOLBOXES[name][0].name in MODELS]
)
def test_every_tensor_of_a_public_toolbox_is_found_by_its_name_there(toolbox: str) -> None:
    model, pairs = TOOLBOXES[toolbox]
    with torch.device("meta"), Unfilled():
        own = build_model(model, 100, 3, (32, 32), 0).state_dict()
    # With a dot before, a rule of the test may ask for what begins a name.
    there = {name: renamed({f".{name}": 0}, *pairs) for name in own}
    paths = {name: next(iter(named)).lstrip(".") for name, named in there.items()}
    stored = [
        StoredTensor((paths[name],), "I64" if tensor.ndim == 0 else "F32", tuple(tensor.shape),
                     (), 0, 0)
        for name, tensor in own.items()
    ]  # fmt: skip
    fits, _ = recognise(stored)
    assert [(each.model, each.classes, each.channels) for each in fits] == [(model, 100, 3)]
    (tensor_set,) = fits[0].fitting.sets
    assert {name: tensor.path[0] for name, tensor in tensor_set.tensors.items()} == paths


@pytest.mark.parametrize("toolbox", ["blocks within stages", "another head"])
def test_weights_with_names_of_a_toolbox_answer_the_same(tmp_path: Path, toolbox: str) -> None:
    model, pairs = TOOLBOXES[toolbox]
    source = ours(model)
    state = renamed(source.state_dict(), *pairs)
    conversion = Conversion(saved(state, tmp_path / "checkpoint.safetensors"))
    assert torch.equal(logits(conversion.network), logits(source))
    assert conversion.remark("renamed")


@pytest.mark.parametrize("prefix", ["", "vit.", "timm_model."])
def test_a_network_of_timm_is_converted_from_safetensors(tmp_path: Path, prefix: str) -> None:
    timm = pytest.importorskip("timm")
    source = shaken(timm.create_model("test_vit", num_classes=7, img_size=32, patch_size=8))
    path = saved(under(prefix, source.state_dict()), tmp_path / "model.safetensors")
    model = ModelSpec(name="timm:test_vit", arguments={"img_size": 32, "patch_size": 8})
    conversion = Conversion(path, model, classes=7)
    assert torch.allclose(logits(conversion.network), logits(source), atol=1e-6)
    assert read_card(conversion.done.path).model == model
    assert "give --mean and --std" in conversion.remark("normalised")


def test_a_body_in_a_prefix_with_its_head_outside_is_one_network(tmp_path: Path) -> None:
    source = ours()
    state = {f"{'' if 'fc' in n else 'backbone.'}{n}": t for n, t in source.state_dict().items()}
    conversion = Conversion(saved(state, tmp_path / "c.pth"))
    assert torch.equal(logits(conversion.network), logits(source))


# What is found, and what is said where nothing is


@pytest.mark.parametrize(
    "model",
    [
        ModelSpec(name="resnet14"),
        ModelSpec(name="resnet14", shortcut="B"),
        ModelSpec(name="resnet8", width=0.25),
        ModelSpec(name="resnet8x4"),
    ],
    ids=str,
)
def test_every_setting_of_an_architecture_is_found(tmp_path: Path, model: ModelSpec) -> None:
    source = ours(model, classes=5)
    conversion = Conversion(saved(source.state_dict(), tmp_path / "c.safetensors"), classes=5)
    assert conversion.card.model == model


def refusal(path: Path, model: ModelSpec | None = None, **more: Any) -> str:
    with pytest.raises(BadInputError) as caught:
        Conversion(path, model, **more)
    assert "\n" not in str(caught.value)
    assert not path.with_name("converted.safetensors").exists()
    return str(caught.value)


def test_what_differs_is_said_in_a_line(tmp_path: Path) -> None:
    path = saved(ours(ModelSpec(name="resnet14", shortcut="B")).state_dict(), tmp_path / "c.pth")
    text = refusal(path, ModelSpec(name="resnet14"))
    assert "unexpected tensor" in text
    assert "this looks like shortcut: B (--shortcut B)" in text
    assert "it fits --model resnet14 --shortcut B" in refusal(path, ModelSpec(name="resnet20"))
    text = refusal(path, ModelSpec(name="resnet14", shortcut="B", width=2))
    assert "this looks like width: 1 (--width 1)" in text
    text = refusal(path, ModelSpec(name="resnet14", shortcut="B"), classes=12)
    assert "has 10 classes, not 12" in text
    assert "--classes" in refusal(path, classes=12)


def test_several_networks_in_a_file_are_listed(tmp_path: Path) -> None:
    content = {"student": ours(ModelSpec(name="resnet8")).state_dict(),
               "teacher": ours(ModelSpec(name="resnet14")).state_dict()}  # fmt: skip
    path = saved(content, tmp_path / "c.pth")
    text = refusal(path)
    assert "resnet8, resnet14; choose with --model" in text
    teacher = Conversion(path, ModelSpec(name="resnet14"))
    assert teacher.card.model.name == "resnet14"


def test_a_network_that_is_not_ours_is_asked_for(tmp_path: Path) -> None:
    path = saved(nn.Linear(3, 2).state_dict(), tmp_path / "c.pth")
    text = refusal(path)
    assert "fits its 2 tensors, such as 'weight'" in text
    assert "timm:NAME" in text
    state = ours(ModelSpec(name="resnet14")).state_dict()
    del state["layer2.1.bn1.running_mean"]
    assert "resnet14 comes nearest" in refusal(saved(state, tmp_path / "d.pth"))


def test_a_file_of_very_many_tensors_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = StoredTensor(("conv1.weight",), "F32", (16, 3, 3, 3), (), 0, 0)
    monkeypatch.setattr("kdgap.running.recognition.beside", lambda *_: pytest.fail("searched"))
    assert recognise([tensor] * 5001) == ([], None)


def test_a_whole_module_that_fits_is_taken_as_data(tmp_path: Path) -> None:
    source = ours()
    path = saved({"model": nn.DataParallel(source)}, tmp_path / "c.pth")
    assert torch.equal(logits(Conversion(path).network), logits(source))


def test_a_whole_module_that_does_not_fit_says_what_to_save(tmp_path: Path) -> None:
    path = saved(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), tmp_path / "c.pth")
    for model in (None, SMALL):
        text = refusal(path, model)
        assert "a whole pickled module (torch.nn.modules.container.Sequential), which" in text
        assert "save its weights alone, with torch.save(model.state_dict(), FILE)" in text
    path = saved(ours(), tmp_path / "d.pth")
    assert "whole pickled module" in refusal(path, ModelSpec(name="resnet14"))


class Trap(nn.Module):
    """A module whose pickle calls what it names, where it is executed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_trapped, (nn.Linear, 3), {"_parameters": {}, "_modules": {}})


def _trapped(*_: Any) -> None:
    pytest.fail("a pickle was executed")


@pytest.mark.parametrize("key", ["model", "net"])
def test_a_whole_module_under_a_key_is_named_with_it(tmp_path: Path, key: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    path = saved({"epoch": 3, key: nn.DataParallel(module)}, tmp_path / "c.pth")
    for model in (None, SMALL):
        text = refusal(path, model)
        assert f"under the key {key!r}, which is read as data and never executed" in text
        assert "torch.save(model.state_dict(), FILE)" in text
    nested = saved({"state": {key: module}}, tmp_path / "e.pth")
    assert f"under the key 'state.{key}'" in refusal(nested, SMALL)
    assert "under the key" not in refusal(saved(module.state_dict(), tmp_path / "d.pth"), SMALL)
    trap = saved({key: Trap()}, tmp_path / "trap.pth")
    assert f"under the key {key!r}" in refusal(trap, SMALL)


def test_a_card_says_what_is_not_usual_and_nothing_else(tmp_path: Path) -> None:
    path = saved(ours().state_dict(), tmp_path / "c.safetensors")
    plain = Conversion(path).card.model_dump()
    assert not {"trained_on", "measured_on"} & set(plain)
    assert "input" not in plain["model"]
    card = Card.model_validate({**plain, "trained_on": "train+val"})
    assert card.model_dump()["trained_on"] == "train+val"
    seen = Conversion(path, own_input=InputSpec(size=48, interpolation="bicubic")).card
    assert (seen.image_size, seen.model.input) == (
        (48, 48),
        InputSpec(size=48, interpolation="bicubic"),
    )
