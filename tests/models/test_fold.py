"""A folded network answers what the network answers."""

import pytest
import torch
from torch import nn

from kdgap.models import MODELS
from kdgap.models.build import build_model
from kdgap.models.fold import folded
from kdgap.models.output import Network
from kdgap.models.taps import Taps
from kdgap.spec.model import ModelSpec
from tests.models.kinds import KINDS


def trained_looking(network: Network) -> Network:
    """Give every batch norm statistics that a fold must get right."""
    g = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                assert tensor is not None
                tensor.data.copy_(torch.rand(tensor.shape, generator=g) + 0.5)
            for tensor in (module.bias, module.running_mean):
                assert tensor is not None
                tensor.data.copy_(torch.randn(tensor.shape, generator=g) * 0.1)
    return network.double()


@pytest.mark.parametrize("name", KINDS)
def test_folding_changes_nothing_but_rounding(name: str) -> None:
    size = (10, 3, (32, 32))
    network = trained_looking(build_model(ModelSpec(name=name), *size, 0)).eval()
    answering = folded(network)
    kept = [path for path, m in answering.named_modules() if isinstance(m, nn.BatchNorm2d)]
    if name.startswith("wrn"):  # one in each block, and the last, follow no convolution
        assert all(path.endswith("bn1") for path in kept)
        blocks = [m for m in answering.modules() if hasattr(m, "folds")]
        assert len(kept) == len(blocks) + 1
    else:
        assert kept == []
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        before = () if "before_relu" in MODELS[name].lacks else network.stages
        taps = Taps(maps=network.stages, before_relu=before, embedding=True)
        wanted, answer = network(images, taps), answering(images, taps)
    torch.testing.assert_close(answer.logits, wanted.logits, rtol=1e-8, atol=1e-9)
    for stage in network.stages:
        # A sum's rounding is as large as what is added up, which may be far more than the sum.
        size_there = wanted.features[stage].abs().max().item()
        torch.testing.assert_close(
            answer.features[stage], wanted.features[stage], rtol=0, atol=1e-10 * size_there
        )


def test_the_network_itself_is_left_alone() -> None:
    network = build_model(ModelSpec(name="resnet8"), 10, 3, (32, 32), 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded(network)
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_batch_norm_before_its_convolution_stays() -> None:
    class PreActivation(Network):
        def __init__(self) -> None:
            super().__init__()
            self.bn1 = nn.BatchNorm2d(3)
            self.conv1 = nn.Conv2d(3, 3, 1)
            self.bn2 = nn.BatchNorm2d(3)

    kept = [m for m in folded(PreActivation()).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(kept) == 2
