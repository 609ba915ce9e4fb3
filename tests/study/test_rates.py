"""Published speeds of machines that are not at hand."""

import pytest

from kdgap.errors import BadInputError
from kdgap.models.build import model_cost
from kdgap.planning.rates import MACHINES, published_rate
from kdgap.spec.model import ModelSpec


def test_the_rate_is_the_published_one_in_the_plans_own_count() -> None:
    rate, source = published_rate("a100", "bf16")
    # He et al. 2016 count 3.8e9 multiply-adds, this variant has 4.1e9: two FLOPs each.
    assert rate == pytest.approx(2470 * 3 * 2 * 4.09e9, rel=0.01)
    assert "not measured here" in source
    assert "DeepLearningExamples" in source


def test_another_published_training_is_foretold_by_it() -> None:
    """ResNet-18, 88 epochs in 187.3 minutes: 160 pixels for three quarters, then 192 (ffcv)."""
    rate, _ = published_rate("a100", "bf16")
    forward = [
        model_cost(ModelSpec(name="torchvision:resnet18"), 1000, 3, (side, side))[1]
        for side in (160, 192)
    ]
    minutes = 88 * 1_281_167 * 3 * (0.75 * forward[0] + 0.25 * forward[1]) / rate / 60
    assert minutes == pytest.approx(187.3, rel=0.1)


def test_each_rate_says_where_it_comes_from_and_what_is_assumed() -> None:
    for about in MACHINES.values():
        for precision in about.keys() & {"fp32", "bf16"}:
            assert about[precision]["source"]
            assert about[precision]["assumption"]


def test_a_precision_without_a_published_speed_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"no published speed for fp32 .*precision=bf16"):
        published_rate("a100", "fp32")
