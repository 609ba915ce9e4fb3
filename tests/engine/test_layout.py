"""The layout follows from the spec, images follow the network, and what is learned is the same."""

import pytest
import torch

from kdgap.engine.layout import layout_of, place
from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "width", "contiguous"),
    [
        ("resnet8", 0.125, True),
        ("resnet8", 0.25, True),
        ("resnet8", 0.5, False),
        ("resnet20", 1.0, False),
        ("resnet18", 1.0, False),
    ],
)
def test_only_narrow_networks_are_contiguous(name: str, width: float, *, contiguous: bool) -> None:
    layout = layout_of(ModelSpec(name=name, width=width))
    assert (layout == torch.contiguous_format) is contiguous


@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("width", [0.25, 0.5])
def test_images_enter_in_the_networks_own_layout(side: int, width: float) -> None:
    spec = ModelSpec(name="resnet8", width=width)
    network = build_model(spec, 10, 3, (side, side), 0).eval()
    g = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, side, side, generator=g)
    with torch.no_grad():
        before = network(images).logits
        placed = place(network, spec, CPU)
        seen: list[torch.Tensor] = []
        placed.get_submodule("conv1").register_forward_pre_hook(lambda _, x: seen.append(x[0]))
        after = placed(images).logits
    assert seen[0].is_contiguous(memory_format=placed.layout or torch.preserve_format)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
