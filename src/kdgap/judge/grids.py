"""Selection grids beside what a seed does: which configurations may be the best after all."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kdgap.judge.evidence import Evidence, Run, Tuning
from kdgap.stats.contrast import Estimate

Source = Literal["selection", "final", "student"]

FADED = 4.0
"""Standard errors behind the best at which a cell has no colour left, in all pictures of grids."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One configuration of a grid beside the best of it.

    Attributes:
        behind_pp: the best score minus its own, in percentage points; None where a run failed.
        behind_se: the same over the standard error of that difference; None without a noise.
        may_be_best: whether the noise of seeds does not exclude that it is the best; None as above.
    """

    behind_pp: float | None
    behind_se: float | None
    may_be_best: bool | None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid measured by the noise of seeds.

    Attributes:
        noise_pp: standard deviation of the accuracy that chose over seeds, in percentage points;
            None where no configuration has two seeds, or where nothing varies.
        df: its degrees of freedom.
        source: the runs that it is of: of `selection` itself, or else of the `final`s of the pair
            and method, or else of every final and baseline of the `student`.
        confidence: level at which ties hold, for all configurations of the grid at once.
        cells: one a candidate, in the tuning's order.
    """

    noise_pp: float | None
    df: int
    source: Source | None
    confidence: float
    cells: tuple[Cell, ...]

    @property
    def scored(self) -> int:
        """How many configurations have a score."""
        return sum(cell.behind_pp is not None for cell in self.cells)

    @property
    def tied(self) -> int | None:
        """How many of these may be the best, the best one included; None without a noise."""
        return None if self.noise_pp is None else sum(cell.may_be_best or 0 for cell in self.cells)


def grid(tuning: Tuning, evidence: Evidence) -> Grid:
    """Return the grid of a tuning, measured by the noise of seeds.

    A configuration may be the best where the one-sided bound of its score minus the best one is not
    below zero (Hsu 1984), with Bonferroni's critical value over the others and one standard
    deviation for all, as a single seed has none of its own.
    """
    runs = {run.id: run for run in evidence.runs}
    confidence = evidence.statistics.confidence
    source, noise, df = _noise(tuning, evidence, runs)
    tried = tuning.candidates
    scored = [candidate.score for candidate in tried if candidate.score is not None]
    seeds = [max(1, sum(key in runs for key in candidate.runs)) for candidate in tried]
    best = max(range(len(tried)), key=lambda place: tried[place].score or 0.0, default=0)
    level = 1 - 2 * (1 - confidence) / max(1, len(scored) - 1)
    cells = []
    for candidate, own in zip(tried, seeds, strict=True):
        if candidate.score is None:
            cells.append(Cell(behind_pp=None, behind_se=None, may_be_best=None))
            continue
        behind = 100 * ((tried[best].score or 0.0) - candidate.score)
        if noise is None:
            cells.append(Cell(behind_pp=behind, behind_se=None, may_be_best=None))
            continue
        se = noise * math.sqrt(1 / own + 1 / seeds[best])
        high = Estimate(-behind, se, df).interval(level)[1]
        cells.append(Cell(behind_pp=behind, behind_se=behind / se, may_be_best=high > 0))
    return Grid(noise_pp=noise, df=df, source=source, confidence=confidence, cells=tuple(cells))


def _noise(
    tuning: Tuning, evidence: Evidence, runs: Mapping[str, Run]
) -> tuple[Source | None, float | None, int]:
    """Return of which runs the noise is, its standard deviation (pp), its degrees of freedom."""
    pair = tuning.teacher, tuning.student, tuning.method
    groups: dict[Source, list[tuple[Hashable, Run]]] = {
        "selection": [
            (number, runs[key])
            for number, candidate in enumerate(tuning.candidates)
            for key in candidate.runs
            if key in runs
        ],
        "final": [],
        "student": [],
    }
    for run in evidence.runs:
        for slot in run.slots:
            key = slot, run.configuration, run.teacher
            if slot.role == "final" and (slot.teacher, slot.student, slot.method) == pair:
                groups["final"].append((key, run))
            if slot.role in ("final", "baseline") and slot.student == tuning.student:
                groups["student"].append((key, run))
    for source, group in groups.items():
        std, df = _pooled(group, last=tuning.metric == "last_val_acc")
        if std is not None:
            return source, std, df
    return None, None, 0


def _pooled(entries: Iterable[tuple[Hashable, Run]], *, last: bool) -> tuple[float | None, int]:
    """Return the standard deviation within groups of finished runs, and its degrees of freedom."""
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for key, run in entries:
        value = run.validation.last if last else run.validation.best
        if run.state == "done" and value is not None:
            groups[key].append(100 * value)
    squares, df = 0.0, 0
    for values in groups.values():
        mean = math.fsum(values) / len(values)
        squares += math.fsum((value - mean) ** 2 for value in values)
        df += len(values) - 1
    std = math.sqrt(squares / df) if df else 0.0
    return (std, df) if std > _NOTHING else (None, 0)


_NOTHING = 1e-9
"""A spread in percentage points that is none, but for how numbers are stored."""
