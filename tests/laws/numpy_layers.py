"""The layers of trained parts in plain numpy, pixel by pixel, and how two maps are paired."""

from collections.abc import Mapping

import numpy as np

from tests.laws.numpy_reference import Array, _adaptive_pool

BATCH_NORM_EPS = 1e-5


def convolution(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return sum over d, i, j of w[o, d, i, j] x[b, d, h + i - k//2, w + j - k//2] + bias[o].

    Stride 1, and as many zeros around the map as keep its size, for an odd kernel k.

    Args:
        x: `[B, D, H, W]`.
        weight: `[O, D, k, k]`.
        bias: `[O]`.
    """
    size = weight.shape[2]
    edge = size // 2
    padded = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    answer = np.zeros((len(x), len(weight), *x.shape[2:]))
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            window = padded[:, :, row : row + size, column : column + size]
            for output, kernel in enumerate(weight):
                answer[:, output, row, column] = (window * kernel).sum(axis=(1, 2, 3))
    return answer if bias is None else answer + bias[None, :, None, None]


def batch_norm(x: Array, scale: Array, shift: Array) -> Array:
    """Return scale * (x - mean) / sqrt(variance + 1e-5) + shift of each channel.

    As in training: mean and variance are those of this batch over images and pixels, the variance
    over their number and not one less.
    """
    answer = np.empty_like(x)
    for channel in range(x.shape[1]):
        values = x[:, channel]
        mean = values.sum() / values.size
        variance = ((values - mean) ** 2).sum() / values.size
        normal = (values - mean) / np.sqrt(variance + BATCH_NORM_EPS)
        answer[:, channel] = scale[channel] * normal + shift[channel]
    return answer


def conv_bn(x: Array, parts: Mapping[str, Array], name: str = "") -> Array:
    """Return BN(conv(x)) with `<name>conv.weight`, `<name>bn.weight` and `<name>bn.bias`."""
    convolved = convolution(x, parts[f"{name}conv.weight"])
    return batch_norm(convolved, parts[f"{name}bn.weight"], parts[f"{name}bn.bias"])


def conv_bn_relu(x: Array, parts: Mapping[str, Array], name: str = "") -> Array:
    """Return ReLU(BN(conv(x)))."""
    return np.maximum(conv_bn(x, parts, name), 0)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x)))


def nearest(x: Array, height: int, width: int) -> Array:
    """Return a map of another size: pixel i of n takes that at floor(i * old / n)."""
    answer = np.empty((*x.shape[:2], height, width))
    for row in range(height):
        for column in range(width):
            source = row * x.shape[2] // height, column * x.shape[3] // width
            answer[:, :, row, column] = x[:, :, source[0], source[1]]
    return answer


def pooled(x: Array) -> Array:
    """Return the mean over pixels, `[B, D]`."""
    return np.asarray(x.mean(axis=(2, 3)))


def to_smaller(a: Array, b: Array) -> tuple[Array, Array]:
    """Average-pool the larger of two maps to the size of the smaller."""
    height, width = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    return _adaptive_pool(a, height, width), _adaptive_pool(b, height, width)


def stages_from_the_last(
    student: Mapping[str, Array], teacher: Mapping[str, Array]
) -> list[tuple[str, str]]:
    """Return names of stages, paired from the last backwards; what has no partner is left out."""
    return list(zip(reversed(list(student)), reversed(list(teacher)), strict=False))


def last(maps: Mapping[str, Array]) -> Array:
    """Return the map of the last stage."""
    return list(maps.values())[-1]
