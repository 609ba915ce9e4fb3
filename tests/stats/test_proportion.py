"""Intervals of shares agree with statsmodels, those of means with scipy."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from kdgap.stats.proportion import mean_interval, wilson

LEVELS = st.sampled_from([0.8, 0.95, 0.999])


@given(st.integers(1, 10_000), st.floats(0, 1), LEVELS)
def test_wilson_agrees_with_statsmodels(n: int, part: float, level: float) -> None:
    correct = round(part * n)
    expected = proportion_confint(correct, n, alpha=1 - level, method="wilson")
    assert wilson(correct / n, n, level) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 10_000), st.floats(0.01, 0.99), LEVELS)
def test_the_ends_of_wilson_are_where_a_score_test_just_rejects(
    n: int, share: float, level: float
) -> None:
    z = stats.norm.ppf((1 + level) / 2)
    for end in wilson(share, n, level):
        assert abs(share - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(z, rel=1e-6)


@given(st.integers(1, 10_000), st.floats(0, 1), LEVELS)
def test_wilson_stays_a_share_around_what_was_seen_and_mirrors(
    n: int, share: float, level: float
) -> None:
    low, high = wilson(share, n, level)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert (1 - high, 1 - low) == pytest.approx(wilson(1 - share, n, level), abs=1e-12)


def test_more_images_and_less_confidence_make_a_narrower_interval() -> None:
    widths = [high - low for low, high in (wilson(0.9, n, 0.95) for n in (100, 1000, 10_000))]
    assert widths[0] > widths[1] > widths[2]
    low, high = wilson(0.9, 1000, 0.8)
    assert high - low < widths[1]


def test_an_accuracy_of_one_is_not_certain() -> None:
    low, high = wilson(1.0, 100, 0.95)
    assert high == 1.0
    assert low == pytest.approx(100 / (100 + stats.norm.ppf(0.975) ** 2))


@pytest.mark.parametrize(
    ("share", "n", "level"),
    [(1.1, 10, 0.95), (-0.1, 10, 0.95), (math.nan, 10, 0.95), (0.5, 0, 0.95), (0.5, 10, 1.0)],
)
def test_what_is_no_share_is_an_error(share: float, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="share"):
        wilson(share, n, level)


@given(st.lists(st.floats(0, 5), min_size=2, max_size=10), LEVELS)
def test_the_interval_of_a_mean_agrees_with_scipy(values: list[float], level: float) -> None:
    assume(max(values) - min(values) > 1e-6)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert mean_interval(values, level) == pytest.approx((expected.low, expected.high))


def test_a_mean_of_one_value_or_of_equal_ones_has_no_interval() -> None:
    assert mean_interval([0.5], 0.95) is None
    assert mean_interval([0.1 + 0.2, 0.3], 0.95) is None


@pytest.mark.parametrize("values", [[], [0.5, math.nan]])
def test_a_mean_of_nothing_or_of_what_is_not_finite_is_an_error(values: list[float]) -> None:
    with pytest.raises(ValueError, match="value"):
        mean_interval(values, 0.95)
