"""Figures on the report's page: which are shown, what is left out, and words for each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from kdgap.judge.analysis import Ablation, Analysis
from kdgap.judge.evidence import Evidence, Tuning, choice_words
from kdgap.judge.grids import FADED, Grid, grid
from kdgap.judge.ranking import Ranking
from kdgap.judge.words import grid_sentence
from kdgap.numbers import counted, decimals, interval, signed, spread
from kdgap.report.figures.answers import confusion_change, reliability_plot
from kdgap.report.figures.arms import Drawn, drawn_arms, pairs, students, tunings
from kdgap.report.figures.curves import (
    NORMS,
    Shown,
    ablation_curves,
    convergence,
    gradient_norms,
    validation_curves,
)
from kdgap.report.figures.gains import MOST_ROWS, capacity_plot, interval_plot
from kdgap.report.figures.grid import grid_title, selection_grid
from kdgap.report.figures.points import fidelity_plot, seed_plot
from kdgap.report.figures.power import power_curve
from kdgap.report.figures.ranking import ranking_plot
from kdgap.report.figures.svg import inline_svg
from kdgap.report.page.answers import PicturedGain
from kdgap.report.page.runs import by_kind
from kdgap.report.tables.cells import pair
from kdgap.spec.slot import pair_text

MOST_PANELS, LARGE = (12, 6), 2000
"""Panels of one kind, and in a study of more runs than `LARGE`: more are neither read nor quickly
drawn, at about 50 ms each."""
GROWN = 1.25
"""How much larger than at its natural width a figure that stands alone may be."""


@dataclass
class Gallery:
    """The panels of one section.

    Attributes:
        panels: figures as SVG.
        left_out: what is not shown, in a sentence; empty where everything is.
        caption: how they are read, where that depends on what they show.
    """

    panels: list[Markup] = field(default_factory=list)
    left_out: str = ""
    caption: str = ""

    @property
    def linked(self) -> bool:
        """Whether its points are links to their runs."""
        return any("<a " in panel for panel in self.panels)


@dataclass(frozen=True)
class Hang:
    """What figures are made from.

    Attributes:
        evidence, analysis: what is shown.
        anchors: run id → id of its row on the page.
        tips: link → words beside a point.
    """

    evidence: Evidence
    analysis: Analysis
    anchors: Mapping[str, str]
    tips: Mapping[str, str]
    _kept: dict[str, list[Shown]] = field(default_factory=dict)

    def galleries(
        self, ranked: Sequence[Ranking], pictured: Sequence[PicturedGain]
    ) -> dict[str, Gallery]:
        """Return the figures of every section; a gallery is empty where nothing was recorded."""
        evidence, analysis = self.evidence, self.analysis
        named, paired, tuned = students(analysis), pairs(analysis), tunings(analysis)
        most = MOST_PANELS[len(evidence.runs) > LARGE]
        return {
            "intervals": self._single_figure(
                "intervals",
                "Gains with their intervals",
                _gain_words(analysis),
                partial(interval_plot, analysis),
                GROWN,
            ),
            "which": self._each("which", ranked, most, [self._ranking]),
            "capacity": self._capacity(),
            "power": self._single_figure(
                "power",
                "Power by seeds an arm",
                _POWER,
                partial(power_curve, evidence, analysis),
                GROWN,
            ),
            "seeds": self._each("seeds", named, most, [self._seeds]),
            "curves": self._each("curves", named, most // 2, [self._convergence, self._tail]),
            "norms": self._each("norms", named, most // len(NORMS), map(self._norm, NORMS)),
            "fidelity": self._each("fidelity", paired, most, [self._fidelity]),
            "confusions": self._each("confusions", pictured, most, [self._confusions]),
            "reliability": self._each("reliability", pictured, most, [self._reliability]),
            "selection": self._grids(tuned, most),
            "ablations": self._each("ablations", analysis.ablations, most, [self._ablation]),
        }

    def _single_figure(
        self, key: str, name: str, words: str, draw: Callable[[], Figure], largest: float = 1.0
    ) -> Gallery:
        gallery = Gallery()
        try:
            gallery.panels.append(inline_svg(draw(), f"f-{key}", name, words, self.tips, largest))
        except ValueError:  # nothing of it was recorded
            return gallery
        count = len(self.analysis.gains)
        if key == "intervals" and count > MOST_ROWS:
            gallery.left_out = f"The first {MOST_ROWS} of {count} gains; the table has them all."
        return gallery

    def _capacity(self) -> Gallery:
        gallery = Gallery()
        for against, what in (
            ("parameters", "the student's parameters"),
            ("gap", "how far the teacher is ahead"),
        ):
            words, draw = _gain_words(self.analysis), partial(capacity_plot, self.analysis, against)
            part = self._single_figure(f"capacity-{against}", f"Gains against {what}", words, draw)
            gallery.panels += part.panels
        return gallery

    def _each(
        self,
        key: str,
        items: Sequence[Any],
        most: int,
        kinds: Iterable[Callable[[Any], tuple[str, str, Figure]]],
    ) -> Gallery:
        """Return a panel of each kind for each of the first items."""
        gallery, drawn, kinds = Gallery(), 0, list(kinds)
        for item in items[:most]:
            before = len(gallery.panels)
            for kind in kinds:
                try:
                    name, words, figure = kind(item)
                except ValueError:  # nothing of it was recorded
                    continue
                place = f"f-{key}-{len(gallery.panels) + 1}"
                gallery.panels.append(inline_svg(figure, place, name, words, self.tips))
            drawn += len(gallery.panels) > before
        if drawn and len(items) > most:
            gallery.left_out = (
                f"The first {most} of {len(items)} are drawn here; the numbers of all are in the"
                " CSV files beside analysis.json, and `kdgap report --figures` draws every one."
            )
        return gallery

    def _seeds(self, student: str) -> tuple[str, str, Figure]:
        arms = drawn_arms(self.evidence, self.analysis, student)
        figure = seed_plot(self.evidence, self.analysis, student, self.anchors)
        return f"Test accuracy by seed, {student}", _arm_words(arms), figure

    def _ranking(self, ranking: Ranking) -> tuple[str, str, Figure]:
        figure = ranking_plot(ranking, self.analysis)
        return f"Accuracy of everything trained of {ranking.name}", _RANKING, figure

    def _convergence(self, student: str) -> tuple[str, str, Figure]:
        figure = convergence(self.evidence, self.analysis, student, curves=self._curves(student))
        return f"{self._choice} by epoch, {student}", _CURVES, figure

    def _tail(self, student: str) -> tuple[str, str, Figure]:
        curves = self._curves(student)
        figure = convergence(self.evidence, self.analysis, student, tail=True, curves=curves)
        return f"{self._choice} at the end of training, {student}", _CURVES, figure

    @property
    def _choice(self) -> str:
        return choice_words(self.evidence.chosen_on).capitalize()

    def _curves(self, student: str) -> list[Shown]:
        """Return a student's curves; they are drawn twice, and computed once."""
        if student not in self._kept:
            self._kept[student] = validation_curves(self.evidence, self.analysis, student)
        return self._kept[student]

    def _norm(self, key: str) -> Callable[[str], tuple[str, str, Figure]]:
        def draw(student: str) -> tuple[str, str, Figure]:
            figure = gradient_norms(self.evidence, self.analysis, student, key)
            return f"{NORMS[key].capitalize()}, {student}", _CURVES, figure

        return draw

    def _fidelity(self, of: tuple[str | None, str]) -> tuple[str, str, Figure]:
        figure = fidelity_plot(self.evidence, self.analysis, *of, self.anchors)
        name = f"Agreement and accuracy, {pair_text(*of)}"
        return name, "One point a run; the table below has means and intervals.", figure

    def _confusions(self, entry: PicturedGain) -> tuple[str, str, Figure]:
        name = f"Confusions, distilled minus plain, {entry.name}"
        return name, _CONFUSIONS, confusion_change(entry.gain, entry.pictured)

    def _reliability(self, entry: PicturedGain) -> tuple[str, str, Figure]:
        figure = reliability_plot(entry.gain, entry.pictured, self.analysis)
        return f"Reliability, {entry.name}", _RELIABILITY, figure

    def _grids(self, tuned: Sequence[Tuning], most: int) -> Gallery:
        """Return every grid beside the noise of seeds, and how they are read."""
        measured = [(tuning, grid(tuning, self.evidence)) for tuning in tuned]
        gallery = self._each("selection", measured, most, [self._grid])
        gallery.caption = _grid_caption([own for _, own in measured], self._choice)
        return gallery

    def _grid(self, measured: tuple[Tuning, Grid]) -> tuple[str, str, Figure]:
        tuning, own = measured
        tried = "; ".join(
            f"{', '.join(f'{k} {v}' for k, v in candidate.parameters.items())}: "
            + ("failed" if candidate.score is None else f"{decimals(100 * candidate.score)} %")
            for candidate in tuning.candidates[:12]
        )
        words = f"{tried}. {grid_sentence(own)}"
        return f"Selection of {grid_title(tuning)}", words, selection_grid(tuning, own)

    def _ablation(self, ablation: Ablation) -> tuple[str, str, Figure]:
        figure = ablation_curves(self.evidence, self.analysis, ablation)
        return f"Training before and after {ablation.name}", _CURVES, figure


