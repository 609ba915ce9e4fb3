"""What a runner is doing right now, in a small file that displays read."""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdgap.engine.tracker import NoTracker, Tracker
from kdgap.files import machine, make_folder, remove, write_volatile

EVERY_SECONDS = 0.5


class Live:
    """Writes `live/MACHINE-PID.json`; losing it loses nothing, so errors are passed over."""

    def __init__(self, study: Path) -> None:
        self._path = study / "live" / f"{machine()}-{os.getpid()}.json"
        self._now: Mapping[str, Any] = {}
        self._written = 0.0

    def write(self, now: Mapping[str, Any]) -> None:
        """Say what is going on."""
        self._now = now
        self._flush()

    def watch(self, run: str, epochs: int) -> Tracker:
        """Return a watcher that reports a run's progress."""
        return _Watch(self, run, epochs)

    def progress(self, run: str, step: Mapping[str, Any]) -> None:
        """Note a run's progress; written now and then."""
        self._now = {"phase": "training", "runs": {**self._runs(), run: step}}
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self._flush()

    def over(self, run: str) -> None:
        """Take a run off the list."""
        runs = self._runs()
        runs.pop(run, None)
        self._now = {"phase": "training", "runs": runs}

    def _runs(self) -> dict[str, Any]:
        runs = self._now.get("runs")
        return dict(runs) if isinstance(runs, dict) else {}

    def _flush(self) -> None:
        self._written = time.monotonic()
        with suppress(OSError):
            make_folder(self._path.parent)
            about = {"pid": os.getpid(), "host": socket.gethostname(), "when": time.time()}
            write_volatile(self._path, json.dumps({**about, **self._now}).encode())

    def close(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            remove(self._path)


class _Watch(NoTracker):
    def __init__(self, live: Live, run: str, epochs: int) -> None:
        self._live, self._run, self._epochs = live, run, epochs
        self._accuracy: float | None = None

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        about = {"epoch": epoch, "epochs": self._epochs, "step": step, "steps": steps}
        self._live.progress(self._run, {**about, "val_acc": self._accuracy})

    def on_epoch(self, entry: Mapping[str, Any]) -> None:
        self._accuracy = entry["val_acc"]

    def on_finish(self, results: Mapping[str, Any] | None) -> None:
        self._live.over(self._run)
