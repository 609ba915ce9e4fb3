"""Holm's adjustment agrees with statsmodels and keeps its promises about gaps and order."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kdgap.stats.multiple import bonferroni_confidence, holm

p_values = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-12, 0.01, 0.05, 1.0]))
families = st.lists(p_values, min_size=1, max_size=12)
gaps = st.lists(st.one_of(st.none(), p_values), max_size=12)


@settings(max_examples=15)  # statsmodels collects garbage at every call: a tenth of a second
@given(st.lists(p_values, min_size=2, max_size=12))
def test_holm_agrees_with_statsmodels(family: list[float]) -> None:
    assert holm(family) == pytest.approx(multipletests(family, method="holm")[1], rel=1e-9)


def test_the_example_of_the_step_down_by_hand() -> None:
    # Sorted: 0.01 * 4, then 0.02 * 3, then max(0.06, 0.03 * 2), then max(0.06, 0.04 * 1).
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(gaps)
def test_a_comparison_that_could_not_be_made_counts_as_one_that_showed_nothing(
    family: list[float | None],
) -> None:
    filled = holm([1.0 if p is None else p for p in family])
    assert holm(family) == [None if p is None else f for p, f in zip(family, filled, strict=True)]


@given(gaps)
def test_adjusted_values_are_never_below_the_raw_ones_and_keep_their_order(
    family: list[float | None],
) -> None:
    adjusted = holm(family)
    known = sorted((p, q) for p, q in zip(family, adjusted, strict=True) if p is not None and q)
    assert all(p <= q <= 1 for p, q in known)
    assert [q for _, q in known] == sorted(q for _, q in known)


@given(families, p_values)
def test_a_larger_family_never_makes_a_comparison_more_significant(
    family: list[float], extra: float
) -> None:
    for before, after in zip(holm(family), holm([*family, extra]), strict=False):
        assert before is not None
        assert after is not None
        assert after >= before


@given(families, st.randoms(use_true_random=False))
def test_the_order_of_a_family_does_not_matter(family: list[float], random: Random) -> None:
    order = random.sample(range(len(family)), len(family))
    adjusted = holm(family)
    assert holm([family[i] for i in order]) == [adjusted[i] for i in order]


def test_a_family_of_one_is_not_adjusted_and_an_empty_one_is_empty() -> None:
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
    assert holm([None, None]) == [None, None]


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, None, bad])


def test_simultaneous_intervals_share_the_error_between_them() -> None:
    assert bonferroni_confidence(0.95, 1) == pytest.approx(0.95)
    assert bonferroni_confidence(0.95, 8) == pytest.approx(0.99375)


@pytest.mark.parametrize(("confidence", "family"), [(0.0, 3), (1.0, 3), (math.nan, 3), (0.95, 0)])
def test_a_level_or_a_family_that_is_none_is_an_error(confidence: float, family: int) -> None:
    with pytest.raises(ValueError, match="confidence"):
        bonferroni_confidence(confidence, family)
