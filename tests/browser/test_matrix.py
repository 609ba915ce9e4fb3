"""Configurations at a glance, and grids beside the noise of seeds."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kdgap.judge.grids import Grid
from kdgap.judge.words import grid_sentence
from kdgap.numbers import signed
from tests.browser import studies
from tests.browser.conftest import Serve
from tests.browser.pages import NARROW, Shown, Visitor, check_width, drawn, expect, narrow, redrawn
from tests.browser.test_saving import PICTURE, SVG, pdf_text, saved
from tests.store.foreign_files import PLAIN, history, write

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

STEPS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def against_logit(
    digits_study: Path, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Shown:
    """The digits, judged with Logit-KD as a reference."""
    file = tmp_path_factory.mktemp("claims") / "claims.yaml"
    statistics = studies.DIGITS["statistics"] | {"reference": "logit"}
    file.write_text(json.dumps({"claims": studies.DIGITS["claims"], "statistics": statistics}))
    return Shown("against-logit", serve(digits_study, "--claims", file), run=3)


def tints(page: "Page") -> list[tuple[str, str]]:
    """The classes and words of the gains in the matrix."""
    return [
        (str(chip.get_attribute("class")), str(chip.text_content()))
        for chip in page.locator(".matrix tbody .tint").all()
    ]


def test_a_recipe_of_an_import_is_a_row_of_its_own(
    visitor: Visitor, serve: Serve, tmp_path: Path
) -> None:
    for epochs, level in ((3, 0.5), (4, 0.8)):
        for number, kind in enumerate(("plain", "logit")):
            for seed in range(3):
                accuracy = level + 0.01 * seed + 0.025 * number
                write(
                    tmp_path / "theirs",
                    f"runs/final/{kind}{epochs}/seed{seed}",
                    **({} if number else PLAIN),
                    seed=seed,
                    epochs=epochs,
                    test_acc_best=accuracy,
                    history=[*history(accuracy - 0.1), {"epoch": 4, "val_acc": 0.1}][:epochs],
                )
    source = studies.imported(tmp_path, tmp_path / "theirs")
    page = visitor.open(Shown("recipes", serve(source), run=0), "matrix")
    rows = page.locator(".matrix tbody tr").all()
    cells = [[str(cell.text_content()) for cell in row.locator("th, td").all()] for row in rows]
    assert sorted((pair, level) for pair, level, *_ in cells) == [
        ("resnet50 → resnet18, 3 epochs", "51.00 ± 1.00"),
        ("resnet50 → resnet18, 4 epochs", "81.00 ± 1.00"),
    ]


@pytest.mark.parametrize(("width", "together"), [(2560, True), (1000, False), (NARROW, False)])
def test_matrix_and_list_stand_side_by_side_on_a_wide_screen(
    visitor: Visitor, digits: Shown, width: int, together: bool
) -> None:
    page = visitor.open(digits, "matrix")
    with redrawn(page, "matrix"):
        page.set_viewport_size({"width": width, "height": 900})
    boxes = [part.bounding_box() for part in page.locator(".roomy > section").all()]
    matrix, configurations = (box for box in boxes if box)
    assert (matrix["y"] == configurations["y"]) == together
    check_width(page)


@pytest.mark.parametrize("margin", [None, 0.1, 0.7])
def test_a_gain_is_coloured_by_its_size_and_filled_where_it_is_settled(
    visitor: Visitor, digits: Shown, margin: float | None
) -> None:
    page = visitor.open(digits, "matrix")
    if margin is not None:  # another smallest effect spreads the same gains over other colours
        page.evaluate(
            "(margin) => { kdgap.study.analysis.settings.smallest_effect_pp = margin;"
            " return kdgap.draw(); }",
            margin,
        )
    analysis = page.evaluate("kdgap.study.analysis")
    unit = analysis["settings"]["smallest_effect_pp"]
    by_words = {re.sub(r".* pp, ", "", words): classes for classes, words in tints(page)}
    assert len(by_words) == len(analysis["gains"]) == 4
    for gain in analysis["gains"]:
        (classes,) = (
            own.split()
            for words, own in by_words.items()
            if f"{gain['teacher']} → {gain['student']}, {gain['label']}" in words
        )
        step = sum(abs(gain["gain_pp"]) >= unit * multiple for multiple in STEPS)
        sign = "more" if gain["gain_pp"] > 0 else "less"
        assert ("level" if step == 0 else f"{sign}-{step}") in classes
        alone = any(flag["code"] == "equivalence-uncorrected" for flag in gain["flags"])
        assert ("open" in classes) == (gain["verdict"] == "inconclusive" or alone)


def test_a_gain_leads_to_its_configuration_and_back_returns(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "matrix")
    chip = page.locator(".matrix").get_by_role("link", name=re.compile("2ch, Logit-KD"))
    chip.focus()
    page.keyboard.press("Enter")
    drawn(page, "configuration")
    expect(page.get_by_role("heading", level=1)).to_have_text("teacher → 2ch, Logit-KD")
    expect(page.locator("main select[data-key=role]")).to_have_value("final")
    page.go_back()
    drawn(page, "matrix")


def test_the_interval_of_all_at_once_is_in_the_address(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "matrix")
    single = [words for _, words in tints(page)]
    page.locator("main select[data-key=interval]").select_option("all")
    expect(page.locator(".matrix tbody .tint").first).not_to_have_text(single[0])
    gains = page.evaluate("kdgap.study.analysis.gains")
    wide = [words for _, words in tints(page)]
    halves = [float(re.sub(r".*± ([\d.]+) .*", r"\1", words)) for words in wide]
    low_high = [gain["ci95_simultaneous_pp"] for gain in gains]
    assert sorted(halves) == pytest.approx(sorted((b - a) / 2 for a, b in low_high), abs=0.006)
    other = visitor.open(digits, page.url.partition("#")[2])
    assert [words for _, words in tints(other)] == wide
    page.go_back()
    expect(page.locator(".matrix tbody .tint").first).to_have_text(single[0])


def test_a_phone_has_the_gains_below_one_another(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "matrix", width=NARROW)
    table = page.locator(".matrix .scroll")
    assert table.evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
    chips = page.locator(".matrix tbody .tint")
    expect(chips).to_have_count(4)
    expect(chips.first).to_contain_text("Logit-KD")


def test_the_matrix_shows_gains_over_the_reference(
    visitor: Visitor, against_logit: Shown, digits: Shown
) -> None:
    page = visitor.open(against_logit, "matrix")
    expect(page.locator(".matrix tbody .tint")).to_have_count(4)
    page.locator("main select[data-key=over]").select_option("reference")
    table = page.get_by_role("table", name=re.compile(r"^Gains over Logit-KD \(pp\)"))
    expect(table).to_be_visible()
    entries = page.evaluate("kdgap.study.analysis.reference_gains")
    assert {entry["method"] for entry in entries} == {"feature"}
    unit = page.evaluate("kdgap.study.analysis.settings.smallest_effect_pp")
    shown = tints(page)
    for entry in entries:
        (chip,) = ((look.split(), words) for look, words in shown if entry["student"] in words)
        half = (entry["ci95_pp"][1] - entry["ci95_pp"][0]) / 2
        assert f"{signed(entry['gain_pp'])} ± {half:.2f}" in chip[1]
        step = sum(abs(entry["gain_pp"]) >= unit * multiple for multiple in STEPS)
        sign = "more" if entry["gain_pp"] > 0 else "less"
        assert ("level" if step == 0 else f"{sign}-{step}") in chip[0]
        alone = any(flag["code"] == "equivalence-uncorrected" for flag in entry["flags"])
        assert ("open" in chip[0]) == (entry["verdict"] == "inconclusive" or alone)
        row = table.get_by_role("row").filter(has_text=f"→ {entry['student']}")
        level = f"{entry['reference_mean_pp']:.2f} ± {entry['reference_std_pp']:.2f}"
        reference = row.get_by_role("link", name=re.compile(f"^{re.escape(level)}, Logit-KD of"))
        assert "method=logit" in str(reference.get_attribute("href"))
    assert len(shown) == len(entries) == 2
    again = visitor.open(against_logit, page.url.partition("#")[2])
    assert tints(again) == shown
    page.go_back()
    expect(page.locator(".matrix tbody .tint")).to_have_count(4)
    # Without a reference there is nothing to choose, whatever an address says.
    page = visitor.open(digits, "matrix?over=reference")
    expect(page.get_by_role("table", name=re.compile("^Gains over plain"))).to_be_visible()
    expect(page.locator("main select[data-key=over]")).to_have_count(0)


@pytest.mark.parametrize("place", ["matrix", "matrix?over=reference&interval=all"])
def test_the_matrix_is_saved_with_all_that_it_says(
    visitor: Visitor, against_logit: Shown, place: str
) -> None:
    page = visitor.open(against_logit, place)
    analysis = page.evaluate("kdgap.study.analysis")
    over = "reference" in place
    gains = analysis["reference_gains" if over else "gains"]
    name, label = ("matrix-over-reference", "Logit-KD") if over else ("matrix", "plain training")
    expected = [f"Gains over {label} (pp)", page.evaluate("originWords()"), "not settled"]
    expected += ["hold for all" if over else "of each gain by itself"]
    for gain in gains:
        low, high = gain["ci95_simultaneous_pp" if over else "ci95_pp"]
        expected.append(f"{signed(gain['gain_pp'])} ± {(high - low) / 2:.2f}")
        expected.append(f"n = {gain['n']}, {gain['n_reference' if over else 'n_baseline']}")
        expected += [gain["verdict"], gain["student"]]
    # The table's second order is the picture's, too.
    page.locator(".matrix thead [data-key=pair]").click()
    page.locator(".matrix thead [data-key=pair]").click()
    svg = ET.fromstring(saved(page, name, "svg", ".table"))
    texts = ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]
    assert [part for part in expected if part not in " ".join(texts)] == []
    pairs = page.locator(".matrix tbody th").all_inner_texts()
    assert pairs == sorted(pairs, reverse=True)
    assert [text for text in texts if text in pairs] == pairs
    # As many colours as the scale has steps, for the legend, and those of the gains are among them.
    root = page.evaluate(
        "['--more', '--less'].map((name) =>"
        " getComputedStyle(document.documentElement).getPropertyValue(name).trim())"
    )
    strengths = [
        float(rect.attrib["fill-opacity"])
        for rect in svg.iter(f"{SVG}rect")
        if rect.attrib["fill"] in root and "fill-opacity" in rect.attrib
    ]
    assert {0.22, 0.34, 0.47, 0.6} <= set(strengths)
    pdf = saved(page, name, "pdf", ".table")
    assert not PICTURE.search(pdf)
    assert [part for part in expected if part not in pdf_text(pdf)] == []
    assert saved(page, name, "png", ".table").startswith(b"\x89PNG")


@pytest.mark.parametrize("role", ["", "selection"])
def test_every_configuration_is_listed_and_opens(
    visitor: Visitor, digits: Shown, role: str
) -> None:
    page = visitor.open(digits, f"matrix?role={role}")
    arms = [arm for arm in page.evaluate("kdgap.study.arms") if role in ("", arm["role"])]
    rows = page.get_by_role("table", name=re.compile("^Configurations, small")).locator("tbody tr")
    expect(rows).to_have_count(len(arms))
    rows.last.get_by_role("link").click()
    drawn(page, "configuration")
    number = len(arms) - 1
    expect(page.locator("main select[data-key=student]")).to_have_value(arms[number]["student"])
    expect(page.locator("main select[data-key=role]")).to_have_value(arms[number]["role"])


def test_ties_of_a_grid_are_marked_in_its_cells(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "tuning?method=logit")
    selection, grids = page.evaluate("[kdgap.study.analysis.selection, kdgap.study.grids]")
    assert len(selection) == len(grids) == 4
    shown = 0
    for place, (tuning, grid) in enumerate(zip(selection, grids, strict=True)):
        if tuning["method"] != "logit":
            continue
        shown += 1
        figure = page.locator(f"figure[data-key='grid-{place}']")
        texts = figure.locator("svg.plot text").all_text_contents()
        for candidate, cell in zip(tuning["candidates"], grid["cells"], strict=True):
            mark = f"−{cell['behind_pp']:.2f}"
            mark = f"≈ {mark}" if cell["may_be_best"] else mark
            assert ("best" if cell["behind_pp"] == 0 else mark) in texts
            assert f"{100 * candidate['score']:.2f}" in texts
        expect(figure).to_contain_text(f"{grid['noise_pp']:.2f} pp")
        expect(figure).to_contain_text(grid["sentence"])
        # The strength of a colour is the distance in standard errors, and of none at four.
        strengths = [
            float(rect.get_attribute("fill-opacity") or 0)
            for rect in figure.locator("svg.plot rect[fill-opacity]").all()
        ]
        wanted = [0.04 + 0.56 * max(0, 1 - cell["behind_se"] / 4) for cell in grid["cells"]]
        assert sorted(strengths) == pytest.approx(sorted(wanted), abs=1e-6)
    assert shown == 2


def test_without_noise_no_tie_is_drawn(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "tuning?method=logit")
    unknown = Grid(noise_pp=None, df=0, source=None, confidence=0.95, cells=())
    page.evaluate(
        """(sentence) => {
          for (const grid of kdgap.study.grids) {
            grid.sentence = sentence;
            for (const cell of grid.cells) { cell.behind_se = null; cell.may_be_best = null; }
          }
          return kdgap.draw();
        }""",
        grid_sentence(unknown),
    )
    figure = page.locator("figure[data-key^='grid-']").first
    expect(figure).to_contain_text("No noise of seeds is known")
    assert not any("≈" in text for text in figure.locator("text").all_text_contents())


def test_lines_over_hyper_parameters_are_narrowed_and_the_address_keeps_it(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "tuning?method=logit")
    figure = page.locator("figure[data-key='parallel']")
    strong = figure.locator("path[stroke-width='1.6'], path[stroke-width='3.5']")
    expect(strong).to_have_count(4)  # two values of alpha for each of two students
    page.locator("main select[data-key='at.alpha']").select_option("0.9")
    expect(strong).to_have_count(2)
    assert "at.alpha=0.9" in page.url
    other = visitor.open(digits, page.url.partition("#")[2])
    again = other.locator("figure[data-key='parallel']")
    expect(again.locator("path[stroke-width='1.6'], path[stroke-width='3.5']")).to_have_count(2)
    page.go_back()
    expect(strong).to_have_count(4)


def test_three_hyper_parameters_are_drawn_as_lines(visitor: Visitor, digits: Shown) -> None:
    page = visitor.open(digits, "tuning")
    count = page.evaluate(
        """() => {
          const [tuning] = kdgap.study.analysis.selection;
          const cell = { behind_pp: 0, behind_se: 0, may_be_best: true };
          const rows = [1, 2].flatMap((a) => [1, 2].flatMap((b) => [1, 2].map((c) => ({
            ...cell, parameters: { a, b, c }, score: 0.9 + 0.01 * a, chosen: false, tuning,
          }))));
          const drawn = gridFigure(kdgap.study, tuning, rows, { name: "three", title: "Three" });
          document.querySelector("main").append(drawn);
          return drawn.querySelectorAll("path[stroke-width='1.6']").length;
        }"""
    )
    assert count == 8
    figure = page.locator("figure[data-key='three']")
    for name in ("a", "b", "c", "accuracy (%)"):
        expect(
            figure.locator("text").filter(has_text=re.compile(f"^{re.escape(name)}$"))
        ).to_have_count(1)
    narrow(page, "tuning")
    check_width(page)
