"""Losses on feature maps and classifiers in plain numpy: OFD, ReviewKD, SRRL, CAT-KD and SimKD."""

import math
from collections.abc import Mapping

import numpy as np

from tests.laws.numpy_layers import (
    batch_norm,
    conv_bn,
    conv_bn_relu,
    convolution,
    nearest,
    pooled,
    sigmoid,
    stages_from_the_last,
    to_smaller,
)
from tests.laws.numpy_reference import Array, Given, Side, _adaptive_pool


def _normal_density(x: float) -> float:
    return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _normal_distribution(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def margin(scale: float, shift: float) -> float:
    """Return the mean of N(shift, scale^2) where it is negative (Heo et al. 2019).

    E[x | x < 0] = beta - gamma phi(beta / gamma) / Phi(-beta / gamma), with gamma = |scale| and
    beta = shift; -3 gamma where x < 0 has a probability of no more than 0.001. With gamma 0 the
    limit: beta where it is negative, and 0 elsewhere.
    """
    gamma, beta = abs(scale), shift
    if gamma == 0:
        return min(beta, 0.0)
    negative = _normal_distribution(-beta / gamma)
    if negative <= 0.001:
        return -3 * gamma
    return beta - gamma * _normal_density(beta / gamma) / negative


def ofd(given: Given) -> dict[str, float]:
    """Squared distance to max(P_t, m), where it counts, of the maps before the ReLU.

    Sum over stages i of n of 2^(i - n) * sum of (x - target)^2 where x > target or target > 0, all
    / B / 1000; x = BN(conv1x1(P_s)), target = max(P_t, m of its channel); the larger map is pooled
    first (Heo et al. 2019, 1904.01866).
    """
    student, teacher = given.student, given.teacher
    total = 0.0
    pairs = stages_from_the_last(student.before_relu, teacher.before_relu)
    for steps_from_the_last, (own, other) in enumerate(pairs):
        source, goal = to_smaller(student.before_relu[own], teacher.before_relu[other])
        x = conv_bn(source, given.parts, f"stages.{own}.")
        stage = 0.0
        for channel, (scale, shift) in enumerate(zip(*teacher.norms[other], strict=True)):
            smallest = margin(float(scale), float(shift))
            for a, b in zip(x[:, channel].flat, goal[:, channel].flat, strict=True):
                target = max(b, smallest)
                if a > target or target > 0:
                    stage += float(a - target) ** 2
        total += stage / 2**steps_from_the_last
    return {"margin": given.parameters["weight"] * total / len(given.labels) / 1000}


def levels_apart(a: Array, b: Array) -> float:
    """Return ReviewKD's distance of two maps: at full size, and pooled to 4x4, 2x2 and 1x1.

    (MSE + 1/2 MSE pooled + 1/4 MSE pooled further + ...) / (1 + 1/2 + 1/4 + ...); a size that is
    not below the map's own is left out and takes no weight.
    """
    total, weights, weight = float(np.mean((a - b) ** 2)), 1.0, 1.0
    for size in (4, 2, 1):
        if size < a.shape[2]:
            weight /= 2
            apart = _adaptive_pool(a, size, size) - _adaptive_pool(b, size, size)
            total += weight * float(np.mean(apart**2))
            weights += weight
    return total / weights


def fused(x: Array, before: Array, weight: Array, bias: Array) -> Array:
    """Return a x + b y, with maps (a, b) = sigmoid(conv1x1([x, y])) and y resized to x."""
    y = nearest(before, *x.shape[2:])
    both = sigmoid(convolution(np.concatenate([x, y], axis=1), weight, bias))
    return both[:, :1] * x + both[:, 1:] * y


def _review_levels(side: Side, maps: Mapping[str, Array], stages: list[str]) -> list[Array]:
    """Return the embedding as a 1x1 map, then the stages from the last."""
    assert side.embedding is not None
    return [side.embedding[:, :, None, None], *(maps[stage] for stage in stages)]


def _named(parts: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    return parts[f"{name}.weight"], parts[f"{name}.bias"]


def reviewkd(given: Given) -> dict[str, float]:
    """Each level fused with the deeper ones, against the teacher's (Chen et al. 2021, 2104.09044).

    From the deepest (the embedding as a 1x1 map) to the first stage: x = BN(conv1x1(F_s)), fused
    with what the deeper level handed on, resized to the teacher's map, handed on; and
    BN(conv3x3(x)) is compared with the teacher's map before its ReLU. Between the two x has
    min(512, width of the student's embedding) channels.
    """
    pairs = stages_from_the_last(given.student.features, given.teacher.before_relu)
    own = _review_levels(given.student, given.student.features, [a for a, _ in pairs])
    other = _review_levels(given.teacher, given.teacher.before_relu, [b for _, b in pairs])
    total, before = 0.0, None
    for level, (features, target) in enumerate(zip(own, other, strict=True)):
        name = f"levels.{level}"
        x = conv_bn(features, given.parts, f"{name}.conv1.")
        assert x.shape[1] == min(512, own[0].shape[1])
        if before is not None:
            x = fused(x, before, *_named(given.parts, f"{name}.attention"))
        before = nearest(x, *target.shape[2:])
        wide = convolution(before, given.parts[f"{name}.conv2.conv.weight"])
        answer = batch_norm(wide, *_named(given.parts, f"{name}.conv2.bn"))
        total += levels_apart(answer, target)
    return {"review": given.parameters["weight"] * total}


def averaged_map(side: Side) -> Array:
    """Return the map whose mean over pixels is the embedding."""
    assert side.pooled is not None
    return side.pooled


def srrl(given: Given) -> dict[str, float]:
    """Pooled features, and the logits that the teacher's classifier makes of them (Yang 2021).

    q = pooled ReLU(BN(conv1x1(F_s))): mean over images and channels of (q - pooled F_t)^2, and
    weight * mean over images and classes of (W_t q + b_t - t)^2.
    """
    assert given.teacher.classifier is not None
    weight, bias = given.teacher.classifier
    q = pooled(conv_bn_relu(averaged_map(given.student), given.parts))
    target = pooled(averaged_map(given.teacher))
    features = logits = 0.0
    for image in range(len(q)):
        for channel in range(q.shape[1]):
            features += float(q[image, channel] - target[image, channel]) ** 2
        for label in range(len(bias)):
            answer = float(weight[label] @ q[image] + bias[label])
            logits += (answer - float(given.teacher.logits[image, label])) ** 2
    return {
        "feature": given.parameters.get("feature_weight", 1.0) * features / q.size,
        "classifier": given.parameters["classifier_weight"] * logits / given.teacher.logits.size,
    }


def activation_maps(features: Array, weight: Array) -> Array:
    """Return sum over d of W[c, d] F[b, d, h, w], `[B, C, H, W]`; without the bias."""
    answer = np.zeros((len(features), len(weight), *features.shape[2:]))
    for label, row in enumerate(weight):
        for channel, share in enumerate(row):
            answer[:, label] += share * features[:, channel]
    return answer


def cat_kd(given: Given) -> dict[str, float]:
    """Mean over images, classes and positions of (M_s - M_t)^2 (Guo et al. 2023, 2303.12777).

    M: class activation maps of the last stage, pooled to size x size; with `normalise` each map is
    divided by its length over positions.
    """
    known = given.parameters
    size = known["pool"]
    both = []
    for side in (given.student, given.teacher):
        assert side.classifier is not None
        maps = activation_maps(averaged_map(side), side.classifier[0])
        maps = _adaptive_pool(maps, size, size)
        if known["normalise"]:
            for image in maps:
                for each in image:
                    each /= max(math.sqrt(float((each**2).sum())), 1e-12)
        both.append(maps)
    return {"maps": known["weight"] * float(np.mean((both[0] - both[1]) ** 2))}


def simkd(given: Given) -> dict[str, float]:
    """Mean of (z - F_t)^2 of the last stage, the larger map pooled (Chen et al. 2022, 2203.14001).

    z = three times ReLU(BN(conv)) of F_s: 1x1 to D_t / factor (floor, at least 1), 3x3, 1x1 to D_t.
    """
    x, target = to_smaller(averaged_map(given.student), averaged_map(given.teacher))
    middle = max(1, target.shape[1] // given.parameters["factor"])
    for layer, (channels, kernel) in enumerate(((middle, 1), (middle, 3), (target.shape[1], 1))):
        shape = given.parts[f"{layer}.conv.weight"].shape
        assert shape == (channels, x.shape[1], kernel, kernel)
        x = conv_bn_relu(x, given.parts, f"{layer}.")
    return {"map": given.parameters.get("weight", 1.0) * float(np.mean((x - target) ** 2))}