_CURVES = "Mean over runs with the band from the lowest to the highest run."
_CONFUSIONS = "Images, mean over seeds; the table below has the confusions that changed most."
_RELIABILITY = "Right answers by confidence; below the diagonal answers are surer than right."
_RANKING = "Means with their intervals; the table below has the numbers."
_POWER = "The seeds that each gain needs are in the table of gains."


def _grid_caption(grids: Sequence[Grid], scores: str) -> str:
    """Return how grids are read: what scores and noise are, in how many of them a choice is one."""
    known = [own.tied for own in grids if own.tied is not None]
    sentences = [f"{scores} in % of every configuration that was tried."]
    if known:
        several = sum(tied > 1 for tied in known)
        sentences += [
            "Below it, how far it is behind the best, in percentage points; ≈: tied with it, as the"
            " noise of seeds does not exclude that it is the best.",
            "Noise is the standard deviation of the accuracy that chose over the seeds of one"
            " configuration: of the selection runs, or where each has one seed, of the final runs"
            " of the pair and method, or else of all final and plain runs of the student."
            " The grey band beside points is as wide.",
            f"Colour fades with the distance to the best in standard errors, to none at {FADED:g}.",
            f"In {several} of {counted(len(known), 'grid')}, several may be the best.",
        ]
    unknown = len(grids) - len(known)
    if unknown:
        of = f"Of {counted(unknown, 'grid')} no" if known else "No"
        sentences.append(
            f"{of} noise of seeds is known, as no configuration has two seeds with unlike results:"
            " all its cells have one colour, and no difference is called one."
        )
    return " ".join(sentences)


