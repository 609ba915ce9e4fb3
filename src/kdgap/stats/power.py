"""What n seeds can show, known before anything is trained.

Everything here is a special case of two things: how often a t statistic is beyond a critical value
when there is an effect (`_found`, `_equivalent`), and the fewest seeds or the smallest effect for
which that is often enough (`_fewest`, `_smallest_effect`).
"""

import math
from collections.abc import Callable, Sequence

from scipy.special import stdtrit

from kdgap.stats.noncentral import exceeds

MOST_SEEDS = 100_000


def contrast_power(
    effect: float, weights: Sequence[float], stds: Sequence[float], n: int, alpha: float
) -> float:
    """Return the probability that a two-sided test finds a true contrast of independent arms.

    With n seeds in every arm, the statistic follows nearly a noncentral t distribution with
    noncentrality `effect / se`, `se^2 = sum_i w_i^2 std_i^2 / n`, and the degrees of freedom of
    Satterthwaite (1946), `(n - 1) se^4 / sum_i (w_i^2 std_i^2 / n)^2`. For two arms of one standard
    deviation it is exact, but for Welch's test estimating its 2 n - 2 degrees of freedom (Cohen
    1988, chapter 2).

    Args:
        effect: true value of the contrast.
        weights: one for each arm, as for `stats.contrast.welch`.
        stds: standard deviation over seeds of each arm, at least 0, not all 0.
        n: seeds in every arm, at least 2.
        alpha: level of the test, in (0, 1).

    Raises:
        ValueError: an argument is outside of its range, or weights and arms differ in number.
    """
    return _t_power(effect, *_noise(weights, stds, n), alpha)


def paired_contrast_power(effect: float, std_of_differences: float, n: int, alpha: float) -> float:
    """Return the probability that a two-sided paired test finds a true contrast.

    The statistic follows a noncentral t distribution with noncentrality
    `effect / (std_of_differences / sqrt(n))` and n - 1 degrees of freedom (Cohen 1988, chapter 2,
    case 4: paired observations).

    Args:
        effect: true value of the contrast.
        std_of_differences: standard deviation over seeds of each seed's weighted sum, above 0.
        n: seeds that all arms have, at least 2.
        alpha: level of the test, in (0, 1).

    Raises:
        ValueError: an argument is outside of its range.
    """
    return contrast_power(effect, [1.0], [std_of_differences], n, alpha)


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

    Raises:
        ValueError: an argument is outside of its range.
    """
    if std <= 0 or n < 2 or n_control < 2:
        raise ValueError("power needs a standard deviation above 0 and two seeds in each arm")
    return _t_power(effect, std * math.sqrt(1 / n + 1 / n_control), n + n_control - 2, alpha)


def paired_power(
    effect: float, std: float, pairs: int, alpha: float = 0.05, correlation: float = 0.0
) -> float:
    """Return the probability that a two-sided paired t test finds a true difference.

    `paired_contrast_power` for differences within pairs that have the standard deviation
    `std * sqrt(2 * (1 - correlation))`.

    Args:
        effect: true mean of the differences.
        std: standard deviation over seeds within each arm, above 0.
        pairs: seeds that both arms have, at least 2.
        alpha: level of the test.
        correlation: between the arms over seeds, in (-1, 1); 0 if nothing is known of it.

    Raises:
        ValueError: an argument is outside of its range.
    """
    if std <= 0 or pairs < 2 or not -1 < correlation < 1:
        raise ValueError(
            "power needs a standard deviation above 0, two pairs, and a correlation in (-1, 1)"
        )
    std_of_differences = std * math.sqrt(2 * (1 - correlation))
    return paired_contrast_power(effect, std_of_differences, pairs, alpha)


def equivalence_power(
    margin: float,
    weights: Sequence[float],
    stds: Sequence[float],
    n: int,
    alpha: float,
    effect: float = 0.0,
) -> float:
    """Return the probability that two one-sided tests show a contrast to be within the margins.

    The two statistics share their noise and follow a bivariate noncentral t distribution (Phillips
    1990, after Owen 1965), with the standard error and degrees of freedom of `contrast_power`. This
    is its probability, not the usual approximation by two separate tails: that one is nearly a
    point too low at 80 % for five paired seeds, and down to 0 where the truth is below 20 %.

    Args:
        margin: smallest effect of interest, above 0.
        weights, stds, n: as for `contrast_power`.
        alpha: level of each one-sided test, in (0, 0.5).
        effect: true value of the contrast.

    Raises:
        ValueError: an argument is outside of its range, or weights and arms differ in number.
    """
    return _equivalent(margin, effect, *_noise(weights, stds, n), alpha)


def paired_equivalence_power(
    margin: float, std_of_differences: float, n: int, alpha: float, effect: float = 0.0
) -> float:
    """Return the probability that paired one-sided tests show a contrast to be within the margins.

    Arguments are those of `equivalence_power` and `paired_contrast_power`.
    """
    return equivalence_power(margin, [1.0], [std_of_differences], n, alpha, effect)


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


def minimum_detectable_contrast(
    weights: Sequence[float], stds: Sequence[float], n: int, power: float, alpha: float
) -> float:
    """Return the smallest true contrast that n seeds in every arm find with the given power.

    Arguments are those of `contrast_power`, with a power in (alpha, 1).
    """
    noise = _noise(weights, stds, n)
    return _smallest_effect(lambda effect: _t_power(effect, *noise, alpha), noise[0], power)


def smallest_margin(
    weights: Sequence[float], stds: Sequence[float], n: int, power: float, alpha: float
) -> float:
    """Return the smallest margin that a contrast of truly 0 is shown to be within.

    Arguments are those of `equivalence_power`, with n seeds in every arm and a power in (0, 1).
    """
    noise = _noise(weights, stds, n)
    return _smallest_effect(lambda margin: _equivalent(margin, 0.0, *noise, alpha), noise[0], power)


def _smallest_effect(power_of: Callable[[float], float], std: float, power: float) -> float:
    from scipy.optimize import brentq  # here: few need it, and it takes a while to load

    high = std
    while power_of(high) < power:
        high *= 2
        if high > 1e9 * std:
            raise ValueError(f"no effect is found with power {power}")
    low = 0.0 if high == std else high / 2
    if power_of(low) >= power:
        return low
    return float(brentq(lambda effect: power_of(effect) - power, low, high, xtol=1e-12 * std))


def contrast_seeds_needed(
    effect: float,
    weights: Sequence[float],
    stds: Sequence[float],
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """Return how many seeds in every arm find a contrast of `effect` with the given power.

    Arguments are those of `contrast_power`.

    Returns:
        At least 2; None if it takes more than `MOST_SEEDS`, as for an effect of 0.
    """
    if effect == 0:
        return None
    return _fewest(lambda n: contrast_power(effect, weights, stds, n, alpha), power)


def paired_contrast_seeds_needed(
    effect: float, std_of_differences: float, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Return how many seeds a paired test needs to find a contrast of `effect`.

    Arguments are those of `paired_contrast_power`; the result is as of `contrast_seeds_needed`.
    """
    return contrast_seeds_needed(effect, [1.0], [std_of_differences], power, alpha)


