"""Contrasts of arms: gains, differences of gains, and what their seeds allow to say of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class Estimate:
    """An estimate whose error, in units of its standard error, follows a t distribution.

    Attributes:
        value: the estimate, in the unit of the arms.
        se: its standard error, above 0, same unit.
        df: degrees of freedom of the t distribution, above 0, whole or not.

    Raises:
        ValueError: an attribute is not finite, or `se` or `df` is not above 0.
    """

    value: float
    se: float
    df: float

    def __post_init__(self) -> None:
        if (
            not all(map(math.isfinite, (self.value, self.se, self.df)))
            or min(self.se, self.df) <= 0
        ):
            raise ValueError(
                f"an estimate needs finite numbers, se and df above 0, got {self.value}"
                f" with se {self.se} and df {self.df}"
            )

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the two-sided interval `value -+ t(df, (1 + confidence) / 2) * se` (Student 1908).

        Args:
            confidence: level, in (0, 1).

        Raises:
            ValueError: the level is outside of (0, 1).
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
        half = -self.se * float(stdtrit(self.df, (1 - confidence) / 2))
        return self.value - half, self.value + half

    def p(self) -> float:
        """Return the two-sided p of "the true value is zero": `2 P(T <= -|value| / se)`."""
        return 2 * float(stdtr(self.df, -abs(self.value) / self.se))

    def p_above(self, bound: float) -> float:
        """Return the one-sided p of "the true value is at most `bound`": small if it is above."""
        return float(stdtr(self.df, -(self.value - bound) / self.se))

    def p_below(self, bound: float) -> float:
        """Return the one-sided p of "the true value is at least `bound`": small if it is below."""
        return float(stdtr(self.df, (self.value - bound) / self.se))

    def p_equivalent(self, margin: float) -> float:
        """Return the p of "the true value is not within (-margin, margin)", by two one-sided tests.

        The larger of `p_above(-margin)` and `p_below(margin)` (Schuirmann 1987). It is
        at most alpha exactly where the interval of confidence 1 - 2 alpha lies within the margins.

        Args:
            margin: smallest effect of interest, above 0, in the unit of the value.

        Raises:
            ValueError: the margin is not above 0.
        """
        if not 0 < margin < math.inf:
            raise ValueError(f"the margin of equivalence must be above 0, got {margin}")
        return max(self.p_above(-margin), self.p_below(margin))


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1); None for fewer than two values.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("an arm has no values")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def varying_std(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation, and 0 where values differ by rounding alone."""
    std = mean_and_std(values)[1]
    return 0.0 if std is not None and _is_rounding(std, [(values, 1.0)]) else std


def point(arms: Sequence[Sequence[float]], weights: Sequence[float]) -> float:
    """Return the contrast `sum_i w_i mean_i` alone, which one value in each arm is enough for.

    Args:
        arms: values of each arm's runs, any number of arms, not necessarily of one length.
        weights: one for each arm; (1, -1) is a gain, (1, -1, -1, 1) a difference of two gains. An
            arm that two gains share enters once, with its weights summed, and where that makes 0
            it takes no part.

    Raises:
        ValueError: an arm is empty, a number is not finite, arms and weights differ in number, or
            no weight differs from 0.
    """
    return math.fsum(w * mean_and_std(arm)[0] for arm, w in _taking_part(arms, weights))


def welch(arms: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate | None:
    """Estimate a contrast of independent arms without assuming equal variances.

    `se^2 = sum_i w_i^2 s_i^2 / n_i` (Welch 1947), with the degrees of freedom of Satterthwaite
    (1946): `se^4 / sum_i (w_i^2 s_i^2 / n_i)^2 / (n_i - 1)`. With weights (1, -1) it
    is Welch's test of two arms, with one arm and weight 1 Student's interval of a mean.

    The degrees of freedom are estimated too. Where an arm of three runs carries most of the error
    and the others have five, a 95 % interval covers 93 to 94 % only (tests/stats/test_coverage.py).

    Args:
        arms, weights: as for `point`. An arm of weight 0 is ignored, however few its values.

    Returns:
        None where an arm has fewer than two values, or none varies beyond rounding.

    Raises:
        ValueError: as `point`.
    """
    parts = _taking_part(arms, weights)
    errors, dfs = [], []
    for arm, weight in parts:
        std = mean_and_std(arm)[1]
        if std is None:
            return None
        errors.append(abs(weight) * std / math.sqrt(len(arm)))
        dfs.append(len(arm) - 1)
    if _is_rounding(math.hypot(*errors), parts):
        return None
    return _summed(point(arms, weights), errors, dfs)


def paired(arms: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate | None:
    """Estimate a contrast of arms whose j-th values share a seed: its start and its batches.

    A one-sample t on the weighted sum of each seed (Student 1908), with n - 1 degrees of freedom.
    Whatever a seed adds to every arm cancels if the weights sum to 0.

    Args:
        arms, weights: as for `point`, but every arm has the same seeds in the same order.

    Returns:
        None where there are fewer than two seeds, or the sums do not vary beyond rounding.

    Raises:
        ValueError: as `point`, or the arms differ in length.
    """
    parts = _taking_part(arms, weights)
    lengths = sorted({len(arm) for arm in arms})
    if len(lengths) > 1:
        raise ValueError(f"pairs need arms of equal length, got {' and '.join(map(str, lengths))}")
    sums = [
        math.fsum(w * value for (_, w), value in zip(parts, values, strict=True))
        for values in zip(*(arm for arm, _ in parts), strict=True)
    ]
    mean, std = mean_and_std(sums)
    if std is None or _is_rounding(std, parts):
        return None
    return Estimate(mean, std / math.sqrt(len(sums)), len(sums) - 1)


def plus(a: Estimate, b: Estimate, sign: Literal[1, -1] = 1) -> Estimate:
    """Return the sum (sign 1) or the difference (sign -1) of two independent estimates.

    `se^2 = a.se^2 + b.se^2`, with `se^4 / (a.se^4 / a.df + b.se^4 / b.df)` degrees of freedom
    (Satterthwaite 1946).
    """
    return _summed(a.value + sign * b.value, [a.se, b.se], [a.df, b.df])


def _summed(value: float, errors: Sequence[float], dfs: Sequence[float]) -> Estimate:
    """Join independent standard errors; as shares of the whole, small ones cannot underflow."""
    se = math.hypot(*errors)
    df = 1 / math.fsum((e / se) ** 4 / df for e, df in zip(errors, dfs, strict=True))
    return Estimate(value, se, df)


def _taking_part(
    arms: Sequence[Sequence[float]], weights: Sequence[float]
) -> list[tuple[Sequence[float], float]]:
    """Check arms and weights, and return those whose weight is not 0."""
    if len(arms) != len(weights):
        raise ValueError(
            f"every arm needs one weight, got {len(arms)} arms, {len(weights)} weights"
        )
    if not all(arms):
        raise ValueError("an arm has no values")
    if not all(math.isfinite(value) for arm in arms for value in arm):
        raise ValueError("a value is not finite")
    if not all(map(math.isfinite, weights)) or not any(weights):
        raise ValueError(f"weights must be finite and not all 0, got {list(weights)}")
    return [(arm, weight) for arm, weight in zip(arms, weights, strict=True) if weight]


def _is_rounding(spread: float, parts: Sequence[tuple[Sequence[float], float]]) -> bool:
    """Whether a spread is no more than the rounding of sums of such values."""
    return spread <= 1e-12 * max(abs(weight * value) for arm, weight in parts for value in arm)
