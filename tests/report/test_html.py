"""The report is a document: whole, inert, in order, the same twice, honest about what it lacks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from kdgap.judge.evidence import Candidate, Evidence, Run
from kdgap.judge.judging import with_claims
from kdgap.judge.load import load
from kdgap.judge.recorded import Scores
from kdgap.notice import FileNotice, Notice
from kdgap.report.page.document import report_html
from kdgap.report.tables.measured import runs as runs_table
from kdgap.spec.claims_file import read_claims
from kdgap.spec.method_card import read_cards
from kdgap.spec.slot import Slot
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.yamlio import load as load_yaml
from tests.conftest import ROOT, SHARED_DATA
from tests.judge.builders import (
    analyse,
    but,
    claim,
    evidence,
    final,
    pair_of,
    plain,
    runs_of,
    tuning,
)
from tests.judge.kept_answers import failed, forget, study_of
from tests.report.test_forms import HOSTILE

VOID = {"meta", "br", "hr", "img", "link", "input", "col", "base"}
FIGURES = {"svg", "g", "path", "use", "defs", "clippath", "rect"}
BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
BETTER = [95.9, 96.1, 95.8, 96.0, 95.7]
ALIKE = [95.0, 95.1, 94.7, 95.1, 94.8]
TERM = {"teacher": "big", "student": "little", "method": "logit"}


class Page(HTMLParser):
    """What a page is made of, each element with its attributes, its trail, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.texts: dict[int, list[str]] = {}
        self._open: list[tuple[str, int]] = []
        self.html = html
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        trail = [name for name, _ in self._open]
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append((tag, {k: v or "" for k, v in attrs}, trail))
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        name, _ = self._open.pop()
        assert name == tag, f"{tag} closes {name}"

    def handle_data(self, data: str) -> None:
        for _, index in self._open:
            self.texts.setdefault(index, []).append(data)

    def all(self, *tags: str) -> list[tuple[int, dict[str, str]]]:
        return [(n, attrs) for n, (tag, attrs, _) in enumerate(self.elements) if tag in tags]

    def text(self, index: int) -> str:
        return " ".join("".join(self.texts.get(index, [])).split())

    def inside(self, index: int) -> list[int]:
        """Elements within another; it ends where the trail is no longer deeper."""
        depth, numbers = len(self.elements[index][2]), []
        for n in range(index + 1, len(self.elements)):
            if len(self.elements[n][2]) <= depth:
                break
            numbers.append(n)
        return numbers

    def by_id(self, name: str) -> int:
        (index,) = [n for n, (_, attrs, _) in enumerate(self.elements) if attrs.get("id") == name]
        return index

    def rows(self, table: str) -> list[list[str]]:
        """The cells of a table's rows, by the id of its caption."""
        caption = self.by_id(table)
        (start,) = [n for n, _ in self.all("table") if caption in self.inside(n)]
        rows = [n for n in self.inside(start) if self.elements[n][0] == "tr"]
        return [
            [self.text(n) for n in self.inside(row) if self.elements[n][0] in ("td", "th")]
            for row in rows
        ]


def page_of(study: Evidence) -> Page:
    page = Page(report_html(study, analyse(study)))
    check(page)
    return page


def check(page: Page) -> None:
    """What holds of every report, whatever it is of."""
    tags = {tag for tag, _, _ in page.elements}
    assert not tags & {
        "script",
        "iframe",
        "object",
        "embed",
        "link",
        "img",
        "base",
        "form",
        "image",
    }
    for tag, attrs, _ in page.elements:
        assert not [name for name in attrs if name.startswith("on")], f"{tag} {attrs}"
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert attrs.get(name, "#").startswith("#"), f"{tag} leads out: {attrs}"
        if tag != "meta":
            assert "http" not in " ".join(attrs.values())
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attrs.get(name, "").split()) <= set(ids)
        if "href" in attrs:
            assert attrs["href"][1:] in ids
        for target in re.findall(r"url\(#([^)]+)\)", " ".join(attrs.values())):
            assert target in ids
    check_structure(page)


