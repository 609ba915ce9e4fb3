"""bf16 rounds where autocast rounds, with or without bfloat16 hardware."""

import pytest
import torch
from torch import nn

from kdgap.engine import precision
from kdgap.engine.precision import compute
from kdgap.methods.shared import in_float32
from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["native", "emulated"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(precision, "native_bf16", lambda device: request.param)
    return bool(request.param)


def test_convolutions_and_products_are_bfloat16(native: bool) -> None:
    x = torch.randn(2, 3, 8, 8)
    with compute("bf16", CPU):
        assert nn.Conv2d(3, 4, 1)(x).dtype == torch.bfloat16
        assert nn.Linear(8, 2)(x).dtype == torch.bfloat16
    with compute("fp32", CPU):
        assert nn.Conv2d(3, 4, 1)(x).dtype == torch.float32


def test_what_a_loss_asks_for_in_float32_is_float32(native: bool) -> None:
    x, layer, filters = torch.randn(2, 3, 8, 8), nn.Linear(8, 2), nn.Conv2d(3, 4, 1)
    with compute("bf16", CPU), in_float32(x):
        wide, other = layer(x), filters(x)
    assert torch.equal(wide, layer(x))
    assert torch.equal(other, filters(x))


def test_weights_and_their_gradients_stay_float32(native: bool) -> None:
    layer = nn.Conv2d(3, 4, 3)
    with compute("bf16", CPU):
        layer(torch.randn(2, 3, 8, 8)).float().sum().backward()
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_emulation_agrees_with_the_native_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_model(ModelSpec(name="resnet8", width=0.25), 10, 3, (16, 16), 0)
    x = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    results = {}
    for native in (True, False):
        monkeypatch.setattr(precision, "native_bf16", lambda device, native=native: native)
        network.zero_grad()
        with compute("bf16", CPU):
            logits = network(x).logits
        logits.float().square().sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        results[native] = (logits.detach().float(), gradient)
    logits, emulated = results[True][0], results[False][0]
    # bfloat16 has 8 bits: roundings differ where sums are taken in another order.
    assert (logits - emulated).norm() / logits.norm() < 0.02
    gradient, other = results[True][1], results[False][1]
    assert (gradient - other).norm() / gradient.norm() < 0.05


def test_a_weight_is_narrowed_anew_after_each_step(native: bool) -> None:
    layer = nn.Linear(4, 1, bias=False)
    x = torch.ones(1, 4)
    with compute("bf16", CPU):
        before = layer(x).item()
        with torch.no_grad():
            layer.weight.add_(1.0)
        assert layer(x).item() == pytest.approx(before + 4, abs=0.1)
