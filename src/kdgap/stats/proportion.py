"""Intervals of shares and of means: accuracy over images, fidelity over seeds."""

import math
from collections.abc import Sequence

from scipy.special import ndtri

from kdgap.stats.contrast import welch


def wilson(successes_share: float, n: int, confidence: float) -> tuple[float, float]:
    """Return the score interval of a share of independent trials (Wilson 1927).

    With z the normal quantile of (1 + confidence) / 2 and q the share observed,
    `(q + z^2/2n -+ z sqrt(q (1 - q)/n + z^2/4n^2)) / (1 + z^2/n)` (Brown, Cai & DasGupta 2001,
    equation 4). Its level holds on average over true shares; where fewer than about five failures
    (or successes) are expected, it can be several points lower for some of them.

    It is about images, with this one network: how far the accuracy would move on other test
    images. It says nothing of other seeds, which is what `mean_interval` is for.

    Args:
        successes_share: accuracy or agreement, in [0, 1].
        n: images (of the class, for accuracy by class), at least 1.
        confidence: level, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ValueError: an argument is outside of its range.
    """
    if not (0 <= successes_share <= 1 and n >= 1 and 0 < confidence < 1):
        raise ValueError(
            "needs a share in [0, 1], at least one trial and a confidence between 0 and 1, got"
            f" {successes_share}, {n} and {confidence}"
        )
    z2 = float(ndtri((1 - confidence) / 2)) ** 2 / n  # z^2 / n
    spread = successes_share * (1 - successes_share) / n
    centre = (successes_share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2) * math.sqrt(spread * n + z2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Return the t interval of a mean over seeds (Student 1908): agreement, KL, ECE.

    Args:
        values: one for each seed, any unit.
        confidence: level, in (0, 1).

    Returns:
        None for fewer than two values, or where they do not vary beyond rounding.

    Raises:
        ValueError: there are no values, one is not finite, or the level is outside of (0, 1).
    """
    estimate = welch([values], [1.0])
    return None if estimate is None else estimate.interval(confidence)
