"""Numbers have one form each: units change where rounding makes them, and no zero has a minus."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgap.numbers import compact, decimals, duration, gib, memory, percent, points, signed, spread


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (99_949, "99.9 k"),
        (99_950, "100 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (11_173_962, "11.2 M"),
        (11_000_000, "11.0 M"),
        (999_700_000, "1.00 G"),
        (2.5e12, "2.50 T"),
    ],
)
def test_a_count_has_three_digits_and_a_unit(count: float, text: str) -> None:
    assert compact(count) == text


@pytest.mark.parametrize("half", [79.675, 33.075, 31.375, 9.725, 0.005, 94.345])
def test_a_number_half_way_is_one_whatever_arithmetic_left_behind(half: float) -> None:
    ways = [half, math.nextafter(half, 0), math.nextafter(half, 100), 100 * (half / 100)]
    ways += [math.fsum([half] * 7) / 7, sum([half] * 7) / 7, half * (1 + 3e-15)]
    assert len({decimals(value) for value in ways}) == 1
    assert len({signed(-value) for value in ways}) == 1
    assert len({spread(value, value) for value in ways}) == 1
    assert len({percent(value / 100) for value in ways}) == 1


@given(st.integers(1000, 10**14))
def test_no_count_is_a_thousand_of_its_unit_and_all_are_near(count: int) -> None:
    number, unit = compact(count).split()
    value = float(number) * {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit]
    assert value == pytest.approx(count, rel=0.005)
    assert unit == "T" or float(number) < 1000


def test_bytes_below_a_thousand_are_counted() -> None:
    assert [gib(2**29), gib(9.94 * 2**30), gib(9.96 * 2**30)] == ["0.5 GiB", "9.9 GiB", "10 GiB"]
    assert [memory(999), memory(1000), memory(1.3e9)] == ["999 B", "1.00 kB", "1.30 GB"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (302400, "3.5 days"),
        (1e8, "1,157.4 days"),
    ],
)
def test_a_time_changes_its_unit_where_rounding_makes_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_rounds_to_zero_has_no_minus() -> None:
    assert [signed(-0.004), points(-0.00001), points(-0.012)] == ["+0.00", "+0.00 pp", "−1.20 pp"]
