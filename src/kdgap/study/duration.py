"""How long the rest of a study takes: on this machine as it was timed, or as was published."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kdgap.data import Shape
from kdgap.engine.device import free_memory
from kdgap.numbers import counted
from kdgap.planning.cost import costs_of, members_that_fit, staged_cohorts, total_flops
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.planning.rates import published_rate
from kdgap.planning.schedule import schedule
from kdgap.planning.tasks import (
    ASSUMED_STEP,
    START,
    Machine,
    Task,
    assumed_rate,
    cohort_tasks,
    likeness,
)
from kdgap.planning.timing import Origin, Timings
from kdgap.store.measured import keep_time
from kdgap.study.probe import LONG_SECONDS, SHORT_SECONDS, Probe, kinds

SCHEDULED_RUNS = 2000
"""Of more runs than these, workers are taken to be equally busy, which they nearly are then."""
_SOURCES: Mapping[Origin, str] = {
    "runs": "earlier runs on this machine",
    "probe": "a few steps timed on this machine",
    "neighbours": "similar steps timed on this machine",
    "assumed": "assumed speeds, {rate:g} GFLOP/s a worker and {step:g} ms a step",
}
Expected = dict[str, Any]
"""What a forecast says of time: `seconds_low`, `seconds`, `seconds_high`, `seconds_alone`, `flops`,
and in words `time_source`."""


def published_time(
    full: Plan, shape: Shape, done: Collection[str], machine: str, workers: int = 1
) -> Expected:
    """Return the time on machines that are not at hand, one a worker; nobody knows its range.

    Raises:
        BadInputError: no speed of it was published for the study's precision.
    """
    costs = costs_of(full.runs.values(), shape)
    groups = _left(full, done)
    rate, source = published_rate(machine, next(iter(full.runs.values())).run.precision)
    flops = total_flops(groups, costs)
    alone = total_flops([[planned] for group in groups for planned in group], costs)
    return {
        "flops": flops,
        "time_source": f"a speed {source} ({rate / 1e9:.3g} GFLOP/s)",
        "seconds": flops / rate / workers,
        "seconds_alone": alone / rate / workers,
    }


def expected_time(
    plan: Plan,
    full: Plan,
    shape: Shape,
    done: Collection[str],
    machine: Machine,
    *,
    measure: bool | None = None,
    say: Callable[[str], None] = lambda _: None,
    started: float | None = None,
) -> Expected:
    """Return the time on this machine, from what was timed here before and is timed now.

    Args:
        plan: what is planned.
        full: the same without open slots.
        shape: of the images.
        done: ids of finished runs.
        machine: where the rest trains.
        measure: time all kinds of steps now, which takes about a minute; None = those that were
            never timed, for a few seconds; False = none.
        say: told that something is timed now.
        started: seconds that this process took until it had read the study, kept beside what is
            timed now; None = it did other things as well.
    """
    groups = _left(full, done)
    alike: dict[tuple[tuple[str, bool], ...], list[Sequence[PlannedRun]]] = {}
    for group in groups:
        alike.setdefault(likeness(group), []).append(group)
    counts: Counter[Task] = Counter()
    for same in alike.values():
        for task, count in cohort_tasks(same[0], shape).items():
            counts[task] += count * len(same)
    tasks = {START, *counts}
    timings = Timings(machine, tasks, fresh=bool(measure))
    wanted = tasks if measure else set(timings.missing())
    seconds = LONG_SECONDS if measure else SHORT_SECONDS
    if (
        measure is not False
        and seconds > 0
        and (chosen := kinds([same[0] for same in alike.values()], shape, wanted))
    ):
        what = counted(len(chosen), "kind")
        say(f"timing a few steps of {what} of run on this machine: about {seconds:g} s")
        if started is not None:
            keep_time(START.stem(machine, "probe"), 1, started)
        Probe(shape, machine, seconds).time(chosen)
        timings = Timings(machine, tasks, fresh=bool(measure))
    total, shares = timings.of(counts)
    seconds_of = _Seconds(shape, timings)
    busy = _busy(plan, full, shape, done, machine, seconds_of, total.mid)
    wall = total.times(busy)
    alone = busy * sum(seconds_of([planned]) for group in groups for planned in group)
    if groups:  # the command itself and its workers, which start side by side
        start, origin = timings.seconds(START)
        wall += start.times(2)
        alone += 2 * start.mid
        shares[origin] += 2 * start.mid
    return {
        "flops": total_flops(groups, costs_of(full.runs.values(), shape)),
        "time_source": _source(shares, machine),
        "seconds_low": wall.low,
        "seconds": wall.mid,
        "seconds_high": wall.high,
        "seconds_alone": alone,
    }


def _left(full: Plan, done: Collection[str]) -> list[list[PlannedRun]]:
    """Return the cohorts of a plan without the runs that are finished."""
    left = [[p for p in group if p.id not in done] for group in staged_cohorts(full)]
    return [group for group in left if group]


class _Seconds:
    """The seconds of cohorts, each kind looked up once."""

    def __init__(self, shape: Shape, timings: Timings) -> None:
        self._shape, self._timings = shape, timings
        self._known: dict[tuple[tuple[str, bool], ...], float] = {}

    def __call__(self, group: Sequence[PlannedRun]) -> float:
        if (key := likeness(group)) not in self._known:
            self._known[key] = self._timings.of(cohort_tasks(group, self._shape))[0].mid
        return self._known[key]


def _busy(
    plan: Plan,
    full: Plan,
    shape: Shape,
    done: Collection[str],
    machine: Machine,
    seconds: Callable[[Sequence[PlannedRun]], float],
    total: float,
) -> float:
    """Return the time of all workers together as a share of the time of one that does it all."""
    workers = machine.workers
    if workers == 1 or total == 0:
        return 1.0
    if len(full.runs) > SCHEDULED_RUNS:
        return 1.0 / workers
    costs = costs_of(full.runs.values(), shape)
    memory = free_memory(machine.device) // workers

    def fitting(group: Sequence[PlannedRun]) -> int:
        return members_that_fit(group, costs, memory)

    turns = schedule(plan, full, done, workers, seconds, fitting)
    return max((turn.end for turn in turns), default=0.0) / total


def _source(shares: Mapping[Origin, float], machine: Machine) -> str:
    """Say where an estimate comes from; what gives less than a hundredth of it is left out."""
    total = sum(shares.values())
    named = {origin: s for origin, s in shares.items() if total and s / total >= 0.01}
    about = {"rate": assumed_rate(machine) / 1e9, "step": 1e3 * ASSUMED_STEP}
    words = {origin: _SOURCES[origin].format(**about) for origin in named}
    if len(named) == 1:
        return next(iter(words.values()))
    ordered = sorted(named, key=lambda origin: -named[origin])
    return ", ".join(f"{words[origin]} ({named[origin] / total:.0%})" for origin in ordered)
