"""The progress of a whole study on stderr: one bar on a terminal, a plain line now and then."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from kdgap.cli.printing import err, markup, moves, say
from kdgap.errors import KdgapError
from kdgap.numbers import duration
from kdgap.store.progress import Pace, Survey, live, survey, work_of
from kdgap.store.study import StudyDirectory

LOOK_SECONDS = 1.0
PLAIN_SECONDS = 10.0
_STAGES = {"teacher": "teachers", "selection": "selection", "baseline": "finals"}


class StudyProgress:
    """Looks at the study's directory about once a second; knows nothing of the workers."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory = directory
        self._begun = time.monotonic()
        self._looked = self._printed = -1e9
        self._done: set[str] = set()
        self._pace = Pace()
        self._progress: Progress | None = None
        if moves():
            self._progress = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=20 if err.width >= 100 else 8),
                TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
                TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
                expand=True,
                console=err,
                transient=True,
                redirect_stdout=False,  # what others print passes `kdgap.terminal`
                redirect_stderr=False,
            )
            self._task = self._progress.add_task("starting", total=None, left="")

    @property
    def seconds(self) -> float:
        """Time since the display was made."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

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
        seconds = self._pace.left(now, work)
        left = f"{duration(seconds)} left" if seconds else ""
        text = self._text(seen, runners)
        if self._progress is not None:
            self._progress.update(
                self._task, description=markup(text), total=1.0, completed=work.share, left=left
            )
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            say(f"{text}{', ' if left else ''}{left}")

    def _text(self, seen: Survey, runners: Sequence[Mapping[str, Any]]) -> str:
        total = len(seen.rows) + seen.open_runs
        failed = seen.count("failed")
        parts = [f"{seen.count('done')} of {total} runs"]
        if failed:
            parts.append(f"{failed} failed")
        roles = {row.id: row.roles[0] for row in seen.rows}
        for runner in runners:
            runs = runner.get("runs")
            if not isinstance(runs, dict) or not runs:
                parts.append(str(runner.get("phase", "")))
                continue
            first, at = next(iter(runs.items()))
            stage = _STAGES.get(roles.get(first, ""), roles.get(first, "") + "s")
            best = max((r["val_acc"] for r in runs.values() if r.get("val_acc")), default=None)
            reached = "" if best is None else f" {best:.1%}"
            parts.append(f"{stage}: {len(runs)} at epoch {at['epoch']}/{at['epochs']}{reached}")
        return " · ".join(parts)
