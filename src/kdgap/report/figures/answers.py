"""Figures of what networks answered: confusions that distillation changed, and calibration."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from kdgap.judge.analysis import Analysis
from kdgap.judge.answer_measures import ImageByImage, Side
from kdgap.judge.entries import Gain
from kdgap.numbers import signed
from kdgap.report.figures.style import (
    BAND,
    FAINT,
    INK,
    WIDTH,
    legend,
    legend_height,
    looks,
    panel,
    shorten,
    styled,
    title,
)
from kdgap.report.tables.cells import pair
from kdgap.spec.slot import PLAIN

# Scales of their own: the colours of methods mean methods everywhere.
_BETTER, _WORSE = (0.13, 0.42, 0.68), (0.80, 0.38, 0.10)
_TEACHER = "#6a3d9a"


@styled
def confusion_change(gain: Gain, pictured: ImageByImage) -> Figure:
    """Return the confusion matrix of distilled students minus that of plain ones, in images.

    Raises:
        ValueError: there are no plain students, or too many classes.
    """
    if pictured.matrix is None or pictured.matrix.plain is None:
        raise ValueError("no two matrices to compare")
    names = [shorten(name, 12) for name in pictured.classes]
    count, side = len(names), WIDTH - 0.9
    slanted = max(map(len, names)) > 2
    below = 0.85 if slanted else 0.5
    figure, axes = panel(WIDTH, side + below + 0.35, (0.8, 0.1, below, 0.35))
    change = [
        [own - before for own, before in zip(own_row, plain_row, strict=True)]
        for own_row, plain_row in zip(pictured.matrix.distilled, pictured.matrix.plain, strict=True)
    ]
    most = max((abs(value) for row in change for value in row), default=0.0) or 1.0
    for y, row in enumerate(change):
        for x, value in enumerate(row):
            better = value > 0 if x == y else value < 0
            _change(axes, (x, y), value, abs(value) / most, better=better, small=count > 12)
    axes.set_xlim(-0.52, count - 0.48)
    axes.set_ylim(count - 0.48, -0.52)
    axes.set_xticks(range(count), labels=names, rotation=45 if slanted else 0)
    axes.set_yticks(range(count), labels=names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("right class")
    title(axes, shorten(f"{gain.label}, {pair(gain)}", 44), 0.06)
    return figure


def _change(
    axes: Axes, place: tuple[int, int], value: float, strength: float, *, better: bool, small: bool
) -> None:
    x, y = place
    colour = _BETTER if better else _WORSE
    face = tuple(1 - 0.75 * strength * (1 - part) for part in colour)
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor=BAND, lw=0.5))
    if abs(value) >= 0.05 and not small:
        text = signed(value, 1 if abs(value) < 10 else 0)
        axes.text(x, y, text, ha="center", va="center", fontsize=6, color=INK)


@styled
def reliability_plot(gain: Gain, pictured: ImageByImage, analysis: Analysis) -> Figure:
    """Return confidence against the share of right answers: teacher, plain, distilled.

    Raises:
        ValueError: nothing was answered.
    """
    look = looks(analysis)
    sides: Sequence[tuple[str, Side | None, str, str]] = (
        ("teacher", pictured.teacher, _TEACHER, "s"),
        ("plain training", pictured.plain, look[PLAIN].colour, look[PLAIN].marker),
        (gain.label, pictured.distilled, look[gain.method].colour, look[gain.method].marker),
    )
    shown = [(name, side, colour, marker) for name, side, colour, marker in sides if side]
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=4.5, lw=1.2, label=shorten(name, 24))
        for name, _, colour, marker in shown
    ]
    room = legend_height(len(handles)) + 0.42
    figure, axes = panel(WIDTH, 2.5 + room, (0.55, 0.12, room, 0.3))
    axes.plot([0, 100], [0, 100], color=FAINT, ls="--", lw=1, zorder=0)
    for _, side, colour, marker in shown:
        bins = side.reliability
        points = [
            (100 * sure, 100 * right, count)
            for sure, right, count in zip(bins.confidence, bins.accuracy, bins.counts, strict=True)
            if sure is not None and right is not None
        ]
        most = max(count for _, _, count in points)
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color=colour, lw=1.2)
        for x, y, count in points:
            size = 2.0 + 5.5 * (count / most) ** 0.5
            axes.plot([x], [y], color=colour, marker=marker, ms=size, ls="none")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("confidence (%)")
    axes.set_ylabel("right answers (%)")
    title(axes, shorten(f"{gain.label}, {pair(gain)}", 44), 0.06)
    legend(axes, handles)
    return figure
