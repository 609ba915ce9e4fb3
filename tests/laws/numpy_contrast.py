"""Contrastive representation distillation in plain numpy (Tian et al. 2020, 1910.10699)."""

import math

import numpy as np

from tests.laws.numpy_reference import Array, Given, _embedded, _unit

NOISE_EPS = 1e-7


def _embeds(given: Given) -> tuple[Array, Array]:
    """Return f_s and f_t, `[B, width]`: n(linear(e)) of both sides."""
    own, other = _embedded(given)
    own = own @ given.parts["embed_student.weight"].T + given.parts["embed_student.bias"]
    other = other @ given.parts["embed_teacher.weight"].T + given.parts["embed_teacher.bias"]
    return _unit(own), _unit(other)


def scores(given: Given, memory: Array, embeds: Array) -> Array:
    """Return exp(memory row . f / tau), `[B, 1 + K]`; the image's own row is the first."""
    assert given.indices is not None
    assert given.negatives is not None
    answer = np.empty((len(embeds), 1 + given.negatives.shape[1]))
    for image, f in enumerate(embeds):
        rows = [given.indices[image], *given.negatives[image]]
        for place, row in enumerate(rows):
            answer[image, place] = math.exp(
                float(memory[row] @ f) / given.parameters["temperature"]
            )
    return answer


def constants(given: Given) -> tuple[float, float]:
    """Return Z_s and Z_t: what is kept, or from this batch the mean score times N."""
    f_s, f_t = _embeds(given)
    values = []
    for kept, memory, embeds in zip(
        given.parts["z"], ("memory_teacher", "memory_student"), (f_s, f_t), strict=True
    ):
        rows = given.parts[memory]
        mean = float(scores(given, rows, embeds).mean())
        values.append(float(kept) if kept > 0 else mean * len(rows))
    return values[0], values[1]


def _apart(o: Array, images: int) -> float:
    """Return h(o): minus the log-probability of telling the own row from noise, a mean.

    -(1/B) [sum ln(o_0 / (o_0 + K/N + 1e-7)) + sum over k >= 1 of ln((K/N) / (o_k + K/N + 1e-7))].
    """
    noise = (o.shape[1] - 1) / images
    total = 0.0
    for row in o:
        total += math.log(row[0] / (row[0] + noise + NOISE_EPS))
        for score in row[1:]:
            total += math.log(noise / (score + noise + NOISE_EPS))
    return -total / len(o)


def crd(given: Given) -> dict[str, float]:
    """h(o_s) + h(o_t), with o_s = exp(M_t . f_s / tau) / Z_s and o_t = exp(M_s . f_t / tau) / Z_t.

    M_s and M_t are the memories before this step.
    """
    f_s, f_t = _embeds(given)
    z_s, z_t = constants(given)
    images = len(given.parts["memory_student"])
    total = _apart(scores(given, given.parts["memory_teacher"], f_s) / z_s, images)
    total += _apart(scores(given, given.parts["memory_student"], f_t) / z_t, images)
    return {"contrast": given.parameters["weight"] * total}


def crd_state_after(given: Given) -> dict[str, Array]:
    """Return memories and Z after the step: row <- n(m row + (1 - m) f) for the batch's images.

    m = momentum. The student's memory takes f_s and the teacher's f_t; Z stays once it is set.
    """
    assert given.indices is not None
    momentum = given.parameters["momentum"]
    after = {"z": np.array(constants(given))}
    for name, embeds in zip(("memory_student", "memory_teacher"), _embeds(given), strict=True):
        memory = given.parts[name].copy()
        for index, f in zip(given.indices, embeds, strict=True):
            memory[index] = _unit(momentum * memory[index] + (1 - momentum) * f)
        after[name] = memory
    return after
