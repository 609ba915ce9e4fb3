"""What all figures share: colours and markers of methods and verdicts, sizes, one plain style.

Figures are made without pyplot and without the reader's matplotlib settings, so that the same
analysis gives the same bytes everywhere, and every text is literal: `a$b$` in a name stays as it
is, and is no formula.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kdgap.judge.analysis import Analysis
from kdgap.spec.method_card import UNKNOWN
from kdgap.spec.slot import PLAIN

P = ParamSpec("P")

# Okabe and Ito 2008, Color Universal Design: told apart by colour-blind readers as well.
_LOOKS = (
    *(("#555555", "s"), ("#0072B2", "o"), ("#D55E00", "^"), ("#009E73", "D"), ("#CC79A7", "v")),
    *(("#56B4E9", "P"), ("#E69F00", "X"), ("#000000", "*")),
)
"""Colour and marker by a method's declared place; plain training has the first."""
INK, FAINT, BAND = "#222222", "#6b6b6b", "#e9e9e9"
DASHES = ("-", "--", ":", "-.")
VERDICTS = {"gain": "^", "harm": "v", "equivalent": "s", "inconclusive": "o"}
"""Verdict → marker; its filling says the same once more: only `inconclusive` is hollow."""
WIDTH = 3.5
"""Inches of one small panel: as wide as a phone at natural size."""
WIDE = 4.3
"""Inches of a figure that stands alone: a phone shows it whole at four fifths of its size."""

# A reader's matplotlibrc must not show: everything that draws is set to its default first.
_STYLE: Any = {
    name: value
    for name, value in mpl.rcParamsDefault.items()
    if not name.startswith(("backend", "interactive", "toolbar", "keymap", "tk.", "webagg"))
} | {
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "kdgap",
    "pdf.fonttype": 42,
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    name: str
    colour: str
    marker: str


def looks(analysis: Analysis) -> dict[str, Look]:
    """Return how each method is drawn; the same in every figure of an analysis."""
    known = {PLAIN: UNKNOWN, **analysis.methods}
    if "colour" not in known[PLAIN].keys:
        known[PLAIN] = replace(known[PLAIN], colour=0)
    names = dict.fromkeys([*known, *(gain.method for gain in analysis.gains)])
    declared = {name: known.get(name, UNKNOWN).colour for name in names}
    places = {name: place for name, place in declared.items() if place is not None}
    free = [place for place in range(1, len(_LOOKS)) if place not in places.values()]
    for number, name in enumerate(name for name in names if name not in places):
        places[name] = free[number % len(free)] if free else number
    by_method = {}
    for name in sorted(names, key=lambda name: (declared[name] is None, places[name])):
        label = str(known.get(name, UNKNOWN).label or name)
        colour, marker = _LOOKS[places[name] % len(_LOOKS)]
        by_method[name] = Look("baseline" if name == PLAIN else label, colour, marker)
    return by_method


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function use the house style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return drawn


@contextmanager
def style() -> Iterator[None]:
    """Use the house style, for drawing and for saving, whatever the reader's own settings are."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The font need not have a name's letters: an SVG is shown in the reader's own fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def stack(
    width: float,
    heights: Sequence[float],
    edges: tuple[float, float, float, float],
    head: float = 0.0,
    foot: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with plain axes one below the other.

    Args:
        width: in inches.
        heights: of each part in inches, room for its labels included.
        edges: room left of, right of, below and above each pair of axes, in inches. Fixed room,
            because a layout engine would draw everything twice.
        head, foot: room over the first part and under the last, in inches.
    """
    total = head + sum(heights) + foot
    figure = Figure(figsize=(width, total))
    left, right, below, above = edges
    all_axes, top = [], total - head
    for height in heights:
        top -= height
        box = (left, top + below, width - left - right, height - below - above)
        axes = figure.add_axes(
            (box[0] / width, box[1] / total, box[2] / width, box[3] / total),
        )
        axes.spines[["top", "right"]].set_visible(False)
        # Ticks are made when a figure is saved: what is set here holds then, a context does not.
        axes.tick_params(labelsize=8, width=0.7, length=3, color=FAINT, labelcolor=INK)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        all_axes.append(axes)
    return figure, all_axes


def panel(
    width: float, height: float, edges: tuple[float, float, float, float]
) -> tuple[Figure, Axes]:
    """Return a figure with one plain pair of axes; see `stack`."""
    figure, (axes,) = stack(width, [height], edges)
    return figure, axes


def title(axes: Axes, text: str, above: float, weight: str = "bold") -> None:
    """Put a title `above` inches over the axes, at the left edge of the figure."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    top = axes.get_position().y1 + above / figure.get_figheight()
    figure.text(0.02, top, text, fontsize=9, fontweight=weight, va="bottom")


def side_text(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    side: Literal["left", "right"],
    weight: str = "normal",
) -> None:
    """Write at a share of the axes' width, in data units of y."""
    axes.text(
        x,
        y,
        text,
        transform=axes.get_yaxis_transform(),
        ha=side,
        va="center",
        fontsize=8,
        fontweight=weight,
    )


def legend(axes: Axes, handles: Sequence[Any], columns: int = 2) -> None:
    """Put a legend at the bottom edge of the figure, below the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.01, 0.0),
        ncols=columns,
        frameon=False,
        borderpad=0.2,
        labelspacing=0.3,
        columnspacing=1.2,
        handlelength=2.2,
        handletextpad=0.5,
    )


def legend_height(entries: int, columns: int = 2) -> float:
    """Return the inches that a legend needs."""
    return 0.06 + 0.165 * -(-entries // columns)


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` characters, its middle left out."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return text[:head].rstrip() + "…" + text[len(text) - (most - 1 - head) :].lstrip()


def padded(values: Iterable[float], share: float = 0.08) -> tuple[float, float]:
    """Return limits of an axis that leave some room around its values."""
    kept = list(values)
    low, high = min(kept), max(kept)
    room = share * (high - low) or max(abs(high), 1.0) * 0.05
    return low - room, high + room
