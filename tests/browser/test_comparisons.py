"""Seeds, teachers, ablations and comparisons are shown as they are judged."""

import csv
import io
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from kdgap.files import remove_tree
from kdgap.report.figures.style import looks
from kdgap.spec.identity import configuration_id, run_id, slot_name
from kdgap.spec.method_card import read_cards
from kdgap.spec.run import RunSpec
from kdgap.store.study import StudyDirectory
from tests.browser.conftest import Serve
from tests.browser.pages import Shown, Visitor, check_width, expect, narrow, unfold
from tests.judge.test_study_evidence import study
from tests.store import small

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser


@dataclass
class Planned:
    """A study whose plan a test writes on; `add` plans a run and finishes it."""

    path: Path
    plan: dict[str, Any] = field(default_factory=dict)
    specs: dict[str, RunSpec] = field(default_factory=dict)

    def add(self, role: str, seed: int, accuracy: float | None, **more: Any) -> str:
        """Add a run, without an accuracy one that was not begun; return its id."""
        known = {"taught_by": None, "method": "none", "lr": 0.1} | more
        run = small.spec(role, seed, known["taught_by"], known["lr"])
        identifier = run_id(run)
        self.specs[identifier] = run
        path = f"runs/{slot_name(run)}/{seed}-{identifier[:8]}"
        if accuracy is not None:
            small.finished(self.path / path, run, accuracy)
        slot: dict[str, Any] = {
            "role": role,
            "teacher": None if known["method"] == "none" else "big",
            "student": "big" if role == "teacher" else "little",
            "method": known["method"],
            **{name: more[name] for name in ("ablation", "arm") if name in more},
        }
        self.plan["runs"].append(
            {
                "id": identifier,
                "path": path,
                "cell": configuration_id(run, self.specs.get(known["taught_by"])),
                "seed": seed,
                "teacher": known["taught_by"],
                "roles": [role],
                "slots": [slot],
                "parameters": {"alpha": 0.5} if slot["teacher"] else {},
            }
        )
        return identifier

    def write(self) -> Path:
        """Write the plan; return the study's directory."""
        StudyDirectory(self.path).write("plan.json", self.plan)
        return self.path


def planned(folder: Path, **statistics: Any) -> Planned:
    """A study of which no run is planned yet."""
    (folder / "study").mkdir()
    directory = study(folder / "study", [0.9], [], **statistics)
    plan = directory.plan()
    for run in plan["runs"]:
        remove_tree(directory.path / run["path"])
    plan["runs"], plan["study"]["claims"] = [], []
    plan["study"]["finals"]["seeds"] = [0, 1, 2, 10, 11]
    plan["study"]["teachers"]["seeds"] = [0, 7, 8]
    return Planned(directory.path, plan)


@pytest.fixture
def taught_by_two(tmp_path: Path, serve: Serve) -> Shown:
    """A student of two teachers, of which one lacks a seed; plain students; an ablation."""
    planned_study = planned(tmp_path)
    teachers = [planned_study.add("teacher", seed, 0.95) for seed in (7, 8)]
    for seed, accuracy in enumerate((0.90, 0.91, 0.92)):
        planned_study.add("baseline", seed, accuracy)
    for teacher, values in zip(teachers, ((0.90, 0.91, 0.93), (0.94, None, 0.95)), strict=True):
        for seed, value in enumerate(values):
            planned_study.add("final", seed, value, method="logit", taught_by=teacher)
    for side, lr, known in (("base", 0.05, 0.90), ("changed", 1000, None)):
        for seed, value in enumerate((known, known)):
            planned_study.add(
                *("ablation", seed, value),
                method="logit",
                ablation="hot",
                arm=side,
                taught_by=teachers[0],
                lr=lr,
            )
    hot = {"of": {"student": "little"}, "change": {"recipe.lr": 1000}, "seeds": [0, 1]}
    planned_study.plan["study"]["ablations"] = {"hot": hot}
    return Shown("taught-by-two", serve(planned_study.write()))


def table_of(page: "Page", caption: str) -> "Locator":
    """The table of a caption, with its tools."""
    return page.locator("main div.table").filter(has_text=caption)


def cells(table: "Locator") -> list[list[str]]:
    """The rows of a table's body."""
    return [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]


