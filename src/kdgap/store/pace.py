"""How much of a study is trained, and how long the rest takes."""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kdgap.store.progress import Row, Survey
from kdgap.store.run_files import RunFiles

PACE_SECONDS = 600.0
"""How far back the pace of a study is looked at: a load comes and goes."""
LEAST_SECONDS = 5.0
"""What is seen in less time is no pace."""
TIMED_RUNS = 8
"""How many finished runs of a configuration are asked how long they took."""
Unit = Literal["seconds", "FLOPs", "runs"]
Parts = NDArray[np.float32]
"""The share of each run that is trained, in [0, 1]."""


@dataclass(frozen=True)
class Work:
    """How much of a study is trained.

    Runs that failed, are damaged or are blocked count nowhere: as things are, nobody trains them.

    Attributes:
        done: what is trained, runs in training included.
        left: what is not, runs that are still open included.
        unit: what both are counted in: seconds as the plan assumes them, which include what a
            step takes that has no size; FLOPs in plans of before; runs where neither is known yet.
        active: whether some runner is at work.
        parts: run → the share of it that is trained, of the runs that count.
    """

    done: float
    left: float
    unit: Unit
    active: bool
    parts: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def share(self) -> float:
        """The share that is trained, in [0, 1]; 1 where there is nothing to train."""
        total = self.done + self.left
        return self.done / total if total else 1.0


def work_of(seen: Survey, runners: Sequence[Mapping[str, Any]]) -> Work:
    """Add up what is trained and what is left.

    Args:
        seen: every run.
        runners: what `live` returned, which knows the steps within an epoch.
    """
    unit: Unit = "runs"
    if all(row.seconds > 0 for row in seen.rows):
        unit = "seconds"
    elif all(row.flops > 0 for row in seen.rows):
        unit = "FLOPs"
    reported, parts = _reported(runners), {}
    done, left = 0.0, _open(seen, unit)
    for row in seen.rows:
        if row.state in ("failed", "damaged", "blocked"):
            continue
        part = max(row.trained, reported.get(row.id, 0.0))
        parts[row.id] = part
        done += _cost(row, unit) * part
        left += _cost(row, unit) * (1 - part)
    active = bool(runners) or bool(seen.count("running"))
    return Work(done, left, unit, active, parts)


def _cost(row: Row, unit: Unit) -> float:
    return {"seconds": row.seconds, "FLOPs": row.flops, "runs": 1.0}[unit]


def _open(seen: Survey, unit: Unit) -> float:
    """Return what runs cost that wait for selection."""
    costs = {"seconds": seen.open_seconds, "FLOPs": seen.open_flops, "runs": seen.open_runs}
    return float(costs[unit])


