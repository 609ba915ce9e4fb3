"""Figures show what the analysis says, literally, the same twice, or refuse in so many words."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from kdgap.judge.curves import over_runs
from kdgap.judge.evidence import Evidence, Run, Tuning
from kdgap.judge.grids import grid
from kdgap.judge.recorded import History
from kdgap.methods import METHODS
from kdgap.report.figures.curves import ablation_curves, gradient_norms
from kdgap.report.figures.files import FORMATS, all_figures, figure_bytes, save_figures
from kdgap.report.figures.gains import capacity_plot, interval_plot
from kdgap.report.figures.grid import selection_grid
from kdgap.report.figures.points import fidelity_plot, seed_plot
from kdgap.report.figures.power import observed_spreads, power_curve
from kdgap.report.figures.style import Look, looks
from kdgap.report.figures.svg import inline_svg
from kdgap.report.page.figures import recorded
from kdgap.spec.claims import Statistics
from kdgap.spec.method_card import UNKNOWN, MethodCard
from kdgap.spec.slot import Slot
from kdgap.stats.power import contrast_power
from tests.judge.builders import analyse, but, evidence, final, pair_of, plain, runs_of, tuning
from tests.report.test_html import (
    ALIKE,
    BASELINE,
    BETTER,
    Page,
    measured,
    page_of,
    square,
    whole,
    whole_page,
)


def texts(figure: Figure) -> str:
    """Every word of a figure, from what is saved of it."""
    return figure_bytes(figure, "svg").decode()


def drawn(study: Evidence) -> dict[str, Figure]:
    return dict(all_figures(study, analyse(study)))


def test_all_figures_of_a_whole_study() -> None:
    assert list(drawn(whole())) == [
        *("gains", "seeds", "capacity", "power", "which-little", "convergence-little"),
        *("grad_norm_max-little", "proj_grad_norm_max-little", "term_grad_norm-little"),
        *("fidelity-big-little", "selection-big-little-logit", "selection-big-little-feature"),
        "ablation-stem",
    ]


def test_what_was_not_recorded_is_not_drawn() -> None:
    assert list(drawn(pair_of(BASELINE, ALIKE))) == [
        *("gains", "seeds", "capacity", "power", "which-little", "convergence-little")
    ]
    bare = pair_of(BASELINE, ALIKE)
    bare = replace(bare, runs=tuple(but(run, history=[]) for run in bare.runs))
    assert "convergence-little" not in drawn(bare)
    assert list(drawn(evidence(runs_of(Slot("teacher", None, "big", "none"), [96.0])))) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_figure_gives_the_same_bytes(ending: str) -> None:
    pair = pair_of(BASELINE, BETTER)
    first, second = (figure_bytes(interval_plot(analyse(pair)), ending) for _ in range(2))
    assert first == second


def test_figures_are_saved_in_three_forms_under_safe_names(tmp_path: Path) -> None:
    runs = runs_of(plain("../x"), BASELINE) + runs_of(final("a/b", "../x", "logit"), ALIKE)
    study = evidence(runs)
    paths = save_figures(all_figures(study, analyse(study)), tmp_path / "figures")
    assert {path.parent for path in paths} == {tmp_path / "figures"}
    assert {path.suffix for path in paths} == {".png", ".svg", ".pdf"}
    assert len(paths) == len(set(paths)) == 3 * len(drawn(study))
    picture = imread(io.BytesIO(next(p for p in paths if p.suffix == ".png").read_bytes()))
    assert np.ptp(picture) > 0.5


def test_students_of_almost_one_name_have_figures_of_their_own(tmp_path: Path) -> None:
    runs = runs_of(plain("a+b"), BASELINE) + runs_of(plain("A&B"), BASELINE)
    runs += runs_of(final("t", "a+b", "logit"), ALIKE) + runs_of(final("t", "A&B", "logit"), BETTER)
    study = evidence(runs)
    paths = save_figures(all_figures(study, analyse(study)), tmp_path)
    names = [path.name for path in paths if path.name.startswith("convergence")]
    assert len(names) == len({name.lower() for name in names}) == 6
    assert len(list(tmp_path.iterdir())) == len(paths)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pair = pair_of(BASELINE, BETTER)
    with pytest.raises(NotADirectoryError, match="file/figures"):
        save_figures(all_figures(pair, analyse(pair)), tmp_path / "file" / "figures")


def test_intervals_show_words_and_numbers_of_every_gain() -> None:
    analysis = analyse(whole())
    shown = texts(interval_plot(analysis))
    for words in ("big → little", "Logit-KD", "Feature-KD", "+1.00 [", "· gain · n = 5, 5",
                  "simultaneous over 2 gains", "smaller than ±0.2 pp"):  # fmt: skip
        assert words in shown


def test_names_are_literal() -> None:
    name = "a$b$ <i>&"
    study = evidence(runs_of(plain(name), BASELINE) + runs_of(final("t$", name, "logit"), ALIKE))
    shown = texts(interval_plot(analyse(study)))
    assert "t$ → a$b$ &lt;i&gt;&amp;" in shown


def test_seeds_are_points_with_n_on_every_mean() -> None:
    study = whole()
    figure = seed_plot(study, analyse(study))
    shown = texts(figure)
    assert "mean 94.90, n = 5" in shown
    axes = figure.axes[0]
    # Two lines of an arm are its interval and its mean, the third its runs.
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [len(np.asarray(line.get_xdata())) for line in points] == [5, 5, 5]
    assert sorted(np.asarray(points[0].get_xdata())) == pytest.approx(sorted(BASELINE))


def test_points_are_links_where_there_are_anchors() -> None:
    pair = pair_of(BASELINE, BETTER)
    anchors = {run.id: f"run-{number}" for number, run in enumerate(pair.runs)}
    figure = seed_plot(pair, analyse(pair), "little", anchors)
    shown = inline_svg(figure, "f", "name <b>", "words", {"#run-3": "seed 3 & more"})
    assert shown.count('<a href="#run-') == 10
    assert "<title>seed 3 &amp; more</title>" in shown
    assert 'role="group"' in shown
    assert "name &lt;b&gt;" in shown


def test_figures_on_one_page_share_no_id() -> None:
    analysis = analyse(whole())
    first, second = (inline_svg(interval_plot(analysis), key, "n", "w") for key in ("k1", "k2"))
    assert first != second
    assert first.replace("k1-", "k2-") == second
    assert "<?xml" not in first
    assert "metadata" not in first
    assert "http" not in first


def history(values: list[float | None]) -> History:
    return History([{"epoch": n, "val_acc": value} for n, value in enumerate(values, 1)])


def test_a_curve_is_mean_lowest_and_highest_over_runs() -> None:
    runs = [Run("a", "c", 0, (), "done", history=history([0.1, 0.2, 0.4])),
            Run("b", "c", 1, (), "done", history=history([0.3, 0.2, 0.8]))]  # fmt: skip
    curve = over_runs(runs, "val_acc")
    assert curve is not None
    epochs, mean, low, high, n = curve
    assert epochs.tolist() == [1, 2, 3]
    assert mean == pytest.approx([0.2, 0.2, 0.6])
    assert low.tolist() == [0.1, 0.2, 0.4]
    assert high.tolist() == [0.3, 0.2, 0.8]
    assert n == 2


def test_an_epoch_that_a_run_lacks_bends_no_mean() -> None:
    runs = [Run("a", "c", 0, (), "done", history=history([0.1, None, 0.4])),
            Run("b", "c", 1, (), "done", history=history([0.3, 0.2])),
            Run("c", "c", 2, (), "done", history=history([]))]  # fmt: skip
    curve = over_runs(runs, "val_acc")
    assert curve is not None
    assert curve[0].tolist() == [1]
    assert curve[-1] == 2
    assert over_runs(runs, "lr") is None


def test_gradient_norms_say_that_they_are_before_clipping_and_count_runs() -> None:
    study = whole()
    shown = texts(gradient_norms(study, analyse(study), "little", "term_grad_norm"))
    assert "Logit-KD: kl, n = 5" in shown
    assert "before clipping" in shown


def test_a_norm_of_zero_was_not_recorded() -> None:
    study = whole()
    zero = [{"epoch": 1, "proj_grad_norm_max": 0.0}]
    study = replace(study, runs=tuple(but(run, history=zero) for run in study.runs))
    with pytest.raises(ValueError, match="proj_grad_norm_max"):
        gradient_norms(study, analyse(study), "little", "proj_grad_norm_max")


def clipping(name: str = "clip") -> Evidence:
    """A study whose unclipped runs alone recorded the norms of their projections."""
    runs = runs_of(plain("little"), BASELINE)
    base, changed = (
        Slot("ablation", "big", "little", "feature", "", name, side) for side in ("base", "changed")
    )
    clipped = runs_of(final("big", "little", "feature"), ALIKE, parameters={"beta": 0.5})
    runs += [replace(run, slots=(*run.slots, base)) for run in clipped]
    norms = [{"epoch": n, "val_acc": 0.9, "proj_grad_norm_max": v} for n, v in ((1, 0.2), (2, 0.1))]
    runs += runs_of(changed, ALIKE, configuration="unclipped", history=norms)
    return evidence(runs)


def test_what_only_an_ablation_recorded_is_said_and_drawn() -> None:
    study = clipping()
    notes = recorded(study)
    assert notes[1] == (
        "Largest norm of the projections: recorded for the ablation clip: changed; at most 0.2."
    )
    assert "not recorded by any run" in notes[0]
    (ablation,) = analyse(study).ablations
    shown = texts(ablation_curves(study, analyse(study), ablation))
    for words in ("clip: base, n = 5", "clip: changed, n = 5", "projections' largest norm",
                  "base: not recorded", "validation accuracy"):  # fmt: skip
        assert words in shown
    page = page_of(study)
    for place, words in (("curves", notes[1]), ("ablations", "base: not recorded")):
        assert words in page.text(page.by_id(place))


def test_what_some_runs_recorded_is_counted() -> None:
    study = clipping()
    *others, last = study.runs
    bare = [{"epoch": n, "val_acc": 0.9} for n in (1, 2)]
    study = replace(study, runs=(*others, but(last, history=bare)))
    assert "recorded for the ablation clip: changed (4 of 5 runs)" in recorded(study)[1]
    (ablation,) = analyse(study).ablations
    assert "changed: n = 4" in texts(ablation_curves(study, analyse(study), ablation))


def test_an_ablation_without_histories_is_not_drawn() -> None:
    study = clipping()
    study = replace(study, runs=tuple(but(run, history=[]) for run in study.runs))
    (ablation,) = analyse(study).ablations
    with pytest.raises(ValueError, match="no history"):
        ablation_curves(study, analyse(study), ablation)


def test_an_ablation_of_a_hostile_name_has_a_safe_file_of_its_own(tmp_path: Path) -> None:
    study = clipping("../../clip <b>")
    paths = save_figures(all_figures(study, analyse(study)), tmp_path / "figures")
    own = [path for path in paths if path.name.startswith("ablation")]
    assert [path.parent for path in own] == [tmp_path / "figures"] * 3


def test_grids_stand_in_the_order_of_the_gains() -> None:
    study = whole(tunings=(square(), tuning({"alpha": 0.5}, {0.3: 0.94, 0.5: 0.95})))
    grids = [name for name in drawn(study) if name.startswith("selection")]
    assert grids == ["selection-big-little-logit", "selection-big-little-feature"]
    page = page_of(study)
    names = [page.text(n) for n, _ in page.all("title")]
    assert [name.split(",")[0] for name in names if name.startswith("Selection")] == [
        *("Selection of Logit-KD", "Selection of Feature-KD"),
    ]


def test_a_phone_shows_every_figure_whole() -> None:
    styles = [attrs["style"] for _, attrs in whole_page().all("svg")]
    least = [float(style.split("min-width:")[1].removesuffix("px")) for style in styles]
    assert max(least) <= 341  # a screen of 360 pixels without the page's margins


def left_on_a_phone(page: Page, table: str) -> list[str]:
    """The heads of a table's columns that the style sheet does not hide on a narrow screen."""
    _, narrow = page.html.split("@media screen and (max-width: 37.5rem)")
    start = f'[aria-labelledby="{table}"] tr >'
    (rule,) = [line for line in narrow.splitlines() if line.strip().startswith(start)]
    hidden = {int(n) for n in re.findall(r"nth-child\((\d+)\)", rule)}
    onward = int(re.findall(r"nth-child\(n \+ (\d+)\)", rule)[0])
    heads = enumerate(page.rows(table)[0], 1)
    return [head for n, head in heads if n < onward and n not in hidden]


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ("gain-table", ["method", "gain", "95 % intervalsimultaneous", "verdict", "Holm p"]),
        ("claim-table", ["claim", "estimate", "95 % intervalsimultaneous", "outcome"]),
        ("ablation-table", ["change", "effect", "95 % intervalsimultaneous", "verdict"]),
    ],
)
def test_a_phone_keeps_the_columns_that_decide(table: str, kept: list[str]) -> None:
    page = whole_page()
    assert left_on_a_phone(page, table) == kept
    notes = [page.text(n) for n, attrs in page.all("p") if "only-narrow" in attrs.get("class", "")]
    assert ["shown on a wide one and in print" in text for text in notes] == [True] * 3


