"""The verdict follows from two p-values and a sign, and says when it is not allowed to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap.stats.contrast import Estimate
from kdgap.stats.verdict import Verdict, decide


@pytest.mark.parametrize(
    ("value", "p_adjusted", "p_equivalent", "expected"),
    [
        (0.4, 0.01, 0.9, ("gain", False)),
        (-0.4, 0.01, 0.9, ("harm", False)),
        (0.1, 0.01, 0.02, ("gain", True)),
        (-0.1, 0.01, 0.02, ("harm", True)),
        (0.1, 0.30, 0.02, ("equivalent", False)),
        (0.1, 0.30, 0.30, ("inconclusive", False)),
        (0.0, 1.00, 0.02, ("equivalent", False)),
        (0.4, 0.05, 0.05, ("gain", True)),
        (0.4, None, None, ("inconclusive", False)),
        (0.4, None, 0.02, ("equivalent", False)),
        (0.4, 0.01, None, ("gain", False)),
    ],
)
def test_the_cases(
    value: float,
    p_adjusted: float | None,
    p_equivalent: float | None,
    expected: tuple[Verdict, bool],
) -> None:
    assert decide(value, p_adjusted, p_equivalent, 0.05) == expected


@given(st.floats(-3, 3), st.floats(0.05, 2), st.floats(1, 40), st.floats(0.1, 2))
def test_a_verdict_is_what_the_intervals_show(
    value: float, se: float, df: float, margin: float
) -> None:
    estimate = Estimate(value, se, df)
    verdict, small = decide(value, estimate.p(), estimate.p_equivalent(margin), 0.05)
    low, high = estimate.interval(0.95)
    inner_low, inner_high = estimate.interval(0.90)
    within = -margin < inner_low and inner_high < margin
    expected = "gain" if low > 0 else "harm" if high < 0 else None
    assert verdict == (expected or ("equivalent" if within else "inconclusive"))
    assert small == (expected is not None and within)


@pytest.mark.parametrize(
    ("value", "p_adjusted", "p_equivalent", "alpha", "message"),
    [
        (0.1, 1.2, None, 0.05, "p-values"),
        (0.1, 0.2, -0.1, 0.05, "p-values"),
        (0.1, math.nan, None, 0.05, "p-values"),
        (0.1, 0.2, 0.2, 1.0, "alpha"),
        (0.1, 0.2, 0.2, 0.0, "alpha"),
        (0.0, 0.01, None, 0.05, "cannot be significant"),
        (math.nan, 0.01, None, 0.05, "cannot be significant"),
    ],
)
def test_numbers_out_of_range_are_errors(
    value: float, p_adjusted: float, p_equivalent: float | None, alpha: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        decide(value, p_adjusted, p_equivalent, alpha)
