"""Power of contrasts and of equivalence: against statsmodels, Owen's Q and our own estimators."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import nctdtr
from statsmodels.stats.power import TTestIndPower, TTestPower

from kdgap.stats.contrast import Estimate, paired, welch
from kdgap.stats.noncentral import exceeds
from kdgap.stats.power import (
    MOST_SEEDS,
    contrast_power,
    contrast_seeds_needed,
    equivalence_power,
    equivalence_seeds_needed,
    minimum_detectable_paired_effect,
    paired_contrast_power,
    paired_contrast_seeds_needed,
    paired_equivalence_power,
    paired_equivalence_seeds_needed,
    paired_power,
    seeds_needed,
    welch_power,
)

GAIN = [1.0, -1.0]
INTERACTION = [1.0, -1.0, -1.0, 1.0]
UNEQUAL = [1.0, 2.0, 0.5, 1.5]
seeds = st.integers(2, 40)
effects = st.floats(0.01, 2)
alphas = st.sampled_from([0.05, 0.01, 0.05 / 8])


def drawn(
    stds: list[float], n: int, first: float, runs: int, estimator: object = welch
) -> list[Estimate]:
    """Estimates of the interaction, with the first arm's true mean at `first`."""
    draw = np.random.default_rng(7)
    estimates = []
    for _ in range(runs):
        arms = draw.normal(0, np.array(stds)[:, None], (len(stds), n))
        arms[0] += first
        assert callable(estimator)
        estimates.append(estimator(arms.tolist(), INTERACTION))
    return estimates


# The distribution underneath


@settings(max_examples=60)
@given(st.floats(1, 60), st.floats(0, 4), st.floats(0.2, 8))
def test_the_tail_is_that_of_scipy_where_scipy_has_one(
    df: float, shift: float, critical: float
) -> None:
    expected = 1 - float(nctdtr(df, shift, critical))
    assert exceeds(df, shift, critical) == pytest.approx(expected, abs=2e-7)


def test_far_out_the_tail_is_the_share_of_noise_small_enough() -> None:
    # P(z + d > c u) tends to P(u < d / c) as both grow; with one df, u is half-normal.
    assert exceeds(1, 1e8, 1e8) == pytest.approx(math.erf(1 / math.sqrt(2)), abs=1e-8)
    assert exceeds(4, 3e6, 2e6) == pytest.approx(stats.chi2.cdf(4 * 1.5**2, 4), abs=1e-8)
    assert exceeds(4, -3e6, 2e6) == 0


def test_for_many_degrees_of_freedom_the_tail_is_normal() -> None:
    assert exceeds(1e7, 1.5, 2.0) == pytest.approx(stats.norm.sf(0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("df", "shift", "critical"), [(0, 1, 1), (5, math.nan, 1), (5, 1, 0), (5, 1, math.inf)]
)
def test_a_tail_of_nothing_is_an_error(df: float, shift: float, critical: float) -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        exceeds(df, shift, critical)


# Contrasts


@settings(max_examples=25)
@given(effects, seeds, alphas)
def test_two_arms_agree_with_statsmodels(effect: float, n: int, alpha: float) -> None:
    expected = TTestIndPower().power(effect, n, alpha)
    assert contrast_power(effect, GAIN, [1, 1], n, alpha) == pytest.approx(expected, abs=1e-6)
    assert welch_power(effect, 1, n, n, alpha) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=25)
@given(effects, seeds, alphas)
def test_pairs_agree_with_statsmodels(effect: float, n: int, alpha: float) -> None:
    expected = TTestPower().power(effect, n, alpha)
    assert paired_contrast_power(effect, 1, n, alpha) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("stds", [[1.0] * 4, UNEQUAL])
def test_power_is_how_often_our_own_contrast_finds_the_effect(stds: list[float]) -> None:
    share = np.mean([e.p() <= 0.05 for e in drawn(stds, 6, 3.0, 4000)])
    assert 0.4 < share < 0.95
    assert contrast_power(3.0, INTERACTION, stds, 6, 0.05) == pytest.approx(share, abs=0.025)


def test_degrees_of_freedom_are_satterthwaites() -> None:
    # One arm has nearly all of the noise: its own n - 1; four equal ones: 4 (n - 1).
    noisy = contrast_power(2.0, INTERACTION, [2.0, 1e-6, 1e-6, 1e-6], 5, 0.05)
    assert noisy == pytest.approx(paired_contrast_power(2.0, 2.0, 5, 0.05))
    critical = stats.t.ppf(0.975, 16)
    shift = 2.0 / math.sqrt(4 / 5)
    expected = exceeds(16, shift, critical) + exceeds(16, -shift, critical)
    assert contrast_power(2.0, INTERACTION, [1.0] * 4, 5, 0.05) == pytest.approx(expected)