def test_fidelity_shows_the_baseline_against_the_same_teacher() -> None:
    study = whole()
    shown = texts(fidelity_plot(study, analyse(study), "big", "little"))
    assert "baseline, 5 runs" in shown
    assert "agreement with the teacher (% of test images)" in shown


def test_capacity_is_over_parameters_and_over_the_gap() -> None:
    runs = []
    for size in ("s", "m", "l"):
        runs += runs_of(plain(size), BASELINE)
        runs += [measured(run) for run in runs_of(final("big", size, "logit"), ALIKE)]
    analysis = analyse(evidence(runs))
    assert len(capacity_plot(analysis).axes) == 2
    assert "student's parameters (log scale)" in texts(capacity_plot(analysis, "parameters"))
    unknown = tuple(replace(gain, fidelity=None) for gain in analysis.gains)
    with pytest.raises(ValueError, match="teacher accuracies"):
        capacity_plot(replace(analysis, gains=unknown), "gap")


def test_power_is_that_of_the_spread_observed() -> None:
    pair = pair_of(BASELINE, ALIKE, statistics=Statistics(smallest_effect_pp=0.3))
    analysis = analyse(pair)
    (spread,) = observed_spreads(analysis)
    figure = power_curve(pair, analysis)
    corrected = figure.axes[0].lines[0]
    seeds = np.asarray(corrected.get_xdata(), dtype=float).tolist()
    at = seeds.index(5)
    expected = 100 * contrast_power(0.3, *spread, 5, 0.05)
    assert np.asarray(corrected.get_ydata())[at] == pytest.approx(expected)
    assert "n = 5 here" in texts(figure)
    # It is drawn as far as the seeds that are said to be needed.
    assert seeds[-1] >= analysis.gains[0].seeds_needed


