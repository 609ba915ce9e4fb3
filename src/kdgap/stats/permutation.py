"""Permutation tests: p-values that assume no distribution, only that labels could be exchanged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt

MOST_SPLITS = 20_000
MOST_FLIPPED = 14
RESAMPLES = 9_999
MOST_DRAWS = 1_000_000  # numbers drawn for one p-value: some 40 ms


@dataclass(frozen=True)
class Permutation:
    """The outcome of a permutation test.

    Attributes:
        p: two-sided p-value, above 0, at most 1.
        exact: whether every relabelling was counted, rather than a random sample of them.
    """

    p: float
    exact: bool


def two_sample(treated: Sequence[float], control: Sequence[float]) -> Permutation | None:
    """Test whether the labels of two arms could be exchanged, by the difference of their means.

    p is the share of relabellings whose difference of means is at least as large in size as the
    observed one (Pitman 1937), over all `binomial(n + m, n)` of them where these are at most
    20,000. Otherwise it is `(b + 1) / (r + 1)`, where b of r random relabellings are as extreme
    (Phipson & Smyth 2010): r = 9,999, fewer for hundreds of values, and always from the same random
    stream. The order of values within an arm, and which arm is which, do not matter. Differences
    that only rounding tells apart count as equal.

    The null hypothesis is that the arms do not differ at all, variance included: with arms of
    unequal size, equal means of unequal spread are not what it tests (Romano 1990). With three runs
    of four times the variance against five, p <= 0.05 in 8.5 % of cases without any gain.

    Args:
        treated, control: values of each arm, at least one each.

    Returns:
        None where an arm is empty.

    Raises:
        ValueError: a value is not finite.
    """
    pooled = np.asarray([*treated, *control], dtype=np.float64)
    _check(pooled)
    if not treated or not control:
        return None
    # The difference of means is linear in the sum of one arm, here the smaller one, about the mean.
    few, count = min(len(treated), len(control)), len(pooled)
    centred = pooled - pooled.mean()
    observed = abs(math.fsum(centred[:few] if len(treated) == few else centred[-few:]))
    centred.sort()
    tolerance = _rounding(pooled)
    # Of 2k values there are more than 2^k ways to choose k: no need to count those of a million.
    splits = math.comb(count, few) if few < MOST_SPLITS.bit_length() else MOST_SPLITS + 1
    if splits <= MOST_SPLITS:
        every = chain.from_iterable(combinations(range(count), few))
        chosen = np.fromiter(every, np.intp, splits * few).reshape(splits, few)
        sums = centred[chosen].sum(axis=1)
        return Permutation(float(np.mean(np.abs(sums) >= observed - tolerance)), exact=True)
    shuffled = np.tile(centred, (_resamples(count), 1))
    np.random.default_rng(0).permuted(shuffled, axis=1, out=shuffled)
    return _sampled(shuffled[:, :few].sum(axis=1), observed - tolerance)


def sign_flip(differences: Sequence[float]) -> Permutation | None:
    """Test whether paired differences are as likely to be of either sign, by their mean.

    p is the share of the `2^n` ways to set the signs whose mean is at least as large in size as
    the observed one (Fisher 1935, section 21), over all of them for at most 14 pairs. Otherwise it
    is `(b + 1) / (r + 1)` over r random ones, as in `two_sample`.

    Args:
        differences: one for each pair: treated minus control, or the contrast of each seed.

    Returns:
        None where there are no pairs.

    Raises:
        ValueError: a difference is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    _check(values)
    n = len(values)
    if n == 0:
        return None
    sizes = np.sort(np.abs(values))
    least = abs(math.fsum(values)) - _rounding(values)
    if n <= MOST_FLIPPED:
        flipped = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return Permutation(float(np.mean(np.abs((1.0 - 2.0 * flipped) @ sizes) >= least)), True)
    drawn = np.random.default_rng(0).integers(0, 2, (_resamples(n), n), dtype=np.int8)
    return _sampled((1.0 - 2.0 * drawn) @ sizes, least)


def _sampled(sums: npt.NDArray[np.float64], least: float) -> Permutation:
    extreme = int(np.count_nonzero(np.abs(sums) >= least))
    return Permutation((extreme + 1) / (len(sums) + 1), exact=False)


def _resamples(values: int) -> int:
    return max(1, min(RESAMPLES, MOST_DRAWS // values))


def _rounding(values: npt.NDArray[np.float64]) -> float:
    """Bound the rounding of sums of such values, far below any step between real accuracies."""
    return 1e-12 * float(np.abs(values).sum())


def _check(values: npt.NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