def seeds_needed(effect: float, std: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return how many seeds in each of two arms find a difference of `effect`.

    Arguments are those of `welch_power`; the result is as of `contrast_seeds_needed`.
    """
    return contrast_seeds_needed(effect, [1.0, -1.0], [std, std], power, alpha)


def pairs_needed(
    effect: float, std: float, power: float = 0.8, alpha: float = 0.05, correlation: float = 0.0
) -> int | None:
    """Return how many pairs a paired test needs to find a difference of `effect`.

    Arguments are those of `paired_power`; the result is as of `contrast_seeds_needed`.
    """
    if effect == 0:
        return None
    return _fewest(lambda pairs: paired_power(effect, std, pairs, alpha, correlation), power)


def equivalence_seeds_needed(
    margin: float, weights: Sequence[float], stds: Sequence[float], power: float, alpha: float
) -> int | None:
    """Return how many seeds in every arm show a contrast of truly 0 to be within the margins.

    Arguments are those of `equivalence_power`; the result is as of `contrast_seeds_needed`.
    """
    return _fewest(lambda n: equivalence_power(margin, weights, stds, n, alpha), power)


def paired_equivalence_seeds_needed(
    margin: float, std_of_differences: float, power: float, alpha: float
) -> int | None:
    """Return how many seeds paired tests need to show a contrast of truly 0 to be within margins.

    Arguments are those of `equivalence_power`; the result is as of `contrast_seeds_needed`.
    """
    return equivalence_seeds_needed(margin, [1.0], [std_of_differences], power, alpha)


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


def _noise(weights: Sequence[float], stds: Sequence[float], n: int) -> tuple[float, float]:
    """Return standard error and degrees of freedom of a contrast with n seeds in every arm."""
    if len(weights) != len(stds):
        raise ValueError(f"every arm needs a weight, got {len(stds)} arms, {len(weights)} weights")
    errors = [abs(weight) * std for weight, std in zip(weights, stds, strict=True)]
    noise = math.hypot(*errors)
    if min(stds, default=0) < 0 or not 0 < noise < math.inf or n < 2:
        raise ValueError(
            "power needs a standard deviation above 0, none below, and two seeds in each arm, got"
            f" standard deviations {list(stds)}, weights {list(weights)} and {n} seeds"
        )
    return noise / math.sqrt(n), (n - 1) / math.fsum((error / noise) ** 4 for error in errors)


def _t_power(effect: float, noise: float, df: float, alpha: float) -> float:
    """Return how often |t| is above the two-sided critical value."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    critical, shift = -float(stdtrit(df, alpha / 2)), abs(effect) / noise
    return min(1.0, exceeds(df, shift, critical) + exceeds(df, -shift, critical))


def _equivalent(margin: float, effect: float, noise: float, df: float, alpha: float) -> float:
    """Return how often both one-sided tests reject."""
    if not (0 < margin < math.inf and 0 < alpha < 0.5):
        raise ValueError(
            f"needs a margin above 0 and an alpha between 0 and 0.5, got {margin} and {alpha}"
        )
    critical, middle = -float(stdtrit(df, alpha)), -effect / noise
    low_side = exceeds(df, (margin + effect) / noise, critical, most=middle)
    high_side = exceeds(df, (margin - effect) / noise, critical, most=-middle)
    return min(1.0, low_side + high_side)


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
