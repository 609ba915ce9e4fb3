"""How far a study is: read from `plan.json`, the run directories and the runners' live files."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap.errors import KdgapError
from kdgap.spec.study import Slot
from kdgap.store.record import TEST
from kdgap.store.study import StudyDirectory

SILENT_SECONDS = 60.0
"""A live file that is older than this is left from a runner that was killed."""


@dataclass(frozen=True)
class Row:
    """One planned run and how it stands.

    `state` is that of `RunStatus`, or `blocked` where the teacher failed.
    """

    id: str
    path: str
    roles: list[str]
    slot: str
    seed: int
    state: str
    remark: str
    flops: float


@dataclass(frozen=True)
class Survey:
    """Every planned run, and what lies there without being planned."""

    rows: list[Row]
    stale: list[str]
    open_runs: int
    open_flops: float

    def count(self, state: str) -> int:
        """Return how many runs are in a state."""
        return sum(row.state == state for row in self.rows)

    def by_stage(self) -> dict[str, Counter[str]]:
        """Return the states of each role's runs; a run counts under its first role."""
        stages: dict[str, Counter[str]] = {}
        for row in self.rows:
            stages.setdefault(row.roles[0], Counter())[row.state] += 1
        return stages


def survey(
    directory: StudyDirectory, known_done: Iterable[str] = (), *, verify: bool = True
) -> Survey:
    """Look at every run of a study.

    Args:
        directory: the study.
        known_done: ids that need not be looked at again.
        verify: check the small files of finished runs against their manifests.

    Raises:
        BadInputError: there is no study here.
    """
    plan = directory.plan()
    known = set(known_done)
    states: dict[str, tuple[str, str]] = {}
    for planned in plan["runs"]:
        if planned["id"] in known:
            states[planned["id"]] = ("done", "")
            continue
        status = directory.status(planned["path"], verify=verify)
        states[planned["id"]] = (status.state, status.remark)
    rows = []
    for planned in plan["runs"]:
        state, remark = states[planned["id"]]
        teacher = states.get(planned["teacher"] or "", ("done", ""))[0]
        if state in ("new", "interrupted") and teacher in ("failed", "damaged"):
            state, remark = "blocked", f"its teacher is {teacher}"
        rows.append(
            Row(
                id=planned["id"],
                path=str(directory.path / planned["path"]),
                roles=planned["roles"],
                slot=Slot(**planned["slots"][0]).text,
                seed=planned["seed"],
                state=state,
                remark=remark,
                flops=planned.get("flops") or 0.0,
            )
        )
    planned_paths = {planned["path"] for planned in plan["runs"]}
    stale = [path for path in directory.found() if path not in planned_paths]
    return Survey(rows, stale, plan["open_runs"], plan["open_flops"])


def removable(directory: StudyDirectory) -> tuple[dict[str, str], int]:
    """Return the run directories that may be removed, with the reason, and how many are kept.

    Stale, failed and damaged ones; damage is looked for in the weights too. While selection is not
    over, stale runs that were tested are kept: they may be planned again at its end.
    """
    seen = survey(directory)
    doomed, kept = {}, 0
    for path in seen.stale:
        if seen.open_runs and (directory.path / path / TEST).exists():
            kept += 1
        else:
            doomed[str(directory.path / path)] = "stale"
    for row in seen.rows:
        if row.state in ("failed", "damaged"):
            doomed[row.path] = f"{row.state}: {row.remark}"
        elif row.state == "done":
            try:
                directory.record(str(Path(row.path).relative_to(directory.path)), hash_weights=True)
            except KdgapError as error:
                doomed[row.path] = f"damaged: {error}"
    return doomed, kept


def live(study: Path) -> list[dict[str, Any]]:
    """Return what each runner says it is doing; silent ones are left out."""
    said = []
    for path in sorted((study / "live").glob("*.json")):
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(about, dict) and time.time() - about.get("when", 0) < SILENT_SECONDS:
            said.append(about)
    return said
