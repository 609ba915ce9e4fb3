"""What n seeds can show: against the noncentral t distribution, simulation and enumeration."""

import math
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from kdgap.stats.power import (
    MOST_SEEDS,
    minimum_detectable_effect,
    minimum_detectable_paired_effect,
    paired_power,
    pairs_needed,
    seeds_needed,
    smallest_permutation_p,
    smallest_sign_flip_p,
    welch_power,
)

seeds = st.integers(2, 40)
effects = st.floats(0.01, 3)
alphas = st.sampled_from([0.05, 0.01, 0.05 / 8])


@settings(max_examples=40)
@given(effects, st.floats(0.5, 5), seeds, seeds, alphas)
def test_power_is_that_of_the_noncentral_t(
    effect: float, std: float, n: int, n_control: int, alpha: float
) -> None:
    df, shift = n + n_control - 2, effect / (std * math.sqrt(1 / n + 1 / n_control))
    critical = stats.t.ppf(1 - alpha / 2, df)
    upper = stats.nct.sf(critical, df, shift)
    assume(upper < 0.9)  # above, scipy has no number for the lower tail, which is nothing there
    expected = upper + stats.nct.cdf(-critical, df, shift)
    assert welch_power(effect, std, n, n_control, alpha) == pytest.approx(expected, abs=1e-7)


def test_power_is_how_often_a_welch_test_finds_the_effect() -> None:
    draw = np.random.default_rng(0)
    treated, control = draw.normal(1.2, 1.0, (20_000, 8)), draw.normal(0.0, 1.0, (20_000, 12))
    p = stats.ttest_ind(treated, control, axis=1, equal_var=False).pvalue
    assert welch_power(1.2, 1.0, 8, 12) == pytest.approx((p < 0.05).mean(), abs=0.02)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_without_an_effect_power_is_the_level(alpha: float) -> None:
    assert welch_power(0.0, 1.0, 5, 5, alpha) == pytest.approx(alpha, abs=1e-9)


def test_power_grows_with_the_effect_and_the_seeds_and_falls_with_the_noise() -> None:
    by_effect = [welch_power(e, 1.0, 5, 5) for e in (0.1, 0.5, 1.0, 2.0)]
    by_seeds = [welch_power(0.8, 1.0, n, 5) for n in (2, 3, 5, 10, 50)]
    by_noise = [welch_power(0.8, s, 5, 5) for s in (2.0, 1.0, 0.5, 0.25)]
    by_level = [welch_power(0.8, 1.0, 5, 5, a) for a in (0.001, 0.01, 0.05)]
    for powers in (by_effect, by_seeds, by_noise, by_level):
        assert all(a < b for a, b in pairwise(powers))


def test_power_depends_neither_on_the_sign_nor_on_the_unit_nor_on_the_order_of_arms() -> None:
    power = welch_power(0.7, 1.0, 4, 9)
    assert welch_power(-0.7, 1.0, 4, 9) == power
    assert welch_power(0.007, 0.01, 4, 9) == pytest.approx(power)
    assert welch_power(0.7, 1.0, 9, 4) == pytest.approx(power)


def test_a_huge_effect_is_found_for_certain() -> None:
    assert welch_power(1000.0, 1.0, 5, 5) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("std", "n", "n_control"), [(0.0, 5, 5), (-1.0, 5, 5), (1.0, 1, 5), (1.0, 5, 1), (1.0, 0, 0)]
)
def test_power_without_noise_or_without_two_seeds_is_an_error(
    std: float, n: int, n_control: int
) -> None:
    with pytest.raises(ValueError, match="two seeds"):
        welch_power(1.0, std, n, n_control)


@settings(max_examples=25)
@given(st.floats(0.05, 5), seeds, seeds, st.sampled_from([0.5, 0.8, 0.9]), alphas)
def test_the_smallest_effect_is_found_with_just_the_power_asked_for(
    std: float, n: int, n_control: int, power: float, alpha: float
) -> None:
    smallest = minimum_detectable_effect(std, n, n_control, power, alpha)
    assert welch_power(smallest, std, n, n_control, alpha) == pytest.approx(power, abs=1e-6)


def test_the_smallest_effect_has_the_unit_of_the_noise() -> None:
    unit = minimum_detectable_effect(1.0, 5, 5)
    assert minimum_detectable_effect(0.15, 5, 5) == pytest.approx(0.15 * unit)
    assert 1.9 < unit < 2.1  # Cohen's tables: five in each arm detect about two standard deviations


@settings(max_examples=25)
@given(st.floats(0.05, 4), st.sampled_from([0.5, 0.8, 0.9]), alphas)
def test_the_seeds_needed_are_enough_and_one_less_is_not(
    effect: float, power: float, alpha: float
) -> None:
    n = seeds_needed(effect, 1.0, power, alpha)
    assert n is not None
    assert n >= 2
    assert welch_power(effect, 1.0, n, n, alpha) >= power
    assert n == 2 or welch_power(effect, 1.0, n - 1, n - 1, alpha) < power