def saved(page: "Page", inside: "Locator") -> tuple[str, list[dict[str, str]]]:
    """The name and the rows of a CSV."""
    with page.expect_download() as waiting:
        inside.get_by_role("button", name="CSV", exact=True).click()
    page.wait_for_timeout(120)  # Chromium drops whatever is more than ten downloads a second
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    return waiting.value.suggested_filename, list(csv.DictReader(io.StringIO(text)))


def test_compared_seeds_are_means_over_teachers(visitor: Visitor, taught_by_two: Shown) -> None:
    page = visitor.open(taught_by_two, "compare")
    table = table_of(page, "Test accuracy by seed")
    expected = [
        ["0", "92.00", "90.00", "+2.00"],
        ["1", "–", "91.00", "–"],  # one teacher's run is missing
        ["2", "94.00", "92.00", "+2.00"],
    ]
    assert cells(table) == expected
    name, rows = saved(page, table)
    assert name == "compare-seeds.csv"
    assert [
        [row[key] for key in ("first_percent", "second_percent", "difference_pp")] for row in rows
    ] == [["92", "90", "2"], ["", "91", ""], ["94", "92", "2"]]
    table.get_by_role("button", name="Copy as Markdown").click()
    expect(page.get_by_role("status").filter(has_text="opied")).to_have_count(1)
    assert "| 0 | 92.00 | 90.00 | +2.00 |" in page.evaluate("navigator.clipboard.readText()")
    figure = page.get_by_role("figure").filter(has_text="Test accuracy of every seed")
    expect(figure).to_contain_text("Not counted, as the run of a teacher is missing: seed 1")
    name, rows = saved(page, figure)
    assert name == "compare-seed-points.csv"
    accuracies = [(row["seed"], row["accuracy_percent"]) for row in rows if "first" in row["arm"]]
    assert accuracies == [("0", "92"), ("2", "94")]


def test_a_configuration_names_the_teacher_of_each_run(
    visitor: Visitor, taught_by_two: Shown
) -> None:
    page = visitor.open(taught_by_two, "configuration")
    rows = cells(table_of(page, "Runs of big"))
    assert [row[:2] for row in rows] == [
        [str(seed), f"seed {teacher}"] for seed in range(3) for teacher in (7, 8)
    ]
    expect(page.locator("main .facts")).not_to_contain_text("–")
    page.get_by_role("link", name="teacher of seed 8").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("big")
    page.go_back()
    narrow(page, "configuration")
    check_width(page)


def test_an_arm_has_one_colour_in_every_figure(visitor: Visitor, taught_by_two: Shown) -> None:
    page = visitor.open(taught_by_two, "configuration")
    seeds, curves = (
        page.get_by_role("figure").filter(has_text=words).first
        for words in ("Test accuracy of every seed", "Validation accuracy")
    )
    ticks = seeds.locator("svg.plot g[stroke-width='2.5'] line")
    lines = curves.locator(".legend path")
    strokes = [[mark.get_attribute("stroke") for mark in drawn.all()] for drawn in (ticks, lines)]
    assert strokes[0] == strokes[1]
    assert len(set(strokes[0])) == len(strokes[0]) == 3


def test_an_ablation_says_what_it_changes_though_it_failed(
    visitor: Visitor, taught_by_two: Shown
) -> None:
    page = visitor.open(taught_by_two, "configuration?role=ablation&ablation=hot&arm=changed")
    facts = page.locator("main .facts")
    expect(facts).to_contain_text("recipe.lr")
    expect(facts).to_contain_text("1000")
    expect(page.get_by_label("variant")).to_contain_text("hot: base")
    expect(page.get_by_role("link", name="Compare it with another")).to_have_count(0)


def test_compare_offers_what_can_be_compared_and_says_what_differs(
    visitor: Visitor, taught_by_two: Shown
) -> None:
    page = visitor.open(taught_by_two, "compare")
    offered = page.get_by_label("first").locator("option").all_inner_texts()
    assert any("hot: base" in text for text in offered)
    assert not any("hot: changed" in text for text in offered)  # none of its runs is done
    rows = {row[0]: row[1:] for row in cells(table_of(page, "Both configurations"))}
    assert rows["method"] == ["Logit-KD", "plain training", "yes"]
    assert rows["student"] == ["little", "little", "no"]
    assert rows["alpha"] == ["0.5", "none", "yes"]
    assert page.locator("main td strong").count() == 8  # two in each of four rows


