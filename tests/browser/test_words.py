"""Numbers on the page are those of the report and of all sentences: Python's, to the last digit."""

import random
from itertools import pairwise

import pytest

from kdgap.numbers import compact, decimals, duration, interval, memory, p_value, signed, spread
from tests.browser.pages import Shown, Visitor, expect

pytestmark = pytest.mark.browser


def values() -> list[float]:
    """Ties, what is nearly one, what rounds to zero, and numbers of every size."""
    ties = [n / 2**k for k in range(1, 6) for n in range(-41, 42)]
    near = [0.005, 0.015, 1.005, 2.675, -1.255, 0.045, 94.345, 0.1 + 0.2, -0.004, -1e-9]
    near += [way for half in (79.675, 33.075, -9.725) for way in (half, half + 4e-14, half - 4e-14)]
    draw = random.Random(0)
    sizes = [draw.uniform(-1, 1) * 10 ** draw.randint(-6, 6) for _ in range(200)]
    wholes = [float(n) for n in (0, 1, -1, 100, 999_999, 123_456_789)]
    return [
        value for value in (*ties, *near, *sizes, *wholes) if (value, str(value)[0]) != (0, "-")
    ]


def test_numbers_are_rounded_as_python_rounds_them(visitor: Visitor, empty: Shown) -> None:
    page = visitor.open(empty)
    given = values()
    assert len(given) > 400
    for digits in (0, 1, 2, 3, 4):
        texts = page.evaluate(
            "([all, d]) => all.map((value) => rounded(value, d))", [given, digits]
        )
        assert texts == [decimals(value, digits) for value in given]
    texts = page.evaluate("(all) => all.map((value) => signed(value))", given)
    assert texts == [signed(value) for value in given]
    pairs = list(pairwise(given))
    texts = page.evaluate("(all) => all.map(interval)", [list(pair) for pair in pairs])
    assert texts == [interval(pair) for pair in pairs]
    texts = page.evaluate("(all) => all.map(([mean, std]) => spread(mean, std))", pairs)
    assert texts == [spread(*pair) for pair in pairs]
    shares = [abs(value) % 1 for value in given]
    assert page.evaluate("(all) => all.map(pValue)", shares) == [p_value(p) for p in shares]
    texts = page.evaluate("(all) => all.map(percent)", shares)
    assert texts == [decimals(100 * share) for share in shares]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (999, "999"),
        (1000, "1.00 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (999_999, "1.00 M"),
        (1_234_567, "1.23 M"),
        (999_700_000, "1.00 G"),
    ],
)
def test_sizes_change_their_unit_before_they_are_a_thousand(
    visitor: Visitor, empty: Shown, count: int, text: str
) -> None:
    assert visitor.open(empty).evaluate("compact", count) == compact(count) == text


def test_sizes_and_times_are_written_as_python_writes_them(visitor: Visitor, empty: Shown) -> None:
    page, draw = visitor.open(empty), random.Random(0)
    counts = [*(10**k + d for k in range(14) for d in (-1, 0, 1)), *(99949, 99950, 99951)]
    counts += [draw.randrange(10 ** draw.randint(1, 14)) for _ in range(300)]
    assert page.evaluate("(all) => all.map(compact)", counts) == [compact(n) for n in counts]
    assert page.evaluate("(all) => all.map(bytes)", counts) == [memory(n) for n in counts]
    edges = [59.94, 59.95, 59.99, 60, 89.5, 90.5, 3599.4, 3599.5, 172799, 172800, 1e8]
    seconds = [*edges, *(draw.uniform(0, 1) * 10 ** draw.randint(0, 7) for _ in range(300))]
    assert page.evaluate("(all) => all.map(duration)", seconds) == [duration(s) for s in seconds]


def test_a_verdict_is_copied_with_what_to_cite(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "configuration?method=logit&role=final")
    gain = page.evaluate(
        "kdgap.study.analysis.gains[findArm(kdgap.study, kdgap.place().state).gain]"
    )
    citation = page.evaluate("kdgap.study.citation")
    page.get_by_role("button", name="Copy sentence with citation").first.click()
    expect(page.get_by_role("status").filter(has_text="opied")).to_have_count(1)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(gain["sentence"])
    assert copied.endswith(citation)
    assert f"n = {gain['n']} and {gain['n_baseline']} seeds" in copied
    page = visitor.open(digits, "compare")
    page.get_by_role("button", name="Copy sentence with citation").click()
    expect(page.get_by_role("status").filter(has_text="opied")).to_have_count(1)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "post hoc" in copied
    assert copied.endswith(citation)
