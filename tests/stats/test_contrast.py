"""Contrasts agree with scipy and statsmodels, obey their laws, and say if they have no interval."""

import math
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from kdgap.stats.contrast import Estimate, mean_and_std, paired, plus, point, welch

Estimator = Callable[[Sequence[Sequence[float]], Sequence[float]], Estimate | None]

LEVELS = (0.8, 0.95, 0.999)
GAIN = [1.0, -1.0]
accuracies = st.integers(0, 10_000).map(lambda k: k / 10_000)
arms = st.lists(accuracies, min_size=2, max_size=12).filter(lambda arm: len(set(arm)) > 1)
pairs = st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12)
weights = st.sampled_from([-2.0, -1.0, -0.5, 0.25, 1.0, 3.0])
contrasts = st.lists(st.tuples(arms, weights), min_size=1, max_size=5)
estimates = st.builds(Estimate, st.floats(-5, 5), st.floats(0.1, 3), st.floats(1, 40))


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-12)


def surely(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def of(contrast: list[tuple[list[float], float]]) -> Estimate:
    return surely(welch([arm for arm, _ in contrast], [weight for _, weight in contrast]))


def same(first: Estimate, second: Estimate) -> bool:
    return all(
        math.isclose(getattr(first, field), getattr(second, field), rel_tol=1e-9, abs_tol=1e-9)
        for field in ("value", "se", "df")
    )


# Against other implementations


@settings(max_examples=40)
@example([0.1, 0.9], [0.5, 0.5001, 0.5002, 0.5, 0.5001], 0.95)
@given(arms, arms, st.sampled_from(LEVELS))
def test_a_gain_by_welch_agrees_with_scipy(
    treated: list[float], control: list[float], level: float
) -> None:
    estimate = surely(welch([treated, control], GAIN))
    expected = stats.ttest_ind(treated, control, equal_var=False)
    interval = expected.confidence_interval(level)
    low, high = estimate.interval(level)
    assert close(estimate.p(), expected.pvalue)
    assert close(estimate.df, expected.df)
    assert close(low, interval.low)
    assert close(high, interval.high)
    assert close(estimate.value / estimate.se, expected.statistic)
    assert close(estimate.value, point([treated, control], GAIN))


@settings(max_examples=40)
@given(pairs, st.sampled_from(LEVELS))
def test_a_paired_gain_agrees_with_scipy(values: list[tuple[float, float]], level: float) -> None:
    treated, control = [a for a, _ in values], [b for _, b in values]
    differences = [a - b for a, b in values]
    assume(max(differences) - min(differences) > 1e-6)  # scipy warns about lost digits there
    estimate = surely(paired([treated, control], GAIN))
    expected = stats.ttest_rel(treated, control)
    alone = stats.ttest_1samp(differences, 0).confidence_interval(level)
    low, high = estimate.interval(level)
    assert estimate.df == len(values) - 1
    assert close(estimate.p(), expected.pvalue)
    assert close(estimate.value / estimate.se, expected.statistic)
    assert close(low, alone.low)
    assert close(high, alone.high)


@settings(max_examples=30)
@given(arms, arms, st.floats(0.01, 0.5))
def test_equivalence_agrees_with_statsmodels(
    treated: list[float], control: list[float], margin: float
) -> None:
    estimate = surely(welch([treated, control], GAIN))
    expected, low, high = ttost_ind(
        np.array(treated), np.array(control), -margin, margin, usevar="unequal"
    )
    assert close(estimate.p_equivalent(margin), expected)
    assert close(estimate.p_above(-margin), low[1])
    assert close(estimate.p_below(margin), high[1])


@settings(max_examples=30)
@given(pairs, st.floats(0.01, 0.5))
def test_paired_equivalence_agrees_with_statsmodels(
    values: list[tuple[float, float]], margin: float
) -> None:
    treated, control = np.array([a for a, _ in values]), np.array([b for _, b in values])
    assume(np.ptp(treated - control) > 1e-6)
    estimate = surely(paired([treated.tolist(), control.tolist()], GAIN))
    assert close(estimate.p_equivalent(margin), ttost_paired(treated, control, -margin, margin)[0])


@settings(max_examples=30)
@given(contrasts)
def test_the_error_of_a_contrast_is_that_of_a_robust_regression_on_its_arms(
    contrast: list[tuple[list[float], float]],
) -> None:
    """On arm indicators, the HC2 covariance of MacKinnon and White is `s_i^2 / n_i` exactly."""
    values = np.concatenate([arm for arm, _ in contrast])
    indicators = np.repeat(np.eye(len(contrast)), [len(arm) for arm, _ in contrast], axis=0)
    fit = sm.OLS(values, indicators).fit(cov_type="HC2")
    expected = fit.t_test([weight for _, weight in contrast])
    estimate = of(contrast)
    assert estimate.value == pytest.approx(expected.effect[0], abs=1e-12)
    assert estimate.se == pytest.approx(expected.sd[0, 0], rel=1e-7)


def test_a_worked_example_of_welch_by_hand() -> None:
    estimate = surely(welch([[3.0, 5.0], [1.0, 1.0, 1.0, 5.0]], GAIN))
    # Means 4 and 2; variances 2 and 4; se^2 = 2/2 + 4/4; df = 2^2 / (1/1 + 1/3).
    assert (estimate.value, estimate.se, estimate.df) == pytest.approx((2.0, math.sqrt(2), 3.0))


def test_a_worked_example_of_a_difference_of_gains_by_hand() -> None:
    four = [[3.0, 5.0], [1.0, 1.0, 1.0, 5.0], [0.0, 4.0], [6.0, 6.0]]
    estimate = surely(welch(four, [1, -1, -2, 0.5]))
    # Means 4, 2, 2, 6; s^2/n = 1, 1, 4, 0, weighted by squares 1, 1, 16, 0.
    # df = 18^2 / (1/1 + 1/3 + 16^2/1 + 0).
    expected = (4 - 2 - 4 + 3, math.sqrt(18), 18**2 / (1 + 1 / 3 + 256))
    assert (estimate.value, estimate.se, estimate.df) == pytest.approx(expected)


def test_welch_and_the_paired_test_differ_where_seeds_move_both_arms() -> None:
    both = [[0.91, 0.82, 0.73], [0.90, 0.80, 0.70]]
    apart, together = surely(welch(both, GAIN)), surely(paired(both, GAIN))
    assert apart.value == pytest.approx(together.value)
    assert together.se < apart.se
    assert together.p() < 0.1 < apart.p()


# Laws


@settings(max_examples=40)
@given(contrasts, st.integers(-50, 50))
def test_a_shift_of_all_arms_moves_the_value_by_the_sum_of_weights_and_nothing_else(
    contrast: list[tuple[list[float], float]], shift: int
) -> None:
    base = of(contrast)
    moved = of([([v + shift for v in arm], w) for arm, w in contrast])
    assert moved.value == pytest.approx(base.value + shift * sum(w for _, w in contrast), abs=1e-9)
    assert (moved.se, moved.df) == pytest.approx((base.se, base.df), rel=1e-6)


@settings(max_examples=40)
@given(contrasts, st.sampled_from([-100.0, -1.0, 0.01, 100.0]))
def test_the_unit_scales_the_value_and_its_error_alike(
    contrast: list[tuple[list[float], float]], scale: float
) -> None:
    base = of(contrast)
    expected = Estimate(scale * base.value, abs(scale) * base.se, base.df)
    assert same(of([([scale * v for v in arm], w) for arm, w in contrast]), expected)
    assert same(of([(arm, scale * w) for arm, w in contrast]), expected)
    assert expected.p() == pytest.approx(base.p())


@settings(max_examples=40)
@given(contrasts, st.randoms(use_true_random=False))
def test_the_order_of_arms_and_of_their_values_does_not_matter(
    contrast: list[tuple[list[float], float]], random: Random
) -> None:
    shuffled = [(random.sample(arm, len(arm)), w) for arm, w in contrast]
    random.shuffle(shuffled)
    assert same(of(shuffled), of(contrast))


@settings(max_examples=40)
@given(contrasts, st.lists(accuracies, min_size=1, max_size=4))
def test_an_arm_whose_weights_sum_to_zero_takes_no_part(
    contrast: list[tuple[list[float], float]], extra: list[float]
) -> None:
    assert of([*contrast, (extra, 0.0)]) == of(contrast)


@settings(max_examples=40)
@given(contrasts, contrasts)
def test_the_sum_of_two_estimates_is_the_contrast_of_all_their_arms(
    first: list[tuple[list[float], float]], second: list[tuple[list[float], float]]
) -> None:
    assert same(plus(of(first), of(second)), of([*first, *second]))
    assert same(plus(of(first), of(second), -1), of([*first, *[(arm, -w) for arm, w in second]]))


@settings(max_examples=40)
@given(st.lists(st.tuples(accuracies, accuracies, accuracies), min_size=2, max_size=8))
def test_what_a_seed_adds_to_every_arm_cancels_in_pairs(
    rows: list[tuple[float, float, float]],
) -> None:
    first, second = [a for a, _, _ in rows], [b for _, b, _ in rows]
    base = paired([first, second], GAIN)
    assume(base is not None and base.se > 1e-6)
    moved = [
        [v + 10 * s for v, (_, _, s) in zip(arm, rows, strict=True)] for arm in (first, second)
    ]
    assert same(surely(paired(moved, GAIN)), surely(base))


def test_a_paired_contrast_of_four_arms_is_the_paired_gain_of_two_gains() -> None:
    four = [[0.91, 0.82, 0.73], [0.90, 0.80, 0.70], [0.5, 0.6, 0.8], [0.4, 0.6, 0.9]]
    gains = [[a - b for a, b in zip(*four[i : i + 2], strict=True)] for i in (0, 2)]
    assert same(surely(paired(four, [1, -1, -1, 1])), surely(paired(gains, GAIN)))


@settings(max_examples=60)
@given(estimates, st.sampled_from([0.1, 0.05, 0.01]), st.floats(0.1, 5))
def test_intervals_and_p_values_say_the_same(
    estimate: Estimate, alpha: float, margin: float
) -> None:
    low, high = estimate.interval(1 - alpha)
    assert low < estimate.value < high
    assert (low > 0 or high < 0) == (estimate.p() < alpha)
    low, high = estimate.interval(1 - 2 * alpha)
    assert (-margin < low and high < margin) == (estimate.p_equivalent(margin) < alpha)
    assert (low > margin) == (estimate.p_above(margin) < alpha)
    assert (high < margin) == (estimate.p_below(margin) < alpha)


@settings(max_examples=40)
@given(estimates, st.floats(-3, 3))
def test_one_sided_p_values_add_up_and_the_smaller_one_doubles(
    estimate: Estimate, bound: float
) -> None:
    assert estimate.p_above(bound) + estimate.p_below(bound) == pytest.approx(1)
    smaller = min(estimate.p_above(0), estimate.p_below(0))
    assert estimate.p() == pytest.approx(2 * smaller)


@given(estimates)
def test_a_wider_margin_and_a_higher_confidence_are_easier_to_hold(estimate: Estimate) -> None:
    ps = [estimate.p_equivalent(margin) for margin in (0.1, 1, 10, 100)]
    widths = [high - low for low, high in map(estimate.interval, LEVELS)]
    assert ps == sorted(ps, reverse=True)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_far_tails_keep_their_digits() -> None:
    far = Estimate(40.0, 1.0, 8.0)
    assert far.p() == pytest.approx(2 * stats.t.sf(40.0, 8.0), rel=1e-9)
    low, _ = Estimate(0.0, 1.0, 8.0).interval(1 - 1e-9)
    assert low == pytest.approx(stats.t.ppf(0.5e-9, 8.0), rel=1e-6)


# Where there is nothing to say


@pytest.mark.parametrize(
    ("treated", "control"),
    [
        ([0.5], [0.25, 0.75]),
        ([0.25, 0.75], [0.5]),
        ([0.5, 0.5], [0.25, 0.25, 0.25]),
        ([0.3, 0.1 + 0.2], [0.3, 0.3]),
        ([1 - 0.9999, 0.0001], [0.0002, 0.0002]),  # apart by the rounding of 0.9999
    ],
    ids=["one value", "one value in the control", "no arm varies", "only rounding", "of errors"],
)
def test_welch_has_no_interval_without_variation(
    treated: list[float], control: list[float]
) -> None:
    assert welch([treated, control], GAIN) is None


@pytest.mark.parametrize(
    ("treated", "control"), [([0.5], [0.25]), ([0.5, 0.75], [0.25, 0.5]), ([0.5] * 3, [0.25] * 3)]
)
def test_paired_has_no_interval_without_variation_of_the_differences(
    treated: list[float], control: list[float]
) -> None:
    assert paired([treated, control], GAIN) is None


def test_welch_needs_only_one_arm_to_vary() -> None:
    assert surely(welch([[0.5, 0.5, 0.5], [0.25, 0.375]], GAIN)).df == pytest.approx(1)


def test_a_point_needs_one_value_in_each_arm() -> None:
    assert point([[0.5], [0.25], [0.125, 0.375]], [1, -1, 2]) == pytest.approx(0.75)


@pytest.mark.parametrize("estimator", [welch, paired, point])
@pytest.mark.parametrize(
    ("arms", "weights", "message"),
    [
        ([[], []], GAIN, "no values"),
        ([[], [0.5, 0.6]], GAIN, "no values"),
        ([[0.5, 0.6], []], GAIN, "no values"),
        ([[0.5, math.nan], [0.5, 0.6]], GAIN, "not finite"),
        ([[0.5, 0.7], [0.5, -math.inf]], GAIN, "not finite"),
        ([[0.5, 0.6]], GAIN, "got 1 arms, 2 weights"),
        ([[0.5, 0.6], [0.5, 0.7]], [0.0, 0.0], "not all 0"),
        ([[0.5, 0.6], [0.5, 0.7]], [1.0, math.nan], "finite"),
        ([], [], "not all 0"),
    ],
    ids=str,
)
def test_bad_arms_and_weights_are_errors(
    estimator: Estimator, arms: list[list[float]], weights: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimator(arms, weights)


def test_pairs_of_unequal_arms_are_an_error() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired([[0.5, 0.6, 0.7], [0.5, 0.6]], GAIN)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_outside_of_zero_and_one_is_an_error(level: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Estimate(0.5, 0.1, 4).interval(level)


@pytest.mark.parametrize("margin", [0.0, -0.2, math.nan, math.inf])
def test_a_margin_that_is_not_above_zero_is_an_error(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        Estimate(0.5, 0.1, 4).p_equivalent(margin)


@pytest.mark.parametrize("numbers", [(0.5, 0.0, 4), (0.5, 0.1, 0), (math.nan, 0.1, 4)], ids=str)
def test_an_estimate_without_an_error_is_an_error(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Estimate(*numbers)


def test_mean_and_std_are_those_of_a_sample() -> None:
    assert mean_and_std([2.0, 4.0, 9.0]) == (5.0, math.sqrt(13))
    assert mean_and_std([7.0]) == (7.0, None)
    with pytest.raises(ValueError, match="no values"):
        mean_and_std([])
