"""Opening the page in Chromium, hearing what it says and asks for, and looking at it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, expect
else:  # who has no Playwright skips the tests that import this
    expect = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'"
    ).expect

__all__ = ["expect"]

NAVIGATION = {
    "overview": "Overview",
    "which": "Which method?",
    "matrix": "Configurations",
    "predictions": "Predictions",
    "compare": "Compare",
    "tuning": "Tuning",
    "runs": "Runs",
    "scatter": "Scatter",
    "capacity": "Capacity",
    "live": "Live",
    "power": "Power",
}
VIEWS = (*NAVIGATION, "configuration", "beside", "run", "claim")
WIDE, NARROW = 1300, 360
PATIENCE = 60_000
"""How long something may take, in ms: many times what it does, as on a machine full of others."""
HEIGHTS = {WIDE: 900, NARROW: 740}


@dataclass(frozen=True)
class Shown:
    """A study as a page.

    Attributes:
        name: of its screenshots.
        address: where the page is, without a hash.
        run: number of the run that the view of one run shows.
    """

    name: str
    address: str
    run: int = 0

    def at(self, place: str) -> str:
        """Return the address of a view; a name alone shows what that view shows first."""
        first = {
            "run": f"run?n={self.run}",
            "claim": "claim?n=0",
            "beside": f"beside?n={self.run}+{self.run + 1}",
        }
        return f"{self.address}#{first.get(place, place)}"

    @property
    def root(self) -> str:
        """What every address that the page may ask for begins with."""
        return self.address.removesuffix("index.html")


@dataclass
class Heard:
    """What pages said and asked for, and what of it they should not have."""

    roots: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def listen(self, context: "BrowserContext") -> None:
        """Hear everything from now on."""

        def console(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.wrong.append(f"console {message.type}: {message.text}")

        def request(asked: Any) -> None:
            # What a page makes itself, such as a download, is no request to anybody.
            if not asked.url.startswith((*self.roots, "data:", "blob:")):
                self.wrong.append(f"request to {asked.url}")

        def failed(asked: Any) -> None:
            # A page that is left, or read again, takes back what it had asked for.
            if asked.failure != "net::ERR_ABORTED":
                self.wrong.append(f"failed: {asked.url}")

        def page(opened: "Page") -> None:
            opened.on("websocket", lambda socket: self.wrong.append(f"socket to {socket.url}"))

        def dialog(shown: Any) -> None:
            self.wrong.append(f"dialog: {shown.message}")
            shown.dismiss()

        context.on("console", console)
        context.on("weberror", lambda error: self.wrong.append(f"error: {error.error}"))
        context.on("request", request)
        context.on("requestfailed", failed)
        context.on("dialog", dialog)
        context.on("page", page)


@dataclass
class Visitor:
    """Opens pages in contexts of their own, as different people would."""

    browser: "Browser"
    heard: Heard = field(default_factory=Heard)
    contexts: "list[BrowserContext]" = field(default_factory=list)

    def open(
        self,
        shown: Shown,
        place: str = "overview",
        *,
        width: int = WIDE,
        dark: bool = False,
        bypass_csp: bool = False,
    ) -> "Page":
        """Open a view in a fresh browser and wait until it is drawn.

        Args:
            shown: the study.
            place: a view, with a state of the address if wanted.
            width: of the window, in pixels.
            dark: what the reader prefers.
            bypass_csp: for axe, which the page's own policy would not let in.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": HEIGHTS[width]},
            color_scheme="dark" if dark else "light",
            bypass_csp=bypass_csp,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        self.heard.roots.add(shown.root)
        self.heard.listen(context)
        page = context.new_page()
        page.goto(shown.at(place))
        drawn(page, place.partition("?")[0])
        return page

    def close(self) -> None:
        """Close every page."""
        while self.contexts:
            self.contexts.pop().close()


def drawn(page: "Page", view: str) -> None:
    """Wait until a view is drawn; one that could not be is an error."""
    page.locator(f"main[data-ready='{view}']").wait_for()
    expect(page.locator("main").get_by_role("heading").first).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def unfold(page: "Page") -> None:
    """Open everything that is folded away; a view that is drawn again leaves it open."""
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")


@contextmanager
def redrawn(page: "Page", view: str) -> Iterator[None]:
    """Wait until a view is drawn once more after what is done within."""
    page.evaluate("delete document.getElementById('main').dataset.ready")
    yield
    drawn(page, view)


def narrow(page: "Page", view: str) -> None:
    """Make a window as narrow as a phone, and wait until its view is drawn for that."""
    with redrawn(page, view):
        page.set_viewport_size({"width": NARROW, "height": HEIGHTS[NARROW]})


def check_width(page: "Page") -> None:
    """A page may be long; to the side, only tables and code scroll, within themselves."""
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], f"{widths[0]} px of content in a window of {widths[1]} px"


def shoot(page: "Page", *words: object) -> None:
    """Wait until the page is painted, and keep a picture of all of it where that is asked for."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    if place := os.environ.get("KDGAP_SCREENSHOTS"):
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{'-'.join(map(str, words))}.png", full_page=True)


def focused(page: "Page") -> str:
    """Return what the keyboard is on: its tag, id or words."""
    text = page.evaluate(
        "(({ localName, id, textContent }) => `${localName} ${id || textContent}`)"
        "(document.activeElement)"
    )
    return re.sub(r"\s+", " ", str(text)).strip()


def column(page: "Page", title: str) -> list[str]:
    """Return the cells of a column of the first table."""
    cells: list[str] = page.locator("main table").first.evaluate(
        """(table, title) => {
          const heads = [...table.querySelectorAll("thead th")];
          const place = heads.findIndex((head) => head.textContent.trim().startsWith(title));
          return [...table.querySelectorAll("tbody tr")].map((row) => row.cells[place].textContent);
        }""",
        title,
    )
    return cells
