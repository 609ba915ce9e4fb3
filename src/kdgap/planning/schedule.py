"""When the cohorts of a study would train, on one worker or several: who takes what, and when."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from kdgap.planning.cost import joined, worker_share
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.spec.study import STAGES


@dataclass(frozen=True)
class Turn:
    """What one worker trains at once.

    Attributes:
        group: the runs.
        end: seconds after the beginning.
    """

    group: Sequence[PlannedRun]
    end: float


def schedule(
    plan: Plan,
    full: Plan,
    done: Collection[str],
    workers: int,
    seconds: Callable[[Sequence[PlannedRun]], float],
    fitting: Callable[[Sequence[PlannedRun]], int] = len,
) -> list[Turn]:
    """Return what workers train, each taking its share of the first cohort that is ready.

    Args:
        plan: what is planned; what `full` has besides waits for selection.
        full: the plan without open slots.
        done: ids of finished runs.
        workers: how many there are.
        seconds: of runs that train as one cohort.
        fitting: how many members of a cohort fit in one worker's memory.
    """
    left = {p.id: p for p in full.runs.values() if p.id not in done}
    selection = {p.id for p in left.values() if "selection" in p.roles}
    over, turns = set(done), list[Turn]()
    busy: list[tuple[float, int, list[PlannedRun]]] = []
    now = 0.0
    while left or busy:
        while len(busy) < workers:
            ready = [
                p
                for p in left.values()
                if (p.teacher is None or p.teacher in over or p.teacher not in full.runs)
                and (p.id in plan.runs or selection <= over)
            ]
            groups = _first_groups(ready)
            if not groups:
                break
            size = min(worker_share(groups[0], len(groups), workers), fitting(groups[0]))
            group = groups[0][: max(1, size)]
            for planned in group:
                del left[planned.id]
            end = now + seconds(group)
            heapq.heappush(busy, (end, len(turns), group))
            turns.append(Turn(group, end))
        if not busy:
            break  # a run that waits for what will never be
        now, _, group = heapq.heappop(busy)
        over |= {planned.id for planned in group}
    return turns


def _first_groups(ready: list[PlannedRun]) -> list[list[PlannedRun]]:
    """Return the cohorts of the first stage that has any."""
    for roles in STAGES.values():
        if mine := [planned for planned in ready if set(planned.roles) & set(roles)]:
            return joined(mine, ready)
    return []
