"""Tables sort, filter, copy and download, and the address keeps what was chosen."""

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.browser.pages import VIEWS, Shown, Visitor, column, drawn, expect, unfold

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
LIVE_OR_COPY = pytest.mark.parametrize("shown", ["digits", "exported"], indirect=True)


def content(page: "Page", button: "Locator") -> str:
    """Press a button that hands over a file; return what is in it."""
    with page.expect_download() as waiting:
        button.click()
    page.wait_for_timeout(120)  # Chromium drops whatever is more than ten downloads a second
    return Path(waiting.value.path()).read_text(encoding="utf-8")


def many(page: "Page", name: str) -> "list[Locator]":
    """Every button of a name in the view."""
    return page.get_by_role("main").get_by_role("button", name=name, exact=True).all()


def handed_over(page: "Page", name: str) -> list[str]:
    """Press every button of a name in the view; return the texts that they hand over.

    Nothing is downloaded: a browser takes ten files a second, and drops the others.
    """
    buttons = page.get_by_role("main").get_by_role("button", name=name, exact=True)
    texts: list[str] = buttons.evaluate_all(
        """async (buttons) => {
          const blobs = [], anchor = HTMLAnchorElement.prototype;
          const { createObjectURL } = URL;
          URL.createObjectURL = (blob) => (blobs.push(blob), createObjectURL.call(URL, blob));
          anchor.click = () => {};
          try {
            const end = Date.now() + 60_000;
            for (const [place, button] of buttons.entries()) {
              button.click();
              while (blobs.length === place) {
                if (Date.now() > end) throw new Error("nothing was handed over");
                await new Promise((done) => setTimeout(done, 1));
              }
            }
          } finally {
            Object.assign(URL, { createObjectURL });
            delete anchor.click;
          }
          return Promise.all(blobs.map((blob) => blob.text()));
        }"""
    )
    return texts


@pytest.mark.parametrize("view", VIEWS)
def test_every_table_sorts_by_every_column(visitor: Visitor, digits: Shown, view: str) -> None:
    page = visitor.open(digits, view)
    unfold(page)
    # A pressed table is made anew, so each look is for the table in the same place.
    orders = page.evaluate(
        """() => [...document.querySelectorAll("main table")].flatMap((table, place) => {
          const heads = () =>
            [...document.querySelectorAll("main table")[place].querySelectorAll("thead th")];
          return heads().map((_, column) => [0, 1].map(() => {
            heads()[column].querySelector("button").click();
            return heads()[column].getAttribute("aria-sort");
          }));
        })"""
    )
    tables = page.get_by_role("main").get_by_role("table").count()
    assert bool(orders) == bool(tables)
    assert all(sorted(order) == ["ascending", "descending"] for order in orders), orders


