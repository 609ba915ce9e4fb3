"""How far a study is: read from `plan.json`, the run directories and the runners' live files."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdgap import bulk
from kdgap.errors import KdgapError, UnreadableError
from kdgap.files import (
    entries,
    json_text,
    machine,
    make_folder,
    read_json,
    remove,
    write_volatile,
)
from kdgap.spec.slot import Slot, slots_text
from kdgap.store.audit import audit
from kdgap.store.record import TEST
from kdgap.store.schema.gate import fits
from kdgap.store.schema.study import Left, Live
from kdgap.store.study import RunStatus, StudyDirectory
from kdgap.store.witness import Witness

SILENT_SECONDS = 60.0
"""A live file that is older than this is left from a runner that was killed. One that is so far in
the future is of a clock that nobody can tell the age by."""
_RUNNERS, _DISPLAYS = ("*.json", Live), ("*.left", Left)


@dataclass(frozen=True)
class Row:
    """One planned run and how it stands.

    `state` and `unreadable` are those of `RunStatus`; `blocked` where the teacher failed. `trained`
    is the share of the epochs that its history holds, in [0, 1]; 0 where nobody is going to go on
    from them. `seconds` are what the plan assumes of it; 0 where it says nothing. `configuration`
    is what it shares with the runs of other seeds.
    """

    id: str
    path: str
    roles: list[str]
    slot: str
    seed: int
    state: str
    remark: str
    flops: float
    trained: float
    unreadable: bool = False
    seconds: float = 0.0
    configuration: str = ""


@dataclass(frozen=True)
class Survey:
    """Every planned run, what lies there without being planned, and what is wrong with the rest.

    `faults` are of the study's own files, a line each; `notes` name what no promise covers. `plan`
    is what `plan.json` said.
    """

    rows: list[Row]
    stale: list[str]
    open_runs: int
    open_flops: float
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plan: Mapping[str, Any] = field(default_factory=dict)
    open_seconds: float = 0.0

    def count(self, state: str) -> int:
        """Return how many runs are in a state."""
        return sum(row.state == state for row in self.rows)

    def by_stage(self) -> dict[str, Counter[str]]:
        """Return the states of each role's runs; a run counts under its first role."""
        stages: dict[str, Counter[str]] = {}
        for row in self.rows:
            stages.setdefault(row.roles[0], Counter())[row.state] += 1
        return stages


@bulk.kept()
def survey(
    directory: StudyDirectory, known_done: Iterable[str] = (), *, verify: bool = True
) -> Survey:
    """Look at every run of a study.

    Args:
        directory: the study.
        known_done: ids that need not be looked at again.
        verify: check the small files of finished runs against their manifests, and the study's own
            files against both.

    Raises:
        BadInputError: there is no study here.
    """
    plan = directory.plan()
    known = set(known_done)
    statuses: dict[str, RunStatus] = {}
    witnesses: dict[str, Witness] = {}
    notes: list[str] = []
    for planned in plan["runs"]:
        if planned["id"] in known:
            statuses[planned["id"]] = RunStatus("done")
            continue
        status = directory.status(planned["path"], verify=verify)
        record = status.record
        if record is not None and record.id != planned["id"]:
            status = RunStatus("damaged", f"{record.path}: holds run {record.id[:12]}")
        elif record is not None:
            witnesses[record.id] = Witness.of(record)
            status = RunStatus("done")  # a study's records together take much memory
        if verify:
            notes += directory.run(planned["path"]).passed_over()
        statuses[planned["id"]] = status
    rows = []
    for planned in plan["runs"]:
        status = statuses[planned["id"]]
        teacher = statuses.get(planned["teacher"] or "", RunStatus("done"))
        state, remark = standing(status.state, status.remark, teacher.state)
        rows.append(
            Row(
                id=planned["id"],
                path=str(directory.path / planned["path"]),
                roles=planned["roles"],
                slot=slots_text([Slot.read(slot) for slot in planned["slots"]]),
                seed=planned["seed"],
                state=state,
                remark=remark,
                flops=planned.get("flops") or 0.0,
                trained=_trained(directory, planned["path"], state),
                unreadable=status.unreadable,
                seconds=planned.get("seconds") or 0.0,
                configuration=planned["cell"],
            )
        )
    stale = directory.run_paths(besides={planned["path"] for planned in plan["runs"]})
    faults: list[str] = []
    if verify:
        faults, more = audit(directory, plan, witnesses)
        odd = [_live_files(directory.path, *kind)[1] for kind in (_RUNNERS, _DISPLAYS)]
        notes = [*more, *notes, *odd[0], *odd[1]]
    return Survey(
        rows, stale, plan["open_runs"], plan["open_flops"], faults, notes, plan, _open_seconds(plan)
    )


