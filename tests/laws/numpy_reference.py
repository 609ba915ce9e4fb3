"""Each method's loss a second time, in plain numpy, written from the paper and not from our code.

A method without an entry in `REFERENCES` fails the law tests.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Features = Mapping[str, Array]
Reference = Callable[
    [Mapping[str, Any], Array, Array, Features, Features, Mapping[str, Array]], dict[str, float]
]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def baseline(
    parameters: Mapping[str, Any],
    student: Array,
    teacher: Array,
    student_features: Features,
    teacher_features: Features,
    projections: Mapping[str, Array],
) -> dict[str, float]:
    return {}


def logit(
    parameters: Mapping[str, Any],
    student: Array,
    teacher: Array,
    student_features: Features,
    teacher_features: Features,
    projections: Mapping[str, Array],
) -> dict[str, float]:
    """T^2 * sum over classes of p * log(p / q), averaged over the batch (Hinton et al. 2015)."""
    temperature = parameters["temperature"]
    p, q = _softmax(teacher / temperature), _softmax(student / temperature)
    total = 0.0
    for row_p, row_q in zip(p, q, strict=True):
        total += sum(float(a * (np.log(a) - np.log(b))) for a, b in zip(row_p, row_q, strict=True))
    return {"kl": temperature**2 * total / len(p)}


def _adaptive_pool(x: Array, height: int, width: int) -> Array:
    """Mean over the bins [floor(i n / m), ceil((i + 1) n / m)), as adaptive pooling defines it."""
    pooled = np.empty((*x.shape[:2], height, width))
    for i in range(height):
        rows = slice(i * x.shape[2] // height, -(-(i + 1) * x.shape[2] // height))
        for j in range(width):
            columns = slice(j * x.shape[3] // width, -(-(j + 1) * x.shape[3] // width))
            pooled[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
    return pooled


def feature(
    parameters: Mapping[str, Any],
    student: Array,
    teacher: Array,
    student_features: Features,
    teacher_features: Features,
    projections: Mapping[str, Array],
) -> dict[str, float]:
    """Mean over stages of the MSE, and beta times that of 1 - cosine (arXiv 2605.31191)."""
    errors, distances = [], []
    for stage, target in teacher_features.items():
        projected = np.einsum("od,bdhw->bohw", projections[stage], student_features[stage])
        projected = _adaptive_pool(projected, *target.shape[2:])
        scale = target.std() if parameters["norm"] == "teacher_std" else 1.0
        errors.append(np.mean((projected / scale - target / scale) ** 2))
        a, b = projected.mean(axis=(2, 3)), target.mean(axis=(2, 3))
        cosines = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
        distances.append(np.mean(1 - cosines))
    return {
        "mse": float(np.mean(errors)),
        "cos": parameters["beta"] * float(np.mean(distances)),
    }


REFERENCES: dict[str, Reference] = {"none": baseline, "logit": logit, "feature": feature}
