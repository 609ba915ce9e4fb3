"""References of further methods, written from their specification by somebody who saw no code."""

import numpy as np

from tests.laws.numpy_contrast import crd
from tests.laws.numpy_features import cat_kd, ofd, reviewkd, srrl
from tests.laws.numpy_layers import last, to_smaller
from tests.laws.numpy_logits import curriculum, mlkd
from tests.laws.numpy_reference import Given, Reference


def ctkd(given: Given) -> dict[str, float]:
    """T^2 KL at the temperature that the trained scalar stands for."""
    return curriculum(given, float(given.parts["temperature"]))


def connected_map(given: Given) -> dict[str, float]:
    """Mean squared difference of the map behind the connector; `simkd` has the connector, too."""
    assert given.student.connected is not None
    x, target = to_smaller(given.student.connected, last(given.teacher.features))
    return {"map": given.parameters["weight"] * float(np.mean((x - target) ** 2))}


MORE: dict[str, Reference] = {
    "ctkd": ctkd,
    "ofd": ofd,
    "reviewkd": reviewkd,
    "crd": crd,
    "srrl": srrl,
    "cat_kd": cat_kd,
    "simkd": connected_map,
    "mlkd": mlkd,
}
