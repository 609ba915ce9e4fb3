"""Every view of every kind of study is drawn in silence, at any width, in light and in dark."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import (
    NARROW,
    NAVIGATION,
    VIEWS,
    WIDE,
    Shown,
    Visitor,
    check_width,
    drawn,
    expect,
    narrow,
    redrawn,
    shoot,
    unfold,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
STUDIES = [
    "digits",
    pytest.param("published", marks=pytest.mark.shared_data),
    *("empty", "failing", "exported"),
]
every_study = pytest.mark.parametrize("shown", STUDIES, indirect=True)


@every_study
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_drawn(visitor: Visitor, shown: Shown, view: str) -> None:
    page = visitor.open(shown, view)
    unfold(page)
    check_width(page)
    look(page, shown, view, WIDE)
    narrow(page, view)
    check_width(page)
    if shown.name in ("digits", "published"):
        look(page, shown, view, NARROW)


def look(page: "Page", shown: Shown, view: str, width: int) -> None:
    """Keep pictures: of a study with results also as a reader sees it who prefers dark pages."""
    shoot(page, shown.name, view, width, "light")
    if shown.name in ("digits", "published"):
        page.emulate_media(color_scheme="dark")
        shoot(page, shown.name, view, width, "dark")
        page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("view", ["overview", "runs"])
def test_a_view_that_begins_narrow_is_drawn(visitor: Visitor, digits: Shown, view: str) -> None:
    check_width(visitor.open(digits, view, width=NARROW))


@every_study
def test_the_navigation_reaches_every_view(visitor: Visitor, shown: Shown) -> None:
    page = visitor.open(shown)
    links = page.get_by_role("navigation").get_by_role("link")
    expect(links).to_have_text(list(NAVIGATION.values()))
    for view, name in NAVIGATION.items():
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        drawn(page, view)
        assert page.url.partition("#")[2].partition("?")[0] == view
        current = page.get_by_role("navigation").locator("[aria-current=page]")
        expect(current).to_have_text(name)
    page.go_back()
    drawn(page, list(NAVIGATION)[-2])


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_sticks_out_between_narrow_and_wide(
    visitor: Visitor, digits: Shown, view: str
) -> None:
    page = visitor.open(digits, view)
    for width in (480, 700, 1024, 2200):
        with redrawn(page, view):
            page.set_viewport_size({"width": width, "height": 800})
        check_width(page)


@pytest.mark.parametrize(("dark", "paper"), [(False, "light"), (True, "dark")])
def test_the_page_is_as_light_as_the_reader_likes(
    visitor: Visitor, digits: Shown, dark: bool, paper: str
) -> None:
    page = visitor.open(digits, dark=dark)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in colour.strip("rgba()").split(",")[:3]) / (3 * 255)
    assert (brightness > 0.9, brightness < 0.2) == (paper == "light", paper == "dark")


@pytest.mark.parametrize(
    ("act", "event"),
    [
        ("console.warn('spoke')", "console"),
        ("setTimeout(() => { throw new Error('broke') })", "weberror"),
        ("setTimeout(() => alert('asked'))", "dialog"),
        ("fetch('http://127.0.0.1:9/').catch(() => null)", "request"),
        ("fetch('data/nothing.json').catch(() => null)", "console"),
    ],
)
def test_what_a_page_should_not_do_is_heard(
    visitor: Visitor, digits: Shown, act: str, event: str
) -> None:
    page = visitor.open(digits, bypass_csp=True)
    assert not visitor.heard.wrong
    with visitor.contexts[-1].expect_event(event):
        page.evaluate(act)
    assert visitor.heard.wrong
    visitor.heard.wrong.clear()
    visitor.close()
    visitor.heard.wrong.clear()


def test_the_policy_lets_no_request_out(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'out', () => 'refused')") == (
        "refused"
    )
    assert "Content Security Policy" in visitor.heard.wrong[0]
    visitor.close()
    visitor.heard.wrong.clear()