def test_rows_are_in_the_order_of_the_sorted_column(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    head = page.get_by_role("columnheader", name=re.compile("^seed"))
    for order in ("ascending", "descending"):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        seeds = [int(text.replace(",", "")) for text in column(page, "seed")]
        assert len(set(seeds)) > 2
        assert seeds == sorted(seeds, reverse=order == "descending")


def test_words_filter_the_runs(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    rows = page.get_by_role("main").locator("tbody tr")
    every = rows.count()
    page.get_by_role("searchbox").fill("4ch")
    expect(rows).not_to_have_count(every)
    assert 0 < rows.count() < every
    assert all("4ch" in text for text in rows.all_inner_texts())
    page.get_by_role("searchbox").fill("")
    expect(rows).to_have_count(every)
    page.get_by_role("searchbox").fill("nothing is called so")
    expect(rows).to_have_count(0)


@LIVE_OR_COPY
def test_the_address_of_filtered_and_sorted_runs_shows_them_again(
    visitor: Visitor, shown: Shown
) -> None:
    page = visitor.open(shown, "runs")
    rows = page.get_by_role("main").locator("tbody tr")
    every = rows.count()
    page.get_by_role("searchbox").fill("4ch")
    expect(rows).not_to_have_count(every)
    head = page.get_by_role("columnheader", name=re.compile("^seed"))
    for order in ("ascending", "descending"):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
    other = visitor.open(shown, page.url.partition("#")[2])
    expect(other.get_by_role("searchbox")).to_have_value("4ch")
    again = other.get_by_role("columnheader", name=re.compile("^seed"))
    expect(again).to_have_attribute("aria-sort", "descending")
    assert other.locator("main").inner_text() == page.locator("main").inner_text()
    assert other.locator("tbody tr").all_inner_texts() == rows.all_inner_texts()


@LIVE_OR_COPY
@pytest.mark.parametrize(
    ("view", "key"), [("configuration", "method"), ("compare", "second"), ("power", None)]
)
def test_the_address_of_a_choice_shows_it_again(
    visitor: Visitor, shown: Shown, view: str, key: str | None
) -> None:
    page = visitor.open(shown, view)
    before = page.locator("main").inner_text()
    fields = page.get_by_role("main").get_by_role("combobox")
    field = fields.last if key is None else page.locator(f'main select[data-key="{key}"]')
    options = field.locator("option").all()
    chosen = field.input_value()
    values = [option.get_attribute("value") or "" for option in options]
    field.select_option(next(value for value in values if value != chosen))
    page.wait_for_function(
        "(before) => document.querySelector('main').innerText !== before", arg=before
    )
    assert "?" in page.url
    other = visitor.open(shown, page.url.partition("#")[2])
    assert other.locator("main").inner_text() == page.locator("main").inner_text()


def test_going_back_undoes_a_filter(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    rows = page.get_by_role("main").locator("tbody tr")
    every = rows.count()
    page.get_by_role("main").get_by_role("combobox").first.select_option(index=1)
    expect(rows).not_to_have_count(every)
    page.go_back()
    expect(rows).to_have_count(every)


@pytest.mark.parametrize(
    "place", ["nothing", "runs?sort=nothing&page=99", "run?n=99999", "claim?n=x"]
)
def test_an_address_of_nothing_shows_something(visitor: Visitor, digits: Shown, place: str) -> None:
    page = visitor.open(digits)
    page.goto(digits.at(place))
    view = place.partition("?")[0]
    drawn(page, "overview" if view == "nothing" else view)


@LIVE_OR_COPY
def test_a_table_is_downloaded_and_copied_with_all_its_rows(visitor: Visitor, shown: Shown) -> None:
    page = visitor.open(shown, "runs")
    count = page.locator("main tbody tr").count()
    first, *rows = csv.reader(io.StringIO(content(page, many(page, "CSV")[0])))
    assert {"seed", "state", "student"} <= set(first)
    assert len(rows) == count
    assert {row[first.index("student")] for row in rows} == {"teacher", "2ch", "4ch"}
    many(page, "Copy as Markdown")[0].click()
    expect(page.get_by_role("status").filter(has_text="opied")).to_have_count(1)
    head, rule, *lines = page.evaluate("navigator.clipboard.readText()").strip().split("\n")
    assert head.startswith("| ")
    assert re.fullmatch(r"\|(:?-+:?\|)+", rule.replace(" ", ""))
    assert len(lines) == count
    assert {line.count("|") - line.count("\\|") for line in (head, rule, *lines)} == {
        rule.count("|")
    }


@LIVE_OR_COPY
@pytest.mark.parametrize("view", VIEWS)
def test_every_download_of_a_view_has_content(visitor: Visitor, shown: Shown, view: str) -> None:
    page = visitor.open(shown, view)
    unfold(page)
    for text in handed_over(page, "CSV"):
        first, *rows = csv.reader(io.StringIO(text))
        assert len(first) > 1
        assert all(first)
        assert rows
        assert {len(row) for row in rows} == {len(first)}
    figures = page.get_by_role("main").get_by_role("figure").count()
    drawings = handed_over(page, "SVG")
    assert len(drawings) == figures + (view == "matrix")  # whose table is a picture, too
    for text in drawings:
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in text  # another program knows nothing of this page's colours
        assert "undefined" not in text
        assert "NaN" not in text


def test_a_table_that_is_sorted_while_the_page_is_read_again_stays_sorted(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "runs")
    head = page.locator("main thead th").filter(has_text="seed")
    page.evaluate("document.querySelector('main h1').dataset.old = 'yes'")
    page.evaluate(
        """() => {
          const { get } = kdgap;
          kdgap.get = async (name) => {
            kdgap.get = get;
            await new Promise((done) => { window.release = done; });
            return get(name);
          };
          kdgap.draw({ keep: true });
        }"""
    )
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.evaluate("window.release()")
    page.wait_for_function("() => !document.querySelector('main h1').dataset.old")
    assert head.get_attribute("aria-sort") == "ascending"
