"""MLKD, and what changes temperatures or logits of other losses, in plain numpy."""

import math
from dataclasses import replace

import numpy as np

from tests.laws.numpy_reference import Array, Given, Reference, _kl, _softmax, logit

MLKD_TEMPERATURES = (2, 3, 4, 5, 6)


def _median(values: list[float]) -> float:
    """Return the middle value, or the mean of the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _at_most_the_median(values: list[float]) -> list[bool]:
    middle = _median(values)
    return [value <= middle for value in values]


def mlkd_masks(weak_teacher: Array) -> tuple[list[bool], list[bool]]:
    """Return which images and which classes count in the form `masked`.

    Images whose top probability, and classes whose probability summed over the batch, are at or
    below the median of the batch; probabilities of the teacher for the weak view at T = 1.
    """
    p = _softmax(weak_teacher)
    confidences = [max(float(share) for share in row) for row in p]
    sums = [sum(float(share) for share in column) for column in p.T]
    return _at_most_the_median(confidences), _at_most_the_median(sums)


def _products_apart(rows_t: Array, rows_s: Array, kept: list[bool]) -> float:
    """Return sum over i and kept j of (t_i . t_j - s_i . s_j)^2, over the number of rows."""
    total = 0.0
    for i in range(len(rows_t)):
        for j in range(len(rows_t)):
            if kept[j]:
                apart = float(rows_t[i] @ rows_t[j]) - float(rows_s[i] @ rows_s[j])
                total += apart**2
    return total / len(rows_t)


def mlkd(given: Given) -> dict[str, float]:
    """Images, and the products of rows and of columns, at five temperatures for two views.

    Each summed over views and T of {2, 3, 4, 5, 6}, with A = p(z, T) (Jin et al. 2023):
    instance: T^2 * mean over images of KL(A_t, A_s); batch: |A_t A_t' - A_s A_s'|^2 / B; class:
    |A_t' A_t - A_s' A_s|^2 / C. With form `masked` an image that is left out counts 0 in the mean,
    and so do columns of images or classes that are left out.
    """
    assert given.strong_view is not None
    images, classes = mlkd_masks(given.teacher.logits)
    if given.parameters["form"] == "plain":
        images, classes = [True] * len(images), [True] * len(classes)
    instance = batch = by_class = 0.0
    for student, teacher in ((given.student, given.teacher), given.strong_view):
        for t in MLKD_TEMPERATURES:
            a, b = _softmax(teacher.logits / t), _softmax(student.logits / t)
            for p, q, counts in zip(a, b, images, strict=True):
                if counts:
                    instance += t**2 * _kl(p, q) / len(a)
            batch += _products_apart(a, b, images)
            by_class += _products_apart(a.T, b.T, classes)
    values = {"instance": instance, "batch": batch, "class": by_class}
    weight = given.parameters["weight"]
    return {
        k: weight * given.parameters.get(f"{k}_weight", 1.0) * value for k, value in values.items()
    }


def standardised_logits(logits: Array) -> Array:
    """Return (z - mean) / (std + 1e-7) of each row (Sun et al. 2024, 2403.01427).

    std is the root of the squares' sum over C - 1.
    """
    answer = np.empty_like(logits)
    classes = logits.shape[1]
    for image, row in enumerate(logits):
        mean = sum(float(z) for z in row) / classes
        variance = sum((float(z) - mean) ** 2 for z in row) / (classes - 1)
        answer[image] = (row - mean) / (math.sqrt(variance) + 1e-7)
    return answer


def standardised(reference: Reference) -> Reference:
    """Return a loss of logits, taken of standardised logits of both sides."""

    def changed(given: Given) -> dict[str, float]:
        student = replace(given.student, logits=standardised_logits(given.student.logits))
        teacher = replace(given.teacher, logits=standardised_logits(given.teacher.logits))
        return reference(replace(given, student=student, teacher=teacher))

    return changed


def standardised_mlkd(given: Given) -> dict[str, float]:
    """MLKD with standardised logits in its instance part alone."""
    assert given.strong_view is not None
    masked_by = given.parameters["form"] == "masked"
    images = mlkd_masks(given.teacher.logits)[0]
    total = 0.0
    for student, teacher in ((given.student, given.teacher), given.strong_view):
        for t in MLKD_TEMPERATURES:
            a = _softmax(standardised_logits(teacher.logits) / t)
            b = _softmax(standardised_logits(student.logits) / t)
            for p, q, counts in zip(a, b, images, strict=True):
                if counts or not masked_by:
                    total += t**2 * _kl(p, q) / len(a)
    return mlkd(given) | {"instance": given.parameters["weight"] * total}


def asymmetric(given: Given) -> dict[str, float]:
    """T^2 KL with another temperature for the teacher's true class (Li et al. 2022, 2210.04427).

    p_c is exp(t_c / T_c) over the sum, T_c = `temperature_true` for the true class and
    `temperature_others` elsewhere, 0 = `temperature`; the student is softened by `temperature`.
    """
    known = given.parameters
    t = known["temperature"]
    true, others = known["temperature_true"] or t, known["temperature_others"] or t
    total = 0.0
    for own, other, label in zip(
        given.student.logits, given.teacher.logits, given.labels, strict=True
    ):
        scaled = [z / (true if c == label else others) for c, z in enumerate(other)]
        p = _softmax(np.array([scaled]))[0]
        total += _kl(p, _softmax(own[None] / t)[0])
    return {"kl": t**2 * total / len(given.labels)}


def curriculum_temperature(g: float) -> float:
    """Return T = 1 + 20 sigmoid(g) (Li et al. 2023, 2211.16231)."""
    return 1 + 20 / (1 + math.exp(-g))


def curriculum(given: Given, g: float) -> dict[str, float]:
    """T^2 KL at the trained temperature."""
    parameters = {**given.parameters, "temperature": curriculum_temperature(g)}
    return logit(replace(given, parameters=parameters))


def curriculum_lambda(epoch: int) -> float:
    """Return what the gradient on g is multiplied by in an epoch counted from 0: 0 to -1.

    (cos(pi * min(e, 10) / 10) + 1) / 2 - 1 with e = epoch + 1, as the authors count from 1.
    """
    return (math.cos(math.pi * min(epoch + 1, 10) / 10) + 1) / 2 - 1


def curriculum_gradient(given: Given, g: float, epoch: int) -> float:
    """Return lambda(epoch) * dL/dg of L = T^2 * mean over images of KL(p(t, T), p(s, T)).

    dL/dT = 2 T KL + T^2 sum over c of [dp_c (ln p_c - ln q_c) - p_c dln q_c], for sum p dln p = 0;
    dln p_c = -(t_c - sum p t) / T^2, dln q_c = -(s_c - sum q s) / T^2, dp = p dln p; and
    dT/dg = 20 sigmoid(g) (1 - sigmoid(g)).
    """
    t = curriculum_temperature(g)
    total = 0.0
    for own, other in zip(given.student.logits, given.teacher.logits, strict=True):
        p, q = _softmax(other[None] / t)[0], _softmax(own[None] / t)[0]
        mean_t, mean_s = float(p @ other), float(q @ own)
        total += 2 * t * _kl(p, q)
        for c in range(len(p)):
            dln_p, dln_q = -(other[c] - mean_t) / t**2, -(own[c] - mean_s) / t**2
            total += t**2 * float(p[c] * dln_p * np.log(p[c] / q[c]) - p[c] * dln_q)
    share = (t - 1) / 20
    by_temperature = total / len(given.labels)
    return curriculum_lambda(epoch) * by_temperature * 20 * share * (1 - share)
