"""The exported page, opened from disk, shows what the served one does and asks nobody."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.pages import VIEWS, Shown, Visitor, drawn

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("view", [view for view in VIEWS if view not in ("live", "run")])
def test_it_says_what_the_served_page_says(
    visitor: Visitor, digits: Shown, exported: Shown, view: str
) -> None:
    texts = [visitor.open(shown, view).locator("main").inner_text() for shown in (digits, exported)]
    assert texts[0] == texts[1]


def test_a_run_is_shown_with_its_history_and_its_files(
    visitor: Visitor, digits: Shown, exported: Shown
) -> None:
    tables = [
        visitor.open(shown, "run").locator("main tbody tr").all_inner_texts()
        for shown in (digits, exported)
    ]
    assert tables[0] == tables[1]
    assert any("results.json" in row for row in tables[0])


def test_no_link_of_it_leads_nowhere(visitor: Visitor, exported: Shown) -> None:
    folder = Path(unquote(urlsplit(exported.root).path))
    page = visitor.open(exported)
    for view in VIEWS:
        page.goto(exported.at(view))
        drawn(page, view)
        links = page.locator("a[href]").evaluate_all("(all) => all.map((link) => link.href)")
        assert links
        for address in links:
            target = urlsplit(address)
            assert target.scheme == "file"
            assert (folder / Path(unquote(target.path)).relative_to(folder)).is_file()


def test_a_file_of_the_served_page_is_handed_over(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "run")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="results.json", exact=True).click()
    assert b'"best_val_acc"' in Path(waiting.value.path()).read_bytes()
