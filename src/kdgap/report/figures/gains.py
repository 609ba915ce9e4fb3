"""Figures of gains: their intervals, and against capacity."""

import math
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kdgap.judge.analysis import Analysis, Settings
from kdgap.judge.baselines import by_baseline
from kdgap.judge.entries import Gain
from kdgap.numbers import compact, interval, level, signed
from kdgap.report.figures.arms import value_of
from kdgap.report.figures.style import (
    BAND,
    FAINT,
    INK,
    VERDICTS,
    WIDE,
    WIDTH,
    Look,
    legend,
    legend_height,
    looks,
    padded,
    panel,
    shorten,
    side_text,
    stack,
    styled,
)

MOST_ROWS = 40
_HEAD = 0.85


@styled
def interval_plot(analysis: Analysis) -> Figure:
    """Return every gain with both intervals, zero, and the smallest effect of interest.

    Raises:
        ValueError: no gain has a value.
    """
    rows = [
        (group.name, gain)
        for group in by_baseline(analysis)
        for _, gain in group.gains
        if gain.gain_pp is not None
    ][:MOST_ROWS]
    if not rows:
        raise ValueError("no gain has a value")
    gains = [gain for _, gain in rows]
    settings, look = analysis.settings, looks(analysis)
    margin, row = settings.smallest_effect_pp, 0.36
    handles = _interval_legend(gains, settings)
    room = legend_height(len(handles)) + 0.42
    heads = len({name for name, _ in rows})
    height = row * (len(gains) + _HEAD * heads) + 0.1
    figure, axes = panel(WIDE, height + room + 0.08, (0.12, 0.12, room, 0.08))
    ends = [x for gain in gains for x in (gain.gain_pp, *(gain.ci95_simultaneous_pp or ()))]
    axes.set_xlim(*padded([*ends, -margin, margin], 0.03))
    y, head = 0.0, None
    for name, gain in rows:
        if name != head:
            head = name
            y -= _HEAD
            side_text(axes, 0, y + 0.1, shorten(name, 52), "left", weight="bold")
        y -= 1
        # A lane of its own for each gain: its words stand on white, and cross no line.
        axes.fill_between([-margin, margin], y - 0.28, y + 0.16, color=BAND, lw=0, zorder=0)
        axes.plot([0, 0], [y - 0.28, y + 0.16], color=INK, lw=0.8, zorder=1)
        axes.vlines([-margin, margin], y - 0.28, y + 0.16, color=FAINT, lw=0.6, zorder=1)
        _interval_row(axes, y, gain, look[gain.method])
    axes.set_ylim(y - 0.4, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("gain over the baseline of the same student (pp)")
    legend(axes, handles)
    return figure


def _interval_row(axes: Axes, y: float, gain: Gain, look: Look) -> None:
    """Draw one gain, its words above it."""
    marker, hollow = VERDICTS[gain.verdict], gain.open
    for ends, width in ((gain.ci95_simultaneous_pp, 0.8), (gain.ci95_pp, 2.6)):
        if ends:
            axes.plot(ends, [y, y], color=look.colour, lw=width, solid_capstyle="butt")
    axes.plot(
        [value_of(gain)],
        [y],
        marker=marker,
        ms=7,
        mfc="white" if hollow else look.colour,
        mec=look.colour,
        mew=1.4,
        ls="none",
    )
    side_text(axes, 0, y + 0.36, shorten(look.name, 18), "left")
    estimate = signed(value_of(gain)) + (f" {interval(gain.ci95_pp)}" if gain.ci95_pp else "")
    n = f"n = {gain.n}, {gain.n_baseline}"
    side_text(axes, 1, y + 0.36, f"{estimate} · {gain.verdict_text} · {n}", "right")


def _interval_legend(gains: Sequence[Gain], settings: Settings) -> list[Line2D | Patch]:
    family, margin = settings.gains_in_family, settings.smallest_effect_pp
    shown = [v for v in VERDICTS if v in {gain.verdict for gain in gains}]
    return [
        Line2D([], [], color=INK, lw=2.6, label=f"{level(settings.confidence)} interval"),
        Line2D([], [], color=INK, lw=0.8, label=f"simultaneous over {family} gains"),
        Patch(color=BAND, label=f"smaller than ±{margin:g} pp"),
        *(
            Line2D([], [], color=INK, marker=VERDICTS[v], ls="none", label=v, ms=6,
                   mfc="white" if v == "inconclusive" else INK)
            for v in shown
        ),
    ]  # fmt: skip


@styled
def capacity_plot(analysis: Analysis, against: str | None = None) -> Figure:
    """Return gains against the student's size, and against how far the teacher is ahead.

    Args:
        analysis: what is shown.
        against: `parameters` or `gap` for one of the two.

    Raises:
        ValueError: neither is known of any gain.
    """
    places = {
        name: points
        for name in ("parameters", "gap")
        if against in (None, name) and (points := capacity_points(analysis, name))
    }
    if not places:
        raise ValueError("neither parameters nor teacher accuracies are known")
    look = looks(analysis)
    used = list(dict.fromkeys(gain.method for _, gain in next(iter(places.values()))))
    handles = [
        Line2D([], [], color=look[m].colour, marker=look[m].marker, label=look[m].name)
        for m in used
    ]
    room = legend_height(len(handles)) + 0.44
    figure, all_axes = stack(WIDTH, [2.1 + room] * len(places), (0.6, 0.12, room, 0.1))
    for axes, (name, points) in zip(all_axes, places.items(), strict=True):
        _capacity(axes, name, points, analysis)
    legend(all_axes[-1], handles)
    return figure


def capacity_points(analysis: Analysis, against: str) -> list[tuple[float, Gain]]:
    """Return (place, gain) of every gain with a value: parameters, or percentage points ahead."""
    trained = {level.name: level.mean_pp for level in analysis.teachers}
    points = []
    for gain in analysis.gains:
        if against == "parameters":
            x = analysis.models.get(gain.student, {}).get("parameters")
        else:
            own = None if gain.fidelity is None else gain.fidelity.teacher_accuracy
            ahead = trained.get(gain.teacher or "") if own is None else 100 * own
            plain = gain.baseline_mean_pp
            x = None if ahead is None or plain is None else ahead - plain
        if x is not None and gain.gain_pp is not None:
            points.append((float(x), gain))
    return points


def _capacity(
    axes: Axes, name: str, points: Sequence[tuple[float, Gain]], analysis: Analysis
) -> None:
    look, margin = looks(analysis), analysis.settings.smallest_effect_pp
    methods = list(dict.fromkeys(gain.method for _, gain in points))
    log = name == "parameters" and len({x for x, _ in points}) > 1
    low, high = padded([math.log10(x) if log else x for x, _ in points], 0.12)
    step, taken = (high - low) / 70, Counter[float]()
    axes.axhspan(-margin, margin, color=BAND, lw=0, zorder=0)
    for y, colour, width in ((-margin, FAINT, 0.6), (margin, FAINT, 0.6), (0, INK, 0.8)):
        axes.axhline(y, color=colour, lw=width)
    for x, gain in points:
        # Side by side where several gains have one place, or their intervals hide each other.
        centre = (math.log10(x) if log else x) + step * (taken[x] - len(methods) / 2 + 0.5)
        taken[x] += 1
        own = look[gain.method]
        if gain.ci95_pp:
            axes.plot([centre] * 2, gain.ci95_pp, color=own.colour, lw=1.2)
        axes.plot([centre], [value_of(gain)], color=own.colour, marker=own.marker, ls="none")
    axes.set_xlim(low, high)
    axes.set_ylabel("gain (pp)")
    if log:
        ticks = list(dict.fromkeys(x for x, _ in sorted(points, key=lambda point: point[0])))
        _size_ticks(axes, ticks, high - low)
        axes.set_xlabel("student's parameters (log scale)")
    elif name == "parameters":
        axes.set_xticks([points[0][0]], labels=[compact(points[0][0])])
        axes.set_xlabel("student's parameters")
    else:
        axes.set_xlabel("teacher's accuracy minus the baseline's (pp)")


def _size_ticks(axes: Axes, sizes: Sequence[float], span: float) -> None:
    """Label the students' own sizes, leaving out what would overlap."""
    kept: list[float] = []
    for size in sizes:
        if not kept or math.log10(size / kept[-1]) > 0.13 * span:
            kept.append(size)
    axes.set_xticks([math.log10(size) for size in kept], labels=[compact(size) for size in kept])
