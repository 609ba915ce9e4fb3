"""A study's gains: read from `plan.json` and verified records, never averaged over unlike runs."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kdgap.errors import KdgapError
from kdgap.stats.gains import Difference, mean_and_std, paired, welch
from kdgap.store.record import Record
from kdgap.store.study import StudyDirectory


@dataclass(frozen=True)
class Arm:
    """One cell's test accuracies, as shares of one, by (seed, teacher's run)."""

    slot: dict[str, Any]
    values: dict[tuple[int, str | None], float]
    agreement: list[float]
    expected: int

    def by_seed(self) -> dict[int, float]:
        """Return accuracy in percent by the run's seed, as the mean over its teachers.

        The runs of one seed share initialisation and batches, so a seed is what is independent.
        """
        seeds: dict[int, list[float]] = {}
        for (seed, _), value in self.values.items():
            seeds.setdefault(seed, []).append(value * 100)
        return {seed: mean_and_std(values)[0] for seed, values in seeds.items()}


@dataclass(frozen=True)
class GainRow:
    """A method against its baseline, in percentage points.

    Attributes:
        teacher, student, method: the slot.
        parameters: the winner's hyper-parameters.
        tried: configurations that selection compared.
        mean_pp, std_pp: test accuracy of the method over seeds, in percent.
        gain: mean difference to the baseline with its interval; None where seeds are missing.
        point_pp: the difference without an interval.
        agreement: mean top-1 agreement with the teacher, in [0, 1].
        remarks: missing seeds and the like.
    """

    teacher: str
    student: str
    method: str
    parameters: dict[str, Any]
    tried: int
    n: int
    mean_pp: float
    std_pp: float | None
    point_pp: float | None
    gain: Difference | None
    agreement: float | None
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GainTable:
    """What a study has shown so far.

    Attributes:
        baselines: student → (n, mean, std), accuracy in percent.
        teachers: teacher → (n, mean, std), accuracy in percent.
        rows: one a pair and method.
        damaged: records that were left out, and why.
        environments: how many environments the runs come from.
        warnings: the plan's.
        marks: the gravest of them, and flags of single runs, in the few words for under a table.
    """

    primary: str
    test: str
    baselines: dict[str, tuple[int, float, float | None]]
    teachers: dict[str, tuple[int, float, float | None]]
    rows: list[GainRow]
    damaged: list[str]
    environments: int
    warnings: list[str]
    marks: list[str]


def gain_table(directory: StudyDirectory) -> GainTable:
    """Compute every gain that the finished runs of a study allow.

    Only runs of the plan's own cells count, each once; damaged records are named and left out.

    Raises:
        BadInputError: there is no study here.
    """
    plan = directory.plan()
    study = plan["study"]
    primary, test = study["finals"]["primary"], study["statistics"]["test"]
    confidence = study["statistics"]["confidence"]
    records, damaged = _records(directory, plan)
    arms = _arms(plan, records, primary)
    baselines = {arm.slot["student"]: arm for arm in arms if arm.slot["role"] == "baseline"}
    selection = directory.selection() or {"choices": []}
    tried = {(c["teacher"], c["student"], c["method"]): c["tried"] for c in selection["choices"]}
    winners = {(w["teacher"], w["student"], w["method"]): w["parameters"] for w in plan["winners"]}
    rows = []
    for arm in arms:
        if arm.slot["role"] != "final" or not arm.values:
            continue
        key = (arm.slot["teacher"], arm.slot["student"], arm.slot["method"])
        rows.append(
            _row(arm, baselines.get(key[1]), winners[key], tried.get(key, 1), test, confidence)
        )
    environments = {str(record.run["environment"]) for record in records.values()}
    return GainTable(
        primary=primary,
        test=test,
        baselines={name: _summary(arm) for name, arm in baselines.items() if arm.values},
        teachers={
            arm.slot["student"]: _summary(arm)
            for arm in arms
            if arm.slot["role"] == "teacher" and arm.values
        },
        rows=rows,
        damaged=damaged,
        environments=len(environments),
        warnings=list(plan["warnings"]),
        marks=[*plan["marks"], *_flagged(records, plan["marks"])],
    )


def _flagged(records: dict[str, Record], marks: list[str]) -> list[str]:
    """Return what else is flagged in records: in how many, and what."""
    flags = Counter(
        flag
        for record in records.values()
        for flag in record.results.get("flags", ())
        if not any(mark in flag for mark in marks)
    )
    return [f"{count} of {len(records)} runs: {flag}" for flag, count in flags.items()]


def _records(
    directory: StudyDirectory, plan: dict[str, Any]
) -> tuple[dict[str, Record], list[str]]:
    records, damaged = {}, []
    for planned in plan["runs"]:
        run = directory.run(planned["path"])
        if set(planned["roles"]) == {"selection"} or not run.is_done():
            continue
        try:
            record = run.read(hash_weights=False)
        except KdgapError as error:
            damaged.append(str(error))
            continue
        if record.id != planned["id"]:
            damaged.append(f"{run.path}: holds run {record.id[:12]}, not {planned['id'][:12]}")
            continue
        records[planned["id"]] = record
    return records, damaged


def _arms(plan: dict[str, Any], records: dict[str, Record], primary: str) -> list[Arm]:
    """Return one arm a slot and cell; two cells of one slot never share an arm."""
    arms: dict[tuple[str, str], Arm] = {}
    for planned in plan["runs"]:
        for slot in planned["slots"]:
            if slot["role"] not in ("teacher", "baseline", "final"):
                continue
            key = (str(slot), planned["cell"])
            arm = arms.get(key) or Arm(slot, {}, [], 0)
            record = records.get(planned["id"])
            if record is not None and record.test is not None:
                measured = record.test[primary]
                arm.values[planned["seed"], planned["teacher"]] = measured["accuracy"]
                if "top1_agreement" in measured:
                    arm.agreement.append(measured["top1_agreement"])
            arms[key] = Arm(slot, arm.values, arm.agreement, arm.expected + 1)
    return list(arms.values())


def _row(
    arm: Arm,
    baseline: Arm | None,
    parameters: dict[str, Any],
    tried: int,
    test: str,
    confidence: float,
) -> GainRow:
    treated = list(arm.by_seed().values())
    mean, std = mean_and_std(treated)
    n = len(treated)
    remarks = []
    if len(arm.values) < arm.expected:
        remarks.append(f"{arm.expected - len(arm.values)} of {arm.expected} runs missing")
    control: list[float] = []
    if baseline is not None and baseline.values:
        if len(baseline.values) < baseline.expected:
            missing = baseline.expected - len(baseline.values)
            remarks.append(f"{missing} of {baseline.expected} baseline runs missing")
        own, other = arm.by_seed(), baseline.by_seed()
        if test == "paired":
            own = {seed: value for seed, value in own.items() if seed in other}
            other = {seed: other[seed] for seed in own}
        treated, control = list(own.values()), list(other.values())
    else:
        remarks.append("no baseline")
    gain, point = None, None
    if treated and control:
        point = mean_and_std(treated)[0] - mean_and_std(control)[0]
        gain = (paired if test == "paired" else welch)(treated, control, confidence)
    return GainRow(
        teacher=arm.slot["teacher"],
        student=arm.slot["student"],
        method=arm.slot["method"],
        parameters=parameters,
        tried=tried,
        n=n,
        mean_pp=mean,
        std_pp=std,
        point_pp=point,
        gain=gain,
        agreement=mean_and_std(arm.agreement)[0] if arm.agreement else None,
        remarks=remarks,
    )


def _summary(arm: Arm) -> tuple[int, float, float | None]:
    values = list(arm.by_seed().values())
    return len(values), *mean_and_std(values)
