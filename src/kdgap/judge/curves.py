"""What histories were over the runs of an arm, epoch by epoch."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kdgap.judge.evidence import Run

Values = NDArray[np.float64]
Curve = tuple[Values, Values, Values, Values, int]
"""Epochs; mean, lowest and highest over runs; how many runs."""


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