def check_structure(page: Page) -> None:
    """Headings in order, tables with captions and scopes, regions that can be scrolled by key."""
    (html,) = page.all("html")
    assert html[1]["lang"] == "en"
    levels = [int(page.elements[n][0][1]) for n, _ in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    steps = pairwise(levels)
    assert all(after <= before + 1 for before, after in steps), levels
    for tag in ("main", "header", "nav", "footer", "title"):
        assert len([e for e in page.elements if e[0] == tag and "svg" not in e[2]]) == 1, tag
    for table, _ in page.all("table"):
        captions = [n for n in page.inside(table) if page.elements[n][0] == "caption"]
        assert [page.text(n) for n in captions] != [""]
        assert len(captions) == 1
        assert page.elements[table][2][-1] == "div"
    for _, attrs in page.all("th"):
        assert attrs.get("scope") in ("col", "row", "rowgroup")
    for _, attrs in page.all("div"):
        if attrs.get("class") == "scroll":
            assert attrs["role"] == "region"
            assert attrs["tabindex"] == "0"
            assert attrs.get("aria-label") or attrs.get("aria-labelledby")
    for svg, attrs in page.all("svg"):
        inside = [page.elements[n] for n in page.inside(svg)]
        links = [element for element in inside if element[0] == "a"]
        assert attrs["role"] == ("group" if links else "img")
        assert {tag for tag, _, trail in inside if trail[-1] == "svg"} >= {"title", "desc"}
    (policy,) = [a["content"] for _, a in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def measured(run: Run) -> Run:
    """A final as our engine records it: fidelity, gradients, by class, with its baseline's."""
    terms = {"ce": 0.5, "kl": 0.2}
    more = {"grad_norm_max": 2.0, "proj_grad_norm_max": 0.5, "term_grad_norm": terms}
    classes = {"per_class_acc": {"cat": 0.9, "dog": 0.96}}
    fidelity = {"top1_agreement": 0.9, "kl_t1": 0.2, "kl_t4": 0.1, "ece": 0.03}
    known = {name: {**scores.document, **fidelity, **classes} for name, scores in run.test.items()}
    beside = {name: {**fidelity, "accuracy": 0.94} for name in known}
    history = [{**entry, **more} for entry in run.history.document]
    return but(run, test=known, baseline_test=beside, history=history, teacher_accuracy=0.96)


def whole(**changes: Any) -> Evidence:
    """A study with everything that the page has a place for."""
    runs = [measured(run) for run in runs_of(plain("little"), BASELINE)]
    logit = runs_of(final("big", "little", "logit"), BETTER, parameters={"alpha": 0.5})
    feature = runs_of(final("big", "little", "feature"), [*ALIKE, None], parameters={"alpha": 0.3})
    runs += [measured(run) for run in [*logit, *feature]]
    runs += runs_of(Slot("teacher", None, "big", "none"), [96.0])
    for side, percents in (("base", BASELINE), ("changed", BETTER)):
        slot = Slot("ablation", None, "little", "none", "", "stem", side)
        runs += runs_of(slot, percents, configuration=f"ablation {side}")
    grid = tuning({"alpha": 0.5}, {0.3: 0.94, 0.5: 0.95, 0.9: None})
    finding = FileNotice("duplicate", "the same run", paths=("a/results.json", "b.json"))
    known: dict[str, Any] = {
        "claims": (
            claim("more", [{"weight": 1, **TERM}]),
            claim("none", [{"weight": 1, **TERM, "method": "feature"}], says="nothing"),
        ),
        "tunings": (grid, square()),
        "findings": (finding,),
        "images": 1000,
        "provenance": {"data": {"name": "digits"}, "environments": ["cpu"]},
        "notices": (Notice("one-teacher", "unequal tuning", "one teacher", "serious"),),
    }
    return evidence(runs, **(known | changes))


def square() -> Any:
    """A grid over two hyper-parameters."""
    return replace(
        tuning({"alpha": 0.5, "beta": 2}, {}),
        method="feature",
        label="Feature-KD",
        candidates=tuple(
            Candidate({"alpha": alpha, "beta": beta}, (), 0.9 + alpha / 100)
            for alpha in (0.3, 0.5)
            for beta in (1, 2)
        ),
    )


@cache
def whole_page() -> Page:
    return page_of(whole())


def test_a_whole_report_is_a_document_with_every_section() -> None:
    page = whole_page()
    sections = [attrs.get("id") for _, attrs in page.all("section")]
    assert sections == [
        *("answer", "gains", "which", "claims", "levels", "seeds", "curves", "fidelity"),
        *("capacity", "power", "selection", "ablations", "sensitivity", "diagnosis", "details"),
        *("failures", "protocol", "reading", "runs"),
    ]
    linked = [attrs["href"][1:] for n, attrs in page.all("a") if "nav" in page.elements[n][2]]
    assert linked == sections


def test_a_study_that_chose_on_the_test_images_calls_no_accuracy_validation() -> None:
    grids = tuple(replace(grid, split="test") for grid in whole().tunings)
    study = whole(chosen_on="test", tunings=grids)
    page = page_of(study)
    texts = {attrs["id"]: page.text(n).lower() for n, attrs in page.all("section")}
    del texts["reading"]  # which has the glossary
    assert [place for place, text in texts.items() if "validation" in text] == []
    words, others = page.html.lower(), whole_page().html.lower()
    # Curves and their ends, what was tried, both sides of the ablation, and every run.
    assert words.count("accuracy on the test images") == others.count("validation accuracy") == 10
    assert "on the test images, best" in words
    table = runs_table(study)
    assert table.columns[6] == "On the test images"
    assert "validation" not in table.caption


def test_the_answer_comes_first_and_flags_directly_under_it() -> None:
    page = whole_page()
    text = page.text(page.by_id("answer"))
    order = [
        text.index(words)
        for words in ("What the runs show", "2 claims", "“Claim more”: +1.00 pp", "2 gains over",
                      "Before believing it", "unequal tuning", "runs that are failed")
    ]  # fmt: skip
    assert order == sorted(order)


def test_without_claims_the_gains_are_summed_up() -> None:
    page = page_of(whole(claims=()))
    text = page.text(page.by_id("answer"))
    for words in ("2 gains over plain training", "▲ gain \N{MULTIPLICATION SIGN} 1"):
        assert words in text
    assert "Logit-KD from big to little: +1.00 pp" in text


NAMES = [*HOSTILE, "a$b$", r"$\frac{", "'\"><svg onload=alert(1)>"]


def test_hostile_names_of_models_and_methods_are_shown_and_nothing_more() -> None:
    runs: list[Run] = []
    for number, name in enumerate(NAMES):
        runs += runs_of(plain(name), BASELINE[:3])
        arm = runs_of(final(name, name, name), ALIKE[:3], parameters={name: 1.0}, teacher=name)
        runs += [measured(run) for run in arm] if number < 3 else arm
    page = page_of(evidence(runs))
    heads = {row[0] for row in page.rows("gain-table")}
    assert heads >= {seen(f"{name} → {name}") for name in NAMES}


@pytest.mark.parametrize("name", ["<script>alert(1)</script> $x$", "'\"><svg onload=alert(1)>"])
def test_whatever_else_a_study_says_is_shown_and_nothing_more(name: str) -> None:
    runs = runs_of(
        plain("little"), BASELINE, notices=(Notice(name, name),), environment=name, paths=(name,)
    )
    runs += runs_of(final("big", "little", "logit"), ALIKE, parameters={name: 1.0}, teacher=name)
    runs += runs_of(
        final("big", "little", "logit"), [None], first_seed=9, remark=name, parameters={name: 1.0}
    )
    chosen: dict[str, Any] = {name: 1.0, "kind": name}
    grid = Candidate(chosen, (), 0.9)
    other = replace(grid, parameters={name: 2.0, "kind": "b"})
    tried = replace(
        tuning(chosen, {}),
        metric=name,
        candidates=(grid, other),
    )
    page = page_of(
        evidence(
            runs,
            name=name,
            path=name,
            description=name,
            methods=read_cards({"none": {}, "logit": {"summary": name, "citation": name}}),
            notices=(Notice(name, name, name),),
            findings=(FileNotice(name, name, paths=(name,)),),
            provenance={name: {name: [name, {name: name}]}},
            tunings=(tried,),
        )
    )
    assert page.text(page.all("h1")[0][0]) == name
    assert "<svg onload" not in page.html
    assert page.html.count(name.split("<")[1][:6]) > 10  # shown, each time escaped


def seen(text: str) -> str:
    return " ".join(text.split())


def test_a_hostile_claim_is_inert() -> None:
    text = "<script>alert(1)</script> costs $5$"
    pair = pair_of(BASELINE, BETTER)
    given = claim("c", [{"weight": 1, **TERM}], text=text)
    page = page_of(replace(pair, claims=(given,)))
    assert text in page.text(page.by_id("claim-1"))


def each_run(study: Evidence, **changes: Any) -> Evidence:
    return replace(study, runs=tuple(but(run, **changes) for run in study.runs))


MISSING = {
    "fidelity and all else": pair_of(BASELINE, ALIKE),
    "histories": each_run(whole(), history=[], validation={}),
    "baseline fidelity": each_run(whole(), baseline_test={}),
    "one seed": pair_of([95.0], [95.2]),
    "no spread": pair_of([95.0] * 3, [95.2] * 3),
    "no baseline": evidence(runs_of(final("big", "little", "logit"), BETTER)),
    "no method": evidence(runs_of(plain("little"), BASELINE)),
    "a teacher alone": evidence(runs_of(Slot("teacher", None, "big", "none"), [96.0])),
    "a failed arm": pair_of(BASELINE, [None, None]),
    "an import": replace(
        each_run(pair_of(BASELINE, ALIKE), history=[{"epoch": 1, "val_acc": 0.9}]),
        origin="import",
        paired=False,
        methods={},
        models={},
    ),
    "numbers and a winner": replace(
        each_run(pair_of(BASELINE, ALIKE), history=[{"epoch": 1, "val_acc": None}]),
        tunings=(replace(tuning({}, {0.3: None}), winner=None),),
    ),
    "no role": evidence([*pair_of(BASELINE, ALIKE).runs, Run("x", "c", 0, (), "done")]),
}


@cache
def missing_page(what: str) -> Page:
    return page_of(MISSING[what])


@pytest.mark.parametrize("what", MISSING)
def test_what_was_not_recorded_is_left_out_or_said(what: str) -> None:
    page = missing_page(what)
    assert page.all("svg") or what == "a teacher alone"
    for figure, _ in page.all("figure"):
        assert [n for n in page.inside(figure) if page.elements[n][0] == "svg"]


def test_the_page_says_what_was_not_recorded() -> None:
    text = missing_page("fidelity and all else").html
    assert "No run recorded how closely it follows its teacher." in text
    assert "Largest norm of the projections: not recorded by any run." in text
    assert "No history of validation accuracy was recorded." in missing_page("histories").html
    assert "baselines' fidelity was not recorded" not in whole_page().html
    assert "baselines' fidelity was not recorded" in missing_page("baseline fidelity").html
    assert "power cannot be computed" in missing_page("one seed").html
    html = re.sub(r"</?dfn[^>]*>", "", missing_page("no method").html)  # terms are explained
    assert "No method was compared with a baseline yet." in html


def nearly(step: float) -> list[float]:
    """Five seeds, `step` above the baseline: significant alone, not always after correction."""
    return [value + step for value in BASELINE]


def test_a_star_is_given_after_correction_alone() -> None:
    runs = runs_of(plain("little"), BASELINE)
    steps = {"logit": 0.26, "feature": 1.0, "third": 0.0, "fourth": 0.02}
    for method, step in steps.items():
        runs += runs_of(final("big", "little", method), nearly(step), parameters={"alpha": 0.5})
    study = evidence(runs, claims=(claim("c", [{"weight": 1, **TERM}]),))
    analysis, page = analyse(study), page_of(study)
    holm = {gain.method: gain.p_holm for gain in analysis.gains}
    raw = {gain.method: gain.p for gain in analysis.gains}
    assert raw["logit"] < 0.05 < holm["logit"]  # so that a star on the raw p would show
    rows = [row for row in page.rows("gain-table") if len(row) == 13 and row[0] != "method"]
    stars = [row[7].endswith("*") for row in rows]
    assert stars == [gain.p_holm <= 0.05 for gain in analysis.gains]
    assert sum(stars) == 1
    (verdict,) = [row[5] for row in rows if row[0].startswith("Logit-KD")]
    assert verdict == "? inconclusivep small before correction"
    assert not any("*" in cell for row in rows for n, cell in enumerate(row) if n != 7)


def test_what_is_post_hoc_is_marked_wherever_it_appears() -> None:
    registered = claim("more", [{"weight": 1, **TERM}])
    later = claim("later", [{"weight": 1, **TERM, "method": "feature"}])
    locked = (registered.model_dump(mode="json"),)
    page = page_of(whole(claims=(registered, later), locked_claims=locked))
    answers = [page.text(n) for n, _ in page.all("li") if "“Claim" in page.text(n)]
    assert ["post hoc" in text for text in answers] == [False, True]
    for table in ("claim-table", "view-table"):
        cells = [cell for row in page.rows(table) for cell in row if cell.startswith("Claim ")]
        assert ["post hoc" in cell for cell in cells] == [False, True]


def test_a_verdict_that_another_view_changes_is_marked() -> None:
    runs = runs_of(plain("little"), BASELINE)
    better = runs_of(final("big", "little", "logit"), BETTER)
    lost = [replace(run, test={**run.test, "last": Scores({"accuracy": 0.949})}) for run in better]
    page = page_of(evidence([*runs, *lost], paired=False))
    (row,) = [row for row in page.rows("view-table") if row[0].startswith("Logit-KD")]
    assert ["changed" in cell for cell in row] == [False, False, True]


def test_every_number_leads_to_its_runs() -> None:
    study = whole()
    page = page_of(study)
    detail = page.inside(page.by_id("gain-1"))
    targets = [page.elements[n][1]["href"] for n in detail if page.elements[n][0] == "a"]
    assert len(set(targets)) == 10  # five seeds of the method, five of the baseline
    reached = {attrs["href"][1:] for n, attrs in page.all("a")}
    rows = {attrs["id"] for _, attrs in page.all("tr") if attrs.get("id", "").startswith("run-")}
    assert len(rows) == len(study.runs)
    # All but the teacher's one run are points, terms or arms of something.
    assert rows <= reached


def test_points_are_links_with_words_and_out_of_the_tab_order() -> None:
    page = whole_page()
    points = [(n, attrs) for n, attrs in page.all("a") if "svg" in page.elements[n][2]]
    assert points
    assert {attrs["tabindex"] for _, attrs in points} == {"-1"}
    assert "big → little Logit-KD, seed 0: 95.90 %" in {page.text(n) for n, _ in points}


def test_several_teachers_are_told_apart_and_their_share_is_said() -> None:
    runs = runs_of(plain("little"), BASELINE[:3])
    for number, step in enumerate((0.5, 0.7)):
        taught = runs_of(final("big", "little", "logit"), [v + step for v in ALIKE[:3]])
        runs += [
            replace(run, id=f"{run.id}{number}", teacher=f"teacher-{number}") for run in taught
        ]
    text = (page := page_of(evidence(runs))).text(page.by_id("gain-1"))
    assert "2 teachers × 3 seeds" in text  # noqa: RUF001
    assert "teacher teacher-: seed 0 1 2" in text
    assert "Over teachers of this kind the gain is" in text


def test_failures_and_findings_are_named() -> None:
    page = whole_page()
    (row,) = [row for row in page.rows("undone-table") if "diverged" in " ".join(row)]
    assert row[:3] == ["final: big → little Feature-KD", "failed", "5"]
    assert "a/results.json, b.json" in page.text(page.by_id("failures"))


def test_diagnosis_keeps_facts_and_remedies_apart() -> None:
    page = whole_page()
    within = page.inside(page.by_id("diagnosis"))
    boxes = {page.elements[n][1].get("class"): page.text(n) for n in within}
    assert boxes["facts"].startswith("Facts gradient share")
    assert boxes["remedies"].startswith("Usual remedies")
    assert "Stanton" not in boxes["facts"]


def test_a_large_study_shows_the_first_panels_and_says_what_is_left_out() -> None:
    runs: list[Run] = []
    for number in range(15):
        runs += runs_of(plain(f"s{number}"), BASELINE)
        runs += runs_of(final("big", f"s{number}", "logit"), ALIKE)
    page = page_of(evidence(runs))
    seeds = page.by_id("seeds")
    assert len([n for n in page.inside(seeds) if page.elements[n][0] == "svg"]) == 12
    assert "The first 12 of 15 are drawn here" in page.text(seeds)
    assert len(page.rows("gain-table")) == 1 + 2 * 15


def test_the_same_analysis_gives_the_same_bytes_under_any_matplotlib_settings() -> None:
    study = whole()
    analysis = analyse(study)
    first = report_html(study, analysis)
    with mpl.rc_context({"axes.grid": True, "font.size": 30, "svg.fonttype": "path"}):
        assert report_html(study, analysis) == first


def test_half_a_character_in_a_path_is_shown_escaped() -> None:
    pair = pair_of(BASELINE, ALIKE)
    odd = tuple(replace(run, paths=("runs/\udcff",)) for run in pair.runs)
    assert "runs/\\udcff" in page_of(replace(pair, runs=odd)).html


@pytest.mark.shared_data
def test_the_published_runs_make_a_report(tmp_path: Path) -> None:
    published = SHARED_DATA / "reference_runs" / "runs.zip"
    if not published.exists():
        pytest.skip(f"{published} is not here")
    ImportedDirectory(tmp_path).write(*import_runs(published, "published"))
    claims = read_claims(load_yaml(ROOT / "configs" / "claims" / "reference.yaml"))
    page = page_of(with_claims(load(tmp_path), claims))
    assert "111 of 111 runs done" in page.text(page.all("header")[0][0])
    assert not [row for row in page.rows("gain-table") if any("*" in cell for cell in row)]
    # Said once of all of them, and of none by itself.
    assert "as all of these claims are" in page.text(page.by_id("answer"))
    assert not any("post hoc" in page.text(n) for n, _ in page.all("li") if "“" in page.text(n))
    # Gains, rankings, seeds, curves, norms, fidelity, capacity, power, grids, ablations.
    assert len(page.all("svg")) == 1 + 2 + 2 + 4 + 2 + 4 + 2 + 1 + 8 + 4
    clipping = "the ablation projection_clipping_resnet50_to_resnet18: changed"
    norms = f"Largest norm of the projections: recorded for {clipping}; at most 0.207."
    assert norms in page.text(page.by_id("curves"))
    assert "base: not recorded" in page.text(page.by_id("ablations"))
    grids = [page.text(n) for n, _ in page.all("title") if "Selection of" in page.text(n)]
    detail = [page.text(n) for n, _ in page.all("h3") if "article" in page.elements[n][2]]
    assert [grid.removeprefix("Selection of ") for grid in grids] == detail[-8:]
    assert len(page.html) < 1_000_000


def test_answers_are_shown_and_thumbnails_only_if_asked(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    page = page_of(study)
    assert "Image by image" in page.html
    assert "owl taken for cat" in page.html
    assert "data:image" not in page.html
    drawn = Page(report_html(study, analyse(study), lambda *_: b"PNG"))
    check(drawn)
    assert drawn.html.count("data:image/png;base64,") == 1
    assert "Image by image" not in page_of(pair_of(BASELINE, BETTER)).html


def test_thumbnails_are_of_a_run_that_is_done(tmp_path: Path) -> None:
    study = failed(study_of(tmp_path), "final", 0)
    asked: list[Path] = []

    def drawn(run: Path, _: Sequence[int]) -> bytes:
        asked.append(run)
        return b"PNG"

    report_html(study, analyse(study), drawn)
    assert asked == [tmp_path / study.runs[-1].paths[0]]


def test_what_keeps_no_predictions_is_counted(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    other = runs_of(final("big", "little", "feature"), [50.0, 51.0])
    for run in (*other, study.runs[-1]):
        forget(tmp_path, run)
    page = page_of(replace(study, runs=(*study.runs, *other)))
    shown = page.text(page.by_id("predictions"))
    assert "Shown are 1 of 2 gains" in shown
    assert "Shown are 1 of 2 distilled students;" in shown
    assert "Shown are" not in page_of(study_of(tmp_path / "whole")).html
