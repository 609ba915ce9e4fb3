"""One number, one place: a gain and a claim say the same in every view that shows them."""

import re
from typing import TYPE_CHECKING, Any

import pytest

from kdgap.numbers import interval, p_value, signed, spread
from tests.browser.pages import NARROW, Shown, Visitor, redrawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def text(page: "Page", selector: str) -> str:
    """What stands there, with every space an ordinary one."""
    texts = page.locator(selector).all_text_contents()
    return " ".join(" ".join(texts).replace("\u00a0", " ").split())


def row(page: "Page", table: str, *names: str) -> str:
    """The text of the row of a table that has all the names."""
    caption = page.get_by_role("main").get_by_role("table", name=re.compile(table))
    for cells in caption.get_by_role("row").all_text_contents():
        if all(name in cells for name in names):
            return " ".join(cells.replace("\u00a0", " ").split())
    raise AssertionError((table, names))


def pair(gain: dict[str, Any]) -> str:
    return f"{gain['teacher']} → {gain['student']}"


def address(gain: dict[str, Any]) -> str:
    keys = ("teacher", "student", "method")
    return "configuration?" + "&".join(f"{key}={gain[key]}" for key in keys) + "&role=final"


def test_a_gain_is_the_same_in_every_view(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    analysis = page.evaluate("kdgap.study.analysis")
    assert len(analysis["gains"]) == 4
    wrong: list[tuple[str, str, str]] = []
    compared = 0

    def check(where: str, shown: str, *parts: str) -> None:
        nonlocal compared
        compared += len(parts)
        wrong.extend((where, part, shown[:200]) for part in parts if part not in shown)

    figure = text(page, "main figure[data-key='gains-in-a-figure'] text")
    for gain in analysis["gains"]:
        value, ends = signed(gain["gain_pp"]), interval(gain["ci95_pp"])
        level = spread(gain["mean_pp"], gain["std_pp"])
        check("figure", figure, f"{value} {ends}")
        shown = row(page, "^Gains over plain", pair(gain), gain["label"])
        check("table", shown, value, ends, gain["verdict"], level, p_value(gain["p_holm"]))
    tallies = text(page, "main section:first-of-type .tally")
    for verdict in ("gain", "harm", "equivalent", "inconclusive"):
        count = sum(gain["verdict"] == verdict for gain in analysis["gains"])
        check("tally", tallies, f"{verdict} {count}")
    for gain in analysis["gains"]:
        value, ends = signed(gain["gain_pp"]), interval(gain["ci95_pp"])
        level = spread(gain["mean_pp"], gain["std_pp"])
        page = visitor.open(digits, address(gain))
        check("configuration", text(page, "main .sentence"), f"{value} pp {ends}", gain["verdict"])
        check("configuration", text(page, "main dl"), f"{value} pp {ends}", level)
        check("configuration", text(page, "main figure[data-key='gain'] text"), f"{value} {ends}")
        half = (gain["ci95_pp"][1] - gain["ci95_pp"][0]) / 2
        page = visitor.open(digits, "matrix")
        shown = row(page, "^Gains over plain", pair(gain))
        check("matrix", shown, f"{value} ± {half:.2f}", gain["verdict"])
        page = visitor.open(digits, "which")
        section = page.locator("main section").filter(has_text=f"For {gain['student']}")
        (line,) = (
            " ".join(cells.replace("\u00a0", " ").split())
            for cells in section.get_by_role("row").all_text_contents()
            if cells.startswith(gain["label"])
        )
        check("which", line, value, ends)
    assert not wrong
    assert compared > 50


def test_a_claim_is_the_same_in_every_view(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    (claim,) = page.evaluate("kdgap.study.analysis.contrasts")
    value, ends = signed(claim["estimate_pp"]), interval(claim["ci95_pp"])
    line = row(page, "^Every claim", claim["text"])
    assert all(part in line for part in (value, ends, claim["outcome"]))
    low, high = map(signed, claim["ci95_pp"])
    first = text(page, "main .headline")
    assert f"{value} pp, somewhere between {low} and {high}" in first
    assert f"{value} pp {ends}" in text(page, "main details[data-key='sentences'] li")
    page = visitor.open(digits, f"claim?name={claim['name']}")
    assert f"{value} pp {ends}" in text(page, "main .sentence")
    assert f"{value} pp {ends}" in text(page, "main dl")
    assert claim["outcome"] in text(page, "main .sentence")


def test_runs_are_counted_the_same_everywhere(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "live")
    table = page.get_by_role("main").get_by_role("table", name=re.compile("^How far each role"))
    stages = {}
    for cells in table.get_by_role("row").all()[1:]:
        name, *numbers = cells.locator("th, td").all_text_contents()
        stages[name] = numbers[:2]
    assert {"teacher", "baseline", "selection", "final", "ablation"} == set(stages)
    for role, (done, planned) in stages.items():
        page = visitor.open(digits, f"runs?role={role}")
        status = text(page, "main [role=status]").replace(",", "")
        assert status.startswith(f"{planned} of ")
        assert done == planned


@pytest.mark.parametrize("view", ["runs", "configuration?method=logit&role=final"])
def test_a_phone_keeps_what_a_row_is(visitor: Visitor, digits: Shown, view: str) -> None:
    """What has no column of its own stands below the name of its row."""
    page = visitor.open(digits, view)
    with redrawn(page, view.partition("?")[0]):
        page.set_viewport_size({"width": NARROW, "height": 740})
    shown = text(page, "main table .under")
    if view == "runs":
        assert "role: " in shown
        assert "settings: " in shown
    elif page.locator("main section").filter(has_text="Everything the records show").count():
        assert "usual remedy: " in shown
    assert "difference: " in shown or view == "runs"
