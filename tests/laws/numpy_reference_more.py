"""References of further methods, written from their specification by somebody who saw no code."""

import numpy as np

from tests.laws.numpy_contrast import crd
from tests.laws.numpy_features import averaged_map, cat_kd, ofd, reviewkd, srrl
from tests.laws.numpy_layers import to_smaller
from tests.laws.numpy_logits import (
    MLKD_TEMPERATURES,
    curriculum,
    mlkd,
    mlkd_masks,
    standardised_mlkd,
)
from tests.laws.numpy_reference import Given, Reference, Side, _kl, _softmax


def ctkd(given: Given) -> dict[str, float]:
    """T^2 KL at the temperature that the trained scalar stands for."""
    return curriculum(given, float(given.parts["temperature"]))


def connected_map(given: Given) -> dict[str, float]:
    """Mean squared difference of the map behind the connector; `simkd` has the connector, too."""
    assert given.student.connected is not None
    x, target = to_smaller(given.student.connected, averaged_map(given.teacher))
    return {"map": given.parameters["weight"] * float(np.mean((x - target) ** 2))}


def _divergence(side: tuple[Side, Side], t: float) -> float:
    student, teacher = (_softmax(answer.logits / t) for answer in side)
    return t**2 * sum(_kl(p, q) for p, q in zip(teacher, student, strict=True)) / len(teacher)


def _apart(side: tuple[Side, Side], t: float, *, of_classes: bool) -> float:
    rows = [_softmax(answer.logits / t) for answer in side]
    student, teacher = (x.T if of_classes else x for x in rows)
    return float(((teacher @ teacher.T - student @ student.T) ** 2).sum()) / len(student)


def _mlkd_published(given: Given) -> dict[str, float]:
    """What the authors' code computes: masks as shares, the strong view as it is misread."""
    assert given.strong_view is not None
    weak, strong = (given.student, given.teacher), given.strong_view
    images, classes = (float(np.mean(mask)) for mask in mlkd_masks(given.teacher.logits))
    weight = given.parameters["weight"]
    instance = images * sum(_divergence(weak, t) for t in MLKD_TEMPERATURES)
    instance += sum(_divergence(strong, t) for t in (3, 4, 5))
    instance += sum(_divergence(weak, t) for t in (2, 6))
    batch = images * sum(_apart(weak, t, of_classes=False) for t in MLKD_TEMPERATURES)
    by_class = classes * sum(_apart(weak, t, of_classes=True) for t in MLKD_TEMPERATURES)
    return {"instance": weight * instance, "batch": weight * batch, "class": weight * by_class}


def both_views(given: Given) -> dict[str, float]:
    """MLKD in each form, with the cross-entropy of the second view."""
    assert given.strong_view is not None
    known = given.parameters
    if known["form"] == "published":
        terms = _mlkd_published(given)
    else:
        terms = standardised_mlkd(given) if known["standardise"] else mlkd(given)
    p = _softmax(given.strong_view[0].logits)
    ce = -float(np.mean([np.log(row[y]) for row, y in zip(p, given.labels, strict=True)]))
    return terms | {"strong_ce": known["ce_weight"] * ce}


MORE: dict[str, Reference] = {
    "ctkd": ctkd,
    "ofd": ofd,
    "reviewkd": reviewkd,
    "crd": crd,
    "srrl": srrl,
    "cat_kd": cat_kd,
    "simkd": connected_map,
    "mlkd": both_views,
}
