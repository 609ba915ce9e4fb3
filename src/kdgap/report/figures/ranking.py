"""Figure of a ranking: everything that was trained of a student on one scale."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kdgap.judge.analysis import Analysis
from kdgap.judge.ranking import Ranking
from kdgap.numbers import decimals, level
from kdgap.report.figures.style import (
    FAINT,
    INK,
    WIDTH,
    legend,
    legend_height,
    looks,
    padded,
    panel,
    shorten,
    side_text,
    styled,
    title,
)
from kdgap.spec.slot import PLAIN

MOST_PLACES = 40


@styled
def ranking_plot(ranking: Ranking, analysis: Analysis) -> Figure:
    """Return means with their intervals, the highest first; open: shown not to be the best.

    Raises:
        ValueError: nothing has a mean.
    """
    places = [(p, p.level.mean_pp) for p in ranking.places if p.level.mean_pp is not None]
    if not places:
        raise ValueError("nothing has a mean")
    places, look = places[:MOST_PLACES], looks(analysis)
    handles = [
        Line2D([], [], color=INK, lw=2.6, label=f"{level(ranking.confidence)} interval"),
        Line2D([], [], color=FAINT, ls="--", lw=1, label="plain training"),
        Line2D([], [], color=INK, marker="o", ls="none", mfc="white", label="not the best"),
    ]
    room = legend_height(len(handles)) + 0.42
    figure, axes = panel(WIDTH, 0.38 * len(places) + room + 0.3, (0.12, 0.12, room, 0.26))
    ends = [end for place, mean in places for end in (mean, *(place.level.ci95_pp or ()))]
    axes.set_xlim(*padded(ends, 0.05))
    plain = next((mean for place, mean in places if place.method == PLAIN), None)
    for row, (place, mean) in enumerate(places):
        if plain is not None:  # in a lane of its own, so that it strikes no word through
            axes.plot([plain] * 2, [-row - 0.3, -row + 0.14], color=FAINT, ls="--", lw=1, zorder=0)
        own = look[place.method]
        if place.level.ci95_pp:
            axes.plot(place.level.ci95_pp, [-row] * 2, color=own.colour, lw=2.6)
        face = own.colour if place.may_be_best else "white"
        axes.plot([mean], [-row], marker=own.marker, ms=6, mfc=face, mec=own.colour, ls="none")
        side_text(axes, 0, -row + 0.36, shorten(place.name, 34), "left")
        side_text(axes, 1, -row + 0.36, f"{decimals(mean)}, n = {place.level.n}", "right")
    axes.set_ylim(0.3 - len(places), 0.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("test accuracy (%)")
    title(axes, shorten(ranking.name, 44), 0.06)
    legend(axes, handles)
    return figure
