"""Arms ranked: probability of improvement, and intervals of each beside the best of the others."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from kdgap.stats.contrast import Estimate, welch
from kdgap.stats.ranking import beside_the_best, improvement, improvement_interval


def test_improvement_is_the_mann_whitney_share() -> None:
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (3, 5), (10, 4)):
        a, b = rng.integers(0, 6, n).tolist(), rng.integers(0, 6, m).tolist()
        expected = mannwhitneyu(a, b).statistic / (n * m)
        assert improvement(a, b) == pytest.approx(expected)
        assert improvement(b, a) == pytest.approx(1 - expected)
    with pytest.raises(ValueError, match="no values"):
        improvement([], [1.0])


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 7), (5, 5), (30, 30)])
def test_an_interval_of_improvement_holds_its_share_and_has_a_width(n: int, m: int) -> None:
    for wins in range(n * m + 1):
        share = wins / (n * m)
        low, high = improvement_interval(share, n, m, 0.95)
        assert 0 <= low <= share <= high <= 1
        assert high - low > 0.05
        mirrored = improvement_interval(1 - share, n, m, 0.95)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)
        wider = improvement_interval(share, n, m, 0.99)
        assert wider[0] <= low
        assert high <= wider[1]


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("theta", [0.5, 0.76, 0.92])
def test_an_interval_of_improvement_covers(n: int, theta: float) -> None:
    """Of normal arms; at least the level minus one point, within what so many draws show."""
    rng, draws = np.random.default_rng([n, int(100 * theta)]), 4000
    shift = math.sqrt(2) * norm.ppf(theta)
    a, b = rng.normal(shift, 1, (draws, n, 1)), rng.normal(0, 1, (draws, 1, n))
    shares = (a > b).mean(axis=(1, 2))
    bounds = {share: improvement_interval(float(share), n, n, 0.95) for share in set(shares)}
    covered = np.mean([bounds[share][0] <= theta <= bounds[share][1] for share in shares])
    assert covered >= 0.94 - 3 * math.sqrt(0.05 * 0.95 / draws)


def both_ways(arms: list[list[float]]) -> dict[tuple[int, int], Estimate]:
    differences = {}
    for i, j in itertools.permutations(range(len(arms)), 2):
        estimate = welch([arms[i], arms[j]], [1.0, -1.0])
        assert estimate is not None
        differences[i, j] = estimate
    return differences


def test_of_two_arms_it_is_the_one_sided_bound_cut_at_zero() -> None:
    arms = [[1.0, 2.0, 3.0], [5.0, 6.0, 7.5]]
    differences = both_ways(arms)
    low, high = differences[1, 0].interval(0.9)
    assert beside_the_best(differences, 2, 0.95) == [
        pytest.approx((-high, max(0.0, -low))),
        pytest.approx((0.0, high)),
    ]


def test_an_arm_far_ahead_is_the_best_and_the_others_are_not() -> None:
    rng = np.random.default_rng(1)
    arms = [rng.normal(mean, 1, 6).tolist() for mean in (0, 0.5, 20)]
    first, second, third = beside_the_best(both_ways(arms), 3, 0.95)
    assert first[1] == second[1] == 0.0
    assert third[0] == 0.0
    assert max(first[0], second[0]) < 0 < third[1]
    with pytest.raises(ValueError, match="ordered pairs"):
        beside_the_best({}, 2, 0.95)


@pytest.mark.parametrize("means", [(0, 0, 0, 0), (0, 0.5, 1, 1.5), (0, 0, 0, 2)])
def test_the_intervals_hold_for_all_arms_at_once(means: tuple[float, ...]) -> None:
    """Of arms with unlike variances: the true differences to the best others are all inside."""
    rng, draws, held = np.random.default_rng(len(set(means))), 800, 0
    true = [mean - max(means[:i] + means[i + 1 :]) for i, mean in enumerate(means)]
    for _ in range(draws):
        arms = [rng.normal(mean, 1 + i, 6).tolist() for i, mean in enumerate(means)]
        bounds = beside_the_best(both_ways(arms), len(arms), 0.95)
        held += all(low <= gap <= high for (low, high), gap in zip(bounds, true, strict=True))
    assert held / draws >= 0.94 - 3 * math.sqrt(0.05 * 0.95 / draws)
