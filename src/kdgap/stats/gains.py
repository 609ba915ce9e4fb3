"""The gain of a method over its baseline, with the interval that its seeds allow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class Difference:
    """A difference of two means, in the unit of its inputs.

    Attributes:
        n, n_control: number of values in each arm.
        mean: mean of the first arm minus mean of the control.
        se: its standard error.
        df: degrees of freedom of the t distribution.
        low, high: the confidence interval.
        p: two-sided p-value of "no difference".
    """

    n: int
    n_control: int
    mean: float
    se: float
    df: float
    low: float
    high: float
    p: float


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1); None for fewer than two values."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def welch(
    treated: Sequence[float], control: Sequence[float], confidence: float = 0.95
) -> Difference | None:
    """Compare two independent arms without assuming equal variances (Welch 1947).

    `se^2 = s1^2/n1 + s2^2/n2`; degrees of freedom after Satterthwaite (1946):
    `se^4 / ((s1^2/n1)^2/(n1-1) + (s2^2/n2)^2/(n2-1))`.

    Args:
        treated: values of the method's runs.
        control: values of the baseline's runs.
        confidence: level of the interval, in (0, 1).

    Returns:
        None where an arm has fewer than two values, or neither arm varies: there is no interval.

    Raises:
        ValueError: a value is not finite, or an arm is empty.
    """
    _check(treated, confidence)
    _check(control, confidence)
    (mean, std), (mean_control, std_control) = mean_and_std(treated), mean_and_std(control)
    if std is None or std_control is None:
        return None
    n, m = len(treated), len(control)
    se = math.hypot(std / math.sqrt(n), std_control / math.sqrt(m))
    if _is_rounding(se, [*treated, *control]):
        return None
    share = (std / math.sqrt(n) / se) ** 2  # as shares of se^2, small variances cannot underflow
    df = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
    return _difference(n, m, mean - mean_control, se, df, confidence)


def paired(
    treated: Sequence[float], control: Sequence[float], confidence: float = 0.95
) -> Difference | None:
    """Compare arms whose values belong together one by one: runs of one seed share their start.

    A one-sample t interval on the differences (Student 1908), with n - 1 degrees of freedom.

    Args:
        treated: values of the method's runs.
        control: values of the baseline's runs of the same seeds, in the same order.
        confidence: level of the interval, in (0, 1).

    Returns:
        None where there are fewer than two pairs, or the differences do not vary.

    Raises:
        ValueError: a value is not finite, or the arms differ in length.
    """
    _check(treated, confidence)
    _check(control, confidence)
    if len(treated) != len(control):
        raise ValueError(f"pairs need arms of equal length, got {len(treated)} and {len(control)}")
    mean, std = mean_and_std([a - b for a, b in zip(treated, control, strict=True)])
    if std is None or _is_rounding(std, [*treated, *control]):
        return None
    n = len(treated)
    return _difference(n, n, mean, std / math.sqrt(n), n - 1, confidence)


def _is_rounding(spread: float, values: Sequence[float]) -> bool:
    """Whether a spread is no more than the rounding of sums of such values."""
    return spread <= 1e-12 * max(map(abs, values))


def _difference(
    n: int, n_control: int, mean: float, se: float, df: float, confidence: float
) -> Difference:
    half = se * float(stdtrit(df, (1 + confidence) / 2))
    p = 2 * float(stdtr(df, -abs(mean) / se))
    return Difference(n, n_control, mean, se, df, mean - half, mean + half, p)


def _check(values: Sequence[float], confidence: float) -> None:
    if not values:
        raise ValueError("an arm has no values")
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a value is not finite")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
