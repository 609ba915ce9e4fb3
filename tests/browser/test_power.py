"""Power says what so many seeds find, how often; and shows what it promises."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import studies
from tests.browser.conftest import Once, Serve
from tests.browser.pages import NARROW, Shown, Visitor, expect
from tests.store.foreign_files import FIDELITY, PLAIN, history, write

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
SLOT = "resnet50 → resnet18, Logit-KD"


def two_settings(folder: Path) -> Path:
    """Import runs of one pair and method with two settings."""
    source = folder / "theirs"
    for seed, plain in enumerate((0.90, 0.91, 0.905, 0.903)):
        same = {"seed": seed, "test_acc_final": plain}
        write(
            source,
            f"runs/final/baseline/resnet18/seed{seed}",
            **PLAIN | same,
            test_acc_best=plain,
            history=history(0.55 + seed / 10),
        )
        for alpha, gain in ((0.5, 0.003), (0.9, -0.004 + 0.001 * seed)):
            write(
                source,
                f"runs/final/resnet50_to_resnet18_logit/a{alpha}/seed{seed}",
                **same,
                alpha=alpha,
                test_acc_best=plain + gain,
                history=history(0.4 + seed / 10 + alpha / 100),
                fidelity=FIDELITY | {"student_test_acc": plain + gain},
            )
    return studies.imported(folder, source)


@pytest.fixture(scope="session")
def settings(once: Once, serve: Serve) -> Shown:
    """An import with two configurations of one slot."""
    return Shown("settings", serve(once("settings", two_settings)))


def sentence(page: "Page") -> str:
    """What the page says of the chosen comparison."""
    return page.locator("main .sentence").inner_text()


def test_each_setting_of_a_pair_and_method_is_named_and_shown(
    visitor: Visitor, settings: Shown
) -> None:
    page = visitor.open(settings, "power")
    links = page.get_by_role("main").get_by_role("table").get_by_role("link")
    assert links.all_inner_texts() == [f"{SLOT} (alpha {a}, temperature 4)" for a in (0.5, 0.9)]
    sentences = {sentence(page)}
    links.nth(1).click()
    field = page.get_by_role("combobox", name="of")
    expect(field.locator("option:checked")).to_have_text(f"{SLOT} (alpha 0.9, temperature 4)")
    assert len(sentences | {sentence(page)}) == 2
    # A link that names the slot alone leads to the first.
    page.goto(settings.at("power?of=gain:resnet50|resnet18|logit"))
    expect(field.locator("option:checked")).to_have_text(f"{SLOT} (alpha 0.5, temperature 4)")
    overview = visitor.open(settings)
    rows = overview.get_by_role("table", name=re.compile("^Gains")).get_by_role("row")
    expect(rows.nth(1)).to_contain_text("alpha 0.5")
    expect(rows.nth(2)).to_contain_text("alpha 0.9")


def test_the_sentence_names_its_target_and_seeds_that_can_be_chosen(
    visitor: Visitor, settings: Shown
) -> None:
    page = visitor.open(settings, "power")
    match = re.fullmatch(
        r"With 4 seeds a side, as now, a true difference of 0\.2 pp is found in about (\d+) of 100"
        r" studies\. 80 of 100 need (\d+) seeds a side, or a true difference of (\S+) pp\."
        r" Corrected for 2 gains\.",
        sentence(page),
    )
    assert match
    needed = match[2]
    page.get_by_role("combobox", name="seeds a side").select_option(needed)
    expect(page.locator("main .sentence")).to_contain_text(f"With {needed} seeds a side (now 4)")
    often = re.search(r"in about (\d+) of 100", sentence(page))
    assert often
    assert 80 <= int(often[1]) < 85
    page.goto(settings.at("power?n=200"))
    expect(page.get_by_role("main")).to_contain_text("the nearest to 200")


def test_an_unknown_comparison_is_not_another(visitor: Visitor, settings: Shown) -> None:
    page = visitor.open(settings, "power?of=claim:x")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such claim or comparison")


def test_the_last_seeds_of_the_axis_are_named(visitor: Visitor, settings: Shown) -> None:
    page = visitor.open(settings, "power")
    last = page.get_by_role("combobox", name="seeds a side").locator("option").last.inner_text()
    for figure in page.get_by_role("figure").all():
        expect(figure.locator("svg text", has_text=re.compile(f"^{last}$"))).to_have_count(1)


@pytest.mark.shared_data
def test_a_claim_of_no_difference_rules_something_out(visitor: Visitor, published: Shown) -> None:
    page = visitor.open(published, "power")
    field = page.get_by_role("combobox", name="of")
    field.select_option(label="Feature-KD is at least as good as Logit-KD, R34 → R18")
    expect(page.locator("main .sentence")).to_have_text(
        re.compile(
            r"^If there is truly no difference, a loss of 0\.2 pp is ruled out in about \d+ of 100"
            r" studies with 5 seeds a side, as now\. 80 of 100 need \d+ seeds a side, or a margin"
            r" of 0\.\d\d pp\."
        )
    )


def test_a_phone_has_room_for_what_it_is_about(visitor: Visitor, settings: Shown) -> None:
    page = visitor.open(settings, "power", width=NARROW)
    name = page.get_by_role("main").get_by_role("rowheader").first.bounding_box()
    assert name
    assert name["width"] > 140
