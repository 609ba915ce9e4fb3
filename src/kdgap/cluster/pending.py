"""What of a study can be done now: cohorts to train, and doors to open. Nothing is done here."""

from collections.abc import Callable, Collection, Iterator, Sequence

from kdgap.planning.cost import joined
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.spec.study import STAGES
from kdgap.store.study import DOORS
from kdgap.study.inventory import Inventory

Door = tuple[PlannedRun, PlannedRun | None, str]
"""A finished run to be tested, the baseline to compare with if there is one, and its role."""
Asked = Callable[[PlannedRun, Sequence[str]], bool]
"""Whether a run is to be done in some roles; in any, where none is named."""
MANY = 64
"""Doors opened by one job: they share their teacher's answers."""


def cohorts(
    plan: Plan, inventory: Inventory, asked: Asked, going: Collection[str], slots: int
) -> Iterator[list[PlannedRun]]:
    """Yield what may be trained now, stage by stage, as cohorts divided among the machines.

    A later stage waits until the one before is on its way: what is left may join it.

    Args:
        plan: the plan as it is known.
        inventory: what is there of it.
        asked: what is to be done.
        going: ids of runs that somebody is at work on.
        slots: how many jobs run at once.
    """
    ready = [
        planned
        for planned in plan.runs.values()
        if inventory.is_ready(planned) and not inventory.is_held(planned)
        if planned.id not in going
    ]
    for roles in STAGES.values():
        mine = [planned for planned in ready if asked(planned, roles)]
        if not mine:
            continue
        alone = [planned for planned in mine if inventory.alone(planned)]
        guests = [p for p in ready if asked(p, ()) and not inventory.alone(p)]
        rest = [planned for planned in mine if not inventory.alone(planned)]
        groups = [[planned] for planned in alone] + joined(rest, guests)
        for group in groups:
            share = -(-len(group) * min(len(groups), slots) // slots)
            yield from (group[i : i + share] for i in range(0, len(group), share))
        return


def doors(plan: Plan, inventory: Inventory, going: Collection[str]) -> Iterator[list[Door]]:
    """Yield the doors that may be opened once selection is over, by teacher; see `study/doors.py`.

    A final waits for its baseline, unless that has failed for good.
    """
    by_teacher: dict[str, list[Door]] = {}
    for planned, baseline in inventory.closed_doors(plan, DOORS):
        late = baseline is not None and not inventory.is_settled(baseline)
        if planned.id in going or late or inventory.is_held(planned):
            continue
        there = baseline if baseline is not None and inventory.is_done(baseline) else None
        role = next(role for role in DOORS if role in planned.roles)
        by_teacher.setdefault(str(planned.teacher), []).append((planned, there, role))
    for group in by_teacher.values():
        yield from (group[i : i + MANY] for i in range(0, len(group), MANY))