def test_an_arm_of_weight_zero_or_without_noise_takes_no_part() -> None:
    base = contrast_power(1.0, GAIN, [1.0, 2.0], 5, 0.05)
    assert contrast_power(1.0, [*GAIN, 0.0], [1.0, 2.0, 9.0], 5, 0.05) == base
    assert contrast_power(1.0, [*GAIN, 1.0], [1.0, 2.0, 0.0], 5, 0.05) == base


@settings(max_examples=20)
@given(st.floats(0.3, 4), st.sampled_from([0.5, 0.8, 0.9]), alphas)
def test_the_seeds_needed_are_enough_and_one_less_is_not(
    effect: float, power: float, alpha: float
) -> None:
    n = contrast_seeds_needed(effect, INTERACTION, UNEQUAL, power, alpha)
    assert n is not None
    assert contrast_power(effect, INTERACTION, UNEQUAL, n, alpha) >= power
    assert n == 2 or contrast_power(effect, INTERACTION, UNEQUAL, n - 1, alpha) < power
    n = paired_contrast_seeds_needed(effect, 1.0, power, alpha)
    assert n is not None
    assert paired_contrast_power(effect, 1.0, n, alpha) >= power
    assert n == 2 or paired_contrast_power(effect, 1.0, n - 1, alpha) < power


def test_a_difference_of_gains_takes_twice_the_seeds_of_a_gain() -> None:
    single = seeds_needed(0.2, 1.0)
    both = contrast_seeds_needed(0.2, INTERACTION, [1.0] * 4)
    assert single is not None
    assert both == pytest.approx(2 * single, rel=0.01)


def test_no_number_of_seeds_finds_what_is_not_there() -> None:
    assert contrast_seeds_needed(0.0, GAIN, [1, 1]) is None
    assert contrast_seeds_needed(1e-5, GAIN, [1, 1]) is None
    assert equivalence_seeds_needed(1e-5, GAIN, [1, 1], 0.8, 0.05) is None
    assert MOST_SEEDS == 100_000


# Equivalence


def test_equivalence_is_owens_q_of_a_published_value() -> None:
    # Q(nu=2, t=2.92, delta=4.2135; 0, 2.0407) = 0.0731726 (reference page of PowerTOST's OwensQ);
    # with margins at -+4.2135 standard errors, both sides take it from P(chi_2 < 2.0407).
    expected = 1 - math.exp(-(2.0407**2) / 2) - 2 * 0.0731726
    power = paired_equivalence_power(4.2135, math.sqrt(3), 3, 0.05)
    assert power == pytest.approx(expected, abs=1e-4)  # t and delta are rounded there


@settings(max_examples=40)
@given(st.floats(2, 9), st.integers(8, 60), st.floats(-1, 1))
def test_equivalence_is_near_the_two_tails_where_these_hardly_overlap(
    margin: float, n: int, effect: float
) -> None:
    critical, noise = stats.t.ppf(0.95, n - 1), 1 / math.sqrt(n)
    tails = [exceeds(n - 1, (margin + s * effect) / noise, critical) for s in (-1, 1)]
    power = paired_equivalence_power(margin, 1.0, n, 0.05, effect)
    assert power == pytest.approx(sum(tails) - 1, abs=2e-3)
    assert power >= sum(tails) - 1 - 1e-9


@pytest.mark.parametrize("stds", [[1.0] * 4, UNEQUAL])
@pytest.mark.parametrize(("margin", "effect"), [(1.8, 0.0), (2.8, 0.0), (2.8, 1.0), (2.8, 2.8)])
def test_equivalence_is_how_often_our_own_contrast_is_within_the_margins(
    stds: list[float], margin: float, effect: float
) -> None:
    share = np.mean([e.p_equivalent(margin) <= 0.05 for e in drawn(stds, 6, effect, 4000)])
    expected = equivalence_power(margin, INTERACTION, stds, 6, 0.05, effect)
    assert expected == pytest.approx(share, abs=0.03)


def test_paired_equivalence_is_how_often_pairs_are_within_the_margins() -> None:
    estimates = drawn([0.5] * 4, 5, 0.2, 4000, paired)
    share = np.mean([e.p_equivalent(1.5) <= 0.05 for e in estimates])
    assert paired_equivalence_power(1.5, 1.0, 5, 0.05, 0.2) == pytest.approx(share, abs=0.025)


