"""Several arms ranked: how often one beats another, and which may be the best of all."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from scipy.optimize import brentq
from scipy.special import stdtrit

from kdgap.stats.contrast import Estimate

Interval = tuple[float, float]


def improvement(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the probability that a value of the first arm is above one of the second.

    The share of all pairs, ties counted half: the Mann-Whitney statistic over the number of pairs,
    and the probability of improvement of Agarwal et al. (2021), section 4.3.

    Args:
        values: of one arm's seeds.
        others: of the other's.

    Raises:
        ValueError: an arm has no values.
    """
    if not values or not others:
        raise ValueError("an arm has no values")
    below = sorted(others)
    wins = sum(bisect_left(below, value) + bisect_right(below, value) for value in values)
    return wins / (2 * len(values) * len(others))


def improvement_interval(share: float, n: int, m: int, confidence: float) -> Interval:
    """Return an interval of `improvement` for independent arms (Newcombe 2006, part 2, method 5).

    It inverts a score test: the bounds are where the share is `t` standard errors away, with the
    variance `theta (1 - theta) (1 + k (1 - theta) / (2 - theta) + k theta / (1 + theta)) / (n m)`,
    `k = (n + m) / 2 - 1`. So it has a width also where every pair says the same. Student's quantile
    of `n + m - 2` degrees of freedom stands for the normal one, with which arms of two or three
    values are covered too rarely.

    Args:
        share: of the pairs, in [0, 1].
        n, m: values of each arm, more than two together.
        confidence: level, in (0, 1).
    """
    return _lower(share, n, m, confidence), 1 - _lower(1 - share, n, m, confidence)


def _lower(share: float, n: int, m: int, confidence: float) -> float:
    """Return the lower bound; the upper one is that of the second arm beating the first."""
    if share <= 0:
        return 0.0
    t, k = float(stdtrit(n + m - 2, (1 + confidence) / 2)), (n + m) / 2 - 1

    def away(theta: float) -> float:
        inner = 1 + k * (1 - theta) / (2 - theta) + k * theta / (1 + theta)
        variance = theta * inner / (n * m)
        if share >= 1:  # both sides hold 1 - theta, whose root is none of the interval's
            return 1 - theta - t**2 * variance
        return (share - theta) ** 2 - t**2 * (1 - theta) * variance

    return float(brentq(away, 0.0, share))


def beside_the_best(
    differences: Mapping[tuple[int, int], Estimate], arms: int, confidence: float
) -> list[Interval]:
    """Return for each arm an interval of its mean minus the best of the others' (Hsu 1984).

    The intervals hold for all arms at once. Each contains zero or ends there: an arm whose upper
    bound is zero is shown not to be the best, and one whose lower bound is zero is the best. The
    critical values are Bonferroni's over the `arms - 1` one-sided comparisons with one arm, each
    with its own standard error and degrees of freedom, so that variances may differ.

    Args:
        differences: of each ordered pair (i, j), mean i minus mean j.
        arms: how many there are, at least 2.
        confidence: level, above 0.5.

    Raises:
        ValueError: there is one arm, or a pair is missing.
    """
    if arms < 2 or len(differences) != arms * (arms - 1):
        raise ValueError(f"{arms} arms have {len(differences)} ordered pairs")
    each = 1 - 2 * (1 - confidence) / (arms - 1)
    bounds = {pair: estimate.interval(each) for pair, estimate in differences.items()}
    others = [[j for j in range(arms) if j != i] for i in range(arms)]
    highs = [max(0.0, min(bounds[i, j][1] for j in others[i])) for i in range(arms)]
    candidates = [i for i, high in enumerate(highs) if high > 0]
    lows = [
        0.0 if candidates == [i] else min(0.0, min(bounds[i, j][0] for j in candidates if j != i))
        for i in range(arms)
    ]
    return list(zip(lows, highs, strict=True))
