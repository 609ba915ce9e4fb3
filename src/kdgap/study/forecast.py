"""What a study will cost and what its seeds can show, before anything is trained."""

from collections.abc import Callable
from typing import Any

import torch

from kdgap.data import DATASETS
from kdgap.notice import Notice, written
from kdgap.numbers import gib, seeds
from kdgap.planning.cost import (
    costs_of,
    disk_bytes,
    pixel_bytes,
)
from kdgap.planning.plan import Plan
from kdgap.planning.tasks import Machine
from kdgap.stats.power import (
    minimum_detectable_effect,
    minimum_detectable_paired_effect,
    pairs_needed,
    seeds_needed,
    smallest_permutation_p,
    smallest_sign_flip_p,
)
from kdgap.study.duration import expected_time, published_time
from kdgap.study.workspace import Workspace, stand_in


def forecast(
    workspace: Workspace,
    plan: Plan,
    device: torch.device | str,
    done: set[str],
    *,
    workers: int = 1,
    measure: bool | None = None,
    say: Callable[[str], None] = lambda _: None,
    started: float | None = None,
) -> dict[str, Any]:
    """Return estimates of time and disk, the statistical floors, and warnings about budgets.

    `seconds` is what the rest of the study is expected to take, between `seconds_low` and
    `seconds_high`; `time_source` says where that comes from. They are None while the images are
    not known, and the range also where a speed was published without one.

    Args:
        workspace: the study.
        plan: its plan.
        device: where it would run; a name is that of a machine with a published speed.
        done: ids of finished runs, which cost nothing any more.
        workers: how many will train at once.
        measure, say, started: see `expected_time`.

    Raises:
        BadInputError: no speed of that machine was published for the study's precision.
    """
    study, shape = workspace.study, workspace.shape()
    estimates: dict[str, Any] = {
        "device": str(device),
        "seconds": None,
        "seconds_low": None,
        "seconds_high": None,
        "seconds_alone": None,
        "disk_bytes": None,
        "data_bytes": None,
        "notices": [],
        **_floors(workspace, plan),
    }
    if shape is None:
        return estimates
    full = stand_in(workspace, plan)
    costs = costs_of(full.runs.values(), shape)
    if isinstance(device, str):
        time = published_time(full, shape, done, device, workers)
    else:
        threads = workspace.directory.locked("threads") or study.threads
        machine = Machine(device, threads or torch.get_num_threads(), workers)
        time = expected_time(
            plan, full, shape, done, machine, measure=measure, say=say, started=started
        )
    estimates |= {
        **time,
        "workers": workers,
        "disk_bytes": disk_bytes(full, costs),
        "data_bytes": pixel_bytes(shape) if DATASETS[study.data.name].resized else None,
    }
    budgets = study.budgets
    hours, disk = estimates["seconds"] / 3600, estimates["disk_bytes"]
    if budgets.hours is not None and hours > budgets.hours:
        text = f"about {hours:.3g} hours are left to do, the budget is {budgets.hours:g}"
        estimates["notices"] += written([Notice("over-budget-hours", text)])
    if budgets.gib is not None and disk / 2**30 > budgets.gib:
        text = f"about {gib(disk)} of disk, the budget is {budgets.gib:g}"
        estimates["notices"] += written([Notice("over-budget-disk", text)])
    return estimates


def _compared(plan: Plan, reference: str) -> int:
    """Return how many differences to the reference the study makes; see `judge/references.py`."""
    keys = [choice.key for choice in plan.choices]
    references = [(teacher, student) for teacher, student, method in keys if method == reference]
    return sum(
        student == own_student and (None in (teacher, own_teacher) or teacher == own_teacher)
        for teacher, student, method in keys
        for own_teacher, own_student in references
        if method != reference
    )


def _floors(workspace: Workspace, plan: Plan) -> dict[str, Any]:
    """Return what the study's seeds can show at best, as numbers and in sentences."""
    study = workspace.study
    stats, n = study.statistics, len(study.finals.seeds)
    family = len(plan.choices)
    std, effect, alpha = stats.expected_std_pp, stats.smallest_effect_pp, 1 - stats.confidence
    corrected = alpha / family
    paired = stats.test == "paired"

    def smallest(level: float) -> float:
        if paired:
            return minimum_detectable_paired_effect(std, n, stats.power, level)
        return minimum_detectable_effect(std, n, n, stats.power, level)

    enough = pairs_needed if paired else seeds_needed
    needed = enough(effect, std, stats.power, corrected)
    floors: dict[str, Any] = {
        "seeds": n,
        "family": family,
        "std_pp": std,
        "smallest_effect_pp": effect,
        "mde_pp": None,
        "mde_corrected_pp": None,
        "seeds_needed": enough(effect, std, stats.power, alpha),
        "seeds_needed_corrected": needed,
    }
    guess = f"If accuracy varies by {std:g} pp (std) over seeds (a guess of the study):"
    if n < 2:
        text = [f"What {n} seed can show: nothing; an interval needs at least two."]
        return {"floors": floors, "floors_text": text}
    floors["mde_pp"] = smallest(alpha)
    floors["mde_corrected_pp"] = smallest(corrected)
    exact = smallest_sign_flip_p(n) if paired else smallest_permutation_p(n, n)
    floors["smallest_p"] = exact
    floors["smallest_p_corrected"] = min(1.0, exact * family)
    text = [
        f"What {n} seeds can show. {guess}",
        f"  a gain of {floors['mde_pp']:.2f} pp is found with {stats.power:.0%} power, one of"
        f" {floors['mde_corrected_pp']:.2f} pp after correction for {family} gains;",
        f"  the smallest effect of interest, {effect:g} pp, would take"
        f" {seeds(floors['seeds_needed'])} seeds in each arm"
        f" ({seeds(needed)} after correction);",
        f"  an exact {'paired ' if paired else ''}test cannot get under p = {exact:.3g},"
        f" {min(1.0, exact * family):.3g} after correction.",
    ]
    if study.statistics.reference is not None:
        compared = _compared(plan, study.statistics.reference)
        floors["reference_family"] = compared
        if compared:
            floors["mde_over_reference_pp"] = smallest(alpha / compared)
            text.append(
                f"  Over {study.statistics.reference}: a difference of"
                f" {floors['mde_over_reference_pp']:.2f} pp after correction for {compared}"
                " differences, a family apart."
            )
    if paired:
        text.append(
            "  Paired: both arms of a seed are assumed uncorrelated (correlation 0), a pessimistic"
            " guess, for they usually agree in part."
        )
    return {"floors": floors, "floors_text": text}