def _gain_words(analysis: Analysis) -> str:
    """Return every gain in a few words, for those who do not see the figure."""
    listed = "; ".join(
        f"{gain.method} {pair(gain)} {signed(gain.gain_pp)} {interval(gain.ci95_pp)}"
        for gain in analysis.gains[:MOST_ROWS]
        if gain.gain_pp is not None
    )
    return f"In percentage points: {listed}."


def _arm_words(arms: Iterable[Drawn]) -> str:
    return "; ".join(f"{arm.counted}: {spread(arm.mean, None)} %" for arm in arms) + "."


def recorded(evidence: Evidence) -> list[str]:
    """Return a sentence on each gradient norm: whose runs recorded it, and how large it became."""
    kinds = by_kind((run for run in evidence.runs if run.history), evidence)
    sentences = []
    for key, words in NORMS.items():
        have = {
            kind: sum(run.history.recorded(key) for run in runs) for kind, runs in kinds.items()
        }
        who = [
            kind + ("" if count == len(kinds[kind]) else f" ({count} of {len(kinds[kind])} runs)")
            for kind, count in have.items()
            if count
        ]
        text = f"recorded for {', '.join(who)}" if who else "not recorded by any run"
        shown = evidence.runs if who else ()
        known = [norm for run in shown for norm in run.history.values(key)]
        most = f"; at most {max(known):.3g}" if known else ""
        sentences.append(f"{words[0].upper()}{words[1:]}: {text}{most}.")
    return sentences
