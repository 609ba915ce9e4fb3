"""The blockwise squared error of a projection is the plain one, and so are its gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.methods.parts import projected_error
from kdgap.methods.parts.projected_error import projected_squared_error


def maps(dtype: torch.dtype = torch.float64, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 4, 5, 2, generator=g, dtype=torch.float64).to(dtype)
    weight = torch.randn(6, 4, generator=g, dtype=torch.float64)
    target = torch.randn(3, 6, 5, 2, generator=g, dtype=torch.float64).to(dtype)
    return features.requires_grad_(), weight.requires_grad_(), target


def plain(features: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(F.conv2d(features, weight[:, :, None, None]), target)


@pytest.mark.parametrize("block", [1, 6 * 7, 6 * 30, 2**20])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_value_and_gradients_are_the_plain_ones_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, block: int, layout: torch.memory_format
) -> None:
    monkeypatch.setattr(projected_error, "BLOCK", block)
    features, weight, target = maps()
    laid_out = features.contiguous(memory_format=layout)
    error = projected_squared_error(laid_out, weight, target.contiguous(memory_format=layout))
    expected = plain(features, weight, target)
    torch.testing.assert_close(error, expected, rtol=1e-12, atol=0)
    gradients = torch.autograd.grad(3.5 * error, (features, weight))
    wanted = torch.autograd.grad(3.5 * expected, (features, weight))
    torch.testing.assert_close(gradients, wanted, rtol=1e-11, atol=1e-13)


def test_gradient_is_right_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projected_error, "BLOCK", 6 * 7)
    features, weight, target = maps()
    assert torch.autograd.gradcheck(
        lambda x, w: projected_squared_error(x, w, target), (features, weight)
    )


def test_near_equality_nothing_cancels() -> None:
    features, weight = (tensor.detach() for tensor in maps()[:2])
    exact = F.conv2d(features, weight[:, :, None, None])
    assert float(projected_squared_error(features, weight, exact)) == pytest.approx(0, abs=1e-30)
    error = projected_squared_error(features, weight, exact + 1e-6)
    assert float(error) == pytest.approx(1e-12, rel=1e-8)


def test_the_graph_can_be_walked_twice() -> None:
    features, weight, target = maps()
    error = projected_squared_error(features, weight, target)
    once = torch.autograd.grad(error, features, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(error, features), once, rtol=0, atol=0)


def test_narrow_products_and_wide_differences_under_autocast() -> None:
    features, weight, target = maps(torch.bfloat16)
    weight = weight.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        error = projected_squared_error(features, weight, target)
    assert error.dtype == torch.float32
    rounded = weight.detach().bfloat16().double()[:, :, None, None]
    projected = F.conv2d(features.detach().double(), rounded).bfloat16().double()
    expected = (projected - target.double()).square().mean()
    assert error.item() == pytest.approx(expected.item(), rel=0.02)
    by_features, by_weight = torch.autograd.grad(1e-3 * error, (features, weight))
    assert (by_features.dtype, by_weight.dtype) == (torch.bfloat16, torch.float32)
    exact_features, exact_weight, exact_target = (t.detach().double() for t in maps(torch.bfloat16))
    wanted = torch.autograd.grad(
        1e-3 * plain(exact_features.requires_grad_(), exact_weight.requires_grad_(), exact_target),
        (exact_features, exact_weight),
    )
    for gradient, right in zip((by_features, by_weight), wanted, strict=True):
        assert float((gradient.double() - right).norm() / right.norm()) < 0.01
