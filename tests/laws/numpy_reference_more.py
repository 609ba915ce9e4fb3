"""References of further methods, written from their specification by somebody who saw no code."""

from tests.laws.numpy_contrast import crd
from tests.laws.numpy_features import cat_kd, ofd, reviewkd, simkd, srrl
from tests.laws.numpy_logits import curriculum, mlkd
from tests.laws.numpy_reference import Given, Reference


def ctkd(given: Given) -> dict[str, float]:
    """T^2 KL at the temperature that the trained scalar stands for."""
    return curriculum(given, float(given.parts["temperature"]))


MORE: dict[str, Reference] = {
    "ctkd": ctkd,
    "ofd": ofd,
    "reviewkd": reviewkd,
    "crd": crd,
    "srrl": srrl,
    "cat_kd": cat_kd,
    "simkd": simkd,
    "mlkd": mlkd,
}