def _reported(runners: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of each run's steps that is done, as whoever spoke last says."""
    parts: dict[str, float] = {}
    for runner in sorted(runners, key=lambda runner: float(runner["when"])):
        runs = runner.get("runs")
        for identifier, at in runs.items() if isinstance(runs, dict) else ():
            with suppress(KeyError, TypeError, ZeroDivisionError):
                steps = (at["epoch"] - 1) * at["steps"] + at["step"]
                parts[identifier] = min(steps / (at["epochs"] * at["steps"]), 1.0)
    return parts


class Pace:
    """Says how long the rest of a study takes, at the pace that one reader saw lately.

    How many runners there were is nowhere recorded, so a reader who has just arrived does not know.
    What a run takes beside others is what runs of its configuration took; of those that have none
    yet, what the plan assumes, in proportion to what it assumed of those that have.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._moments: deque[tuple[float, Parts]] = deque()
        self._last: tuple[Unit, Parts] | None = None
        self._took: dict[str, dict[str, float | None]] = {}

    def left(self, now: float, seen: Survey, work: Work) -> float | None:
        """Note what is done by now, and return the seconds left; None while that is unknown.

        Args:
            now: seconds of a clock that never goes back.
            seen: every run.
            work: what `work_of` says of it.
        """
        for row in seen.rows:
            self._places.setdefault(row.id, len(self._places))
        took = self._timed(seen) if work.unit == "seconds" else {}
        costs, open_cost = self._costs(seen, work.unit, took)
        parts = np.zeros(len(self._places), dtype=np.float32)
        for identifier, part in work.parts.items():
            parts[self._places[identifier]] = part
        if self._last is not None and self._broken(work, costs, parts):
            self._moments.clear()
        if not self._moments or now - self._moments[-1][0] >= LEAST_SECONDS:
            self._moments.append((now, parts))
        self._last = (work.unit, parts)
        while now - self._moments[0][0] > PACE_SECONDS and len(self._moments) > 1:
            self._moments.popleft()
        if work.left <= 0:
            return 0.0
        since, before = self._start(seen, work, took) or (now, parts)
        seconds, gained = now - since, _gained(costs, before, parts)
        if not work.active or seconds < LEAST_SECONDS or gained <= 0:
            return None
        counted = [self._places[identifier] for identifier in work.parts]
        left = open_cost + float(costs[counted] @ (1 - parts[counted]))
        return left * seconds / gained

    def _start(
        self, seen: Survey, work: Work, took: Mapping[str, float]
    ) -> tuple[float, Parts] | None:
        """Return the moment from which on the pace is looked at; None where none was noted yet.

        What trains now may have been assumed worse than what trained before. So while no run like
        it has ended, the pace is its own, since some run ended last.
        """
        training = (row for row in seen.rows if 0 < work.parts.get(row.id, 0.0) < 1)
        if work.unit != "seconds" or all(row.configuration in took for row in training):
            return self._moments[0]
        done = np.count_nonzero(self._last[1] == 1) if self._last else 0
        alike = (moment for moment in self._moments if np.count_nonzero(moment[1] == 1) == done)
        return next(alike, None)

    def _broken(self, work: Work, costs: NDArray[np.float64], parts: Parts) -> bool:
        """Whether what was seen is no pace of this: a pause, a restart, or another unit."""
        assert self._last is not None
        unit, before = self._last
        return not work.active or work.unit != unit or _gained(costs, before, parts) < 0

    def _costs(
        self, seen: Survey, unit: Unit, took: Mapping[str, float]
    ) -> tuple[NDArray[np.float64], float]:
        """Return what each run costs, and what those do that are not planned yet."""
        costs = np.zeros(len(self._places))
        places = [self._places[row.id] for row in seen.rows]
        costs[places] = [_cost(row, unit) for row in seen.rows]
        if unit != "seconds":
            return costs, _open(seen, unit)
        assumed = {row.configuration: row.seconds for row in seen.rows}
        # A plan may have changed since: what is in it no more tells how well it assumed.
        ratios = [took[key] / assumed[key] for key in took.keys() & assumed.keys()]
        ratio = median(ratios) if ratios else 1.0
        costs[places] = [took.get(row.configuration, row.seconds * ratio) for row in seen.rows]
        return costs, _open(seen, unit) * ratio

    def _timed(self, seen: Survey) -> dict[str, float]:
        """Return configuration → the seconds of a run of it, where a finished one tells."""
        for row in seen.rows:
            known = self._took.setdefault(row.configuration, {})
            if row.state == "done" and row.id not in known and len(known) < TIMED_RUNS:
                known[row.id] = _seconds(Path(row.path))
        timed = {key: [s for s in known.values() if s] for key, known in self._took.items()}
        return {key: median(seconds) for key, seconds in timed.items() if key and seconds}


def _gained(costs: NDArray[np.float64], before: Parts, parts: Parts) -> float:
    """Return what was done meanwhile; runs that were not planned before were not begun."""
    grown = parts.copy()
    grown[: len(before)] -= before
    return float(costs @ grown)


def _seconds(run: Path) -> float | None:
    """Return a run's part of the time that it took with those trained beside it."""
    timing = RunFiles(run).timing() or {}
    seconds, together = timing.get("seconds"), timing.get("together")
    # What took several attempts is known of the last one alone.
    if timing.get("attempts") != 1 or not isinstance(together, int) or together < 1:
        return None
    return None if seconds is None else float(seconds) / together
