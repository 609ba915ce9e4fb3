"""Each method's loss a second time, in plain numpy, written from the paper and not from our code.

A method without an entry in `REFERENCES` fails the law tests. One that vanishes at equality and has
trained parts needs an entry in `IDENTITIES` as well.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Side:
    """What one network answers, as `Output` has it; None or empty where it was not asked for."""

    logits: Array
    features: Mapping[str, Array]
    before_relu: Mapping[str, Array]
    embedding: Array | None
    classifier: tuple[Array, Array] | None
    norms: Mapping[str, tuple[Array, Array]]
    connected: Array | None = None
    pooled: Array | None = None


@dataclass(frozen=True)
class Given:
    """Everything that a loss is computed from.

    Attributes:
        parameters: the method's hyper-parameters by field.
        student, teacher: what the networks answer.
        labels: `[B]`.
        parts: parameters and buffers of the trained parts, by their names in the state.
        indices: places of the images in the training set, `[B]`.
        negatives: training images `[B, K]` that each image was compared with, where a method draws
            them: which are drawn is no mathematics.
        strong_view: what student and teacher answer to the second, strongly augmented view.
    """

    parameters: Mapping[str, Any]
    student: Side
    teacher: Side
    labels: Integers
    parts: Mapping[str, Array]
    indices: Integers | None = None
    negatives: Integers | None = None
    strong_view: tuple[Side, Side] | None = None


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


def label_smoothing(given: Given) -> dict[str, float]:
    """eps times the cross-entropy with 1 / C on every class (torch's `label_smoothing`)."""
    p = _softmax(given.student.logits)
    return {"uniform": given.parameters["eps"] * float(np.mean(-np.log(p)))}


def hard_label(given: Given) -> dict[str, float]:
    """-ln of the student's probability of the teacher's top class."""
    p = _softmax(given.student.logits)
    picked = [row[top] for row, top in zip(p, given.teacher.logits.argmax(1), strict=True)]
    return {"hard": given.parameters["weight"] * float(np.mean(-np.log(picked)))}


def logit_mse(given: Given) -> dict[str, float]:
    """Mean over images and classes of the squared difference."""
    difference = given.student.logits - given.teacher.logits
    return {"mse": given.parameters["weight"] * float((difference**2).sum() / difference.size)}


def _kl(p: Array, q: Array) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


def _without(row: Array, index: int) -> Array:
    kept = np.delete(row, index)
    return np.asarray(kept / kept.sum())


def dkd(given: Given) -> dict[str, float]:
    """Per image: the divergence of (p, 1 - p), and that of the others over their sum."""
    t = given.parameters["temperature"]
    p, q = _softmax(given.teacher.logits / t), _softmax(given.student.logits / t)
    target = others = 0.0
    for a, b, label in zip(p, q, given.labels, strict=True):
        target += _kl(np.array([a[label], 1 - a[label]]), np.array([b[label], 1 - b[label]]))
        others += _kl(_without(a, label), _without(b, label))
    return {
        "target": given.parameters["alpha"] * t**2 * target / len(p),
        "others": given.parameters["beta"] * t**2 * others / len(p),
    }


def nkd(given: Given) -> dict[str, float]:
    """Per image: -p_t ln p_s of the true class at T = 1, and cross-entropy of the others at T."""
    t, weight = given.parameters["temperature"], given.parameters["weight"]
    p, q = _softmax(given.teacher.logits), _softmax(given.student.logits)
    hot_p, hot_q = _softmax(given.teacher.logits / t), _softmax(given.student.logits / t)
    target = others = 0.0
    for n, label in enumerate(given.labels):
        target -= float(p[n, label] * np.log(q[n, label]))
        others -= float((_without(hot_p[n], label) * np.log(_without(hot_q[n], label))).sum())
    return {
        "target": weight * target / len(p),
        "others": weight * given.parameters["gamma"] * t**2 * others / len(p),
    }


def _correlation(a: Array, b: Array) -> float:
    x, y = a - a.mean(), b - b.mean()
    return float((x * y).sum() / (np.sqrt((x * x).sum()) * np.sqrt((y * y).sum()) + 1e-8))


def dist(given: Given) -> dict[str, float]:
    """1 minus the mean correlation of rows, and of columns."""
    known = given.parameters
    t = known["temperature"]
    p, q = _softmax(given.student.logits / t), _softmax(given.teacher.logits / t)
    weight = known["weight"] * (t**2 if known["t_squared"] else 1)
    rows = np.mean([_correlation(a, b) for a, b in zip(p, q, strict=True)])
    columns = np.mean([_correlation(a, b) for a, b in zip(p.T, q.T, strict=True)])
    return {
        "images": weight * known["beta"] * float(1 - rows),
        "classes": weight * known["gamma"] * float(1 - columns),
    }


def _powered(given: Given) -> Array:
    return np.asarray(_softmax(given.teacher.logits) ** given.parameters["gamma"])


def ttm(given: Given) -> dict[str, float]:
    """The divergence of the student at T = 1 from p^gamma over its sum."""
    powered, q = _powered(given), _softmax(given.student.logits)
    apart = [_kl(a / a.sum(), b) for a, b in zip(powered, q, strict=True)]
    return {"kl": given.parameters["weight"] * float(np.mean(apart))}


def wttm(given: Given) -> dict[str, float]:
    """The same, each image times the sum of p^gamma."""
    powered, q = _powered(given), _softmax(given.student.logits)
    apart = [a.sum() * _kl(a / a.sum(), b) for a, b in zip(powered, q, strict=True)]
    return {"kl": given.parameters["weight"] * float(np.mean(apart))}


def rld(given: Given) -> dict[str, float]:
    """Confidence against the true class's probability, and the classes that rank below it."""
    known = given.parameters
    a, t = known["confidence_temperature"], known["temperature"]
    top, own = _softmax(given.teacher.logits / a).max(1), _softmax(given.student.logits / a)
    confidence = others = 0.0
    for n, label in enumerate(given.labels):
        p, q = top[n], own[n, label]
        confidence += _kl(np.array([p, 1 - p]), np.array([q, 1 - q]))
        theirs, ours = given.teacher.logits[n] / t, given.student.logits[n] / t
        below = theirs < theirs[label]
        if below.any():
            others += _kl(_softmax(theirs[below][None])[0], _softmax(ours[below][None])[0])
    return {
        "confidence": known["alpha"] * a**2 * confidence / len(top),
        "others": known["beta"] * t**2 * others / len(top),
    }


def _pairs(given: Given) -> list[tuple[Array, Array]]:
    """Return maps of student and teacher, paired from the last, the larger one pooled."""
    pairs = []
    own, other = list(given.student.features.values()), list(given.teacher.features.values())
    for a, b in zip(own[::-1], other[::-1], strict=False):
        size = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
        pairs.append((_adaptive_pool(a, *size), _adaptive_pool(b, *size)))
    return pairs


def _unit(x: Array) -> Array:
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    return np.asarray(x / np.maximum(length, 1e-12))


def at(given: Given) -> dict[str, float]:
    """Mean over channels of |F|^power, flat, of length 1; squared mean, or half the length."""
    known, total = given.parameters, 0.0
    for pair in _pairs(given):
        a, b = (_unit((np.abs(x) ** known["power"]).mean(1).reshape(len(x), -1)) for x in pair)
        if known["form"] == "code":
            total += float(np.mean((a - b) ** 2))
        else:
            total += (
                float(np.mean([np.sqrt(((x - y) ** 2).sum()) for x, y in zip(a, b, strict=True)]))
                / 2
            )
    return {"at": known["weight"] * total}


def nst(given: Given) -> dict[str, float]:
    """Mean over images and all pairs of channels of (a . b)^2, spread out as public code does."""
    total = 0.0
    for s, t in _pairs(given):
        a, b = (_unit(x.reshape(*x.shape[:2], -1)) for x in (s, t))

        def kernel(x: Array, y: Array) -> float:
            products = (x[:, :, None, :] * y[:, None, :, :]).sum(-1)
            return float((products**2).mean())

        total += kernel(b, b) + kernel(a, a) - 2 * kernel(a, b)
    return {"mmd": given.parameters["weight"] * total}


def sp(given: Given) -> dict[str, float]:
    """Row-normalised Gram matrices of the last maps; the squared norm of their difference / B^2."""
    (a,), (b,) = given.student.features.values(), given.teacher.features.values()
    rows = [_unit(x.reshape(len(x), -1) @ x.reshape(len(x), -1).T) for x in (a, b)]
    weight = given.parameters["weight"]
    return {"sp": weight * float(((rows[1] - rows[0]) ** 2).sum()) / len(a) ** 2}


def _embedded(given: Given) -> tuple[Array, Array]:
    assert given.student.embedding is not None
    assert given.teacher.embedding is not None
    return given.student.embedding, given.teacher.embedding


def pkt(given: Given) -> dict[str, float]:
    """Cosines moved to [0, 1], over their row sums; mean over B^2 of K_t ln(K_t / K_s)."""
    rows = []
    for x in _embedded(given):
        unit = x / (np.sqrt((x * x).sum(1, keepdims=True)) + 1e-7)
        close = (unit @ unit.T + 1) / 2
        rows.append(close / close.sum(1, keepdims=True))
    s, t = rows
    weight = given.parameters["weight"]
    return {"pkt": weight * float(np.mean(t * np.log((t + 1e-7) / (s + 1e-7))))}


def _smooth(a: Array, b: Array) -> float:
    apart = np.abs(a - b)
    return float(np.mean(np.where(apart < 1, apart**2 / 2, apart - 0.5)))


def rkd(given: Given) -> dict[str, float]:
    """Distances over the mean of the positive ones, and cosines of the angles, one by one."""
    distances, angles = [], []
    for x in _embedded(given):
        apart = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])
        distances.append(apart / apart[apart > 0].mean())
        towards = np.array([[_unit(b - a) for b in x] for a in x])
        angles.append(np.array([[[u @ v for v in row] for u in row] for row in towards]))
    known = given.parameters
    return {
        "distance": known["distance_weight"] * _smooth(*distances),
        "angle": known["angle_weight"] * _smooth(*angles),
    }


