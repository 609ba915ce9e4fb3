"""How far a study is: read from `plan.json`, the run directories and the runners' live files."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kdgap import bulk
from kdgap.errors import KdgapError, UnreadableError
from kdgap.files import entries, read_json
from kdgap.spec.slot import Slot, slots_text
from kdgap.store.audit import audit
from kdgap.store.record import TEST
from kdgap.store.schema.gate import fits
from kdgap.store.schema.study import Live
from kdgap.store.study import RunStatus, StudyDirectory
from kdgap.store.witness import Witness

SILENT_SECONDS = 60.0
"""A live file that is older than this is left from a runner that was killed. One that is so far in
the future is of a clock that nobody can tell the age by."""
PACE_SECONDS = 600.0
"""How far back the pace of a study is looked at: stages differ in theirs."""
LEAST_SECONDS = 5.0
"""What is seen in less time is no pace."""


@dataclass(frozen=True)
class Row:
    """One planned run and how it stands.

    `state` and `unreadable` are those of `RunStatus`; `blocked` where the teacher failed. `trained`
    is the share of the epochs that its history holds, in [0, 1]; 0 where nobody is going to go on
    from them. `seconds` are what the plan assumes of it; 0 where it says nothing.
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
            )
        )
    stale = directory.run_paths(besides={planned["path"] for planned in plan["runs"]})
    faults: list[str] = []
    if verify:
        faults, more = audit(directory, plan, witnesses)
        notes = [*more, *notes, *_live_files(directory.path)[1]]
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
    return _live_files(study)[0]


def _live_files(study: Path) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return what the runners say, and a line for each file that is not what one of them writes."""
    reports, odd = [], []
    for path in entries(study / "live", "*.json"):
        try:
            about = read_json(path)
        except KdgapError as error:
            if path.exists():  # or its runner has just ended
                odd.append(f"{error}; passed over")
            continue
        if not fits(Live, about):
            odd.append(f"{path}: not what a runner of this version writes; passed over")
        elif (age := time.time() - about["when"]) < -SILENT_SECONDS:
            odd.append(f"{path}: dated in the future; its age cannot be told; passed over")
        elif age < SILENT_SECONDS:
            reports.append(about)
    return reports, odd


@dataclass(frozen=True)
class Work:
    """How much of a study is trained.

    Runs that failed, are damaged or are blocked count nowhere: as things are, nobody trains them.

    Attributes:
        done: what is trained, runs in training included.
        left: what is not, runs that are still open included.
        unit: what both are counted in: seconds as the plan assumes them, which include what a
            step takes that has no size; FLOPs in plans of before; runs where neither is known yet.
        active: whether some runner is at work.
    """

    done: float
    left: float
    unit: Literal["seconds", "FLOPs", "runs"]
    active: bool

    @property
    def share(self) -> float:
        """The share that is trained, in [0, 1]; 1 where there is nothing to train."""
        total = self.done + self.left
        return self.done / total if total else 1.0


def work_of(seen: Survey, runners: Sequence[Mapping[str, Any]]) -> Work:
    """Add up what is trained and what is left.

    Args:
        seen: every run.
        runners: what `live` returned, which knows the steps within an epoch.
    """
    unit: Literal["seconds", "FLOPs", "runs"] = "runs"
    if all(row.seconds > 0 for row in seen.rows):
        unit = "seconds"
    elif all(row.flops > 0 for row in seen.rows):
        unit = "FLOPs"
    open_work = {"seconds": seen.open_seconds, "FLOPs": seen.open_flops, "runs": seen.open_runs}
    parts = _parts(runners)
    done, left = 0.0, float(open_work[unit])
    for row in seen.rows:
        if row.state in ("failed", "damaged", "blocked"):
            continue
        cost = {"seconds": row.seconds, "FLOPs": row.flops, "runs": 1.0}[unit]
        part = max(row.trained, parts.get(row.id, 0.0))
        done += cost * part
        left += cost * (1 - part)
    active = bool(runners) or bool(seen.count("running"))
    return Work(done, left, unit, active)


def _parts(runners: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the share of each run's steps that is done, as whoever spoke last says."""
    parts: dict[str, float] = {}
    for runner in sorted(runners, key=lambda runner: float(runner["when"])):
        runs = runner.get("runs")
        for identifier, at in runs.items() if isinstance(runs, dict) else ():
            with suppress(KeyError, TypeError, ZeroDivisionError):
                steps = (at["epoch"] - 1) * at["steps"] + at["step"]
                parts[identifier] = min(steps / (at["epochs"] * at["steps"]), 1.0)
    return parts


class Pace:
    """Says how long the rest of a study takes, at the pace that one reader saw lately.

    Records alone do not tell: each run of a cohort records the time of them all, and nothing
    records how many runners there were. So a reader who has just arrived does not know.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Work]] = deque(maxlen=4096)

    def left(self, now: float, work: Work) -> float | None:
        """Note what is done by now, and return the seconds left; None while that is unknown.

        Args:
            now: seconds of a clock that never goes back.
            work: how much is done.
        """
        if self._seen and self._broken(work):
            self._seen.clear()
        if work.active:
            self._seen.append((now, work))
        while self._seen and now - self._seen[0][0] > PACE_SECONDS:
            self._seen.popleft()
        if work.left <= 0:
            return 0.0
        if not self._seen:
            return None
        since, before = self._seen[0]
        seconds, gained = now - since, work.done - before.done
        if seconds < LEAST_SECONDS or gained <= 0:
            return None
        return work.left * seconds / gained

    def _broken(self, work: Work) -> bool:
        """Whether what was seen is no pace of this: a pause, a restart, or another unit."""
        last = self._seen[-1][1]
        return not work.active or work.unit != last.unit or work.done < last.done
