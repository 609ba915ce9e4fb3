"""The table of runs: what its search finds, what it shows on which screen, what its CSV says."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import NARROW, WIDE, Shown, Visitor, expect, redrawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def rows_with(page: "Page", words: str) -> list[str]:
    """Search for words; return the rows that are left, cells apart."""
    with redrawn(page, "runs"):
        page.get_by_role("searchbox").fill(words)
    rows: list[str] = page.evaluate(
        "[...document.querySelectorAll('main tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.innerText).join('|'))"
    )
    return rows


@pytest.mark.parametrize(
    ("words", "all_say"),
    [
        ("Logit-KD", "Logit-KD"),  # as it is shown, not as files call it
        ("plain training", "plain training"),
        ('"temperature 4"', "temperature 4"),
        ('feature-kd "alpha 0.3"', "alpha 0.3"),
        ("teacher → 2ch", "teacher|2ch"),
    ],
)
def test_a_search_finds_what_is_shown(
    visitor: Visitor, digits: Shown, words: str, all_say: str
) -> None:
    rows = rows_with(visitor.open(digits, "runs"), words)
    assert rows
    assert all(all_say in row for row in rows)


@pytest.mark.parametrize("words", ["2", '"temperature 3"', '"alpha 0"', "logit_kd", "1000", "98."])
def test_a_search_finds_no_number_by_chance(visitor: Visitor, digits: Shown, words: str) -> None:
    assert rows_with(visitor.open(digits, "runs"), words) == []


def test_an_id_is_found_by_how_it_begins_alone(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    run = page.get_by_role("rowheader").nth(5).inner_text()
    assert [row[:10] for row in rows_with(page, run)] == [run]
    assert rows_with(page, run[1:]) == []


def test_a_phone_shows_whose_run_it_is_and_its_accuracy(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs?role=final", width=NARROW)
    table = page.get_by_role("main").get_by_role("table")
    heads = table.locator("thead th").filter(visible=True).all_inner_texts()
    assert heads == ["pair", "seed", "state", "test, best"]
    sideways = "(table) => table.parentElement.scrollWidth - table.parentElement.clientWidth"
    assert table.evaluate(sideways) <= 0
    table.get_by_role("rowheader").first.get_by_role("link").click()
    page.locator("main[data-ready='run']").wait_for()


@pytest.mark.parametrize(("view", "shown_first"), [("runs", "tbody tr"), ("scatter", "svg.plot")])
def test_a_phone_folds_its_filters_and_counts_them(
    visitor: Visitor, digits: Shown, view: str, shown_first: str
) -> None:
    page = visitor.open(digits, f"{view}?role=final", width=NARROW)
    title = page.locator("main summary").filter(has_text="filters")
    field = page.locator("main select[data-key=student]")
    expect(title).to_contain_text("(1 filter active)")
    expect(field).to_be_hidden()
    expect(page.locator(f"main {shown_first}").first).to_be_in_viewport()
    title.focus()
    page.keyboard.press("Enter")
    expect(field).to_be_visible()
    field.focus()
    page.keyboard.press("ArrowDown")
    expect(title).to_contain_text("(2 filters active)")
    expect(field).to_be_focused()  # what was opened stays open
    assert "student=2ch" in page.url
    # A link opens closed, and says the same; nothing is folded where there is room.
    again = visitor.open(digits, page.url.partition("#")[2], width=NARROW)
    expect(again.locator("main select[data-key=student]")).to_be_hidden()
    expect(again.locator("main summary").filter(has_text="(2 filters active)")).to_be_visible()
    with redrawn(again, view):
        again.set_viewport_size({"width": WIDE, "height": 900})
    expect(again.locator("main select[data-key=student]")).to_be_visible()


def test_why_runs_failed_is_on_the_screen(visitor: Visitor, failing: Shown, digits: Shown) -> None:
    page = visitor.open(failing, "runs?state=failed")
    expect(page.get_by_role("cell").filter(has_text="diverged").first).to_be_in_viewport()
    heads = page.get_by_role("columnheader")
    expect(heads.filter(has_text="variant")).to_have_count(1)
    # What no run of a study has takes no room.
    page = visitor.open(digits, "runs")
    expect(page.get_by_role("columnheader").filter(has_text="remark")).to_have_count(0)


def test_the_csv_is_in_percent_and_says_so(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs?role=teacher")
    with page.expect_download() as waiting:
        page.get_by_role("main").get_by_role("button", name="CSV").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO(text))
    assert len(row["id"]) == 64
    shown = page.get_by_role("main").locator("tbody td").all_inner_texts()
    assert f"{float(row['test_best_percent']):.2f}" in shown
    assert 50 < float(row["validation_percent"]) <= 100
