"""Variance components agree with statsmodels' analysis of variance and with worked numbers."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdgap.stats.components import Components, crossed, over_teachers
from kdgap.stats.contrast import Estimate

Table = list[list[float]]


def tables(draw: st.DrawFn) -> Table:
    teachers, seeds = draw(st.integers(2, 5)), draw(st.integers(2, 6))
    row = st.lists(st.integers(0, 100).map(float), min_size=seeds, max_size=seeds)
    return draw(st.lists(row, min_size=teachers, max_size=teachers))


some_tables = st.composite(tables)()

# Rows differ by 3, columns by 1, and one corner is off: teachers {1, 4}, seeds {0, 1, 2}.
WORKED = [[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]]


def mean_squares(table: Table) -> tuple[float, float, float]:
    """Teachers, seeds, residual: what each adds to a regression on indicators of the others."""
    teachers, seeds = len(table), len(table[0])
    values, constant = np.ravel(table), np.ones((teachers * seeds, 1))
    rows = np.repeat(np.eye(teachers), seeds, axis=0)[:, 1:]
    columns = np.tile(np.eye(seeds), (teachers, 1))[:, 1:]

    def unexplained(*effects: npt.NDArray[np.float64]) -> float:
        return float(sm.OLS(values, np.hstack([constant, *effects])).fit().ssr)

    rest = unexplained(rows, columns)
    return (
        (unexplained(columns) - rest) / (teachers - 1),
        (unexplained(rows) - rest) / (seeds - 1),
        rest / ((teachers - 1) * (seeds - 1)),
    )


def components(table: Table) -> Components:
    parts = crossed(table)
    assert parts is not None
    return parts


def estimate(table: Table) -> Estimate:
    estimated = over_teachers(table)
    assert estimated is not None
    return estimated


@settings(max_examples=25)
@given(some_tables)
def test_components_solve_the_mean_squares_of_statsmodels(table: Table) -> None:
    teachers, seeds = len(table), len(table[0])
    assume(np.ptp(np.array(table)) > 0)
    by_teacher, by_seed, residual = mean_squares(table)
    parts = components(table)
    assert (parts.teachers, parts.seeds) == (teachers, seeds)
    assert parts.residual == pytest.approx(residual, abs=1e-9)
    assert parts.teacher == pytest.approx(max(0, (by_teacher - residual) / seeds), abs=1e-9)
    assert parts.seed == pytest.approx(max(0, (by_seed - residual) / teachers), abs=1e-9)


def test_a_worked_example_by_hand() -> None:
    # Mean 4; row means 2, 6; column means 2.5, 3.5, 6; residuals -+(0.5, 0.5, -1) by row.
    # MS_T = 3 (4 + 4) / 1 = 24; MS_S = 2 (2.25 + 0.25 + 4) / 2 = 6.5; MS_E = 3 / 2 = 1.5.
    parts = components(WORKED)
    assert parts.residual == pytest.approx(1.5)
    assert parts.teacher == pytest.approx(22.5 / 3)
    assert parts.seed == pytest.approx(5 / 2)
    assert parts.teacher_share == pytest.approx(7.5 / (7.5 + 2.5 + 1.5))
    mean = estimate(WORKED)
    assert mean.value == pytest.approx(4)
    assert mean.se == pytest.approx(math.sqrt((24 + 6.5 - 1.5) / 6))
    assert mean.df == pytest.approx(29**2 / (24**2 / 1 + 6.5**2 / 2 + 1.5**2 / 2))


def test_the_error_does_not_fall_below_the_larger_mean_square() -> None:
    table = [[1.0, 2.0, 9.0], [5.0, 9.0, 2.0]]
    by_teacher, by_seed, residual = mean_squares(table)
    assert by_teacher < residual
    assert by_seed < residual
    parts = components(table)
    assert (parts.teacher, parts.seed, parts.teacher_share) == (0, 0, 0)
    mean = estimate(table)
    assert mean.se == pytest.approx(math.sqrt(max(by_teacher, by_seed) / 6))
    assert mean.df == (1 if by_teacher > by_seed else 2)


def test_the_degrees_of_freedom_are_those_of_the_mean_square_that_the_error_is_kept_at() -> None:
    table = [[94.1, 94.9, 94.5], [94.7, 94.8, 94.9], [95.2, 95.4, 94.9], [95.5, 94.7, 95.1]]
    by_teacher, by_seed, residual = mean_squares(table)
    assert 0 < by_teacher + by_seed - residual < by_teacher
    mean = estimate(table)
    assert mean.se == pytest.approx(math.sqrt(by_teacher / 12))
    assert mean.df == 3
    turned = estimate([list(column) for column in zip(*table, strict=True)])
    assert turned.se == pytest.approx(mean.se)
    assert turned.df == 3


def test_teachers_alone_or_seeds_alone_leave_the_error_of_their_means() -> None:
    teachers = [[v] * 4 for v in (0.90, 0.92, 0.97)]
    by_teacher, by_seed = (
        estimate(teachers),
        estimate([list(c) for c in zip(*teachers, strict=True)]),
    )
    for estimated in (by_teacher, by_seed):
        assert estimated.value == pytest.approx(0.93)
        assert estimated.se == pytest.approx(np.std([0.90, 0.92, 0.97], ddof=1) / math.sqrt(3))
        assert estimated.df == pytest.approx(2)
    assert components(teachers).teacher_share == pytest.approx(1)


@settings(max_examples=40)
@given(some_tables)
def test_teachers_and_seeds_exchange_their_parts(table: Table) -> None:
    turned = [list(column) for column in zip(*table, strict=True)]
    first, second = components(table), components(turned)
    assert (first.teacher, first.seed) == pytest.approx((second.seed, second.teacher), abs=1e-9)
    assert first.residual == pytest.approx(second.residual, abs=1e-9)
    there, back = over_teachers(table), over_teachers(turned)
    assert (there is None) == (back is None)
    if there and back:
        assert there.se == pytest.approx(back.se)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([0.01, 1.0, 100.0]), st.sampled_from([-40.0, 0, 3]))
def test_unit_and_origin(number: int, scale: float, shift: float) -> None:
    table = np.random.default_rng(number).normal(0, 1, (3, 4))
    moved = (scale * table + shift).tolist()
    first, second = components(table.tolist()), components(moved)
    expected = [scale**2 * v for v in (first.teacher, first.seed, first.residual)]
    assert [second.teacher, second.seed, second.residual] == pytest.approx(
        expected, rel=1e-6, abs=1e-9
    )
    base, estimated = estimate(table.tolist()), estimate(moved)
    assert estimated.value == pytest.approx(scale * base.value + shift)
    assert (estimated.se, estimated.df) == pytest.approx((scale * base.se, base.df), rel=1e-6)


@settings(max_examples=60)
@given(some_tables)
def test_the_degrees_of_freedom_lie_between_those_of_the_smaller_part_and_of_both(
    table: Table,
) -> None:
    teachers, seeds = len(table), len(table[0])
    estimated = over_teachers(table)
    assume(estimated is not None)
    assert estimated is not None
    assert min(teachers, seeds) - 1 <= estimated.df <= teachers + seeds - 2 + 1e-9


def test_components_are_unbiased() -> None:
    draw = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        teacher, seed = draw.normal(0, 3, (6, 1)), draw.normal(0, 2, (1, 6))
        table = 50 + teacher + seed + draw.normal(0, 1, (6, 6))
        parts = components(table.tolist())
        draws.append((parts.teacher, parts.seed, parts.residual))
    assert np.mean(draws, axis=0) == pytest.approx([9, 4, 1], rel=0.06)


@pytest.mark.parametrize("table", [[], [[0.9, 0.8]], [[0.9], [0.8]], [[], []]], ids=str)
def test_fewer_than_two_by_two_say_nothing(table: Table) -> None:
    assert crossed(table) is None
    assert over_teachers(table) is None


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.1 + 0.2), (0.0001, 1 - 0.9999)])
def test_where_nothing_varies_there_are_no_components_and_no_error(
    first: float, second: float
) -> None:
    table = [[first, second], [first, first]]
    assert crossed(table) == Components(2, 2, 0, 0, 0)
    assert components(table).teacher_share == 0
    assert over_teachers(table) is None


def test_means_that_do_not_vary_leave_no_error_though_runs_do() -> None:
    table = [[0.8, 0.9], [0.9, 0.8]]
    assert components(table).residual == pytest.approx(0.01)
    assert over_teachers(table) is None


@pytest.mark.parametrize("judge", [crossed, over_teachers])
def test_an_incomplete_table_is_an_error(judge: object) -> None:
    assert callable(judge)
    with pytest.raises(ValueError, match="differ in length"):
        judge([[0.9, 0.8], [0.9]])
    with pytest.raises(ValueError, match="not finite"):
        judge([[0.9, 0.8], [0.9, math.nan]])
