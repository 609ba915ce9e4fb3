"""Runs are grouped, their columns chosen, some compared; any column stands against any other."""

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import NARROW, Shown, Visitor, check_width, drawn, expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
LIVE_OR_COPY = pytest.mark.parametrize("shown", ["digits", "exported"], indirect=True)


def heads(page: "Page") -> list[str]:
    """The titles of the columns that are seen."""
    titles = page.locator("main thead th").filter(visible=True).all_inner_texts()
    return [title.replace("\n", " ").strip() for title in titles]


def saved(page: "Page", button: "Locator") -> list[dict[str, str]]:
    """The rows of the CSV that a button hands over."""
    with page.expect_download() as waiting:
        button.click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_head_of_the_runs_stays_while_they_scroll(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    box = page.locator(".scroll.tall")
    box.evaluate("(box) => box.scrollTo(0, 300)")
    assert box.evaluate("(box) => box.scrollTop") == 300
    head = page.locator("main thead th").first
    top = head.evaluate("(head) => head.getBoundingClientRect().top")
    assert top == pytest.approx(box.evaluate("(box) => box.getBoundingClientRect().top"), abs=2)
    # A view that is drawn again, as when the study changes, stays where it was.
    page.evaluate("kdgap.source = null; kdgap.draw({ keep: true })")
    page.wait_for_function("document.querySelector('.scroll.tall').scrollTop === 300")


@LIVE_OR_COPY
def test_columns_are_chosen_and_the_address_keeps_them(visitor: Visitor, shown: Shown) -> None:
    page = visitor.open(shown, "runs")
    before = heads(page)
    assert "epochs" in before
    assert "alpha" not in before
    page.locator("summary").filter(has_text="Columns").click()
    page.get_by_label("epochs", exact=True).uncheck()
    expect(page.locator("main thead th").filter(has_text="epochs")).to_have_count(0)
    field = page.get_by_label("alpha", exact=True)
    field.focus()
    page.keyboard.press("Space")
    expect(page.locator("main thead th").filter(has_text="alpha")).to_have_count(1)
    expect(page.get_by_label("alpha", exact=True)).to_be_focused()
    chosen = heads(page)
    assert [name for name in chosen if name != "alpha"] == [n for n in before if n != "epochs"]
    other = visitor.open(shown, page.url.partition("#")[2])
    assert heads(other) == chosen
    alphas = {row["set.alpha"] for row in saved(other, other.get_by_role("button", name="CSV"))}
    assert {"0.5", "0.9", "0.3", "0.7"} <= alphas
    page.go_back()
    expect(page.locator("main thead th").filter(has_text="alpha")).to_have_count(0)
    page.locator("summary").filter(has_text="Columns").click()
    page.get_by_role("button", name="As at first").click()
    expect(page.locator("main thead th").filter(has_text="epochs")).to_have_count(1)


def test_a_phone_shows_the_columns_that_were_asked_for(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs?columns=epochs validation", width=NARROW)
    assert heads(page) == ["pair", "validation", "epochs"]
    check_width(page)


@LIVE_OR_COPY
def test_grouped_runs_are_folded_counted_and_all_there(visitor: Visitor, shown: Shown) -> None:
    page = visitor.open(shown, "runs")
    every = page.locator("main tbody tr").count()
    page.locator("main select[data-key=group]").select_option("configuration")
    groups = page.locator("main tbody tr.group")
    expect(groups.first).to_be_visible()
    expect(page.locator("main tbody tr:not(.group)")).to_have_count(0)
    texts = groups.all_text_contents()
    assert sum(int(re.findall(r"(\d+) runs?\b", text)[-1]) for text in texts) == every
    # The accuracy of a configuration is that of its own page.
    arms = page.evaluate("kdgap.study.arms")
    (arm,) = (
        a for a in arms if (a["role"], a["student"], a["method"]) == ("final", "4ch", "logit")
    )
    name = re.compile(r"teacher → 4ch, Logit-KD.* · final")
    head = groups.filter(has_text=name)
    expect(head).to_contain_text(f"{arm['mean']:.2f} ± {arm['std']:.2f} % (n = 3)")
    button = head.get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("main tbody tr:not(.group)")).to_have_count(3)
    expect(head.get_by_role("button")).to_be_focused()
    expect(head.get_by_role("button")).to_have_attribute("aria-expanded", "true")
    other = visitor.open(shown, page.url.partition("#")[2])
    expect(other.locator("main tbody tr:not(.group)")).to_have_count(3)
    assert other.locator("main table").inner_text() == page.locator("main table").inner_text()
    assert len(saved(page, page.get_by_role("button", name="CSV"))) == every


@LIVE_OR_COPY
def test_chosen_runs_are_compared_and_back_keeps_the_choice(visitor: Visitor, shown: Shown) -> None:
    page = visitor.open(shown, "runs?role=final")
    boxes = page.get_by_role("checkbox", name=re.compile("^Choose .*seed"))
    for place in (0, 3):
        boxes.nth(place).check()
    expect(page.locator(".picked")).to_contain_text("2 runs chosen")
    address = page.url
    page.get_by_role("link", name="Compare curves and settings").click()
    drawn(page, "beside")
    table = page.get_by_role("table", name=re.compile("^The runs"))
    expect(table.get_by_role("columnheader")).to_have_text(["what", "run 1", "run 2", "differs"])
    curves = page.locator("figure[data-key='beside-val_acc']")
    expect(curves.locator(".legend li")).to_have_count(2)
    expect(page.get_by_role("table", name=re.compile("^Fields of the specs"))).to_be_visible()
    page.go_back()
    drawn(page, "runs")
    assert page.url == address
    again = page.get_by_role("checkbox", name=re.compile("^Choose .*seed"), checked=True)
    expect(again).to_have_count(2)
    page.get_by_role("button", name="Choose none").click()
    expect(again).to_have_count(0)
    expect(page.locator(".picked")).to_be_empty()


def test_what_differs_between_chosen_runs_is_bold_and_nothing_else(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "runs")
    runs = page.evaluate("kdgap.get('runs')")
    at = {name: place for place, name in enumerate(runs["columns"])}
    finals = [r for r in runs["rows"] if "final" in r[at["roles"]] and r[at["method"]] == "logit"]
    own = [row for row in finals if row[at["student"]] == "4ch"][:2]
    page = visitor.open(digits, f"beside?runs={own[0][0][:16]} {own[1][0][:16]}")
    rows = page.get_by_role("table", name=re.compile("^The runs")).locator("tbody tr")
    bold = [row.locator("th").inner_text() for row in rows.filter(has=page.locator("strong")).all()]
    assert bold == ["seed"]
    shown = [row.locator("td").all_inner_texts() for row in rows.all()]
    accuracy = [f"{100 * row[at['test_best']]:.2f}" for row in own]
    assert [*accuracy, "–"] in shown


def test_losses_of_unlike_runs_are_said_to_be_unlike(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    runs = page.evaluate("kdgap.get('runs')")
    at = {name: place for place, name in enumerate(runs["columns"])}
    of = {
        method: [
            row[0][:16] for row in runs["rows"] if row[at["method"]] == method and "4ch" in row
        ]
        for method in ("none", "logit")
    }
    words = re.compile("not one quantity")
    for chosen, times in ((of["none"][:2], 0), ([of["none"][0], of["logit"][0]], 1)):
        page = visitor.open(digits, f"beside?runs={' '.join(chosen)}")
        caption = page.locator("figure[data-key='beside-loss_total'] figcaption")
        expect(caption.filter(has_text=words)).to_have_count(times)


def test_no_more_runs_are_chosen_than_can_be_looked_at(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "runs")
    most = page.evaluate("MOST_BESIDE")
    boxes = page.get_by_role("checkbox", name=re.compile("^Choose .*seed"))
    for place in range(most):
        boxes.nth(place).check()
    boxes.nth(most).click()
    expect(boxes.nth(most)).not_to_be_checked()
    expect(page.locator(".picked")).to_contain_text(f"{most} runs chosen")


@pytest.mark.parametrize("runs", ["", "nothing", "nothing none"])
def test_runs_that_are_none_are_not_compared(visitor: Visitor, digits: Shown, runs: str) -> None:
    page = visitor.open(digits, f"beside?runs={runs}")
    expect(page.locator("main")).to_contain_text("Two runs or more are needed")


@LIVE_OR_COPY
def test_any_column_stands_against_any_and_the_address_keeps_it(
    visitor: Visitor, shown: Shown
) -> None:
    page = visitor.open(shown, "scatter?role=final")
    rows = page.evaluate("kdgap.get('runs')")
    at = {name: place for place, name in enumerate(rows["columns"])}
    finals = [row for row in rows["rows"] if "final" in row[at["roles"]]]
    expect(page.locator("main p[role=status]")).to_contain_text(f"{len(finals)} runs")
    page.locator("main select[data-key=x]").select_option("set.alpha")
    page.locator("main select[data-key=y]").select_option("agreement")
    page.locator("main select[data-key=colour]").select_option("student")
    figure = page.get_by_role("figure")
    expect(figure).to_contain_text("against alpha")
    own = saved(page, figure.get_by_role("button", name="CSV"))
    wanted = [100 * row[at["agreement"]] for row in finals]
    assert sorted(float(r["agreement_percent"]) for r in own) == pytest.approx(sorted(wanted))
    assert {row["student"] for row in own} == {"2ch", "4ch"}
    other = visitor.open(shown, page.url.partition("#")[2])
    assert other.locator("main").inner_text() == page.locator("main").inner_text()
    page.go_back()
    expect(page.locator("main select[data-key=colour]")).to_have_value("method")


def test_every_pair_of_columns_is_drawn(visitor: Visitor, digits: Shown) -> None:
    figures = 0
    for of in ("runs", "configurations"):
        page = visitor.open(digits, f"scatter?of={of}")
        names = page.locator("main select[data-key=x]").locator("option").all()
        keys = [str(option.get_attribute("value")) for option in names]
        assert len(keys) > 8
        for x, y in zip(keys, [*keys[1:], keys[0]], strict=True):
            place = f"scatter?of={of}&x={x}&y={y}&colour={y}"
            page.evaluate("(place) => { location.hash = place }", place)
            for key, chosen in (("x", x), ("y", y)):
                expect(page.locator(f"main select[data-key={key}]")).to_have_value(chosen)
            text = page.locator("main").inner_html()
            assert "NaN" not in text, (x, y)
            assert "undefined" not in text, (x, y)
            drawn_points = page.locator("main figure svg.plot").count()
            assert drawn_points == (0 if "None of" in text else 1), (x, y)
            figures += drawn_points
    assert figures > 20


def test_a_press_on_a_point_opens_it(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "scatter?of=configurations&x=gain&y=mean")
    box = page.locator("figure svg.plot path[fill-opacity]").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    drawn(page, "configuration")
    expect(page.locator("main select[data-key=role]")).to_have_value("final")
    page.go_back()
    drawn(page, "scatter")
    expect(page.locator("main select[data-key=x]")).to_have_value("gain")


def test_of_many_points_some_are_drawn_and_it_says_so(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "scatter")
    page.evaluate(
        """async () => {
          const runs = await kdgap.get("runs");
          runs.rows = d3.range(200).flatMap(() => runs.rows);
          return kdgap.draw();
        }"""
    )
    status = page.locator("main p[role=status]")
    expect(status).to_contain_text("Drawn is one in")
    count = int(status.inner_text().split()[0].replace(",", ""))
    step = -(-count // page.evaluate("MOST_POINTS"))
    expect(status).to_contain_text(f"Drawn is one in {step}.")
    assert page.locator("figure svg.plot path[fill-opacity]").count() == -(-count // step)
    assert page.locator("main tbody tr").count() == 100


def test_a_link_that_is_copied_is_the_address(visitor: Visitor, digits: Shown) -> None:
    for view in ("matrix?interval=all", "tuning?method=logit", "scatter?x=seed", "runs?group=role"):
        page = visitor.open(digits, view)
        page.get_by_role("main").get_by_role("button", name="Copy link").click()
        expect(page.get_by_role("main").get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == page.url
