"""What n seeds can show, known before anything is trained."""

import math
from collections.abc import Callable

from scipy.special import nctdtr, stdtrit

MOST_SEEDS = 100_000


def welch_power(effect: float, std: float, n: int, n_control: int, alpha: float = 0.05) -> float:
    """Return the probability that a two-sided t test finds a true difference.

    With equal standard deviations in both arms, the statistic follows a noncentral t distribution
    with noncentrality `effect / (std * sqrt(1/n + 1/n_control))` and `n + n_control - 2` degrees
    of freedom (Cohen 1988, chapter 2). Welch's test has nearly these degrees of freedom then.

    Args:
        effect: true difference of the means.
        std: standard deviation over seeds within each arm, above 0.
        n, n_control: seeds in each arm, at least 2.
        alpha: level of the test.
    """
    if std <= 0 or n < 2 or n_control < 2:
        raise ValueError("power needs a standard deviation above 0 and two seeds in each arm")
    noise = std * math.sqrt(1 / n + 1 / n_control)
    return _t_power(abs(effect) / noise, n + n_control - 2, alpha)


def paired_power(
    effect: float, std: float, pairs: int, alpha: float = 0.05, correlation: float = 0.0
) -> float:
    """Return the probability that a two-sided paired t test finds a true difference.

    Differences within pairs have the standard deviation `std * sqrt(2 * (1 - correlation))`. The
    statistic follows a noncentral t distribution with noncentrality `effect / (that / sqrt(pairs))`
    and `pairs - 1` degrees of freedom (Cohen 1988, chapter 2, case 4: paired observations).

    Args:
        effect: true mean of the differences.
        std: standard deviation over seeds within each arm, above 0.
        pairs: seeds that both arms have, at least 2.
        alpha: level of the test.
        correlation: between the arms over seeds, in (-1, 1); 0 if nothing is known of it.
    """
    if std <= 0 or pairs < 2 or not -1 < correlation < 1:
        raise ValueError(
            "power needs a standard deviation above 0, two pairs, and a correlation in (-1, 1)"
        )
    noise = std * math.sqrt(2 * (1 - correlation) / pairs)
    return _t_power(abs(effect) / noise, pairs - 1, alpha)


def _t_power(shift: float, df: int, alpha: float) -> float:
    """Return how often |t| of a noncentral t distribution is above the two-sided critical value."""
    critical = float(stdtrit(df, 1 - alpha / 2))
    upper = 1 - float(nctdtr(df, shift, critical))
    lower = float(nctdtr(df, shift, -critical))
    # Far in the lower tail, where there is nothing left to add, scipy gives NaN.
    return upper + (lower if math.isfinite(lower) else 0.0)


def minimum_detectable_effect(
    std: float, n: int, n_control: int, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the smallest true difference that is found with the given power, in units of `std`.

    Args:
        std: standard deviation over seeds within each arm, above 0.
        n, n_control: seeds in each arm, at least 2.
        power: in (alpha, 1).
        alpha: level of the test; divide it by the number of comparisons for the worst case of Holm.
    """
    return _smallest_effect(
        lambda effect: welch_power(effect, std, n, n_control, alpha), std, power
    )


def minimum_detectable_paired_effect(
    std: float, pairs: int, power: float = 0.8, alpha: float = 0.05, correlation: float = 0.0
) -> float:
    """Return the smallest true mean difference that a paired test finds with the given power.

    Arguments are those of `minimum_detectable_effect` and `paired_power`.
    """
    return _smallest_effect(
        lambda effect: paired_power(effect, std, pairs, alpha, correlation), std, power
    )


def _smallest_effect(power_of: Callable[[float], float], std: float, power: float) -> float:
    low, high = 0.0, std
    while power_of(high) < power:
        high *= 2
        if high > 1e9 * std:
            raise ValueError(f"no effect is found with power {power}")
    for _ in range(60):
        middle = (low + high) / 2
        if power_of(middle) < power:
            low = middle
        else:
            high = middle
    return high


def seeds_needed(effect: float, std: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return how many seeds in each arm find `effect` with the given power.

    Returns:
        At least 2; None if it takes more than `MOST_SEEDS`.
    """
    return _fewest(lambda n: welch_power(effect, std, n, n, alpha), power) if effect else None


def pairs_needed(
    effect: float, std: float, power: float = 0.8, alpha: float = 0.05, correlation: float = 0.0
) -> int | None:
    """Return how many pairs a paired test needs to find `effect` with the given power.

    Returns:
        At least 2; None if it takes more than `MOST_SEEDS`.
    """
    if effect == 0:
        return None
    return _fewest(lambda pairs: paired_power(effect, std, pairs, alpha, correlation), power)


def _fewest(power_of: Callable[[int], float], power: float) -> int | None:
    low, high = 1, 2
    while power_of(high) < power:
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(middle) < power:
            low = middle
        else:
            high = middle
    return high


def smallest_permutation_p(n: int, n_control: int) -> float:
    """Return the smallest two-sided p that an exact permutation test of two arms can reach.

    Of `binomial(n + n_control, n)` relabellings, the observed one is the most extreme, and with
    arms of equal size its mirror image is as extreme (Fisher 1935).
    """
    mirrored = 2 if n == n_control else 1
    return mirrored / math.comb(n + n_control, n)


def smallest_sign_flip_p(pairs: int) -> float:
    """Return the smallest two-sided p of an exact paired test: `2 / 2^pairs`."""
    return float(min(1.0, 2.0 ** (1 - pairs)))
