"""Permutation tests agree with scipy's enumeration, count ties, and hold their level."""

import math
from itertools import combinations, product
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kdgap.stats.permutation import RESAMPLES, Permutation, sign_flip, two_sample
from kdgap.stats.power import smallest_permutation_p, smallest_sign_flip_p

# Whole numbers of test images of 10,000: few distinct ones, so that ties are common.
counts = st.integers(9000, 9012)
arms = st.lists(counts, min_size=1, max_size=5)


def accuracies(correct: list[int]) -> list[float]:
    return [k / 10_000 for k in correct]


def gap(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """In units of 1 / (n m) images, whole numbers: scipy compares without rounding then."""
    return float(abs(len(y) * x.sum() - len(x) * y.sum()))


def by_scipy(first: list[int], second: list[int], kind: str, statistic: object = gap) -> float:
    samples = [np.array(first, dtype=float), np.array(second, dtype=float)]
    result = stats.permutation_test(
        samples, statistic, permutation_type=kind, alternative="greater", n_resamples=np.inf
    )
    return float(result.pvalue)


def surely(permutation: Permutation | None) -> Permutation:
    assert permutation is not None
    return permutation


@settings(max_examples=25)
@given(st.lists(counts, min_size=2, max_size=4), st.lists(counts, min_size=2, max_size=5))
def test_two_samples_agree_with_scipy_and_ties_count(first: list[int], second: list[int]) -> None:
    result = surely(two_sample(accuracies(first), accuracies(second)))
    assert result.exact
    assert result.p == pytest.approx(by_scipy(first, second, "independent"))


@settings(max_examples=25)
@given(st.lists(st.tuples(counts, counts), min_size=2, max_size=6))
def test_sign_flips_agree_with_scipy_and_ties_count(rows: list[tuple[int, int]]) -> None:
    first, second = [a for a, _ in rows], [b for _, b in rows]
    result = surely(sign_flip([(a / 10_000) - (b / 10_000) for a, b in rows]))
    assert result.exact
    assert result.p == pytest.approx(by_scipy(first, second, "samples"))


def test_a_sample_of_relabellings_comes_close_to_all_of_them() -> None:
    draw = np.random.default_rng(3)
    first, second = draw.integers(9000, 9100, 9).tolist(), draw.integers(9030, 9130, 9).tolist()
    exact = by_scipy(first, second, "independent")  # 48,620 splits
    result = surely(two_sample(accuracies(first), accuracies(second)))
    assert not result.exact
    assert result.p == pytest.approx(exact, abs=4 * math.sqrt(exact / RESAMPLES))
    assert 0.001 < exact < 0.2


def test_a_sample_of_sign_flips_comes_close_to_all_of_them() -> None:
    draw = np.random.default_rng(4)
    rows = draw.integers(-30, 60, 16)
    signs = np.array(list(product((-1, 1), repeat=16)))
    exact = float(np.mean(np.abs(signs @ rows) >= abs(rows.sum())))
    result = surely(sign_flip([k / 10_000 for k in rows.tolist()]))
    assert not result.exact
    assert result.p == pytest.approx(exact, abs=4 * math.sqrt(exact / RESAMPLES))
    assert 0.001 < exact < 0.2


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 3), (5, 5), (3, 7), (8, 7), (1, 4000)])
def test_separate_arms_reach_the_smallest_p_there_is(n: int, m: int) -> None:
    result = surely(two_sample([0.9 + i / 1000 for i in range(n)], [i / 1e6 for i in range(m)]))
    assert result.exact
    assert result.p == pytest.approx(smallest_permutation_p(n, m))


@pytest.mark.parametrize("n", [1, 2, 5, 14])
def test_differences_of_one_sign_reach_the_smallest_p_there_is(n: int) -> None:
    result = surely(sign_flip([(i + 1) / 10_000 for i in range(n)]))
    assert result.exact
    assert result.p == pytest.approx(smallest_sign_flip_p(n))


@pytest.mark.parametrize(("n", "resamples"), [(20, 9_999), (5_000, 100), (500_000, 1)])
def test_a_sampled_p_is_never_zero_and_large_arms_take_fewer_samples(
    n: int, resamples: int
) -> None:
    result = surely(two_sample([1.0] * n, [0.0] * n))
    # One of two labellings as extreme as the observed one is the observed one itself.
    assert result.p == pytest.approx(1 / (resamples + 1), rel=0.01)
    assert not result.exact


def test_a_sampled_sign_flip_is_never_zero() -> None:
    assert surely(sign_flip([0.001] * 40)) == Permutation(1 / (RESAMPLES + 1), exact=False)


def test_the_boundary_between_all_and_some() -> None:
    assert surely(two_sample([0.1] * 8, [0.2] * 8)).exact  # 12,870
    assert not surely(two_sample([0.1] * 9, [0.2] * 8)).exact  # 24,310
    assert surely(sign_flip([0.1] * 14)).exact
    assert not surely(sign_flip([0.1] * 15)).exact


@settings(max_examples=20)
@given(st.lists(counts, min_size=7, max_size=7))
def test_of_all_labellings_no_more_than_a_share_p_has_a_p_that_small(pool: list[int]) -> None:
    """What makes the test exact: whichever of the 35 labellings is the true one."""
    ps = []
    for chosen in combinations(range(7), 3):
        first = [pool[i] for i in chosen]
        second = [v for i, v in enumerate(pool) if i not in chosen]
        ps.append(surely(two_sample(accuracies(first), accuracies(second))).p)
    for level in set(ps):
        assert sum(p <= level + 1e-12 for p in ps) / len(ps) <= level + 1e-12


@settings(max_examples=30)
@given(arms, arms, st.randoms(use_true_random=False))
def test_neither_the_order_of_runs_nor_of_arms_matters(
    first: list[int], second: list[int], random: Random
) -> None:
    base = two_sample(accuracies(first), accuracies(second))
    shuffled = [random.sample(arm, len(arm)) for arm in (second, first)]
    assert two_sample(*map(accuracies, shuffled)) == base


def test_the_order_does_not_matter_for_a_sample_of_relabellings_either() -> None:
    draw = np.random.default_rng(5)
    first, second = draw.normal(0, 1, 12).tolist(), draw.normal(0.5, 1, 12).tolist()
    base = two_sample(first, second)
    assert two_sample(second[::-1], first[::-1]) == base
    differences = draw.normal(0.2, 1, 30).tolist()
    assert sign_flip([-d for d in differences[::-1]]) == sign_flip(differences)


@settings(max_examples=30)
@given(arms, arms, st.sampled_from([-3.0, 0.01, 100.0]), st.sampled_from([-1.0, 0.0, 5.0]))
def test_neither_unit_nor_origin_matters(
    first: list[int], second: list[int], scale: float, shift: float
) -> None:
    base = two_sample(accuracies(first), accuracies(second))
    assert (
        two_sample(*([scale * v + shift for v in accuracies(arm)] for arm in (first, second)))
        == base
    )


def test_where_nothing_differs_every_labelling_is_as_extreme() -> None:
    assert two_sample([0.9] * 4, [0.9] * 3) == Permutation(1.0, exact=True)
    assert sign_flip([0.0, 0.0]) == Permutation(1.0, exact=True)


def test_an_empty_arm_has_no_p() -> None:
    assert two_sample([], [0.5]) is None
    assert two_sample([0.5], []) is None
    assert two_sample([], []) is None
    assert sign_flip([]) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        two_sample([0.5, bad], [0.5])
    with pytest.raises(ValueError, match="not finite"):
        sign_flip([0.5, bad])
