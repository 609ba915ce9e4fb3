"""Trackers watch a run and cannot change it; `history.jsonl` is always the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Tracker(Protocol):
    """Four calls that a tracker gets, in this order; `epoch` and `step` count from 1."""

    def on_start(self, run: Mapping[str, object]) -> None:
        """A run begins; `run` is what `run.json` holds."""

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """A training step is done."""

    def on_epoch(self, entry: Mapping[str, object]) -> None:
        """An epoch is done; `entry` is its line of the history."""

    def on_finish(self, results: Mapping[str, object] | None) -> None:
        """The run is over; None means it failed."""


class NoTracker:
    """Watches nothing; the base of trackers that need only some of the calls."""

    def on_start(self, run: Mapping[str, object]) -> None:
        """Ignore."""

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        """Ignore."""

    def on_epoch(self, entry: Mapping[str, object]) -> None:
        """Ignore."""

    def on_finish(self, results: Mapping[str, object] | None) -> None:
        """Ignore."""


class TensorBoard(NoTracker):
    """Writes every number of the history as a TensorBoard scalar, into local files only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def on_epoch(self, entry: Mapping[str, object]) -> None:
        """Write one epoch's scalars: `train/...`, `val/...`, `lr`."""
        if self._writer is None:
            # Imported late: it takes a second, which would come before the first step.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in scalars(entry).items():
            self._writer.add_scalar(name, value, entry["epoch"])

    def on_finish(self, results: Mapping[str, object] | None) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return a history entry as flat scalar names."""
    named: dict[str, float] = {"lr": entry["lr"]}
    for key, value in entry.items():
        if key.startswith("val_"):
            named[f"val/{key.removeprefix('val_')}"] = value
        elif key.startswith("train_"):
            named[f"train/{key.removeprefix('train_')}"] = value
        elif isinstance(value, dict):
            named |= {f"{key}/{name}": number for name, number in value.items()}
        elif key not in ("epoch", "lr"):
            named[f"train/{key}"] = value
    return named
