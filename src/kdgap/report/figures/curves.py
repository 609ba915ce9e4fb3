"""Curves over epochs: validation accuracy and gradient norms, each with its band over seeds.

Of a student with all its arms, or of an ablation with its two sides.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kdgap.judge.analysis import Ablation, Analysis
from kdgap.judge.curves import Curve, Values, over_runs
from kdgap.judge.evidence import Evidence, choice_words
from kdgap.report.figures.arms import Drawn, ablation_sides, drawn_arms
from kdgap.report.figures.style import (
    BAND,
    DASHES,
    FAINT,
    WIDTH,
    legend,
    legend_height,
    panel,
    shorten,
    stack,
    styled,
    title,
)

Shown = tuple[Drawn, Curve]
TAIL = 0.3
"""Share of the epochs that the closer look shows."""
NORMS = {
    "grad_norm_max": "largest gradient norm of an epoch",
    "proj_grad_norm_max": "largest norm of the projections",
    "term_grad_norm": "gradient norm of each loss term",
}
"""What histories record of gradients, before clipping; the last is by loss term."""
_ABLATION_NORMS = {
    "grad_norm_max": "largest gradient norm",
    "proj_grad_norm_max": "projections' largest norm",
}


@styled
def convergence(
    evidence: Evidence,
    analysis: Analysis,
    student: str,
    *,
    tail: bool = False,
    curves: Sequence[Shown] | None = None,
) -> Figure:
    """Return validation accuracy by epoch: mean over runs, and the band from lowest to highest.

    Args:
        evidence, analysis: what is shown.
        student: whose baseline and methods.
        tail: only the last part of training, where the differences are.
        curves: what `validation_curves` returned, if it is at hand.

    Raises:
        ValueError: no run of the student has a history.
    """
    shown = validation_curves(evidence, analysis, student) if curves is None else curves
    if not shown:
        raise ValueError("no history has validation accuracies")
    words = f"{student}, last {100 * TAIL:.0f} % of training" if tail else student
    figure, axes = _axes(words, f"{choice_words(evidence.chosen_on)} (%)", shown)
    _percent(axes, shown, max(curve[0][-1] for _, curve in shown) * (1 - TAIL) if tail else 0.0)
    return figure


def validation_curves(evidence: Evidence, analysis: Analysis, student: str) -> list[Shown]:
    """Return each arm of a student with its validation accuracy by epoch."""
    arms = drawn_arms(evidence, analysis, student)
    curves = [(arm, over_runs(arm.runs, "val_acc")) for arm in arms]
    return [(arm, curve) for arm, curve in curves if curve is not None]


@styled
def gradient_norms(
    evidence: Evidence, analysis: Analysis, student: str, key: str = "grad_norm_max"
) -> Figure:
    """Return a gradient norm by epoch, on a log scale, before clipping.

    Args:
        evidence, analysis: what is shown.
        student: whose baseline and methods.
        key: one of `NORMS`.

    Raises:
        ValueError: no run of the student recorded it.
    """
    shown = recorded_curves(drawn_arms(evidence, analysis, student), key)
    if not shown:
        raise ValueError(f"no history has {key}")
    figure, axes = _axes(f"{student}: {NORMS[key]}", "norm before clipping", shown)
    _logarithmic(axes, shown)
    return figure


@styled
def ablation_curves(evidence: Evidence, analysis: Analysis, ablation: Ablation) -> Figure:
    """Return accuracy and gradient norms by epoch of both sides of an ablation, one below another.

    A side that did not record what the other did is named, so that its absence is seen.

    Args:
        evidence, analysis: what is shown.
        ablation: an entry of `analysis.ablations`.

    Raises:
        ValueError: neither side has a history of any of it.
    """
    sides = ablation_sides(evidence, analysis, ablation)
    names = {"val_acc": f"{choice_words(evidence.chosen_on)} (%)", **_ABLATION_NORMS}
    parts = {key: curves for key in names if (curves := recorded_curves(sides, key))}
    if not parts:
        raise ValueError("no history of the ablation's runs was recorded")
    handles = [_handle(arm, len(arm.runs), 46) for arm in sides]
    foot = legend_height(len(handles), 1) + 0.2
    figure, all_axes = stack(WIDTH, [1.66] * len(parts), (0.5, 0.14, 0.24, 0.24), 0.22, foot)
    for axes, (key, curves) in zip(all_axes, parts.items(), strict=True):
        (_percent if key == "val_acc" else _logarithmic)(axes, curves)
        axes.grid(color=BAND, lw=0.6)
        title(axes, names[key], 0.05, weight="normal")
        words = _unlike(sides, curves)
        axes.text(1, 1.05, words, transform=axes.transAxes, ha="right", color=FAINT, fontsize=8)
    all_axes[-1].set_xlabel("epoch")
    title(all_axes[0], shorten(ablation.name, 44), 0.25)
    legend(all_axes[-1], handles, 1)
    return figure


def _unlike(sides: Iterable[Drawn], curves: Iterable[Shown]) -> str:
    """Return which side recorded nothing of a part, or only in some of its runs."""
    have = {arm.label: curve[-1] for arm, curve in curves}
    return ", ".join(
        f"{arm.side}: {f'n = {count}' if count else 'not recorded'}"
        for arm in sides
        if (count := have.get(arm.label, 0)) < len(arm.runs)
    )


def recorded_curves(arms: Iterable[Drawn], key: str) -> list[Shown]:
    """Return the curve of each arm that recorded a key; of each loss term for `term_grad_norm`."""
    curves = []
    for arm in arms:
        if key != "term_grad_norm":
            curve = over_runs(arm.runs, key)
            # An imported run writes 0 where it recorded nothing.
            if curve is not None and (curve[2] > 0).any():
                curves.append((arm, curve))
            continue
        terms = dict.fromkeys(name for run in arm.runs for name in run.history.parts_at_start(key))
        for index, term in enumerate(terms):
            curve = over_runs(arm.runs, key, term)
            if arm.teacher is not None and curve is not None and (curve[2] > 0).any():
                curves.append((_named(arm, term, DASHES[index % len(DASHES)]), curve))
    return curves


def _named(arm: Drawn, term: str, dash: str) -> Drawn:
    return Drawn(f"{arm.label}: {term}", arm.look, dash, arm.teacher, arm.runs, arm.n, arm.mean,
                 arm.interval)  # fmt: skip


def _axes(words: str, unit: str, shown: Sequence[Shown]) -> tuple[Figure, Axes]:
    """Return a panel with its legend, which counts the runs behind each curve."""
    columns = 1 if any(len(arm.label) > 16 for arm, _ in shown) else 2
    handles = [_handle(arm, curve[-1], 46 if columns == 1 else 24) for arm, curve in shown]
    room = legend_height(len(handles), columns) + 0.42
    figure, axes = panel(WIDTH, 2.05 + room, (0.66, 0.14, room, 0.26))
    axes.set_xlabel("epoch")
    label = axes.set_ylabel(unit)
    if len(unit) > 24:  # longer than its axis
        label.set_fontsize(8)
    axes.grid(color=BAND, lw=0.6)
    title(axes, shorten(words, 50), 0.06)
    legend(axes, handles, columns)
    return figure, axes


def _handle(arm: Drawn, runs: int, most: int) -> Line2D:
    words = shorten(f"{arm.label}, n = {runs}", most)
    return Line2D([], [], color=arm.look.colour, ls=arm.dash, label=words)


def _percent(axes: Axes, shown: Iterable[Shown], start: float = 0.0) -> None:
    """Draw shares as percent, from an epoch on."""
    lows, highs = [], []
    for arm, (epochs, mean, low, high, _) in shown:
        kept = epochs >= start
        _band(axes, arm, epochs[kept], 100 * mean[kept], 100 * low[kept], 100 * high[kept])
        if kept.any():
            lows.append(100 * low[kept].min())
            highs.append(100 * high[kept].max())
    room = 0.04 * (max(highs) - min(lows)) or 0.5
    axes.set_ylim(min(lows) - room, min(100.5, max(highs) + room))


def _logarithmic(axes: Axes, shown: Iterable[Shown]) -> None:
    """Draw norms on a log scale; an epoch without one is left out."""
    decades = []
    for arm, (epochs, mean, low, high, _) in shown:
        kept = low > 0
        if kept.any():
            logs = [np.log10(part[kept]) for part in (mean, low, high)]
            _band(axes, arm, epochs[kept], *logs)
            decades += [float(logs[1].min()), float(logs[2].max())]
    _log_ticks(axes, min(decades), max(decades))


def _band(axes: Axes, arm: Drawn, x: Values, mean: Values, low: Values, high: Values) -> None:
    marker = arm.look.marker if len(x) == 1 else ""
    axes.fill_between(x, low, high, color=arm.look.colour, alpha=0.13, lw=0)
    axes.plot(x, mean, color=arm.look.colour, ls=arm.dash, marker=marker)


def _log_ticks(axes: Axes, low: float, high: float) -> None:
    """Label a scale of logarithms with the numbers themselves."""
    room = 0.05 * (high - low) or 0.1
    axes.set_ylim(low - room, high + room)
    marks = [
        m * 10.0**d for d in range(math.floor(low) - 1, math.ceil(high) + 1) for m in (1, 2, 5)
    ]
    inside = [mark for mark in marks if low - room <= math.log10(mark) <= high + room]
    if len(inside) > 7:
        inside = [mark for mark in inside if math.isclose(math.log10(mark) % 1, 0, abs_tol=1e-9)]
    axes.set_yticks([math.log10(mark) for mark in inside], labels=[f"{mark:g}" for mark in inside])
