"""Which gains are over one and the same baseline, and what tells a student's baselines apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kdgap.judge.analysis import Analysis, Level
from kdgap.judge.entries import Gain
from kdgap.numbers import counted
from kdgap.spec.slot import pair_text

MOST_SEEDS = 6
"""Seeds of a baseline that a name lists; of more, only these and that there are more."""
DIGITS = 8
"""Digits of a configuration's digest where nothing shorter tells baselines apart."""


@dataclass(frozen=True)
class OverBaseline:
    """The gains of one pair over one baseline: only these may stand under its accuracy.

    Attributes:
        pair: `teacher → student`.
        apart: what tells this baseline from the pair's others, such as `2 epochs`; empty where it
            is the only one.
        gains: each with its number among all gains, from 1.
    """

    pair: str
    apart: str
    gains: tuple[tuple[int, Gain], ...]

    @property
    def name(self) -> str:
        """The pair, with what tells its baseline apart."""
        return f"{self.pair}, {self.apart}" if self.apart else self.pair

    @property
    def first(self) -> Gain:
        """A gain that holds the baseline's numbers, which all with a value share."""
        return next((gain for _, gain in self.gains if gain.gain_pp is not None), self.gains[0][1])


class _Baseline(NamedTuple):
    """What a gain is over: runs, and which of their seeds a paired test counts."""

    runs: tuple[str, ...]
    seeds: tuple[int, ...]


def by_baseline(analysis: Analysis) -> list[OverBaseline]:
    """Return the gains by pair and baseline, in the analysis's order.

    A pair has several baselines where an import holds several recipes, and where a paired test
    counts other seeds of a baseline for one method than for another.
    """
    pairs: dict[str, dict[_Baseline, list[tuple[int, Gain]]]] = {}
    for gain in analysis.gains:
        pairs.setdefault(_pair(gain), {})
    # One without a value counts no seeds, and joins the others over its baseline: it comes last.
    numbered = sorted(enumerate(analysis.gains, 1), key=lambda entry: entry[1].gain_pp is None)
    for number, gain in numbered:
        groups = pairs[_pair(gain)]
        own = _Baseline(gain.baseline_runs, gain.seeds[1])
        if gain.gain_pp is None:
            own = next((other for other in groups if other.runs == own.runs), own)
        groups.setdefault(own, []).append((number, gain))
    levels = {level.runs: level for level in analysis.baselines}
    listed = []
    for pair, groups in pairs.items():
        words = _apart(list(groups), levels)
        own_groups = [
            OverBaseline(pair, text, tuple(sorted(gains, key=lambda entry: entry[0])))
            for text, gains in zip(words, groups.values(), strict=True)
        ]
        listed += sorted(own_groups, key=lambda group: group.gains[0][0])
    return listed


def named_apart(baselines: Sequence[Level]) -> list[str]:
    """Return the student of each baseline, with the recipe where a student has several."""
    names = []
    for own in baselines:
        of_student = [level for level in baselines if level.name == own.name]
        words = recipes_apart(of_student)[of_student.index(own)]
        names.append(f"{own.name}, {words}" if words else own.name)
    return names


def recipes_apart(levels: Sequence[Level | None]) -> list[str]:
    """Return what tells baselines of one student apart: epochs, or else the configuration."""
    if len(levels) < 2:
        return [""] * len(levels)
    epochs = [None if level is None else level.epochs for level in levels]
    if None not in epochs and len(set(epochs)) == len(epochs):
        return [counted(count or 0, "epoch") for count in epochs]
    return [
        f"configuration {level.configuration[:DIGITS]}" if level else "no baseline"
        for level in levels
    ]


def _apart(baselines: Sequence[_Baseline], levels: dict[tuple[str, ...], Level]) -> list[str]:
    """Return what tells the baselines of a pair apart: recipe, and seeds where these differ."""
    runs = list(dict.fromkeys(baseline.runs for baseline in baselines))
    recipes = dict(zip(runs, recipes_apart([levels.get(own) for own in runs]), strict=True))
    words = []
    for own in baselines:
        alike = [other for other in baselines if other.runs == own.runs]
        parts = [recipes[own.runs], _seeds(own.seeds) if len(alike) > 1 else ""]
        words.append(", ".join(filter(None, parts)))
    return words


def _seeds(seeds: Sequence[int]) -> str:
    named = [str(seed) for seed in seeds[:MOST_SEEDS]]
    more = ["…"] if len(seeds) > MOST_SEEDS else []
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(named + more)}"


def _pair(gain: Gain) -> str:
    return pair_text(gain.teacher, gain.student)
