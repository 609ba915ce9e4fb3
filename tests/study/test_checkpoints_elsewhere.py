"""Checkpoints of networks that are not ours: which one it is, and names of other toolboxes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

from kdgap.errors import BadInputError
from kdgap.running import elsewhere
from kdgap.running.beside import beside
from kdgap.running.conversion import convert_checkpoint
from kdgap.running.joined import joined
from kdgap.running.recognition import recognised
from kdgap.running.teacher import open_teacher
from kdgap.running.trained_on import TrainedOn
from kdgap.spec.model import ModelSpec
from kdgap.store.stored_tensor import StoredTensor

WIDTH, HIDDEN, DEPTH, HEADS, PATCH, CLASSES = 64, 192, 6, 2, 8, 5
"""timm's `test_vit` for images of 32 x 32."""
SMALL = ModelSpec(name="timm:test_vit", arguments={"img_size": 32, "patch_size": PATCH})


def transformers_shapes(
    width: int, hidden: int, depth: int, patch: int, tokens: int, classes: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of every tensor of Transformers' `ViTForImageClassification`."""

    def layer(name: str, out: int, of: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (out, of)
        yield f"{name}.bias", (out,)

    def norm(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (width,)
        yield f"{name}.bias", (width,)

    yield "vit.embeddings.cls_token", (1, 1, width)
    yield "vit.embeddings.position_embeddings", (1, tokens, width)
    yield "vit.embeddings.patch_embeddings.projection.weight", (width, 3, patch, patch)
    yield "vit.embeddings.patch_embeddings.projection.bias", (width,)
    for number in range(depth):
        block = f"vit.encoder.layer.{number}"
        for word in ("query", "key", "value"):
            yield from layer(f"{block}.attention.attention.{word}", width, width)
        yield from layer(f"{block}.attention.output.dense", width, width)
        yield from layer(f"{block}.intermediate.dense", hidden, width)
        yield from layer(f"{block}.output.dense", width, hidden)
        yield from norm(f"{block}.layernorm_before")
        yield from norm(f"{block}.layernorm_after")
    yield from norm("vit.layernorm")
    yield from layer("classifier", classes, width)


def transformers_state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens = (32 // PATCH) ** 2 + 1
    return {
        name: 0.2 * torch.randn(shape, generator=generator)
        for name, shape in transformers_shapes(WIDTH, HIDDEN, DEPTH, PATCH, tokens, CLASSES)
    }


def transformers_logits(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """Compute what Transformers' vision transformer makes of images, from the tensors alone."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        apart = x - x.mean(-1, keepdim=True)
        scaled = apart / (apart.square().mean(-1, keepdim=True) + 1e-12).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    place = "vit.embeddings.patch_embeddings.projection"
    patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
    x = patches @ state[f"{place}.weight"].flatten(1).T + state[f"{place}.bias"]
    first = state["vit.embeddings.cls_token"].expand(len(images), -1, -1)
    x = torch.cat([first, x], 1) + state["vit.embeddings.position_embeddings"]
    side = WIDTH // HEADS
    for number in range(DEPTH):
        block = f"vit.encoder.layer.{number}"
        seen = norm(x, f"{block}.layernorm_before")
        q, k, v = (
            linear(seen, f"{block}.attention.attention.{word}")
            .view(len(images), -1, HEADS, side)
            .transpose(1, 2)
            for word in ("query", "key", "value")
        )
        weights = (q @ k.transpose(2, 3) / side**0.5).softmax(-1)
        heads = (weights @ v).transpose(1, 2).flatten(2)
        x = x + linear(heads, f"{block}.attention.output.dense")
        seen = norm(x, f"{block}.layernorm_after")
        hidden = linear(seen, f"{block}.intermediate.dense")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        x = x + linear(hidden, f"{block}.output.dense")
    return linear(norm(x, "vit.layernorm")[:, 0], "classifier")


def stored(names: Iterator[tuple[str, tuple[int, ...]]]) -> list[StoredTensor]:
    return [StoredTensor((name,), "F32", shape, (), 0, 0) for name, shape in names]


def of_network(network: nn.Module) -> list[StoredTensor]:
    state = network.state_dict().items()
    return stored((name, tuple(tensor.shape)) for name, tensor in state if tensor.ndim)


def published(name: str, **arguments: int) -> list[StoredTensor]:
    with torch.device("meta"):
        return of_network(get_model(name, weights=None, num_classes=11, **arguments))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_vision_transformer_of_transformers_answers_as_its_tensors_do(
    tmp_path: Path, suffix: str
) -> None:
    pytest.importorskip("timm")
    state, path = transformers_state(), tmp_path / f"model{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    on = TrainedOn("cifar10", classes=tuple(f"c{number}" for number in range(CLASSES)))
    done = convert_checkpoint(path, SMALL, on, tmp_path / "converted.safetensors")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    network = open_teacher(done.path, None, unmeasured=True).network
    with torch.no_grad():
        logits = network(images).logits
    wanted = transformers_logits(state, images)
    assert wanted.std() > 0.1
    assert torch.allclose(logits, wanted, atol=1e-4)
    remarks = "; ".join(done.remarks)
    assert f"joined: query, key and value, into {2 * DEPTH} tensors" in remarks
    assert "left:" not in remarks


def test_a_vision_transformer_of_transformers_is_one_of_torchvision() -> None:
    checkpoint = stored(transformers_shapes(768, 3072, 12, 16, 197, 7))
    only, _ = recognised(Path("vit.safetensors"), checkpoint)
    assert (only.options, only.classes) == ("--model torchvision:vit_b_16", 7)
    (tensors,) = only.fitting.sets
    name = "encoder.layers.encoder_layer_3.self_attention.in_proj_weight"
    path = ("vit", "encoder", "layer", "3", "attention", "attention", "qkv", "weight")
    assert tensors.tensors[name].path == path


def test_what_is_not_there_three_times_alike_is_not_joined() -> None:
    names = ("attention.query.weight", "attention.key.weight", "attention.value.weight")
    odd = stored(zip(names, ((4, 4), (4, 4), (2, 4)), strict=True))
    assert joined(odd) == odd
    assert joined(odd[:2]) == odd[:2]


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("vgg11", {}, "torchvision:vgg11"),
        ("vgg11_bn", {}, "torchvision:vgg11_bn"),
        ("shufflenet_v2_x0_5", {}, "torchvision:shufflenet_v2_x0_5"),
        ("regnet_x_400mf", {}, "torchvision:regnet_x_400mf"),
        ("vit_b_16", {"image_size": 32}, "torchvision:vit_b_16 --argument image_size=32"),
    ],
)
def test_a_network_of_torchvision_is_found(
    name: str, arguments: dict[str, int], options: str
) -> None:
    if name == "regnet_x_400mf":  # its widths cannot be computed without memory
        checkpoint = of_network(get_model(name, weights=None, num_classes=11))
    else:
        checkpoint = published(name, **arguments)
    only, bounds = recognised(Path("c.pth"), checkpoint)
    assert (only.options, only.classes, bounds) == (f"--model {options}", 11, [])


def test_a_network_of_torchvision_is_converted_without_being_named(tmp_path: Path) -> None:
    source = get_model("squeezenet1_1", weights=None, num_classes=4).eval()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "c.pth")
    on = TrainedOn("cifar10", classes=("a", "b", "c", "d"))
    done = convert_checkpoint(tmp_path / "c.pth", None, on, None)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        answer = open_teacher(done.path, None, unmeasured=True).network(images).logits
        assert torch.allclose(answer, source(images), atol=1e-6)
    assert "recognised: --model torchvision:squeezenet1_1 of 4 classes" in done.remarks[0]


def few(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let timm offer a few networks only, and torchvision one: to search all takes a minute."""
    from kdgap.models import from_timm, from_torchvision

    theirs = from_torchvision.makers()
    one_of_them = {"vgg11": theirs["vgg11"]}
    monkeypatch.setattr(from_torchvision, "makers", lambda: one_of_them)
    every = from_timm.makers()
    monkeypatch.setattr(from_timm, "makers", lambda: {name: every[name] for name in names})


def test_networks_of_timm_are_found_or_named_where_several_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timm = pytest.importorskip("timm")
    few(monkeypatch, "test_vit", "test_vit2", "test_convnext")
    only, bounds = recognised(
        Path("c.pth"), of_network(timm.create_model("test_convnext", num_classes=4))
    )
    assert only.options == "--model timm:test_convnext"
    assert bounds[0].startswith("of the 3 networks of timm the likeliest ")
    network = timm.create_model("test_vit", num_classes=4, img_size=32, patch_size=8)
    only, _ = recognised(Path("c.pth"), of_network(network))
    assert only.options == "--model timm:test_vit --argument img_size=32 --argument patch_size=8"
    monkeypatch.undo()
    few(monkeypatch, "efficientnet_b0", "efficientnet_blur_b0", "efficientnet_b1")
    with torch.device("meta"):
        checkpoint = of_network(timm.create_model("efficientnet_b0", num_classes=4))
    with pytest.raises(BadInputError) as caught:
        recognised(Path("c.pth"), checkpoint)
    text = str(caught.value)
    assert "several networks fit: timm:efficientnet_b0, timm:efficientnet_blur_b0;" in text
    assert "choose with --model, such as --model timm:efficientnet_b0" in text


def test_the_number_of_networks_that_are_built_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def counted(model: ModelSpec, checkpoint: list[StoredTensor]) -> object:
        built.append(model.name)
        return beside(model, checkpoint)

    monkeypatch.setattr(elsewhere, "beside", counted)
    monkeypatch.setattr(elsewhere, "MOST_BUILT", 3)
    monkeypatch.setattr("kdgap.models.from_timm.makers", dict)
    checkpoint = published("vgg11")
    checkpoint[-2] = StoredTensor(checkpoint[-2].path, "F32", (11, 4095), (), 0, 0)
    search = elsewhere.search_elsewhere(checkpoint)
    assert not search.fits
    assert len(built) == 3
    assert search.near is not None
    assert search.near.model.name.startswith("torchvision:vgg")


def test_timm_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, object]:
        raise BadInputError("timm is not installed")

    monkeypatch.setattr("kdgap.models.from_timm.makers", missing)
    checkpoint = stored((f"some.{number}.weight", (2, 3)) for number in range(12))
    with pytest.raises(BadInputError, match="timm is not installed and was not searched"):
        recognised(Path("c.pth"), checkpoint)
