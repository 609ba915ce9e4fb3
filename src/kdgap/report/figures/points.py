"""Figures with a point for every run: seeds behind each mean, and fidelity against accuracy."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.recorded import UNTESTED, Scores
from kdgap.numbers import decimals
from kdgap.report.figures.arms import Drawn, drawn_arms, students
from kdgap.report.figures.style import (
    BAND,
    INK,
    WIDTH,
    Look,
    legend,
    legend_height,
    panel,
    shorten,
    side_text,
    stack,
    styled,
    title,
)
from kdgap.spec.slot import pair_text

MOST_LINKS = 300
"""Points of one panel above which they are drawn without links, to keep a page small."""


@styled
def seed_plot(
    evidence: Evidence,
    analysis: Analysis,
    student: str | None = None,
    anchors: Mapping[str, str] | None = None,
) -> Figure:
    """Return every run's test accuracy as a point behind its arm's mean and interval.

    Args:
        evidence, analysis: what is shown.
        student: one student; None for all of them, one below the other.
        anchors: run id → link of its point.

    Raises:
        ValueError: no run of the students has a test accuracy.
    """
    named = students(analysis) if student is None else [student]
    arms = {name: _with_points(drawn_arms(evidence, analysis, name), evidence) for name in named}
    arms = {name: shown for name, shown in arms.items() if shown}
    if not arms:
        raise ValueError("no run has a test accuracy")
    heights = [0.36 * len(shown) + 0.75 for shown in arms.values()]
    figure, all_axes = stack(WIDTH, heights, (0.12, 0.2, 0.42, 0.24))
    for axes, (name, shown) in zip(all_axes, arms.items(), strict=True):
        points = sum(len(arm.runs) for arm in shown)
        links = anchors if anchors and points <= MOST_LINKS else {}
        for index, arm in enumerate(shown):
            _strip(axes, -index, arm, evidence.primary, links)
        axes.set_ylim(0.6 - len(shown), 0.62)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("test accuracy (%)")
        title(axes, shorten(name, 44), 0.05)
    return figure


def _with_points(arms: Sequence[Drawn], evidence: Evidence) -> list[Drawn]:
    return [a for a in arms if any(r.accuracy(evidence.primary) is not None for r in a.runs)]


def _strip(axes: Axes, y: float, arm: Drawn, weights: str, anchors: Mapping[str, str]) -> None:
    """Draw one arm: its runs, its mean and interval, and its label above them."""
    runs = [run for run in arm.runs if run.accuracy(weights) is not None]
    # The same seed stands at the same height in every arm, so that the eye can pair them.
    heights = [y - 0.04 + 0.18 * ((0.618 * (run.seed % 997)) % 1) for run in runs]
    points(axes, [100 * (run.accuracy(weights) or 0.0) for run in runs], heights, runs,
           arm.look, anchors)  # fmt: skip
    if arm.interval:
        axes.plot(arm.interval, [y - 0.2, y - 0.2], color=INK, lw=1.4, zorder=3)
    if arm.mean is not None:
        axes.plot([arm.mean] * 2, [y - 0.32, y - 0.08], color=INK, lw=2, zorder=3)
    mean = "" if arm.mean is None else f"mean {decimals(arm.mean)}, "
    side_text(axes, 0, y + 0.36, shorten(arm.label, 30), "left")
    side_text(axes, 1, y + 0.36, f"{mean}n = {arm.n}", "right")


def points(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    runs: Sequence[Run],
    look: Look,
    anchors: Mapping[str, str],
) -> None:
    """Draw one point a run, each a link to its run where there are anchors."""
    if not anchors:
        # A line of markers is several times smaller and faster than points that can be told apart.
        axes.plot(x, y, ls="none", marker=look.marker, ms=4.1, mew=0, color=look.colour, alpha=0.75)
        return
    drawn = axes.scatter(
        x, y, s=17, marker=look.marker, c=look.colour, alpha=0.75, linewidths=0, zorder=2
    )
    drawn.set_urls([f"#{anchors[run.id]}" if run.id in anchors else None for run in runs])


@styled
def fidelity_plot(
    evidence: Evidence,
    analysis: Analysis,
    teacher: str | None,
    student: str,
    anchors: Mapping[str, str] | None = None,
) -> Figure:
    """Return test accuracy against agreement with the teacher, one point a run.

    The baseline's points are its runs, measured against the same teacher.

    Raises:
        ValueError: no run of the pair recorded its agreement.
    """
    arms = drawn_arms(evidence, analysis, student, teacher)
    handles, shown = [], []
    for arm in arms:
        dots = followed(arm, [a for a in arms if a.teacher is not None], evidence.primary)
        if dots:
            shown.append((arm, dots))
            words, look = shorten(f"{arm.label}, {len(dots)} runs", 40), arm.look
            handles.append(
                Line2D([], [], color=look.colour, marker=look.marker, ls="none", label=words)
            )
    if not shown:
        raise ValueError("no run recorded its agreement with the teacher")
    room = legend_height(len(handles), 1) + 0.42
    figure, axes = panel(WIDTH, 2.05 + room, (0.6, 0.12, room, 0.26))
    few = sum(len(dots) for _, dots in shown) <= MOST_LINKS
    for arm, dots in shown:
        x, y, runs = zip(*dots, strict=True)
        points(axes, x, y, runs, arm.look, (anchors or {}) if few else {})
    axes.set_xlabel("agreement with the teacher (% of test images)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(color=BAND, lw=0.6)
    title(axes, shorten(pair_text(teacher, student), 44), 0.06)
    legend(axes, handles, 1)
    return figure


def followed(arm: Drawn, methods: Sequence[Drawn], weights: str) -> list[tuple[float, float, Run]]:
    """Return (agreement, accuracy, run) in percent of an arm's runs.

    A baseline's agreement stands in the records of the methods' runs of its seed, since only they
    have a teacher; with several teachers it is the mean over them.
    """
    if arm.teacher is not None or not methods:
        own = [(_followed(run.test, weights), run) for run in arm.runs]
        return [(100 * shares[0], 100 * shares[1], run) for shares, run in own if shares]
    plain = {run.seed: run for run in arm.runs}
    measured: dict[int, dict[str | None, tuple[float, float]]] = {}
    for run in (run for method in methods for run in method.runs):
        shares = _followed(run.baseline_test, weights)
        if run.seed in plain and shares is not None:
            measured.setdefault(run.seed, {})[run.teacher] = shares
    return [
        (
            100 * fmean(agreement for agreement, _ in by_teacher.values()),
            100 * fmean(accuracy for _, accuracy in by_teacher.values()),
            plain[seed],
        )
        for seed, by_teacher in sorted(measured.items())
    ]


def _followed(tests: Mapping[str, Scores], weights: str) -> tuple[float, float] | None:
    """Return agreement and accuracy of some weights; None unless both were recorded."""
    scores = tests.get(weights, UNTESTED)
    if scores.top1_agreement is None or scores.accuracy is None:
        return None
    return scores.top1_agreement, scores.accuracy
