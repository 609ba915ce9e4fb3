"""Selection grids: scores of what was tried beside the noise of seeds, and what was chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kdgap.judge.evidence import Candidate, Tuning, choice_words
from kdgap.judge.grids import FADED, Cell, Grid, Source
from kdgap.numbers import decimals
from kdgap.report.figures.style import (
    BAND,
    FAINT,
    INK,
    WIDTH,
    padded,
    panel,
    shorten,
    styled,
    title,
)
from kdgap.report.tables.cells import pair
from kdgap.text import settings_text

MOST_RANKED = 24
# A scale of its own, the explorer's: the colours of methods mean methods everywhere. Dark words can
# be read on its full end, too.
_PALE, _FULL = (0.96, 0.976, 0.976), (0.40, 0.64, 0.62)
_UNMEASURED = 0.5
"""How strong the colour of every cell is where no noise is known."""
_STEM = "#c8c8c8"
_FOOT = 0.32
"""Inches of the two lines below a figure."""
_NOISE_OF: dict[Source, str] = {
    "selection": "selection seeds",
    "final": "final seeds",
    "student": "student's seeds",
}

Tried = tuple[Candidate, Cell]
"""A configuration and where it stands beside the best."""


def grid_title(tuning: Tuning) -> str:
    """Return what a grid is of."""
    return f"{tuning.label}, {pair(tuning)}"


@styled
def selection_grid(tuning: Tuning, measured: Grid) -> Figure:
    """Return the score of each configuration of an entry of `analysis.selection`.

    A heat map where two hyper-parameters were varied, points from best to worst otherwise. Colours
    fade with the distance to the best in standard errors; what is tied with the best has a `≈`.

    Args:
        tuning: the entry.
        measured: the same by the noise of seeds; see `kdgap.judge.grids`.
    """
    varied = varied_parameters(tuning)
    tried = list(zip(tuning.candidates, measured.cells, strict=True))
    cells = {
        tuple(str(candidate.parameters.get(name)) for name in varied): (candidate, cell)
        for candidate, cell in tried
    }
    if len(varied) == 2 and len(cells) == len(tried):
        figure = _heat_map(tuning, cells, *varied)
    else:
        figure = _ranked(tuning, tried, varied, measured)
    _foot(figure, measured)
    return figure


def varied_parameters(tuning: Tuning) -> list[str]:
    """Return the hyper-parameters that differ between the candidates."""
    names = dict.fromkeys(name for candidate in tuning.candidates for name in candidate.parameters)
    return [
        name
        for name in names
        if len({str(candidate.parameters.get(name)) for candidate in tuning.candidates}) > 1
    ]


def _strength(cell: Cell) -> float:
    """Return how strong a cell's colour is, in [0, 1]: the best one's is whole."""
    return _UNMEASURED if cell.behind_se is None else max(0.0, 1 - cell.behind_se / FADED)


def _mark(cell: Cell) -> str:
    """Return how far a configuration is behind the best, with a sign where it is tied with it."""
    if cell.behind_pp is None:
        return "failed"
    if cell.behind_pp == 0:
        return "best"
    return f"{'≈ ' if cell.may_be_best else ''}−{decimals(cell.behind_pp)}"


def _foot(figure: Figure, measured: Grid) -> None:
    """Say below a figure how many may be the best, and what noise that is measured by."""
    if measured.noise_pp is None or measured.source is None:
        lines = "noise of seeds unknown:\nno tie can be told"
    else:
        lines = (
            f"{measured.tied} of {measured.scored} may be the best (≈: tied)\n"
            f"noise {decimals(measured.noise_pp)} pp"
            f" ({_NOISE_OF[measured.source]}, {measured.df} df)"
        )
    figure.text(0.02, 0.04 / figure.get_figheight(), lines, fontsize=7.5, color=FAINT, va="bottom")


def _heat_map(
    tuning: Tuning, cells: Mapping[tuple[str, ...], Tried], down: str, across: str
) -> Figure:
    rows, columns = (_in_order(tuning, name) for name in (down, across))
    width = 0.75 + 0.62 * max(len(columns), 3) + 0.1
    height = 0.4 * max(len(rows), 2) + 0.7 + _FOOT
    figure, axes = panel(width, height, (0.75, 0.1, 0.4 + _FOOT, 0.3))
    for (row, column), (candidate, cell) in cells.items():
        x, y = columns.index(column), rows.index(row)
        _draw_cell(axes, x, y, candidate.score, cell, chosen=candidate.parameters == tuning.winner)
    axes.set_xlim(-0.52, len(columns) - 0.48)
    axes.set_ylim(len(rows) - 0.48, -0.52)
    axes.set_xticks(range(len(columns)), labels=[shorten(_plain(c), 9) for c in columns])
    axes.set_yticks(range(len(rows)), labels=[shorten(_plain(r), 9) for r in rows])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel(shorten(across, 30))
    axes.set_ylabel(shorten(down, 14))
    title(axes, shorten(grid_title(tuning), int(width * 13)), 0.06)
    return figure


def _in_order(tuning: Tuning, name: str) -> list[str]:
    """Return the values of a hyper-parameter, numbers by size."""
    values: list[Any] = [candidate.parameters.get(name) for candidate in tuning.candidates]
    numbers = all(isinstance(value, int | float) for value in values)
    ordered = sorted(values) if numbers else sorted(values, key=str)
    return list(dict.fromkeys(map(str, ordered)))


def _plain(value: str) -> str:
    """Return `2.0` as `2`, and anything that is no number as it is."""
    return value.removesuffix(".0")


def _draw_cell(
    axes: Axes, x: int, y: int, score: float | None, cell: Cell, *, chosen: bool
) -> None:
    if score is None:
        shade = (1.0, 1.0, 1.0)
    else:
        strength = _strength(cell)
        red, green, blue = (a + (b - a) * strength for a, b in zip(_PALE, _FULL, strict=True))
        shade = red, green, blue
    box = Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=shade, edgecolor=BAND, lw=0.5)
    axes.add_patch(box)
    if chosen:
        frame = Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=INK, lw=2.2)
        axes.add_patch(frame)
    middle: Any = {"ha": "center", "va": "center", "color": INK}
    if score is None:
        axes.text(x, y, _mark(cell), fontsize=8, **middle)
        return
    weight = "bold" if chosen else "normal"
    axes.text(x, y - 0.18, decimals(100 * score), fontsize=8, fontweight=weight, **middle)
    axes.text(x, y + 0.2, _mark(cell), fontsize=7.5, **middle)


def _ranked(tuning: Tuning, tried: Sequence[Tried], varied: list[str], measured: Grid) -> Figure:
    """Return one point a configuration, the best first; bars would need an axis from zero."""
    tried = sorted(tried, key=lambda entry: -(entry[0].score or -1.0))[:MOST_RANKED]
    scores = [100 * candidate.score for candidate, _ in tried if candidate.score is not None]
    height, edges = 0.34 * len(tried) + 0.8 + _FOOT, (1.3, 0.95, 0.42 + _FOOT, 0.3)
    figure, axes = panel(WIDTH, height, edges)
    ends = scores or [0.0, 1.0]
    if measured.noise_pp is not None and scores:
        # So that small differences look small: the band has the width of the noise.
        axes.axvspan(scores[0] - measured.noise_pp, scores[0], color=BAND, lw=0, zorder=-1)
        ends = [*scores, scores[0] - 2 * measured.noise_pp]
    low, high = padded(ends, 0.15)
    names = []
    for y, (candidate, cell) in enumerate(tried):
        chosen, score = candidate.parameters == tuning.winner, candidate.score
        shown = {name: candidate.parameters.get(name) for name in varied or candidate.parameters}
        names.append(shorten(settings_text(shown), 22))
        beside: Any = {"textcoords": "offset points", "va": "center"}
        if score is None:
            axes.annotate(_mark(cell), (low, y), (4, 0), fontsize=8, **beside)
            continue
        axes.plot([low, 100 * score], [y, y], color=_STEM, lw=1.5, zorder=0)
        axes.plot([100 * score], [y], marker="o", ms=6, color=INK, mfc=INK if chosen else "white")
        text = decimals(100 * score) + (" chosen" if chosen else "")
        weight = "bold" if chosen else "normal"
        axes.annotate(text, (100 * score, y), (7, 5), fontsize=8, fontweight=weight, **beside)
        axes.annotate(_mark(cell), (100 * score, y), (7, -5), fontsize=7.5, **beside)
    axes.set_xlim(low, high)
    axes.set_ylim(len(tried) - 0.4, -0.6)
    axes.set_yticks(range(len(tried)), labels=names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel(f"{choice_words(tuning.split)} (%)")
    title(axes, shorten(grid_title(tuning), 44), 0.06)
    return figure
