"""Each method's loss a second time, in plain numpy, written from the paper and not from our code.

A method without an entry in `REFERENCES` fails the law tests. One that vanishes at equality and has
trained parts needs an entry in `IDENTITIES` as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Side:
    """What one network answers: `logits` `[B, C]`, `features` `[B, D, H, W]` by stage."""

    logits: Array
    features: Mapping[str, Array]


@dataclass(frozen=True)
class Given:
    """Everything that a loss is computed from.

    Attributes:
        parameters: the method's hyper-parameters by field.
        student, teacher: what the networks answer.
        labels: `[B]`.
        parts: parameters and buffers of the trained parts, by their names in the state.
    """

    parameters: Mapping[str, Any]
    student: Side
    teacher: Side
    labels: np.ndarray[Any, np.dtype[np.int64]]
    parts: Mapping[str, Array]


Reference = Callable[[Given], dict[str, float]]
"""Returns weight times value of each term, by name."""


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def baseline(given: Given) -> dict[str, float]:
    return {}


def logit(given: Given) -> dict[str, float]:
    """T^2 * sum over classes of p * log(p / q), averaged over the batch (Hinton et al. 2015)."""
    temperature = given.parameters["temperature"]
    p = _softmax(given.teacher.logits / temperature)
    q = _softmax(given.student.logits / temperature)
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


def feature(given: Given) -> dict[str, float]:
    """Mean over stages of the MSE, and beta times that of 1 - cosine (arXiv 2605.31191)."""
    errors, distances = [], []
    for stage, target in given.teacher.features.items():
        weight = given.parts[f"stages.{stage}.weight"][:, :, 0, 0]
        projected = np.einsum("od,bdhw->bohw", weight, given.student.features[stage])
        projected = _adaptive_pool(projected, *target.shape[2:])
        scale = target.std() if given.parameters["norm"] == "teacher_std" else 1.0
        errors.append(np.mean((projected / scale - target / scale) ** 2))
        a, b = projected.mean(axis=(2, 3)), target.mean(axis=(2, 3))
        cosines = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
        distances.append(np.mean(1 - cosines))
    return {
        "mse": float(np.mean(errors)),
        "cos": given.parameters["beta"] * float(np.mean(distances)),
    }


REFERENCES: dict[str, Reference] = {"none": baseline, "logit": logit, "feature": feature}


def _pass_on(parts: nn.Module) -> None:
    """Let every 1x1 convolution pass on what it gets."""
    for weight in parts.parameters():
        weight.copy_(torch.eye(weight.shape[0])[:, :, None, None])


IDENTITIES: dict[str, Callable[[nn.Module], None]] = {"feature": _pass_on}
"""What makes the trained parts between two equal networks the identity."""
