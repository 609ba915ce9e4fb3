"""The overview says what was measured and what to mind; verdicts are seen on screens and paper."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import NARROW, Shown, Visitor, drawn, expect, focused, narrow, redrawn

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
SHARE = "(bar) => bar.value / bar.max"


def hidden(table: "Locator") -> float:
    """How much of a table one has to scroll to, in pixels."""
    pixels: float = table.evaluate(
        "(table) => table.parentElement.scrollWidth - table.parentElement.clientWidth"
    )
    return pixels


def heads(table: "Locator") -> list[str]:
    """The columns that are seen."""
    return table.locator("thead th").filter(visible=True).all_inner_texts()


def gain_table(page: "Page") -> "Locator":
    """The table of every gain."""
    return page.get_by_role("main").get_by_role("table", name=re.compile("^Gains over plain"))


def test_it_says_what_was_measured_before_any_verdict(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    lead = page.locator("main .lead")
    expect(lead.locator(".headline")).to_contain_text("somewhere between")
    expect(lead).to_contain_text(re.compile(r"students \(parameters\)\s*2ch"))
    expect(lead).to_contain_text(re.compile(r"seeds\s*3 a method"))
    measured = page.locator("main section").first
    expect(measured).to_contain_text("test accuracy, best weights · 3 seeds · 2 pairs")
    expect(measured).to_contain_text("2 methods · smallest effect of interest 2")
    lead.get_by_role("button", name=re.compile(r"^\d things? to know before believing")).click()
    assert focused(page).startswith("h2 Before believing it")


def test_the_headline_shows_the_interval_of_its_claim(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "overview")
    claim = page.evaluate(
        "kdgap.study.analysis.contrasts.find(({name}) => name === kdgap.study.headline.claim)"
    )
    picture = page.locator(".headline svg")
    line, point = picture.locator("line").nth(1), picture.locator("circle")
    places = [line.get_attribute("x1"), point.get_attribute("cx"), line.get_attribute("x2")]
    low, value, high = (float(place or "nan") for place in places)
    assert 0 < low < value < high < 320
    zero = float(picture.locator("line").first.get_attribute("x1") or "nan")
    assert [low < zero, high < zero] == [end < 0 for end in claim["ci95_pp"]]
    settled = claim["outcome"] != "not established"
    assert point.get_attribute("fill") == ("var(--ink)" if settled else "var(--paper)")


def test_a_phone_shows_the_answer_and_the_view_that_is_open(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "overview")
    narrow(page, "overview")
    navigation = page.get_by_role("navigation").bounding_box()
    headline = page.locator(".headline svg").bounding_box()
    assert navigation is not None
    assert headline is not None
    assert navigation["height"] < 60, "one line of links"
    assert headline["y"] + headline["height"] < 740, "on the first screen"
    expect(page.locator(".lead dl")).to_be_hidden()
    page.get_by_text("What was trained").click()
    expect(page.locator(".lead dl")).to_be_visible()
    page.evaluate("location.hash = 'configuration'")
    drawn(page, "configuration")
    why = page.get_by_role("heading", name="Why, and what next").bounding_box()
    assert why is not None
    assert why["y"] + why["height"] < 740, "on the first screen"
    page.evaluate("location.hash = 'power'")
    drawn(page, "power")
    current = page.get_by_role("navigation").locator("[aria-current=page]")
    expect(current).to_have_text("Power")
    expect(current).to_be_in_viewport(ratio=0.9)


def test_a_term_is_explained_where_it_is_first_met(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    terms = page.locator("main dfn")
    words = [text.lower().removesuffix("s") for text in terms.all_text_contents()]
    assert {"gain", "baseline", "holm p"} & set(words)
    assert len(words) == len(set(words))
    assert all(terms.nth(n).get_attribute("title") for n in range(len(words)))
    assert page.locator("main :is(h1, h2, a, code, button, svg) dfn").count() == 0


def test_a_study_that_failed_in_part_leads_to_what_failed(visitor: Visitor, failing: Shown) -> None:
    page = visitor.open(failing)
    main = page.get_by_role("main")
    expect(main).not_to_contain_text("a study")  # what every study is called by default
    expect(main.get_by_role("link", name="What failed")).to_have_count(1)
    ablation = main.get_by_role("table", name=re.compile("changed setting")).get_by_role("row").last
    expect(ablation).to_contain_text("no result")
    expect(main).to_contain_text("5 of 7 runs done.")
    main.get_by_role("link", name="see Live").click()
    drawn(page, "live")
    assert page.get_by_role("progressbar").first.evaluate(SHARE) == pytest.approx(5 / 7)
    failures = main.get_by_role("table", name=re.compile("^Runs that failed"))
    failures.get_by_role("link").first.click()
    drawn(page, "run")
    why = main.locator("section").filter(has_text="Why it failed")
    expect(why).to_contain_text(re.compile(r"kdgap clean \S+ lists what failed.* tries it again"))


@pytest.mark.parametrize("width", [NARROW, 768])
def test_a_verdict_stands_beside_its_gain_in_a_narrow_window(
    visitor: Visitor, digits: Shown, failing: Shown, width: int
) -> None:
    for shown in (digits, failing):
        page = visitor.open(shown)
        with redrawn(page, "overview"):
            page.set_viewport_size({"width": width, "height": 740})
        tables = page.get_by_role("main").get_by_role("table").all()
        for table in tables[:2]:
            assert hidden(table) <= 0
            seen = heads(table)
            effect = next(n for n, head in enumerate(seen) if "(pp)" in head)
            assert seen[effect + 1] in ("verdict", "outcome")


def test_paper_has_every_column_dark_on_light(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, dark=True)
    closed = page.locator("details:not([open])").count()
    assert closed
    with redrawn(page, "overview"):
        page.set_viewport_size({"width": 718, "height": 1000})  # A4 with margins of 1 cm
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("details:not([open])")).to_have_count(0)
    table = gain_table(page)
    assert {"verdict", "tried", "p"} <= set(heads(table))
    box = table.bounding_box()
    assert box
    assert box["x"] + box["width"] <= 718
    colour = page.evaluate("getComputedStyle(document.querySelector('main td')).color")
    assert sum(map(int, re.findall(r"\d+", colour)[:3])) < 200
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    expect(page.locator("details:not([open])")).to_have_count(closed)


@pytest.mark.shared_data
def test_seeds_are_needed_only_where_seeds_are_an_answer(
    visitor: Visitor, published: Shown
) -> None:
    page = visitor.open(published, "claim?name=stem-r50")
    facts = page.locator("main dl")
    expect(facts).to_contain_text(re.compile(r"seeds for 80 % power at 0\.2 pp\s*–"))
    page = visitor.open(published)
    page.get_by_role(
        "link", name="ResNet-101 teaches ResNet-34 better than ResNet-50 does, Logit-KD"
    ).click()
    drawn(page, "claim")
    expect(facts_of(page)).to_contain_text(re.compile(r"21 a side, now 5"))


def facts_of(page: "Page") -> "Locator":
    """The numbers of a claim."""
    return page.locator("main dl").first


def test_back_leads_to_where_the_reader_was(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    main = page.get_by_role("main")
    named = gain_table(page).get_by_role("link").last
    named.scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => history.state?.scroll > 0 && history.state.scroll === scrollY")
    place = page.evaluate("scrollY")
    named.evaluate("(element) => element.click()")
    drawn(page, "configuration")
    expect(main.get_by_role("heading", level=1)).to_be_in_viewport()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.wait_for_function("(place) => scrollY === place", arg=place)
    drawn(page, "overview")


def test_a_view_that_takes_long_says_so(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    waiting = []
    page.route("**/data/power.json", lambda route: waiting.append(route))
    page.get_by_role("navigation").get_by_role("link", name="Power", exact=True).click()
    expect(page.locator("main")).to_have_attribute("aria-busy", "true")
    expect(page.locator("main")).to_have_text("Reading …")
    waiting.pop().continue_()
    drawn(page, "power")
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")


def test_selected_text_stays_while_nothing_changes(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('main td'))")
    text = page.evaluate("getSelection().toString()")
    assert text
    with redrawn(page, "overview"):
        page.evaluate("{ kdgap.documents.clear(); kdgap.draw({ keep: true }) }")
    assert page.evaluate("getSelection().toString()") == text


def test_a_run_leads_to_its_teacher_and_says_what_was_changed(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "runs?role=ablation&q=changed")
    page.get_by_role("main").get_by_role("rowheader").first.get_by_role("link").click()
    drawn(page, "run")
    main = page.get_by_role("main")
    expect(main).to_contain_text("short, after the change: recipe.epochs becomes 5")
    titles = main.get_by_role("heading", level=2).all_inner_texts()
    assert titles[:2] == ["Repeat it", "Training"]
    # Losses and gradients have no method's colour.
    for name in (*(f"method-{place}" for place in range(8)), "teacher"):
        expect(main.locator(f"figure [stroke='var(--{name})']")).to_have_count(0)
    main.get_by_role("link", name="teacher, plain training, seed 0").first.click()
    expect(main.get_by_role("heading", level=1)).to_contain_text("(teacher), seed 0")


def test_what_is_open_and_has_the_keyboard_is_known_whatever_it_is_called(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "run?n=3")
    details = page.locator("main details[data-key='epochs']")
    summary = details.locator("summary")
    summary.click()
    summary.focus()
    # As where an epoch more was trained: the old words are nowhere in what is drawn next.
    summary.evaluate("(head) => { head.textContent = 'Every epoch (9)' }")
    with redrawn(page, "run"):
        page.evaluate("{ kdgap.source = null; kdgap.draw({ keep: true }) }")
    expect(summary).to_have_text("Every epoch (10)")
    expect(summary).to_be_focused()
    expect(details).to_have_attribute("open", "")
    assert page.locator("main details[open]").count() == 1
