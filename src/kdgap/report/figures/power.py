"""How likely the smallest effect of interest is found, by seeds an arm."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence
from kdgap.numbers import level
from kdgap.report.figures.style import (
    BAND,
    FAINT,
    INK,
    WIDE,
    legend,
    legend_height,
    panel,
    styled,
)
from kdgap.stats.power import contrast_power

Noise = tuple[tuple[float, ...], tuple[float, ...]]
"""Weights and standard deviations of the arms, in percentage points."""
_MOST = 2000


def observed_spreads(analysis: Analysis) -> list[Noise]:
    """Return the spread over seeds of each gain that has one, smallest first.

    Two arms for Welch, the differences by seed for the paired test: what `seeds_needed` rests on.
    """
    spreads: list[Noise] = []
    for gain in analysis.gains:
        if not gain.se_pp:
            continue
        if analysis.settings.test == "paired":
            spreads.append(((1.0,), (gain.se_pp * math.sqrt(gain.n),)))
            continue
        own, other = gain.std_pp, gain.baseline_std_pp
        if own is not None and other is not None and own + other > 0:
            spreads.append(((1.0, -1.0), (own, other)))
    return sorted(spreads, key=lambda spread: math.hypot(*spread[1]))


@styled
def power_curve(evidence: Evidence, analysis: Analysis) -> Figure:
    """Return the power to find the smallest effect of interest, by seeds an arm.

    One curve for the gain of median spread, with and without the correction, in a band from the
    gain that varies least to the one that varies most.

    Raises:
        ValueError: no gain has a spread over seeds.
    """
    spreads, settings = observed_spreads(analysis), analysis.settings
    if not spreads:
        raise ValueError("no gain has a spread over seeds")
    margin, alpha = evidence.statistics.smallest_effect_pp, settings.alpha
    family, target = max(settings.gains_in_family, 1), evidence.statistics.power
    three = (spreads[0], spreads[len(spreads) // 2], spreads[-1])
    have = max(gain.n_smallest for gain in analysis.gains)
    seeds = _seeds(have, [three[1], three[2]], margin, target, alpha / family)
    figure, axes, handles = _axes(family, target)
    kinds = ((alpha / family, INK, "-"), (alpha, FAINT, "--"))
    for index, (at, colour, dash) in enumerate(kinds):
        least, median, most = (
            [100 * contrast_power(margin, *spread, n, at) for n in seeds] for spread in three
        )
        if index == 0:
            axes.fill_between(seeds, least, most, color=colour, alpha=0.12, lw=0)
        axes.plot(seeds, median, color=colour, ls=dash)
    axes.axhline(100 * target, color=FAINT, lw=0.8, ls=":")
    axes.axvline(have, color=INK, lw=0.8)
    far = have > 0.7 * seeds[-1]
    axes.text(have, 102, f"n = {have} here", fontsize=8, ha="right" if far else "left", va="bottom")
    axes.set_xlim(min(2, have), seeds[-1])
    axes.set_ylabel(f"power to find {margin:g} pp (%)")
    legend(axes, handles, 1)
    return figure


def _axes(family: int, target: float) -> tuple[Figure, Axes, Sequence[Any]]:
    handles = [
        Line2D([], [], color=INK, label=f"corrected for {family} gains, median spread"),
        Patch(color=INK, alpha=0.12, lw=0, label="the same, smallest to largest spread"),
        Line2D([], [], color=FAINT, ls="--", label="uncorrected, median spread"),
        Line2D([], [], color=FAINT, lw=0.8, ls=":", label=f"{level(target)} power"),
    ]
    room = legend_height(len(handles), 1) + 0.42
    figure, axes = panel(WIDE, 2.3 + room, (0.55, 0.15, room, 0.24))
    axes.set_ylim(0, 101)
    axes.set_xlabel("seeds an arm")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color=BAND, lw=0.6)
    return figure, axes, handles


def _seeds(
    have: int, spreads: Sequence[Noise], margin: float, target: float, alpha: float
) -> list[int]:
    """Return the seeds to compute: up to where even the widest spread has the power wanted."""
    most = max(2 * have, 8)
    while most < _MOST and any(
        contrast_power(margin, *spread, most, alpha) < target for spread in spreads
    ):
        most = math.ceil(1.3 * most)
    step = max(1, most // 40)
    return sorted({*range(2, min(12, most)), *range(2, most + 1, step), most})
