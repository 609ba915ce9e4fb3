"""What histories were over the runs of an arm, epoch by epoch, and minus plain training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdgap.judge.evidence import Run

Values = NDArray[np.float64]
Curve = tuple[Values, Values, Values, Values, int]
"""Epochs; mean, lowest and highest over runs; how many runs."""
COMPARABLE = ("val_acc", "train_acc", "val_loss", "loss_ce")
"""What is one quantity of every student; a total loss is not, as methods add terms."""


def over_runs(runs: Iterable[Run], key: str, part: str | None = None) -> Curve | None:
    """Return what a history's key was over the runs that are done; None where none recorded it.

    Args:
        runs: of one arm. One that failed counts in no mean, so in no mean curve either.
        key: field of an epoch.
        part: field within it, such as a loss term.
    """
    rows: list[dict[int, float]] = []
    for run in runs:
        if run.state != "done":
            continue
        if row := dict(run.history.numbers(key, part)):
            rows.append(row)
    if not rows:
        return None
    return _over(rows)


@dataclass(frozen=True)
class Difference:
    """A curve of an arm minus that of its plain training.

    Attributes:
        curve: over seeds; its band goes from the lowest to the highest.
        paired: whether each seed was compared with plain training of the same seed. Otherwise each
            was compared with the mean of plain training, whose own spread the band does not show.
    """

    curve: Curve
    paired: bool


def over_plain(runs: Iterable[Run], plain: Iterable[Run], key: str) -> Difference | None:
    """Return how a history's key differed from plain training, epoch by epoch.

    A seed's curve is the mean over its runs, of which it has one for each teacher. Where seeds are
    shared, only these count, each minus plain training of the same seed.

    Args:
        runs: of one arm; those that are done count.
        plain: the runs of its plain training.
        key: one of `COMPARABLE`.

    Returns:
        The difference on the epochs that both recorded; None where there are none.
    """
    own, other = _by_seed(runs, key), _by_seed(plain, key)
    if not own or not other:
        return None
    shared = own.keys() & other.keys()
    if shared:
        rows = [_minus(own[seed], other[seed]) for seed in sorted(shared)]
    else:
        mean = _mean(other.values())
        rows = [_minus(row, mean) for row in own.values()]
    curve = _over(rows)
    return None if curve is None else Difference(curve, bool(shared))


def _by_seed(runs: Iterable[Run], key: str) -> dict[int, dict[int, float]]:
    seeds: dict[int, list[Mapping[int, float]]] = {}
    for run in runs:
        row = dict(run.history.numbers(key)) if run.state == "done" else {}
        if any(row.values()):  # an imported run writes 0 where it recorded nothing
            seeds.setdefault(run.seed, []).append(row)
    return {seed: _mean(rows) for seed, rows in seeds.items()}


def _mean(rows: Iterable[Mapping[int, float]]) -> dict[int, float]:
    curve = _over(rows)
    return {} if curve is None else dict(zip(map(int, curve[0]), map(float, curve[1]), strict=True))


def _minus(row: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    return {epoch: value - other[epoch] for epoch, value in row.items() if epoch in other}


def _over(rows: Iterable[Mapping[int, float]]) -> Curve | None:
    """Return the mean and the band of rows; None where they have no epoch in common."""
    rows = list(rows)
    epochs = sorted(set().union(*rows))
    # A run that lacks an epoch of the others would bend the mean: such an epoch is left out.
    shared = [epoch for epoch in epochs if all(epoch in row for row in rows)]
    if not shared:
        return None
    table = np.array([[row[epoch] for epoch in shared] for row in rows])
    return (
        np.array(shared, dtype=np.float64),
        table.mean(axis=0),
        table.min(axis=0),
        table.max(axis=0),
        len(rows),
    )
