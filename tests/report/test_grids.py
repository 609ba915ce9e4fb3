"""The report's figures of grids: measured by the noise of seeds, with ties that need no colour."""

import re
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kdgap.explorer.page import STATIC
from kdgap.files import read_text
from kdgap.judge.evidence import Candidate, Evidence, Tuning
from kdgap.judge.grids import FADED, Grid, grid
from kdgap.judge.words import grid_sentence
from kdgap.report.figures.files import all_figures
from kdgap.report.figures.grid import selection_grid
from kdgap.spec.slot import Slot
from tests.judge.builders import analyse, evidence, final, plain, runs_of
from tests.report.test_html import page_of

# Means 95, 94.8, 91 and 88 with a spread of 1 pp: the second is tied with the first, and no other.
SCORES = {(0.3, 1): [94.3, 95.7], (0.3, 2): [94.1, 95.5], (0.5, 1): [90.3, 91.7],
          (0.5, 2): [87.3, 88.7]}  # fmt: skip
ONE_SEED = {key: values[:1] for key, values in SCORES.items()}


def study(scores: dict[tuple[float, int], Any] = SCORES, **more: Any) -> Evidence:
    """A study whose selection tried alpha and beta; a None is a failed run."""
    runs = runs_of(plain("little"), [90.0]) + runs_of(final("big", "little", "logit"), [91.0])
    candidates = []
    for (alpha, beta), percents in scores.items():
        slot = Slot("selection", "big", "little", "logit", candidate=f"{alpha}-{beta}")
        own = runs_of(slot, percents, first_seed=1000, configuration=slot.candidate)
        known = [percent for percent in percents if percent is not None]
        score = sum(known) / len(known) / 100 if len(known) == len(percents) else None
        settings = {"alpha": alpha, "beta": beta} | more
        candidates.append(Candidate(settings, tuple(run.id for run in own), score))
        runs += own
    tuning = Tuning("big", "little", "logit", tuple(candidates), candidates[0].parameters,
                    (1000, 1001), "val", "best_val_acc", "Logit-KD")  # fmt: skip
    return evidence(runs, tunings=(tuning,))


def measured(of: Evidence) -> tuple[Tuning, Grid]:
    (tuning,) = of.tunings
    return tuning, grid(tuning, of)


def words(figure: Figure) -> list[str]:
    """Every text of a figure, that of its axes first."""
    parts = (*(axes.texts for axes in figure.axes), figure.texts)
    return [text.get_text() for part in parts for text in part]


def shades(figure: Figure) -> dict[str, tuple[float, float, float]]:
    """The colour of each cell, by the accuracy that is written in it."""
    axes = figure.axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    at = {tuple(map(float, box.get_center())): to_rgb(box.get_facecolor()) for box in boxes}
    by_text = {}
    for text in axes.texts:
        x, y = text.get_position()
        near = min(at, key=lambda place: abs(place[0] - x) + abs(place[1] - y))
        by_text[text.get_text()] = at[near]
    return by_text


def luminance(colour: tuple[float, float, float]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def test_what_is_tied_with_the_best_has_a_sign_and_the_rest_has_none() -> None:
    tuning, own = measured(study())
    assert [cell.may_be_best for cell in own.cells] == [True, True, False, False]
    shown = words(selection_grid(tuning, own))
    assert {"95.00", "best", "94.80", "≈ −0.20", "91.00", "−4.00", "88.00", "−7.00"} < set(shown)
    assert (
        shown[-1]
        == f"2 of 4 may be the best (≈: tied)\nnoise {own.noise_pp:.2f} pp (selection seeds, 4 df)"
    )


def test_colours_fade_with_the_distance_in_standard_errors_and_not_with_the_range() -> None:
    tuning, own = measured(study())
    shade = shades(selection_grid(tuning, own))
    # 0.2 of 0.99 pp is next to nothing: all but the whole colour; both others are four and more.
    assert (own.cells[2].behind_se or 0) > FADED
    assert shade["91.00"] == shade["88.00"]
    assert luminance(shade["95.00"]) < luminance(shade["94.80"]) < luminance(shade["91.00"])
    gap = luminance(shade["94.80"]) - luminance(shade["95.00"])
    assert gap < 0.1 * (luminance(shade["91.00"]) - luminance(shade["95.00"]))
    ink = luminance(to_rgb("#222222"))
    assert all((luminance(colour) + 0.05) / (ink + 0.05) > 4.5 for colour in shade.values())


def test_without_a_noise_it_says_so_and_all_cells_are_alike() -> None:
    tuning, own = measured(study(ONE_SEED))
    assert own.noise_pp is None
    figure = selection_grid(tuning, own)
    shown = words(figure)
    assert shown[-1] == "noise of seeds unknown:\nno tie can be told"
    assert not any("≈" in text for text in shown)
    assert "−0.20" in shown
    assert len(set(shades(figure).values())) == 1


def test_points_are_marked_as_cells_are() -> None:
    (tuning,) = study().tunings
    third = replace(tuning.candidates[0], parameters={"alpha": 0.3, "beta": 1, "gamma": 1})
    tuning = replace(tuning, candidates=(third, *tuning.candidates[1:]))
    figure = selection_grid(tuning, grid(tuning, study()))
    assert figure.axes[0].get_xlabel() == "validation accuracy (%)"
    shown = words(figure)
    assert {"95.00", "best", "≈ −0.20", "−4.00", "−7.00"} < set(shown)
    assert "2 of 4 may be the best" in shown[-1]
    # Beside them a band as wide as the noise, which ends at the best.
    (band,) = (patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle))
    noise = grid(tuning, study()).noise_pp
    assert (band.get_x() + band.get_width(), band.get_width()) == pytest.approx((95.0, noise))


def test_a_failed_configuration_has_a_cell_without_a_colour() -> None:
    scores = SCORES | {(0.5, 2): [87.3, None]}
    tuning, own = measured(study(scores))
    figure = selection_grid(tuning, own)
    assert shades(figure)["failed"] == (1.0, 1.0, 1.0)
    assert "2 of 3 may be the best" in words(figure)[-1]


def test_the_page_says_what_noise_is_and_how_many_are_tied() -> None:
    page = page_of(study())
    section = page.text(page.by_id("selection"))
    assert "2 of 4 may be the best" in section
    assert "Noise is the standard deviation of the accuracy that chose over the seeds" in section
    assert "In 1 of 1 grid, several may be the best." in section
    (_, own) = measured(study())
    assert grid_sentence(own) in section  # for those who do not see the figure
    page = page_of(study(ONE_SEED))
    alone = page.text(page.by_id("selection"))
    assert "No noise of seeds is known" in alone
    assert "Noise is" not in alone
    assert "may be the best" not in alone


def test_grids_with_and_without_a_noise_are_told_apart() -> None:
    both = study()
    (tuning,) = both.tunings
    unseen = tuple(replace(candidate, runs=()) for candidate in tuning.candidates)
    other = replace(tuning, student="other", candidates=unseen)
    page = page_of(replace(both, tunings=(tuning, other)))
    section = page.text(page.by_id("selection"))
    assert "In 1 of 1 grid, several" in section
    assert "Of 1 grid no noise of seeds is known" in section


def test_files_of_figures_show_the_same() -> None:
    figures = dict(all_figures(study(), analyse(study())))
    assert "2 of 4 may be the best" in words(figures["selection-big-little-logit"])[-1]


def test_the_explorer_fades_alike() -> None:
    (faded,) = re.findall(r"const FADED = ([\d.]+);", read_text(STATIC / "grids.js"))
    assert float(faded) == pytest.approx(FADED)
