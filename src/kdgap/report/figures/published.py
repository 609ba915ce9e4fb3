"""The two figures of the reference study: gains with every seed, and convergence per student."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kdgap.judge.analysis import Analysis
from kdgap.judge.curves import Curve, over_runs
from kdgap.judge.entries import Gain
from kdgap.judge.evidence import Evidence, Run, choice_words
from kdgap.numbers import level
from kdgap.report.figures.arms import Drawn, drawn_arms, pairs, students, value_of
from kdgap.report.figures.curves import TAIL
from kdgap.report.figures.style import (
    BAND,
    FAINT,
    INK,
    WIDTH,
    legend,
    legend_height,
    looks,
    padded,
    panel,
    shorten,
    styled,
)
from kdgap.report.tables.cells import slot_of, star
from kdgap.spec.slot import pair_text

PAIR, APART, SPREAD = 1.35, 0.3, 0.055
"""Inches of a pair; how far methods are apart and seeds spread, as shares of that."""


@styled
def gain_figure(evidence: Evidence, analysis: Analysis) -> Figure:
    """Return the gain of each method in each pair with its interval, and every seed as a point.

    A point is a seed's accuracy minus the mean of the baseline, or minus the baseline of the same
    seed where the study is judged paired, so that the mean of the points is the gain.

    Raises:
        ValueError: no gain has a value.
    """
    gains = [gain for gain in analysis.gains if gain.gain_pp is not None]
    if not gains:
        raise ValueError("no gain has a value")
    settings, look = analysis.settings, looks(analysis)
    shown = [name for name in pairs(analysis) if name in {slot_of(gain)[:2] for gain in gains}]
    handles = _gain_legend(gains, analysis)
    columns = 2 if len(shown) > 3 else 1
    room = legend_height(len(handles), columns) + 0.5
    figure, axes = panel(max(0.75 + PAIR * len(shown), WIDTH), 2.6 + room, (0.62, 0.1, room, 0.1))
    margin = settings.smallest_effect_pp
    axes.axhspan(-margin, margin, color=BAND, lw=0, zorder=0)
    axes.axhline(0, color=INK, lw=0.8, zorder=1)
    reached = [-margin, margin]
    for place, name in enumerate(shown):
        arms = [gain for gain in gains if slot_of(gain)[:2] == name]
        arms.sort(key=lambda gain: list(look).index(gain.method))
        for number, gain in enumerate(arms):
            x = place + APART * (number - (len(arms) - 1) / 2)
            reached += _arm(axes, x, gain, evidence, analysis)
    low, high = padded(reached)
    axes.set_ylim(low - 0.06 * (high - low), high)  # room for the counts
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_xticks(range(len(shown)), labels=[_pair_label(name, gains) for name in shown])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("gain over the baseline (pp)")
    legend(axes, handles, columns)
    return figure


def _arm(axes: Axes, x: float, gain: Gain, evidence: Evidence, analysis: Analysis) -> list[float]:
    """Draw one gain; return the values that have to be seen."""
    own, bounds = looks(analysis)[gain.method], gain.ci95_pp
    seeds = seed_gains(gain, evidence, analysis)
    # The same seed stands at the same place in every arm.
    spread = [x - 0.1 + SPREAD * (2 * ((0.618 * (seed % 997)) % 1) - 1) for seed in seeds]
    axes.scatter(
        spread, list(seeds.values()), s=13, c=own.colour, marker=own.marker, alpha=0.55, lw=0
    )
    if bounds:
        axes.plot([x, x], bounds, color=own.colour, lw=2, solid_capstyle="butt")
    axes.plot([x], [value_of(gain)], color=own.colour, marker=own.marker, ms=6.5)
    if bounds and (mark := star(gain.p_holm, analysis.settings)):
        axes.annotate(mark, (x, bounds[1]), (0, 1), textcoords="offset points", ha="center")
    axes.text(
        x, 0.01, f"n = {gain.n}", transform=axes.get_xaxis_transform(), ha="center",
        va="bottom", fontsize=7.5, color=FAINT,
    )  # fmt: skip
    return [value_of(gain), *(bounds or ()), *seeds.values()]


def seed_gains(gain: Gain, evidence: Evidence, analysis: Analysis) -> dict[int, float]:
    """Return a gain in percentage points by seed; their mean is the gain."""
    runs = {run.id: run for run in evidence.runs}
    counted, plain_counted = gain.seeds
    own = _by_seed([runs[identifier] for identifier in gain.runs], evidence.primary, counted)
    plain = _by_seed(
        [runs[identifier] for identifier in gain.baseline_runs], evidence.primary, plain_counted
    )
    if analysis.settings.test == "paired":
        return {seed: value - plain[seed] for seed, value in own.items()}
    mean = sum(plain.values()) / len(plain)
    return {seed: value - mean for seed, value in own.items()}


def _by_seed(runs: Iterable[Run], weights: str, seeds: Iterable[int]) -> dict[int, float]:
    """Return accuracy in percent by seed, as the mean over teachers."""
    by_seed: dict[int, list[float]] = {seed: [] for seed in seeds}
    for run in runs:
        value = run.accuracy(weights)
        if value is not None and run.seed in by_seed:
            by_seed[run.seed].append(100 * value)
    return {seed: sum(values) / len(values) for seed, values in by_seed.items()}


def _pair_label(name: tuple[str | None, str], gains: Iterable[Gain]) -> str:
    teacher, student = name
    counts = sorted({g.n_baseline for g in gains if slot_of(g)[:2] == name})
    plain = f"baseline n = {', '.join(map(str, counts))}"
    names = f"{shorten(teacher, 15)} →\n" if teacher else ""
    return f"{names}{shorten(student, 17)}\n{plain}"


def _gain_legend(gains: Iterable[Gain], analysis: Analysis) -> list[Line2D | Patch]:
    settings, look = analysis.settings, looks(analysis)
    methods = {gain.method for gain in gains}
    kind = "Welch" if settings.test == "welch" else "paired"
    sure = f"mean, {level(settings.confidence)} {kind} interval"
    against = "the baseline's mean" if kind == "Welch" else "its baseline"
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=look[m].colour, marker=look[m].marker, label=f"{look[m].name}: {sure}")
        for m in look
        if m in methods
    ]
    handles += [
        Line2D([], [], color=FAINT, marker="o", ls="none", ms=3.5, alpha=0.6,
               label=f"one seed minus {against}"),
        Patch(color=BAND, label=f"smaller than ±{settings.smallest_effect_pp:g} pp"),
    ]  # fmt: skip
    if any(star(gain.p_holm, settings) for gain in gains):
        words = f"Holm p ≤ {settings.alpha:g} over {settings.gains_in_family} gains"
        handles.append(Line2D([], [], color=INK, marker="$*$", ls="none", label=words))
    return handles


@styled
def convergence_figure(evidence: Evidence, analysis: Analysis) -> Figure:
    """Return validation accuracy by epoch of every student, above in full and below its end.

    A line is the mean over runs, a band goes from the lowest to the highest.

    Raises:
        ValueError: no run has a history of validation accuracies.
    """
    shown: dict[str, list[tuple[Drawn, Curve]]] = {}
    for student in students(analysis):
        for arm in drawn_arms(evidence, analysis, student):
            if (curve := over_runs(arm.runs, "val_acc")) is not None:
                shown.setdefault(student, []).append((arm, curve))
    if not shown:
        raise ValueError("no history has validation accuracies")
    entries = max(map(len, shown.values()))
    room = 0.165 * entries + 0.68
    width, height = 3.5 * len(shown), 3.9 + room
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(2, len(shown), squeeze=False)
    figure.subplots_adjust(
        left=0.62 / width, right=1 - 0.12 / width, bottom=room / height, top=1 - 0.28 / height,
        wspace=0.72 / 2.9, hspace=0.24,
    )  # fmt: skip
    for number, (student, curves) in enumerate(shown.items()):
        above, below = grid[:, number]
        _curves(above, curves, 0.0)
        _curves(below, curves, 1 - TAIL)
        above.set_title(shorten(student, 40), loc="left", fontweight="bold")
        below.set_xlabel(f"epoch; lower panel: the last {100 * TAIL:g} %")
        for axes in (above, below) if number == 0 else ():
            axes.set_ylabel(f"{choice_words(evidence.chosen_on)} (%)")
        handles = [
            Line2D([], [], color=arm.look.colour, ls=arm.dash,
                   label=shorten(f"{arm.label}, n = {curve[-1]}", 44))
            for arm, curve in curves
        ]  # fmt: skip
        below.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(-0.03, -0.24), frameon=False,
            borderpad=0, labelspacing=0.3, handlelength=2.4,
        )  # fmt: skip
    words = "line: mean over runs; band: lowest to highest"
    figure.text(0.62 / width, 0.08 / height, words, color=FAINT, fontsize=8)
    return figure


def _curves(axes: Axes, curves: Iterable[tuple[Drawn, Curve]], start: float) -> None:
    """Draw the curves of one student from a share of the epochs on."""
    lows, highs = [], []
    for arm, (epochs, *values, _) in curves:
        kept = epochs >= start * epochs[-1]
        mean, low, high = (100 * series[kept] for series in values)
        marker = arm.look.marker if kept.sum() == 1 else ""
        axes.fill_between(epochs[kept], low, high, color=arm.look.colour, alpha=0.13, lw=0)
        axes.plot(epochs[kept], mean, color=arm.look.colour, ls=arm.dash, marker=marker, lw=1.1)
        lows.append(float(np.min(low)))
        highs.append(float(np.max(high)))
    room = 0.04 * (max(highs) - min(lows)) or 0.5
    axes.set_ylim(min(lows) - room, min(100.5, max(highs) + room))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, width=0.7, length=3, color=FAINT, labelcolor=INK)
    axes.grid(color=BAND, lw=0.6)
    axes.set_axisbelow(True)


def arms_of(evidence: Evidence, analysis: Analysis) -> list[tuple[str, str, int, str]]:
    """Return (student or pair, method, n, seeds) of every arm that the figures are made of."""
    rows = []
    for student in students(analysis):
        for arm in drawn_arms(evidence, analysis, student):
            name = pair_text(arm.teacher, student)
            seeds = sorted({run.seed for run in arm.runs if run.accuracy(evidence.primary)})
            rows.append((name, arm.look.name, arm.n, ", ".join(map(str, seeds))))
    return rows
