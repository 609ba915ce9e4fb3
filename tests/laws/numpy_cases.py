"""Small cases that the references themselves are tried on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.laws.numpy_reference import Array, Given, Integers, Side

EPS = 1e-5
RNG = np.random.default_rng


def side(
    logits: Any = ((0.0, 0.0),),
    features: Mapping[str, Any] | None = None,
    before_relu: Mapping[str, Any] | None = None,
    embedding: Any = None,
    classifier: tuple[Any, Any] | None = None,
    norms: Mapping[str, tuple[Any, Any]] | None = None,
    pooled: Any = None,
) -> Side:
    def maps(values: Mapping[str, Any] | None) -> dict[str, Array]:
        return {name: np.array(value, dtype=float) for name, value in (values or {}).items()}

    def pair(values: tuple[Any, Any]) -> tuple[Array, Array]:
        return np.array(values[0], dtype=float), np.array(values[1], dtype=float)

    return Side(
        np.array(logits, dtype=float),
        maps(features),
        maps(before_relu),
        None if embedding is None else np.array(embedding, dtype=float),
        None if classifier is None else pair(classifier),
        {name: pair(value) for name, value in (norms or {}).items()},
        pooled=None if pooled is None else np.array(pooled, dtype=float),
    )


def given(
    parameters: Mapping[str, Any], student: Side, teacher: Side, labels: Any = (0,), **more: Any
) -> Given:
    parts = {key: np.array(value, dtype=float) for key, value in more.pop("parts", {}).items()}
    return Given(parameters, student, teacher, np.array(labels), parts, **more)


def drawn(seed: int, images: int = 6, classes: int = 5) -> tuple[Side, Side, Integers]:
    rng = RNG(seed)
    logits = 3 * rng.standard_normal((2, images, classes))
    return side(logits[0]), side(logits[1]), rng.integers(classes, size=images)


def unit_norm(name: str, channels: int = 1) -> dict[str, Any]:
    return {f"{name}weight": np.ones(channels), f"{name}bias": np.zeros(channels)}
