"""Training finished runs again, to see whether the records are genuine."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdgap.engine.device import environment, make_deterministic
from kdgap.engine.tracker import Tracker
from kdgap.files import read_bytes
from kdgap.leftovers import scratch_prefix
from kdgap.planning.plan import PlannedRun
from kdgap.running.training import Attempt, train_attempts
from kdgap.store.manifest import read_manifest
from kdgap.store.record import HISTORY, PREDICTIONS_VAL, Record, RunDirectory
from kdgap.study.inputs import Inputs
from kdgap.study.workspace import Workspace

_HASHES = ("weight_hash_best", "weight_hash_last")


@dataclass(frozen=True)
class Rerun:
    """What came of training a run again.

    Attributes:
        path: the run.
        differs: what is not the same, such as `history`.
        same_environment: whether equality was promised at all.
    """

    path: str
    differs: list[str]
    same_environment: bool


def rerun(
    workspace: Workspace,
    planned: PlannedRun,
    device: torch.device,
    pause: Callable[[], None],
    watchers: Sequence[Tracker] = (),
) -> Rerun:
    """Train a finished run again, alone, in a temporary directory, and compare.

    `watchers` are told of its progress.

    Raises:
        RunFailedError: it could not be trained again.
    """
    directory = workspace.directory.run(planned.path)
    record = directory.read()
    make_deterministic(0, record.run["environment"]["threads"])
    study = workspace.study
    inputs = Inputs(workspace.directory, device, study.data, pause, teachers=study.teachers)
    weights = None if planned.run.teacher is None else inputs.teacher(planned)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix("rerun")) as folder:
        again = RunDirectory(Path(folder) / "run")
        attempt = Attempt(inputs.prepare(planned, weights), again, watchers)
        train_attempts([attempt], pause=pause, open_test=lambda *_: None)
        if attempt.member.failure is not None:
            raise attempt.member.failure
        repeated = again.read()
        differs = [key for key in _HASHES if repeated.results[key] != record.results[key]]
        if read_bytes(again.path / HISTORY) != read_bytes(directory.path / HISTORY):
            differs.append("history")
        if _predictions(again) != _predictions(directory) is not None:
            differs.append("predictions")
        if _untested(repeated) != _untested(record):
            differs.append("results")
    same = environment(device) == record.run["environment"]
    return Rerun(planned.path, differs, same)


def _predictions(directory: RunDirectory) -> str | None:
    """Return the hash of the validation predictions; None of a run of before they were kept."""
    return read_manifest(directory.path).files.get(PREDICTIONS_VAL)


def _untested(record: Record) -> dict[str, Any]:
    """Return results without the test metrics, which a rerun leaves behind the door.

    Notices are compared as `flags`: records of before have nothing else.
    """
    results = {key: value for key, value in record.results.items() if key != "notices"}
    return {**results, "test_acc_best": None, "test_acc_final": None}
