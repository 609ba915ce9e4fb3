"""Gains and their intervals agree with scipy, and what has no interval is said to have none."""

import math
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from kdgap.stats.gains import Difference, mean_and_std, paired, welch

Compare = Callable[..., Difference | None]

LEVELS = (0.8, 0.95, 0.999)
accuracies = st.integers(0, 10_000).map(lambda k: k / 10_000)
arms = st.lists(accuracies, min_size=2, max_size=12).filter(lambda arm: len(set(arm)) > 1)
pairs = st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=12)


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-12)


@settings(max_examples=40)
@example([0.1, 0.9], [0.5, 0.5001, 0.5002, 0.5, 0.5001], 0.95)
@given(arms, arms, st.sampled_from(LEVELS))
def test_welch_agrees_with_scipy(treated: list[float], control: list[float], level: float) -> None:
    found = welch(treated, control, level)
    expected = stats.ttest_ind(treated, control, equal_var=False)
    interval = expected.confidence_interval(level)
    assert found is not None
    assert (found.n, found.n_control) == (len(treated), len(control))
    assert close(found.p, expected.pvalue)
    assert close(found.df, expected.df)
    assert close(found.low, interval.low)
    assert close(found.high, interval.high)
    assert close(found.mean / found.se, expected.statistic)


@settings(max_examples=40)
@given(pairs, st.sampled_from(LEVELS))
def test_paired_agrees_with_scipy(values: list[tuple[float, float]], level: float) -> None:
    treated, control = [a for a, _ in values], [b for _, b in values]
    differences = [a - b for a, b in values]
    assume(max(differences) - min(differences) > 1e-6)  # scipy warns about lost digits there
    found = paired(treated, control, level)
    expected = stats.ttest_rel(treated, control)
    alone = stats.ttest_1samp(differences, 0).confidence_interval(level)
    assert found is not None
    assert found.n == found.n_control == len(values)
    assert found.df == len(values) - 1
    assert close(found.p, expected.pvalue)
    assert close(found.mean / found.se, expected.statistic)
    assert close(found.low, alone.low)
    assert close(found.high, alone.high)


def test_a_worked_example_of_welch_by_hand() -> None:
    found = welch([3.0, 5.0], [1.0, 1.0, 1.0, 5.0])
    assert found is not None
    # Means 4 and 2; variances 2 and 4; se^2 = 2/2 + 4/4; df = 2^2 / (1/1 + 1/3).
    assert (found.mean, found.se, found.df) == pytest.approx((2.0, math.sqrt(2), 3.0))


def test_welch_and_the_paired_test_differ_where_seeds_move_both_arms() -> None:
    treated, control = [0.91, 0.82, 0.73], [0.90, 0.80, 0.70]
    apart, together = welch(treated, control), paired(treated, control)
    assert apart is not None
    assert together is not None
    assert apart.mean == pytest.approx(together.mean)
    assert together.high - together.low < apart.high - apart.low
    assert together.p < 0.1 < apart.p


@pytest.mark.parametrize("compare", [welch, paired])
def test_exchanging_the_arms_mirrors_the_interval(compare: Compare) -> None:
    one, other = [0.8, 0.83, 0.85], [0.7, 0.75, 0.79]
    there, back = compare(one, other), compare(other, one)
    assert there is not None
    assert back is not None
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p == pytest.approx(there.p)


@pytest.mark.parametrize("compare", [welch, paired])
def test_an_interval_excludes_zero_exactly_where_p_is_below_its_level(compare: Compare) -> None:
    treated, control = [0.8, 0.83, 0.85], [0.7, 0.75, 0.79]
    base = compare(treated, control)
    assert base is not None
    for level in (1 - base.p - 1e-6, 1 - base.p + 1e-6):
        found = compare(treated, control, level)
        assert found is not None
        assert (found.low > 0) == (found.p < 1 - level)


@pytest.mark.parametrize("compare", [welch, paired])
def test_a_wider_confidence_makes_a_wider_interval(compare: Compare) -> None:
    widths = []
    for level in LEVELS:
        found = compare([0.8, 0.83, 0.85], [0.7, 0.75, 0.79], level)
        assert found is not None
        widths.append(found.high - found.low)
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@pytest.mark.parametrize(
    ("treated", "control"),
    [([0.5], [0.25, 0.75]), ([0.25, 0.75], [0.5]), ([0.5, 0.5], [0.25, 0.25, 0.25])],
    ids=["one value", "one value in the control", "no arm varies"],
)
def test_welch_has_no_interval_without_variation(
    treated: list[float], control: list[float]
) -> None:
    assert welch(treated, control) is None


@pytest.mark.parametrize(
    ("treated", "control"), [([0.5], [0.25]), ([0.5, 0.75], [0.25, 0.5]), ([0.5] * 3, [0.25] * 3)]
)
def test_paired_has_no_interval_without_variation_of_the_differences(
    treated: list[float], control: list[float]
) -> None:
    assert paired(treated, control) is None


def test_welch_needs_only_one_arm_to_vary() -> None:
    found = welch([0.5, 0.5, 0.5], [0.25, 0.375])
    assert found is not None
    assert found.df == pytest.approx(1)


@pytest.mark.parametrize("compare", [welch, paired])
@pytest.mark.parametrize(
    ("treated", "control"), [([], []), ([], [0.5, 0.6]), ([0.5, 0.6], [])], ids=str
)
def test_an_empty_arm_is_an_error(
    compare: Compare, treated: list[float], control: list[float]
) -> None:
    with pytest.raises(ValueError, match="no values"):
        compare(treated, control)


@pytest.mark.parametrize("compare", [welch, paired])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_value_that_is_not_finite_is_an_error(compare: Compare, bad: float, side: int) -> None:
    both = [[0.5, 0.6, 0.7], [0.5, 0.6, 0.7]]
    both[side][1] = bad
    with pytest.raises(ValueError, match="not finite"):
        compare(*both)


@pytest.mark.parametrize("compare", [welch, paired])
@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_outside_of_zero_and_one_is_an_error(compare: Compare, level: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        compare([0.5, 0.6], [0.4, 0.6], level)


def test_pairs_of_unequal_arms_are_an_error() -> None:
    with pytest.raises(ValueError, match="got 3 and 2"):
        paired([0.5, 0.6, 0.7], [0.5, 0.6])


def test_mean_and_std_are_those_of_a_sample() -> None:
    assert mean_and_std([2.0, 4.0, 9.0]) == (5.0, math.sqrt(13))
    assert mean_and_std([7.0]) == (7.0, None)
