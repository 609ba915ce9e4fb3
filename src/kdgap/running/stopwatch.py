"""How long a run takes, beside what it computes."""

import resource
import socket
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kdgap.engine.tracker import NoTracker


class Stopwatch(NoTracker):
    """Times a run; what it knows goes to `timing.json`, outside every promise of equality."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._begun = time.perf_counter()
        self._first_step: float | None = None
        self._epochs: list[float] = []
        self._mark = self._begun

    def on_start(self, run: Mapping[str, Any]) -> None:
        """Set-up is over."""
        self._mark = time.perf_counter()

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Note when the first step was done."""
        if self._first_step is None:
            self._first_step = time.perf_counter() - self._begun

    def on_epoch(self, entry: Mapping[str, Any]) -> None:
        """Note how long the epoch took."""
        now = time.perf_counter()
        self._epochs.append(round(now - self._mark, 3))
        self._mark = now

    def timing(self, attempts: int, together: int, *, opened: bool = False) -> dict[str, Any]:
        """Return what `timing.json` holds; `together` is how many runs were trained at once."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "started": self._started.isoformat(timespec="seconds"),
            "finished": now,
            "seconds": round(time.perf_counter() - self._begun, 3),
            "seconds_to_first_step": self._first_step,
            "seconds_per_epoch": self._epochs,
            "attempts": attempts,
            "together": together,
            "host": socket.gethostname(),
            # ru_maxrss counts bytes on macOS and KiB elsewhere.
            "peak_memory_bytes": peak if sys.platform == "darwin" else peak * 1024,
            "test_openings": [{"when": now, "by": "train"}] if opened else [],
        }