def test_equivalence_at_the_margin_is_the_level_and_depends_on_no_sign() -> None:
    assert equivalence_power(9.0, GAIN, [1, 1], 5, 0.05, 9.0) == pytest.approx(0.05, abs=1e-6)
    there, back = (equivalence_power(2.0, GAIN, [1, 2], 5, 0.05, s * 0.7) for s in (1, -1))
    assert there == pytest.approx(back)


def test_equivalence_grows_with_margin_and_seeds_and_falls_with_effect_and_noise() -> None:
    by_margin = [equivalence_power(m, GAIN, [1, 1], 5, 0.05) for m in (0.5, 1, 2, 4)]
    by_seeds = [equivalence_power(1.5, GAIN, [1, 1], n, 0.05) for n in (4, 5, 10, 20)]
    by_effect = [equivalence_power(2, GAIN, [1, 1], 5, 0.05, e) for e in (2.5, 1.0, 0.5, 0.0)]
    by_noise = [equivalence_power(2, GAIN, [s, 1], 5, 0.05) for s in (4, 2, 1, 0.5)]
    for powers in (by_margin, by_seeds, by_effect, by_noise):
        assert all(0 <= a < b <= 1 for a, b in pairwise(powers))


@settings(max_examples=20)
@given(st.floats(0.3, 4), st.sampled_from([0.5, 0.8, 0.9]), st.sampled_from([0.05, 0.01]))
def test_the_seeds_needed_for_equivalence_are_enough_and_one_less_is_not(
    margin: float, power: float, alpha: float
) -> None:
    n = equivalence_seeds_needed(margin, GAIN, [1, 2], power, alpha)
    assert n is not None
    assert equivalence_power(margin, GAIN, [1, 2], n, alpha) >= power
    assert n == 2 or equivalence_power(margin, GAIN, [1, 2], n - 1, alpha) < power
    n = paired_equivalence_seeds_needed(margin, 1.0, power, alpha)
    assert n is not None
    assert paired_equivalence_power(margin, 1.0, n, alpha) >= power
    assert n == 2 or paired_equivalence_power(margin, 1.0, n - 1, alpha) < power


# Few seeds at small levels


@pytest.mark.parametrize("alpha", [5e-6, 1e-6, 1e-8])
def test_two_pairs_have_a_power_at_any_level(alpha: float) -> None:
    critical = -stats.t.ppf(alpha / 2, 1)
    powers = [paired_power(part * critical, 1.0, 2, alpha) for part in (0.01, 0.1, 0.5, 1, 3)]
    assert all(0 < a < b <= 1 for a, b in pairwise(powers))
    # Far out only the noise matters: it must be below effect / critical, and is half-normal.
    assert powers[3] == pytest.approx(math.erf(1 / math.sqrt(2)), abs=1e-6)
    effect = minimum_detectable_paired_effect(1.0, 2, 0.8, alpha)
    assert effect == pytest.approx(stats.norm.ppf(0.9) * critical, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "stds", "n", "alpha"),
    [
        (GAIN, [0, 0], 5, 0.05),
        (GAIN, [1, -1], 5, 0.05),
        (GAIN, [1, math.nan], 5, 0.05),
        (GAIN, [1, 1], 1, 0.05),
        ([0.0, 0.0], [1, 1], 5, 0.05),
        ([], [], 5, 0.05),
        ([1.0], [1, 1], 5, 0.05),
        (GAIN, [1, 1], 5, 0.0),
        (GAIN, [1, 1], 5, 1.0),
    ],
    ids=str,
)
def test_power_of_nothing_is_an_error(
    weights: list[float], stds: list[float], n: int, alpha: float
) -> None:
    with pytest.raises(ValueError, match=r"power needs|weight|alpha"):
        contrast_power(1.0, weights, stds, n, alpha)
    with pytest.raises(ValueError, match=r"power needs|weight|alpha"):
        equivalence_power(1.0, weights, stds, n, alpha)


@pytest.mark.parametrize(("margin", "alpha"), [(0.0, 0.05), (-1.0, 0.05), (1.0, 0.5)])
def test_equivalence_without_a_margin_is_an_error(margin: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        equivalence_power(margin, GAIN, [1, 1], 5, alpha)
    with pytest.raises(ValueError, match="margin"):
        paired_equivalence_seeds_needed(margin, 1.0, 0.8, alpha)