def cc(given: Given) -> dict[str, float]:
    """The Taylor series of exp(-gamma |a - b|^2) for unit vectors; or products of neighbours."""
    known = given.parameters
    if known["form"] == "rbf":
        kernels = []
        for x in _embedded(given):
            cosines, gamma = _unit(x) @ _unit(x).T, known["gamma"]
            series = sum(
                (2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(known["order"] + 1)
            )
            kernels.append(np.exp(-2 * gamma) * series)
        return {"cc": known["weight"] * float(np.mean((kernels[0] - kernels[1]) ** 2))}
    s, t = (
        x @ given.parts[f"{side}.weight"].T + given.parts[f"{side}.bias"]
        for side, x in zip(("student", "teacher"), _embedded(given), strict=True)
    )
    apart = np.abs(s - t)
    products = [(apart[n] * apart[n + 1]).sum() for n in range(len(apart) - 1)]
    return {"cc": known["weight"] * float(np.mean(products))}


def itrd(given: Given) -> dict[str, float]:
    """log2 of the sum of |c - 1|^(2a), and the difference of the similarities' squares."""
    own, other = _embedded(given)
    known = given.parameters
    z = own @ given.parts["embed.weight"].T + given.parts["embed.bias"]
    a, b = ((x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + 1e-8) for x in (z, other))
    c = (a * b).mean(0)
    correlation = np.log2((np.abs(c - 1) ** (2 * known["exponent"])).sum() + 1e-8)
    s, t = _unit(own if own.shape == other.shape else z), _unit(other)
    s, t = s @ s.T / len(s), t @ t.T / len(t)
    both = s * t / np.trace(s * t)
    return {
        "correlation": known["correlation_weight"] * float(correlation),
        "mutual": known["mutual_weight"] * float((s**2).sum() - (both**2).sum()),
    }


def fitnet(given: Given) -> dict[str, float]:
    """The convolution written out, batch norm by the batch, ReLU, squared mean."""
    (x,), (target,) = given.student.features.values(), given.teacher.features.values()
    weight, bias = given.parts["conv.weight"], given.parts["conv.bias"]
    if weight.shape[2] == 1:
        projected = np.einsum(
            "od,bdhw->bohw", weight[:, :, 0, 0], _adaptive_pool(x, *target.shape[2:])
        )
    else:  # 3x3, stride 2, padding 1
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        projected = np.empty((len(x), *target.shape[1:]))
        for i in range(target.shape[2]):
            for j in range(target.shape[3]):
                window = padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                projected[:, :, i, j] = np.einsum("odhw,bdhw->bo", weight, window)
    projected = projected + bias[None, :, None, None]
    mean, variance = (
        projected.mean((0, 2, 3), keepdims=True),
        projected.var((0, 2, 3), keepdims=True),
    )
    scale, shift = (given.parts[f"bn.{name}"][None, :, None, None] for name in ("weight", "bias"))
    normed = (projected - mean) / np.sqrt(variance + 1e-5) * scale + shift
    return {
        "hint": given.parameters["weight"] * float(np.mean((np.maximum(normed, 0) - target) ** 2))
    }


def vid(given: Given) -> dict[str, float]:
    """Half of the mean of (mu - t)^2 / v + ln v, with three matrices and ReLU between them."""
    total = 0.0
    stages = list(given.student.features)[::-1]
    for stage, (x, target) in zip(stages, _pairs(given), strict=True):
        for layer in (0, 2, 4):
            weight = given.parts[f"stages.{stage}.regressor.{layer}.weight"][:, :, 0, 0]
            x = np.einsum("od,bdhw->bohw", weight, np.maximum(x, 0) if layer else x)
        variance = np.log1p(np.exp(given.parts[f"stages.{stage}.log_scale"])) + 1e-5
        variance = variance[None, :, None, None]
        total += float(np.mean(((x - target) ** 2 / variance + np.log(variance)) / 2))
    return {"nll": given.parameters["weight"] * total}


REFERENCES: dict[str, Reference] = {
    "none": baseline,
    "logit": logit,
    "feature": feature,
    "label_smoothing": label_smoothing,
    "hard_label": hard_label,
    "logit_mse": logit_mse,
    "dkd": dkd,
    "nkd": nkd,
    "dist": dist,
    "ttm": ttm,
    "wttm": wttm,
    "rld": rld,
    "at": at,
    "nst": nst,
    "sp": sp,
    "pkt": pkt,
    "rkd": rkd,
    "cc": cc,
    "itrd": itrd,
    "fitnet": fitnet,
    "vid": vid,
}


def _pass_on(parts: nn.Module) -> None:
    """Let every 1x1 convolution pass on what it gets."""
    for weight in parts.parameters():
        weight.copy_(torch.eye(weight.shape[0])[:, :, None, None])


def _alike(parts: nn.Module) -> None:
    """Let both sides be embedded by one layer, where they are."""
    layers = parts.get_submodule("student"), parts.get_submodule("teacher")
    layers[1].load_state_dict(layers[0].state_dict())


def _any(parts: nn.Module) -> None:
    """Leave them: the loss vanishes whatever they are."""


IDENTITIES: dict[str, Callable[[nn.Module], None]] = {
    "feature": _pass_on,
    "cc": _alike,
    "ctkd": _any,
}
"""What makes the trained parts between two equal networks the identity."""