def test_a_grid_is_a_heat_map_for_two_and_ranked_otherwise() -> None:
    ranked, square = analyse(whole()).selection

    def shown_of(tuning: Tuning) -> Figure:
        return selection_grid(tuning, grid(tuning, whole()))

    shown = texts(shown_of(ranked))
    assert "95.00 chosen" in shown
    assert "failed" in shown
    heat = shown_of(square)
    assert "90.50" in texts(heat)
    assert heat.axes[0].get_xlabel() == "beta"
    third = {**square.candidates[0].parameters, "gamma": 1}
    first = replace(square.candidates[0], parameters=third)
    wide = replace(square, candidates=(first, *square.candidates))
    assert shown_of(wide).axes[0].get_xlabel() == "validation accuracy (%)"


def test_a_method_looks_the_same_whatever_is_beside_it() -> None:
    logit, feature = METHODS["logit"].about(), METHODS["feature"].about()
    analysis = analyse(whole())

    def looks_of(methods: dict[str, MethodCard]) -> dict[str, Look]:
        return looks(replace(analysis, methods=methods, gains=()))

    few = looks_of({"logit": logit})
    many = looks_of({"new": UNKNOWN, "feature": feature, "logit": logit})
    assert few["logit"] == many["logit"]
    old = looks_of({"none": UNKNOWN, "logit": UNKNOWN})  # of an earlier kdgap
    assert old["none"] == many["none"]
    colours = [look.colour for look in many.values()]
    assert len(set(colours)) == len(colours) == 4
