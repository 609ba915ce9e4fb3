"""References of methods to come, by name: `REFERENCES | MORE` once their files are there."""

from tests.laws.numpy_contrast import crd
from tests.laws.numpy_features import cat_kd, ofd, reviewkd, simkd, srrl
from tests.laws.numpy_logits import asymmetric, mlkd, standardised
from tests.laws.numpy_reference import Reference, logit

MORE: dict[str, Reference] = {
    "ofd": ofd,
    "reviewkd": reviewkd,
    "crd": crd,
    "srrl": srrl,
    "cat_kd": cat_kd,
    "simkd": simkd,
    "mlkd": mlkd,
}

MODIFIED: dict[str, Reference] = {
    "logit+standardise": standardised(logit),
    "logit+ats": asymmetric,
}
"""`logit` with a switch; `standardised` takes any other loss of logits. The curriculum temperature
needs its scalar besides: `curriculum` and `curriculum_gradient` in `numpy_logits.py`."""
