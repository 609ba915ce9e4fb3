"""The references of `numpy_features` against cases by hand, scipy, and torch's own layers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import integrate, signal, special, stats

from tests.laws.numpy_cases import EPS, RNG, drawn, given, side, unit_norm
from tests.laws.numpy_features import (
    cat_kd,
    fused,
    levels_apart,
    margin,
    ofd,
    reviewkd,
    simkd,
    srrl,
)
from tests.laws.numpy_layers import batch_norm, convolution, nearest, sigmoid, to_smaller
from tests.laws.numpy_logits import asymmetric, standardised
from tests.laws.numpy_reference import REFERENCES, Array, _adaptive_pool
from tests.laws.numpy_reference_more import MORE


def test_more_is_of_other_methods_and_each_returns_finite_terms() -> None:
    assert not set(MORE) & set(REFERENCES)
    student, teacher, labels = drawn(0)
    known = {"temperature": 2.0, "temperature_true": 3.0, "temperature_others": 0.0}
    for reference in (asymmetric, standardised(REFERENCES["logit"])):
        assert math.isfinite(reference(given(known, student, teacher, labels))["kl"])


def test_layers_are_those_of_scipy_and_torch() -> None:
    rng = RNG(1)
    x = rng.standard_normal((3, 2, 5, 4))
    for size in (1, 3):
        weight, bias = rng.standard_normal((4, 2, size, size)), rng.standard_normal(4)
        answer = convolution(x, weight, bias)
        by_scipy = sum(signal.correlate2d(x[1, d], weight[2, d], "same") for d in range(2))
        assert answer[1, 2] == pytest.approx(by_scipy + bias[2])
        by_torch = F.conv2d(
            torch.tensor(x), torch.tensor(weight), torch.tensor(bias), padding=size // 2
        )
        assert answer == pytest.approx(by_torch.numpy())
    scale, shift = rng.standard_normal(2), rng.standard_normal(2)
    normed = F.batch_norm(
        torch.tensor(x), None, None, torch.tensor(scale), torch.tensor(shift), training=True
    )
    assert batch_norm(x, scale, shift) == pytest.approx(normed.numpy())
    for height, width in ((1, 1), (4, 5), (8, 8), (3, 2)):
        assert np.array_equal(
            nearest(x, height, width), F.interpolate(torch.tensor(x), (height, width)).numpy()
        )
        small = F.adaptive_avg_pool2d(torch.tensor(x), (height, width)).numpy()
        assert _adaptive_pool(x, height, width) == pytest.approx(small)
    assert sigmoid(x) == pytest.approx(special.expit(x))


def test_batch_norm_and_pooling_by_hand() -> None:
    x = np.array([[[[3.0]]], [[[1.0]]]])
    normed = batch_norm(x, np.array([2.0]), np.array([5.0]))
    assert normed[:, 0, 0, 0] == pytest.approx(
        [5 + 2 / math.sqrt(1 + EPS), 5 - 2 / math.sqrt(1 + EPS)]
    )
    a, b = to_smaller(np.array([[[[1.0, 2.0, 3.0]]]]), np.zeros((1, 1, 1, 2)))
    assert a.tolist() == [[[[1.5, 2.5]]]]  # the bins overlap in the middle
    assert b.shape == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("scale", "shift"), [(1.0, 0.0), (2.0, 1.0), (-0.5, 0.7), (1.0, -4.0), (1.0, 3.0)]
)
def test_margin_is_the_mean_of_the_negative_part(scale: float, shift: float) -> None:
    density = stats.norm(shift, abs(scale)).pdf
    lowest = shift - 12 * abs(scale)
    mass = integrate.quad(density, lowest, 0)[0]
    mean = integrate.quad(lambda x: x * density(x), lowest, 0)[0] / mass
    assert margin(scale, shift) == pytest.approx(mean, rel=1e-8)


def test_margin_where_almost_nothing_is_negative_and_without_a_spread() -> None:
    assert margin(2.0, 6.0) != -6  # Phi(-3) = 0.00135
    assert margin(2.0, 6.2) == margin(-2.0, 6.2) == -6
    assert margin(0.0, 1.0) == 0
    assert margin(0.0, -1.0) == -1
    assert margin(1e-9, -1.0) == pytest.approx(-1)


def test_ofd_by_hand() -> None:
    """Students' maps become +-c; targets are 2 and the margin, which a lower value satisfies."""
    c = 1 / math.sqrt(1 + EPS)
    low = -2 / math.sqrt(2 * math.pi)  # of N(0, 1): -phi(0) / Phi(0) = -0.798
    own = [[[[1.0]]], [[[-1.0]]]]
    case = given(
        {"weight": 3.0},
        side(before_relu={"a": own, "b": own}),
        side(
            before_relu={"x": [[[[2.0]]], [[[-9.0]]]], "y": [[[[-9.0]]], [[[-0.5]]]]},
            norms={"x": ([1.0], [0.0]), "y": ([-1.0], [0.0])},
        ),
        [0, 1],
        parts={
            f"stages.{stage}.{key}": value
            for stage in "ab"
            for key, value in {"conv.weight": [[[[1.0]]]], **unit_norm("bn.")}.items()
        },
    )
    first = (c - 2) ** 2  # -c is below the margin -0.798, and so left alone
    last = (c - low) ** 2  # -c is below -0.5
    assert ofd(case) == pytest.approx({"margin": 3 * (first / 2 + last) / 2 / 1000})


