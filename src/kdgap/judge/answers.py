"""What networks answered to each test image, as runs keep it; without torch.

Test images lie behind the door: a run whose door is closed has no answers here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdgap.errors import KdgapError, one_line
from kdgap.judge.evidence import Evidence, Run
from kdgap.store.manifest import MANIFEST, PREDICTIONS_TEST
from kdgap.store.predictions import read_predictions
from kdgap.store.storage import stamp

Numbers = NDArray[Any]
Thumbnails = Callable[[Path, Sequence[int]], bytes]
"""Returns a PNG with test images of a run, `COLUMNS` in a row, in squares of `TILE` pixels."""
TILE, COLUMNS = 48, 12
_REMEMBERED = 2000
"""Runs whose answers stay in memory: two bytes an image and network."""


class NoAnswersError(Exception):
    """Nothing keeps what a network answered; the text says why."""


@dataclass(frozen=True)
class Network:
    """What one network answered.

    Attributes:
        run: the id of its run; of a teacher that was given as a file, its weight hash.
        folder: of the run that keeps it.
        name: what it is called there: `best`, `last` or `teacher`.
    """

    run: str
    folder: Path
    name: str

    def labels(self) -> Numbers:
        """Return the right class of each image, `[N]`."""
        return _remembered(self.folder, stamp(self.folder / MANIFEST)).labels

    def answers(self) -> Numbers:
        """Return the top-1 class of each image, `[N]`."""
        return _remembered(self.folder, stamp(self.folder / MANIFEST)).answers[self.name]

    def probabilities(self) -> Numbers:
        """Return the softmax of each image, `[N, C]`, read from the disk."""
        kept = read_predictions(self.folder, PREDICTIONS_TEST)
        if kept is None:
            raise NoAnswersError(f"{self.folder}: its predictions are gone")
        return kept.probabilities(self.name)


@dataclass(frozen=True)
class _Answered:
    """A run's test predictions without their logits; `answers` and `hashes` by name."""

    labels: Numbers
    answers: Mapping[str, Numbers]
    hashes: Mapping[str, str]


@lru_cache(_REMEMBERED)
def _remembered(folder: Path, _: str) -> _Answered:
    kept = read_predictions(folder, PREDICTIONS_TEST)
    if kept is None:
        return _Answered(np.zeros(0, np.uint16), {}, {})
    answers = {name: kept.answers(name).astype(np.uint16) for name in kept.logits}
    return _Answered(kept.labels.astype(np.uint16), answers, kept.hashes)


def network_of(run: Run, evidence: Evidence) -> Network:
    """Return a run's network, with the weights that the study's numbers are of.

    Raises:
        NoAnswersError: nothing that can be believed keeps what it answered.
    """
    folder, hashes = _kept(run, evidence)
    if evidence.primary not in hashes:
        raise NoAnswersError("it was tested before runs kept their predictions")
    return Network(run.id, folder, evidence.primary)


def teacher_of(run: Run, evidence: Evidence) -> Network:
    """Return the teacher of a run.

    Raises:
        NoAnswersError: it has none, or nothing keeps what it answered.
    """
    folder, hashes = _kept(run, evidence)
    if "teacher" not in hashes:
        raise NoAnswersError("the run has no teacher")
    taught_by = next((other for other in evidence.runs if other.id == run.teacher), None)
    if taught_by is None:
        return Network(hashes["teacher"], folder, "teacher")
    theirs, known = _kept(taught_by, evidence)
    for name in ("best", "last"):
        if known.get(name) == hashes["teacher"]:
            return Network(taught_by.id, theirs, name)
    raise NoAnswersError("the teacher's run keeps no answers, or those of other weights")


def _kept(run: Run, evidence: Evidence) -> tuple[Path, Mapping[str, str]]:
    """Return where a run is, and the weight hashes of whose answers it keeps or knows."""
    if evidence.origin != "study" or not run.paths:
        raise NoAnswersError("result files of others hold no predictions")
    if run.state != "done":
        raise NoAnswersError(f"the run is {run.state}")
    folder = Path(evidence.path) / run.paths[0]
    try:
        return folder, _remembered(folder, stamp(folder / MANIFEST)).hashes
    except KdgapError as error:
        raise NoAnswersError(one_line(error)) from None
