"""The progress of a whole study on stderr: one bar on a terminal, a plain line now and then."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.progress import TextColumn
from rich.table import Column

from kdgap.cli.printing import err, markup, moves, say
from kdgap.cli.progress import NARROW, Bar
from kdgap.errors import KdgapError
from kdgap.numbers import duration, percent
from kdgap.store.pace import LEAST_SECONDS, PACE_SECONDS, Pace, work_of
from kdgap.store.progress import Survey, keep_left, live, survey
from kdgap.store.study import StudyDirectory

LOOK_SECONDS = 1.0
PLAIN_SECONDS = 10.0
MOST_RUNNERS = 4
"""Runners that have a line of their own."""


class RunRate:
    """How many runs are trained in a minute, those in training counted by their share."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=4096)

    def words(self, now: float, runs: float) -> str:
        """Note how many runs are trained by now, and return the rate; nothing while unknown.

        Args:
            now: seconds of a clock that never goes back.
            runs: how many are trained.
        """
        if self._seen and runs < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, runs))
        while now - self._seen[0][0] > PACE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < LEAST_SECONDS or runs <= before:
            return ""
        minute = 60 * (runs - before) / (now - since)
        return f"{minute:.1f} runs/min" if minute >= 1 else f"{60 * minute:.1f} runs/h"


class StudyProgress:
    """Looks at the study's directory about once a second; knows nothing of the workers."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory = directory
        self._begun = time.monotonic()
        self._looked = self._printed = -1e9
        self._done: set[str] = set()
        self._pace = Pace()
        self._rate = RunRate()
        self._bar: Bar | None = None
        if moves():
            self._bar = Bar(
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[paced]}", table_column=Column(no_wrap=True)),
            )
            self._task = self._bar.add_task("starting", total=1.0, paced="")

    @property
    def seconds(self) -> float:
        """Time since the display was made."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        keep_left(self._directory.path, None)
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a remark, above the bar where there is one."""
        say(text)

    def refresh(self) -> None:
        """Look, and show what changed."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        # What cannot be looked at now, or says what nobody can read, is not shown. The workers know
        # better what ends them; a display ends nothing.
        with suppress(KdgapError, OSError, LookupError, TypeError, ValueError, AttributeError):
            self._show(now)

    def _show(self, now: float) -> None:
        seen = survey(self._directory, self._done, verify=False)
        self._done |= {row.id for row in seen.rows if row.state == "done"}
        runners = live(self._directory.path)
        work = work_of(seen, runners)
        seconds = self._pace.left(now, seen, work)
        keep_left(self._directory.path, seconds)
        pace = self._rate.words(now, sum(work.parts.values()))
        left = f"{duration(seconds)} left" if seconds else ""
        counts, running = _counts(seen), list(_running(seen, runners))
        if self._bar is not None:
            paced = (pace, left) if err.width >= NARROW else (left or pace,)
            self._bar.below = running
            self._bar.update(
                self._task,
                description=markup(counts),
                completed=work.share,
                paced=", ".join(filter(None, paced)),
            )
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            say(" · ".join(filter(None, (counts, *running, pace, left))))


def _counts(seen: Survey) -> str:
    total, failed = len(seen.rows) + seen.open_runs, seen.count("failed")
    return f"{seen.count('done')} of {total} runs" + (f", {failed} failed" if failed else "")


def _running(seen: Survey, runners: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what each runner trains: stage, run, epoch and the best accuracy so far."""
    rows = {row.id: row for row in seen.rows}
    for runner in runners[:MOST_RUNNERS]:
        runs = runner.get("runs")
        if not isinstance(runs, dict) or not runs:
            yield str(runner.get("phase", ""))
            continue
        first, at = next(iter(runs.items()))
        best = max((run["val_acc"] for run in runs.values() if run.get("val_acc")), default=None)
        reached = "" if best is None else f", validation {percent(best)}"
        row = rows.get(first)  # None: it was planned after we looked
        stage, what = ("", "") if row is None else (f"{row.roles[0]}, ", row.slot)
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        yield f"{stage}epoch {at['epoch']}/{at['epochs']}{reached}: {what or first[:8]}{more}"
    if len(runners) > MOST_RUNNERS:
        yield f"and {len(runners) - MOST_RUNNERS} more"
