"""Selection grids: validation scores of what was tried, and what was chosen."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kdgap.judge.evidence import Candidate, Tuning
from kdgap.report.figures.style import (
    BAND,
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
# A scale of its own: the colours of methods mean methods everywhere.
_LIGHT, _DARK = (0.94, 0.96, 0.94), (0.10, 0.34, 0.28)


def grid_title(tuning: Tuning) -> str:
    """Return what a grid is of."""
    return f"{tuning.label}, {pair(tuning)}"


@styled
def selection_grid(tuning: Tuning) -> Figure:
    """Return the validation score of each configuration of an entry of `analysis.selection`.

    A heat map where two hyper-parameters were varied, points from best to worst otherwise.
    """
    varied = varied_parameters(tuning)
    if len(varied) == 2 and len(_cells(tuning, varied)) == len(tuning.candidates):
        return _heat_map(tuning, *varied)
    return _ranked(tuning, varied)


def varied_parameters(tuning: Tuning) -> list[str]:
    """Return the hyper-parameters that differ between the candidates."""
    names = dict.fromkeys(name for candidate in tuning.candidates for name in candidate.parameters)
    return [
        name
        for name in names
        if len({str(candidate.parameters.get(name)) for candidate in tuning.candidates}) > 1
    ]


def _cells(tuning: Tuning, varied: list[str]) -> dict[tuple[str, ...], Candidate]:
    return {
        tuple(str(candidate.parameters.get(name)) for name in varied): candidate
        for candidate in tuning.candidates
    }


def _shade(score: float | None, low: float, high: float) -> tuple[float, float, float]:
    if score is None:
        return (1.0, 1.0, 1.0)
    share = 0.5 if high == low else (score - low) / (high - low)
    red, green, blue = (a + (b - a) * share for a, b in zip(_LIGHT, _DARK, strict=True))
    return red, green, blue


def _heat_map(tuning: Tuning, down: str, across: str) -> Figure:
    cells = _cells(tuning, [down, across])
    rows, columns = (_in_order(tuning, name) for name in (down, across))
    width = 0.75 + 0.62 * max(len(columns), 3) + 0.1
    height = 0.3 * max(len(rows), 2) + 0.75
    figure, axes = panel(width, height, (0.75, 0.1, 0.45, 0.3))
    scores = [candidate.score for candidate in tuning.candidates if candidate.score is not None]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    for (row, column), candidate in cells.items():
        x, y = columns.index(column), rows.index(row)
        chosen = candidate.parameters == tuning.winner
        _cell(axes, x, y, candidate.score, _shade(candidate.score, low, high), chosen=chosen)
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


def _cell(
    axes: Axes, x: int, y: int, score: float | None, shade: tuple[float, ...], *, chosen: bool
) -> None:
    box = Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=shade, edgecolor=BAND, lw=0.5)
    axes.add_patch(box)
    if chosen:
        frame = Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=INK, lw=2.2)
        axes.add_patch(frame)
    dark = sum(shade) < 1.9
    axes.text(
        x,
        y,
        "failed" if score is None else f"{100 * score:.2f}",
        ha="center",
        va="center",
        fontsize=8,
        color="white" if dark else INK,
        fontweight="bold" if chosen else "normal",
    )


def _ranked(tuning: Tuning, varied: list[str]) -> Figure:
    """Return one point a configuration, the best first; bars would need an axis from zero."""
    tried = sorted(tuning.candidates, key=lambda candidate: -(candidate.score or -1.0))[
        :MOST_RANKED
    ]
    scores = [100 * candidate.score for candidate in tried if candidate.score is not None]
    figure, axes = panel(WIDTH, 0.26 * len(tried) + 0.8, (1.3, 0.95, 0.42, 0.3))
    low, high = padded(scores or [0.0, 1.0], 0.15)
    names = []
    for y, candidate in enumerate(tried):
        chosen, score = candidate.parameters == tuning.winner, candidate.score
        shown = {name: candidate.parameters.get(name) for name in varied or candidate.parameters}
        names.append(shorten(settings_text(shown), 22))
        if score is None:
            axes.annotate("failed", (low, y), (4, 0), textcoords="offset points", va="center",
                          fontsize=8)  # fmt: skip
            continue
        axes.plot([low, 100 * score], [y, y], color=BAND, lw=2, zorder=0)
        axes.plot([100 * score], [y], marker="o", ms=6, color=INK, mfc=INK if chosen else "white")
        text = f"{100 * score:.2f}" + (" chosen" if chosen else "")
        axes.annotate(text, (100 * score, y), (7, 0), textcoords="offset points", va="center",
                      fontsize=8, fontweight="bold" if chosen else "normal")  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(len(tried) - 0.4, -0.6)
    axes.set_yticks(range(len(tried)), labels=names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel("validation accuracy (%)")
    title(axes, shorten(grid_title(tuning), 44), 0.06)
    return figure
