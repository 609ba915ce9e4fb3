"""The tail of the noncentral t distribution, for as few seeds and as small levels as occur."""

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

FARTHEST = 9.0  # beyond this, a normal variable has no mass to speak of: 1e-19


def exceeds(df: float, shift: float, critical: float, most: float = FARTHEST) -> float:
    """Return how often a noncentral t variable is above a critical value.

    With z normal and u^2 an independent chi-square over its degrees of freedom (Johnson & Welch
    1940), it is `integral over z > -shift of phi(z) P(u < (z + shift) / critical) dz`, here by
    Gauss-Legendre quadrature, to about 1e-9. `scipy.special.nctdtr` agrees where it has a number,
    but is NaN far out, which is where few seeds and a small level lead: with one degree of freedom
    and a level of 5e-6 the critical value is above 100,000.

    With a limit on z, two one-sided tests at once have a probability too: `z + a > c u` and
    `z - b < -c u` are the first where z is below (b - a) / 2, and the second mirrored elsewhere.

    Args:
        df: degrees of freedom, above 0, whole or not.
        shift: noncentrality, of either sign.
        critical: above 0.
        most: count only where z is at most this.

    Raises:
        ValueError: an argument is outside of its range.
    """
    if not (0 < df < math.inf and 0 < critical < math.inf and math.isfinite(shift)):
        raise ValueError(
            "needs degrees of freedom and a critical value above 0 and a finite noncentrality, got"
            f" {df}, {critical} and {shift}"
        )
    low = max(-FARTHEST, -shift)
    high = max(low, min(FARTHEST, most))
    # u is 1 give or take 1 / sqrt(2 df): where the step of P(u < ...) is steep, look closer.
    step, width = critical - shift, 9 * critical / math.sqrt(2 * df)
    ends = np.unique(np.clip([low, step - width, step, step + width, high], low, high))
    nodes, weights = _quadrature()
    half = np.diff(ends)[:, None] / 2
    z = ends[:-1, None] + half * (1 + nodes)
    below = gammainc(df / 2, df / 2 * ((z + shift) / critical) ** 2)
    whole = (half * weights * np.exp(-(z**2) / 2) * below).sum() / math.sqrt(2 * math.pi)
    return min(1.0, float(whole))


@cache
def _quadrature() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(64)