def test_distance_of_levels_by_hand() -> None:
    a, b = np.zeros((1, 1, 2, 2)), np.array([[[[1.0, 1.0], [1.0, 3.0]]]])
    assert levels_apart(a, b) == pytest.approx((3 + 1.5**2 / 2) / 1.5)
    assert levels_apart(a[..., :1, :1], b[..., :1, :1]) == 1
    full = np.arange(64.0).reshape(1, 1, 8, 8)
    wanted, weights = 0.0, 0.0
    for size, weight in ((8, 1), (4, 1 / 2), (2, 1 / 4), (1, 1 / 8)):
        blocks = full.reshape(size, 8 // size, size, 8 // size).mean((1, 3))
        wanted, weights = wanted + weight * (blocks**2).mean(), weights + weight
    assert levels_apart(full, 0 * full) == pytest.approx(wanted / weights)


def test_fusion_by_hand() -> None:
    x, y = np.array([[[[1.0, 2.0]]]]), np.array([[[[10.0]]]])
    weight = np.array([[[[1.0]], [[0.0]]], [[[0.0]], [[0.1]]]])  # of a: x; of b: y / 10
    answer = fused(x, y, weight, np.array([0.0, 1.0]))
    s = special.expit
    assert answer.ravel() == pytest.approx([s(1) * 1 + s(2) * 10, s(2) * 2 + s(2) * 10])


def test_reviewkd_hands_the_deeper_maps_on_and_is_that_of_torch() -> None:
    rng = RNG(3)
    stages = {"a": (2, 6, 3, 4), "b": (3, 2, 2, 3)}  # student channels, size, teacher's
    own = {k: rng.standard_normal((4, d, n, n)) for k, (d, n, _, _) in stages.items()}
    other = {k: rng.standard_normal((4, d, n, n)) for k, (_, _, d, n) in stages.items()}
    e_s, e_t = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    parts: dict[str, Array] = {}
    for level, (inputs, outputs) in enumerate(((3, 2), (3, 2), (2, 3))):
        shapes: dict[str, tuple[int, ...]] = {
            "conv1.conv.weight": (3, inputs, 1, 1),
            "conv1.bn.weight": (3,),
            "conv1.bn.bias": (3,),
            "conv2.conv.weight": (outputs, 3, 3, 3),
            "conv2.bn.weight": (outputs,),
            "conv2.bn.bias": (outputs,),
        }
        if level:
            shapes |= {"attention.weight": (2, 6, 1, 1), "attention.bias": (2,)}
        parts |= {f"levels.{level}.{k}": rng.standard_normal(v) for k, v in shapes.items()}
    case = given(
        {"weight": 2.0},
        side(features=own, embedding=e_s),
        side(before_relu=other, embedding=e_t),
        parts=parts,
    )
    p = {k: torch.tensor(v) for k, v in parts.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scale, shift = p[f"{name}.weight"], p[f"{name}.bias"]
        return F.batch_norm(x, None, None, scale, shift, training=True)

    x = norm(
        F.conv2d(torch.tensor(e_s)[..., None, None], p["levels.0.conv1.conv.weight"]),
        "levels.0.conv1.bn",
    )
    answers = [norm(F.conv2d(x, p["levels.0.conv2.conv.weight"], padding=1), "levels.0.conv2.bn")]
    for level, stage, size in ((1, "b", 3), (2, "a", 4)):
        name = f"levels.{level}"
        y = F.interpolate(x, own[stage].shape[2:])
        x = norm(
            F.conv2d(torch.tensor(own[stage]), p[f"{name}.conv1.conv.weight"]), f"{name}.conv1.bn"
        )
        z = F.conv2d(
            torch.cat([x, y], 1), p[f"{name}.attention.weight"], p[f"{name}.attention.bias"]
        )
        z = torch.sigmoid(z)
        x = F.interpolate(x * z[:, 0].view(4, 1, *x.shape[2:]) + y * z[:, 1:2], (size, size))
        answers.append(
            norm(F.conv2d(x, p[f"{name}.conv2.conv.weight"], padding=1), f"{name}.conv2.bn")
        )
    targets = [e_t[..., None, None], other["b"], other["a"]]
    total = sum(levels_apart(a.numpy(), b) for a, b in zip(answers, targets, strict=True))
    assert reviewkd(case) == pytest.approx({"review": 2 * total})


def test_srrl_by_hand() -> None:
    own = [[[[1.0, -1.0]]], [[[1.0, -1.0]]]]
    c = 1 / math.sqrt(1 + EPS / 9)  # the convolution makes +-3 of it, and BN +-c
    other = [[[[1.0, 3.0]], [[1.0, 1.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]]
    case = given(
        {"classifier_weight": 4.0},
        side(pooled=own),
        side(
            [[1.0, 0.0], [0.0, 2.0]],
            pooled=other,
            classifier=([[2.0, 0.0], [0.0, 0.0]], [0.5, -1.0]),
        ),
        [0, 1],
        parts={"conv.weight": [[[[3.0]]], [[[-3.0]]]], **unit_norm("bn.", 2)},
    )
    q, answer = c / 2, c + 0.5  # of both channels pooled; of the first class
    features = (q - 2) ** 2 + (q - 1) ** 2 + q**2 + q**2
    logits = (answer - 1) ** 2 + 1 + answer**2 + 9
    assert srrl(case) == pytest.approx({"feature": features / 4, "classifier": 4 * logits / 4})


def test_cat_kd_by_hand() -> None:
    """Two images that are alike, so that their mean is that of either."""
    own = side(pooled=2 * [[[[3.0, 4.0]]]], classifier=([[1.0], [-2.0]], [9.0, 9.0]))
    other = side(
        pooled=2 * [[[[1.0, 0.0]], [[0.0, 1.0]]]],
        classifier=([[1.0, 1.0], [0.0, 0.0]], [9.0, 9.0]),
    )
    known = {"weight": 10.0, "normalise": False, "pool": 1}
    wanted = ((3.5 - 1) ** 2 + 7**2) / 2  # means of (3, 4), (-6, -8) and (1, 1), (0, 0)
    assert cat_kd(given(known, own, other)) == pytest.approx({"maps": 10 * wanted})
    known = {"weight": 10.0, "normalise": True, "pool": 2}  # both rows of a 2x2 map are alike
    r = math.sqrt(2)
    units = ((0.6 / r - 0.5) ** 2 + (0.8 / r - 0.5) ** 2 + (0.6 / r) ** 2 + (0.8 / r) ** 2) / 4
    assert cat_kd(given(known, own, other)) == pytest.approx({"maps": 10 * units})


def test_simkd_by_hand() -> None:
    """Weights that pass on: +-1 stays +-c, of which ReLU leaves (c, 0), which becomes +-c again."""
    middle = np.zeros((1, 1, 3, 3))
    middle[0, 0, 1, 1] = 1.0
    weights = (np.ones((1, 1, 1, 1)), middle, np.array([[[[1.0]]], [[[-1.0]]]]))
    parts: dict[str, Any] = {}
    for layer, weight in enumerate(weights):
        parts |= {f"{layer}.conv.weight": weight} | unit_norm(f"{layer}.bn.", len(weight))
    own = side(pooled=[[[[2.0, 0.0], [1.0, 1.0]]], [[[-1.0, -1.0], [-2.0, 0.0]]]])
    other = side(pooled=[[[[1.0]], [[0.0]]], [[[0.0]], [[3.0]]]])
    high = 1 / math.sqrt(1 + EPS)  # after the first layer (high, 0)
    for _ in range(2):
        half = high / 2
        high = half / math.sqrt(half**2 + EPS)
    case = given({"factor": 2}, own, other, parts=parts)
    wanted = ((high - 1) ** 2 + 0 + 0 + (high - 3) ** 2) / 4
    assert simkd(case) == pytest.approx({"map": wanted})


def test_the_larger_map_is_pooled_before_the_trained_parts_see_it() -> None:
    rng = RNG(12)
    parts: dict[str, Any] = {"stages.s.conv.weight": rng.standard_normal((2, 3, 1, 1))}
    parts |= unit_norm("stages.s.bn.", 2)
    shapes = ((1, 3, 1, 1), (1, 1, 3, 3), (2, 1, 1, 1))
    for layer, shape in enumerate(shapes):
        parts[f"{layer}.conv.weight"] = rng.standard_normal(shape)
        parts |= unit_norm(f"{layer}.bn.", shape[0])
    norms = {"t": (rng.standard_normal(2), rng.standard_normal(2))}
    for n, m in ((5, 3), (3, 5), (4, 2)):
        own, other = rng.standard_normal((4, 3, n, n)), rng.standard_normal((4, 2, m, m))
        small = to_smaller(own, other)
        assert small[0].shape[2] == small[1].shape[2] == min(n, m)
        for reference in (ofd, simkd):
            known = {"weight": 1.0, "factor": 4}  # never fewer than one channel between
            losses = [
                reference(
                    given(
                        known,
                        side(features={"s": a}, before_relu={"s": a}, pooled=a),
                        side(features={"t": b}, before_relu={"t": b}, norms=norms, pooled=b),
                        range(4),
                        parts=parts,
                    )
                )
                for a, b in ((own, other), small)
            ]
            assert losses[0] == pytest.approx(losses[1])


def test_more_stages_on_one_side_are_paired_from_the_last() -> None:
    rng = RNG(13)
    maps = {stage: rng.standard_normal((4, 2, 2, 2)) for stage in ("a", "b", "c")}
    norms = {stage: (rng.standard_normal(2), rng.standard_normal(2)) for stage in maps}
    parts: dict[str, Any] = {}
    for stage in maps:
        parts[f"stages.{stage}.conv.weight"] = rng.standard_normal((2, 2, 1, 1))
        parts |= unit_norm(f"stages.{stage}.bn.", 2)
    own = {stage: maps[stage] for stage in ("b", "c")}
    teacher = side(before_relu=maps, norms=norms)
    fewer = side(before_relu={k: maps[k] for k in own}, norms={k: norms[k] for k in own})
    student = side(before_relu=own)
    losses = [
        ofd(given({"weight": 1.0}, student, t, range(4), parts=parts)) for t in (teacher, fewer)
    ]
    assert losses[0] == losses[1]