@pytest.mark.parametrize(("effect", "n"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_seeds_needed_are_those_of_cohens_table(effect: float, n: int) -> None:
    assert seeds_needed(effect, 1.0) == n  # Cohen 1992, table 2: 393, 64, 26 (rounded there)
    assert seeds_needed(-effect, 1.0) == n


def test_no_number_of_seeds_finds_what_is_not_there() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1.0, MOST_SEEDS * 1.0) is None


# Paired

correlations = st.floats(-0.9, 0.9)


@settings(max_examples=40)
@given(effects, st.floats(0.5, 5), seeds, correlations, alphas)
def test_paired_power_is_that_of_the_noncentral_t(
    effect: float, std: float, pairs: int, correlation: float, alpha: float
) -> None:
    variance = 2 * std**2 - 2 * correlation * std**2  # of a difference of two that correlate
    shift = effect / math.sqrt(variance / pairs)
    critical = stats.t.ppf(1 - alpha / 2, pairs - 1)
    upper = stats.nct.sf(critical, pairs - 1, shift)
    assume(upper < 0.9)  # above, scipy has no number for the lower tail, which is nothing there
    expected = upper + stats.nct.cdf(-critical, pairs - 1, shift)
    power = paired_power(effect, std, pairs, alpha, correlation)
    assert power == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_paired_power_is_how_often_a_paired_test_finds_the_effect(correlation: float) -> None:
    draw = np.random.default_rng(0)
    covariance = [[1.0, correlation], [correlation, 1.0]]
    arms = draw.multivariate_normal([1.2, 0.0], covariance, (20_000, 6))
    p = stats.ttest_rel(arms[..., 0], arms[..., 1], axis=1).pvalue
    expected = pytest.approx((p < 0.05).mean(), abs=0.01)
    assert paired_power(1.2, 1.0, 6, correlation=correlation) == expected


def test_uncorrelated_pairs_cost_degrees_of_freedom_and_correlated_ones_pay_them_back() -> None:
    welch = minimum_detectable_effect(1.0, 5, 5)
    assert welch == pytest.approx(2.024, abs=0.001)  # 8 degrees of freedom
    assert minimum_detectable_paired_effect(1.0, 5) == pytest.approx(2.379, abs=0.001)  # 4
    by_correlation = [
        minimum_detectable_paired_effect(1.0, 5, correlation=r) for r in (-0.5, 0.0, 0.5, 0.9)
    ]
    assert all(a > b for a, b in pairwise(by_correlation))
    assert by_correlation[2] < welch


@settings(max_examples=25)
@given(st.floats(0.05, 5), seeds, st.sampled_from([0.5, 0.8, 0.9]), alphas, correlations)
def test_the_smallest_paired_effect_is_found_with_just_the_power_asked_for(
    std: float, pairs: int, power: float, alpha: float, correlation: float
) -> None:
    smallest = minimum_detectable_paired_effect(std, pairs, power, alpha, correlation)
    reached = paired_power(smallest, std, pairs, alpha, correlation)
    assert reached == pytest.approx(power, abs=1e-6)


@settings(max_examples=25)
@given(st.floats(0.05, 4), st.sampled_from([0.5, 0.8, 0.9]), alphas, correlations)
def test_the_pairs_needed_are_enough_and_one_less_is_not(
    effect: float, power: float, alpha: float, correlation: float
) -> None:
    n = pairs_needed(effect, 1.0, power, alpha, correlation)
    assert n is not None
    assert n >= 2
    assert paired_power(effect, 1.0, n, alpha, correlation) >= power
    assert n == 2 or paired_power(effect, 1.0, n - 1, alpha, correlation) < power


def test_no_number_of_pairs_finds_what_is_not_there() -> None:
    assert pairs_needed(0.0, 1.0) is None
    assert pairs_needed(1.0, MOST_SEEDS * 1.0) is None


@pytest.mark.parametrize(
    ("std", "pairs", "correlation"), [(0.0, 5, 0.0), (1.0, 1, 0.0), (1.0, 5, 1.0), (1.0, 5, -1.0)]
)
def test_paired_power_without_noise_or_without_two_pairs_is_an_error(
    std: float, pairs: int, correlation: float
) -> None:
    with pytest.raises(ValueError, match="two pairs"):
        paired_power(1.0, std, pairs, 0.05, correlation)


def p_of(values: list[float], n: int) -> float:
    """The exact two-sided p of the first n values against the rest, over all relabellings."""

    def gap(chosen: tuple[int, ...]) -> float:
        arm = [values[i] for i in chosen]
        rest = [v for i, v in enumerate(values) if i not in chosen]
        return abs(sum(arm) / len(arm) - sum(rest) / len(rest))

    observed = gap(tuple(range(n)))
    gaps = [gap(chosen) for chosen in combinations(range(len(values)), n)]
    return sum(g >= observed - 1e-9 for g in gaps) / len(gaps)


@pytest.mark.parametrize(("n", "n_control"), list(product(range(1, 6), repeat=2)))
def test_the_smallest_permutation_p_is_reached_by_separate_arms_and_never_undercut(
    n: int, n_control: int
) -> None:
    smallest = smallest_permutation_p(n, n_control)
    separate = [1000.0 + 3.0**i for i in range(n)] + [2.0**i for i in range(n_control)]
    assert p_of(separate, n) == pytest.approx(smallest)
    draw = np.random.default_rng(n * 10 + n_control)
    for _ in range(5):
        values = [float(v) for v in draw.integers(0, 50, n + n_control)]
        assert p_of(values, n) >= smallest - 1e-12


@pytest.mark.parametrize("pairs", range(1, 9))
def test_the_smallest_sign_flip_p_is_reached_where_all_signs_agree(pairs: int) -> None:
    differences = [2.0**i for i in range(pairs)]
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=pairs)
    ]
    reached = sum(s >= sum(differences) for s in sums) / len(sums)
    assert smallest_sign_flip_p(pairs) == pytest.approx(reached)


def test_the_smallest_permutation_p_is_a_probability_for_many_seeds_too() -> None:
    assert 0 <= smallest_permutation_p(5000, 5000) < 1e-300
