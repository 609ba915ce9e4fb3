"""Everything can be done with the keyboard, and nothing holds it."""

import re

import pytest

from tests.browser.pages import (
    NAVIGATION,
    VIEWS,
    Shown,
    Visitor,
    drawn,
    expect,
    focused,
)

pytestmark = pytest.mark.browser


def test_tab_reaches_the_skip_button_and_the_navigation(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    stops = []
    for _ in range(1 + len(NAVIGATION)):
        page.keyboard.press("Tab")
        stops.append(focused(page))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", stops  # one sees where the keyboard is
    assert stops == ["button skip", *(f"a {name}" for name in NAVIGATION.values())]


def test_the_skip_button_is_seen_when_it_has_the_keyboard_and_leads_to_the_content(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits)
    button = page.get_by_role("button", name=re.compile("skip", re.IGNORECASE))
    expect(button).not_to_be_in_viewport()
    page.keyboard.press("Tab")
    expect(button).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert focused(page).startswith("main")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_link_changes_the_view_and_the_keyboard_goes_with_it(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits)
    for view, name in reversed(NAVIGATION.items()):
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).focus()
        page.keyboard.press("Enter")
        drawn(page, view)
        assert focused(page).startswith("main")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_table_is_sorted_by_keyboard(visitor: Visitor, digits: Shown, key: str) -> None:
    page = visitor.open(digits, "runs")
    head = page.get_by_role("columnheader", name=re.compile("^seed"))
    head.get_by_role("button").focus()
    for order in ("ascending", "descending", "ascending"):
        page.keyboard.press(key)
        expect(head).to_have_attribute("aria-sort", order)
        expect(head.get_by_role("button")).to_be_focused()


def test_a_choice_is_made_by_keyboard_and_kept(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    field = page.get_by_role("main").get_by_role("combobox").first
    field.focus()
    page.keyboard.press("ArrowDown")
    expect(field).not_to_have_value("")
    assert "?" in page.url


def test_words_can_be_typed_without_losing_the_field(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    page.get_by_role("searchbox").focus()
    page.keyboard.type("logit")
    page.wait_for_function("() => location.hash.includes('logit')")
    page.keyboard.type(" seed", delay=5)
    page.wait_for_function("() => location.hash.includes('seed')")
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page.get_by_role("searchbox")).to_have_value("logit seed")


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_holds_the_keyboard(visitor: Visitor, digits: Shown, view: str) -> None:
    page = visitor.open(digits, view)
    stops = page.locator("a, button, input, select, summary, [tabindex='0']").count()
    page.evaluate(
        "window.places = [];"
        "document.addEventListener('focusin', ({ target }) => window.places.push(target.id))"
    )
    for key in ("Tab", "Shift+Tab"):
        page.locator("#skip").focus()
        page.evaluate("window.places = []")
        places: list[str] = []
        for pressed in range(stops + 20):
            page.keyboard.press(key)
            # Looked at now and then only: each look takes as long as a press.
            if pressed % 10 == 9 or pressed == stops + 19:
                places = page.evaluate("window.places")
                if "skip" in places:
                    break
        assert "skip" in places, f"{key} never comes round: {places[-3:]}"
        assert places.index("skip") >= len(NAVIGATION)