@pytest.mark.parametrize(
    ("test", "seeds", "reason"),
    [
        ("welch", (0,), "+2.00 pp, no interval: the first has one seed."),
        ("paired", (0,), "+2.00 pp, no interval: they have one seed in common."),
        ("paired", (10, 11), "compares seed by seed, and they have no seed in common."),
    ],
)
def test_without_an_interval_the_reason_is_told(
    visitor: Visitor, serve: Serve, tmp_path: Path, test: str, seeds: tuple[int, ...], reason: str
) -> None:
    planned_study = planned(tmp_path, test=test)
    teacher = planned_study.add("teacher", 0, 0.95)
    for seed in (0, 1):
        planned_study.add("baseline", seed, 0.90)
    for seed in seeds:
        planned_study.add("final", seed, 0.92, method="logit", taught_by=teacher)
    page = visitor.open(Shown("bare", serve(planned_study.write())), "compare")
    part = page.locator("main section").first
    expect(part).to_contain_text(reason)
    text = part.inner_text()
    assert "inconclusive" not in text
    assert "TOST" not in text
    assert "seeds needed" not in text


def test_neighbours_of_the_capacity_figures_do_not_overlap_and_one_speaks(
    visitor: Visitor, digits: Shown
) -> None:
    page = visitor.open(digits, "capacity")
    figures = page.get_by_role("figure").all()
    assert len(figures) > 1
    for figure in figures:
        dots = figure.locator("svg.plot g[stroke-width='2'] > path").all()
        middles = sorted(
            box["x"] + box["width"] / 2 for box in (dot.bounding_box() for dot in dots) if box
        )
        assert len(middles) == 4
        assert all(b - a > 11 for a, b in pairwise(middles))
        dots[0].hover()
        drawn = figure.locator("svg.plot")
        expect(drawn).to_contain_text(re.compile(r"\[.*\]"))
        assert len(re.findall(r"\[.*?\]", drawn.text_content() or "")) == 1


@pytest.mark.parametrize("view", ["configuration", "compare", "capacity"])
def test_files_of_a_view_have_names_of_their_own_and_say_their_units(
    visitor: Visitor, digits: Shown, view: str
) -> None:
    page = visitor.open(digits, view)
    unfold(page)
    names, heads = [], set()
    for inside in page.locator("main figure, main div.table").all():
        name, rows = saved(page, inside)
        names.append(name)
        heads |= set(rows[0])
    assert len(set(names)) == len(names)
    plain = {"accuracy", "value", "first", "second", "difference", "test", "validation"}
    if view == "configuration":
        plain -= {"difference"}  # of fidelity, where each row has a unit
        assert "unit" in heads
    if view == "compare":
        plain -= {"first", "second"}  # of the settings
    assert not heads & plain


@pytest.mark.parametrize(
    "colours",
    [
        {"none": 0, "logit": 1, "feature": 2},
        {"none": 0, "crd": None, "logit": 1, "fitnet": None, "dkd": 4},  # of others: the next free
        {"a": None, "b": None},
        {"none": 0, "far": 9, "b": None} | {f"m{place}": place for place in range(1, 8)},
    ],
)
def test_a_method_has_the_colour_of_the_reports_figures(
    visitor: Visitor, empty: Shown, colours: dict[str, int | None]
) -> None:
    page = visitor.open(empty)
    methods = {name: {"label": name, "colour": colour} for name, colour in colours.items()}
    analysis: Any = SimpleNamespace(methods=read_cards(methods), gains=[])
    expected = {name: look.colour.lower() for name, look in looks(analysis).items()}
    page_colours = page.evaluate(
        """(methods) => {
          kdgap.study = { ...kdgap.study, methods };
          const style = getComputedStyle(document.documentElement);
          const value = (name) => style.getPropertyValue(colourOf(name).slice(4, -1));
          return Object.fromEntries(["none", ...Object.keys(methods)].map((n) => [n, value(n)]));
        }""",
        methods,
    )
    assert page_colours == expected
