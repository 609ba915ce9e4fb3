"""Whatever a name or a description holds is text: shown as it is, and never markup."""

import csv
import io
from pathlib import Path

import pytest

from kdgap.explorer.export import export_page
from kdgap.explorer.snapshot import take
from tests.browser import studies
from tests.browser.conftest import Once, Serve
from tests.browser.pages import NARROW, VIEWS, Shown, Visitor, check_width, drawn

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def hostile_import(once: Once, serve: Serve) -> Shown:
    return Shown("hostile-import", serve(once("hostile-import", studies.hostile_import)), run=3)


@pytest.fixture(scope="session")
def hostile_study(once: Once, serve: Serve) -> Shown:
    return Shown("hostile-study", serve(once("hostile-study", studies.hostile_study)))


@pytest.fixture(scope="session")
def hostile_copy(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The same study as static files, where text lies in scripts."""
    folder = tmp_path_factory.mktemp("hostile")
    source = once("hostile-study", studies.hostile_study)
    export_page(take(source), folder / "page")
    return Shown("hostile-copy", (folder / "page" / "index.html").as_uri())


# The texts that a view has to show, if it does; a dialog or a request fails any of these tests.
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "shown", ["hostile_study", "hostile_import", "hostile_copy"], indirect=True
)
def test_names_are_shown_and_do_nothing(visitor: Visitor, shown: Shown, view: str) -> None:
    page = visitor.open(shown, view)
    # A study's names are letters and digits, or its plan is refused; its description stands alone.
    if shown.name == "hostile-import" or view == "overview":
        assert studies.IMAGE in page.evaluate("document.body.textContent")
    # An own element of the page has neither of these attributes' values.
    assert page.locator("[onerror], [src='x'], body script").count() == 0
    assert page.locator("main").locator("img, iframe, object, embed, b").count() == 0
    check_width(page)


def test_every_place_of_a_study_that_holds_text_shows_it(
    visitor: Visitor, hostile_study: Shown
) -> None:
    page = visitor.open(hostile_study)
    text = page.locator("body").inner_text()
    assert studies.IMAGE in text  # the description
    assert studies.SCRIPT in text  # the claim, the marks, the warning


def test_a_long_name_without_spaces_fits(visitor: Visitor, serve: Serve, tmp_path: Path) -> None:
    shown = Shown("long-name", serve(studies.hostile_import(tmp_path, "x" * 300)), run=3)
    page = visitor.open(shown, width=NARROW)
    for view in VIEWS:
        page.goto(shown.at(view))
        drawn(page, view)
        check_width(page)


def test_a_cell_that_begins_like_a_formula_is_text_for_a_spreadsheet(
    visitor: Visitor, hostile_import: Shown
) -> None:
    page = visitor.open(hostile_import, "runs")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV", exact=True).first.click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    cells = {cell for row in csv.reader(io.StringIO(text)) for cell in row}
    assert studies.FORMULA not in cells
    assert f"'{studies.FORMULA}" in cells
    assert studies.IMAGE in cells