def _open_seconds(plan: Mapping[str, Any]) -> float:
    return float(plan.get("open_seconds") or 0.0)


def standing(state: str, remark: str, teacher: str) -> tuple[str, str]:
    """Return a run's state and remark: `blocked` where it waits for a teacher that failed."""
    if state in ("new", "interrupted") and teacher in ("failed", "damaged"):
        return "blocked", f"its teacher is {teacher}"
    return state, remark


def _trained(directory: StudyDirectory, path: str, state: str) -> float:
    if state in ("running", "interrupted"):
        run = directory.run(path)
        with suppress(KdgapError, OSError, KeyError, TypeError, ZeroDivisionError):
            epochs = run.header()["spec"]["recipe"]["epochs"]
            return float(min(1.0, len(run.history()) / epochs))
    return float(state == "done")


@dataclass
class Removable:
    """The run directories that may be removed, with the reason; and what is kept.

    Attributes:
        doomed: path → reason.
        tested: how many stale runs were tested, and may be planned again when selection is over.
        unreadable: what could not be read of runs that may well be whole.
    """

    doomed: dict[str, str] = field(default_factory=dict)
    tested: int = 0
    unreadable: list[str] = field(default_factory=list)


def removable(directory: StudyDirectory) -> Removable:
    """Return what may be removed: stale, failed and damaged runs.

    Damage is looked for in the weights too. A file that cannot be read is no proof of it.
    """
    seen = survey(directory)
    removals = Removable()
    for path in seen.stale:
        if seen.open_runs and (directory.path / path / TEST).exists():
            removals.tested += 1
        else:
            removals.doomed[str(directory.path / path)] = "stale"
    for row in seen.rows:
        if row.unreadable:
            removals.unreadable.append(row.remark)
        elif row.state in ("failed", "damaged"):
            removals.doomed[row.path] = f"{row.state}: {row.remark}"
        elif row.state == "done":
            try:
                directory.record(str(Path(row.path).relative_to(directory.path)), hash_weights=True)
            except UnreadableError as error:
                removals.unreadable.append(str(error))
            except KdgapError as error:
                removals.doomed[row.path] = f"damaged: {error}"
    return removals


def live(study: Path) -> list[Mapping[str, Any]]:
    """Return what each runner says it is doing; silent ones and odd files are left out."""
    return _live_files(study, *_RUNNERS)[0]


def keep_left(study: Path, seconds: float | None) -> None:
    """Say to other displays how long the rest takes, as this process sees it; None = unknown.

    Losing it loses nothing, so errors are passed over.
    """
    path = study / "live" / f"{machine()}-{os.getpid()}.left"
    with suppress(OSError):
        if seconds:
            make_folder(path.parent)
            about = {"when": time.time(), "seconds": seconds}
            write_volatile(path, json_text(about).encode())
        else:
            remove(path)


def kept_left(study: Path) -> float | None:
    """Return the seconds left that a display kept last; None where none shows any right now."""
    kept, _ = _live_files(study, *_DISPLAYS)
    last = max(kept, key=lambda about: float(about["when"]), default=None)
    return None if last is None else float(last["seconds"])


def _live_files(
    study: Path, names: str, kind: type[Live] | type[Left]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return what is said now, and a line for each file that is not what this version writes."""
    reports, odd = [], []
    for path in entries(study / "live", names):
        try:
            about = read_json(path)
        except KdgapError as error:
            if path.exists():  # or its runner has just ended
                odd.append(f"{error}; passed over")
            continue
        if not fits(kind, about):
            odd.append(f"{path}: not what a runner of this version writes; passed over")
        elif (age := time.time() - about["when"]) < -SILENT_SECONDS:
            odd.append(f"{path}: dated in the future; its age cannot be told; passed over")
        elif age < SILENT_SECONDS:
            reports.append(about)
    return reports, odd
