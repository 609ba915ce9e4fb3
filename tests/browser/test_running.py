"""A study that is running is followed without loading its page again."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import studies
from tests.browser.conftest import Serve
from tests.browser.pages import (
    PATIENCE,
    VIEWS,
    WIDE,
    Shown,
    Visitor,
    check_width,
    expect,
    focused,
    narrow,
    shoot,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser
PROGRESS = "document.querySelector('main progress').value"
CELLS = (
    "[...([...document.querySelectorAll('main table')]"
    ".find((table) => table.caption.textContent === 'Runs in training')?.tBodies[0].rows[0]?.cells"
    " ?? [])].map((cell) => cell.innerText)"
)


@contextmanager
def run(folder: Path) -> Iterator[None]:
    """Run the study of a folder meanwhile, as its user would, who then stops it.

    It takes what browsers leave of the processor.
    """
    runner = studies.start(folder, "run", "study", politely=True)
    try:
        yield
    finally:
        runner.send_signal(signal.SIGTERM)
        _, stderr = runner.communicate(timeout=300)
    assert runner.returncode == 128 + signal.SIGTERM, stderr


def training_table(page: "Page") -> "Locator":
    """The table of what is being trained."""
    return page.get_by_role("table", name="Runs in training")


def wait_for_students(page: "Page") -> None:
    """Wait until the teacher is done, which takes seconds: its students go on for long."""
    training_table(page).get_by_role("rowheader").filter(has_text="little").first.wait_for(
        timeout=5 * PATIENCE
    )


def first_row(page: "Page") -> list[str]:
    """The cells of the first run that is being trained."""
    cells: list[str] = page.evaluate(f"() => {CELLS}")
    return cells


def test_a_view_follows_a_study_from_before_its_first_run(
    visitor: Visitor, serve: Serve, tmp_path: Path
) -> None:
    shown = Shown("follows", serve(studies.planned(tmp_path, studies.LONG)))
    live, overview = visitor.open(shown, "live"), visitor.open(shown)
    assert live.evaluate(PROGRESS) == 0
    for page in (live, overview):
        page.evaluate("window.opened = 'once'")
    before = overview.locator("main").inner_text()
    with run(tmp_path):
        wait_for_students(live)
        first = first_row(live)
        live.wait_for_function(
            f"(before) => ![before, ''].includes({CELLS}.join())",
            arg=",".join(first),
        )
        assert first_row(live)[0] == first[0]  # the same run, further on
        live.wait_for_function(f"() => {PROGRESS} > 0")  # its teacher is done
        overview.wait_for_function(
            "(before) => document.querySelector('main').innerText !== before", arg=before
        )
        for page in (live, overview):
            assert page.evaluate("window.opened") == "once"
    visitor.close()


def test_a_view_follows_a_study_to_its_results(
    visitor: Visitor, serve: Serve, tmp_path: Path
) -> None:
    """Test images are opened after the last training: the page has to see that, too."""
    shown = Shown("ends", serve(studies.planned(tmp_path, studies.LITTLE | {"name": "ends"})))
    page = visitor.open(shown)
    expect(page.locator("main")).to_contain_text("No run has been tested yet")
    studies.kdgap(tmp_path, "run", "study")
    expect(page.locator("main")).to_contain_text("5 done")
    expect(page.locator("main")).not_to_contain_text("No run has been tested yet")
    expect(page.get_by_role("heading", name="Every gain over plain training")).to_be_visible()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[Shown]:
    """A study whose students are being trained."""
    folder = tmp_path_factory.mktemp("running")
    source = studies.planned(folder, studies.LONG)
    with run(folder):
        yield Shown("running", serve(source))


@pytest.fixture(scope="module")
def training(chromium: "Browser", running: Shown) -> Shown:
    """The same, once its students have begun."""
    visitor = Visitor(chromium)
    wait_for_students(visitor.open(running, "live"))
    visitor.close()
    assert not visitor.heard.wrong
    return running


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_running_study_is_drawn(visitor: Visitor, training: Shown, view: str) -> None:
    page = visitor.open(training, view)
    check_width(page)
    shoot(page, training.name, view, WIDE, "light")
    narrow(page, view)
    check_width(page)


def test_looking_again_takes_neither_the_keyboard_nor_the_place(
    visitor: Visitor, training: Shown
) -> None:
    page = visitor.open(training, "live")
    head = page.get_by_role("main").get_by_role("columnheader").nth(1)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    held = focused(page)
    page.evaluate("document.querySelector('main h1').dataset.old = 'yes'")
    page.wait_for_function("() => !document.querySelector('main h1').dataset.old")  # drawn anew
    assert focused(page) == held
    expect(head).to_have_attribute("aria-sort", "ascending")


def test_a_server_that_is_gone_leaves_what_was_shown(
    visitor: Visitor, digits_study: Path, tmp_path: Path
) -> None:
    from tests.browser.conftest import served

    with served(tmp_path, digits_study) as address:
        page = visitor.open(Shown("gone", address))
        before = page.locator("main").inner_text()
        port = address.rstrip("/").rpartition(":")[2]
    warning = page.locator("#lost")
    expect(warning).to_have_text(
        re.compile(r"^Not connected since \d\d:\d\d; kdgap explore \S+ starts")
    )
    assert page.locator("main").inner_text() == before
    check_width(page)
    with served(tmp_path, digits_study, "--port", port):
        expect(warning).to_be_empty()
    visitor.close()
    # The browser itself reports a connection that is refused; the page's own words are enough.
    assert all("net::ERR_" in line or "failed: " in line for line in visitor.heard.wrong)
    visitor.heard.wrong.clear()


def test_a_view_that_could_not_be_read_comes_by_itself_once_it_can(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits)
    page.route("**/data/study.json", lambda route: route.fulfill(status=503, body="503"))
    page.reload()
    expect(page.get_by_role("heading", name="This view cannot be shown")).to_be_visible()
    page.unroute("**/data/study.json")
    expect(page.locator("main h1")).to_have_text("digits")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    assert all("503" in line for line in visitor.heard.wrong)
    visitor.heard.wrong.clear()
