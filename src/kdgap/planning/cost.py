"""What a study costs in FLOPs and bytes, from arithmetic: nothing is timed here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from kdgap.data import Shape
from kdgap.methods import METHODS
from kdgap.methods.combination import members_of
from kdgap.methods.costs import STUDENT, TEACHER, measured
from kdgap.methods.hyperparameters import deployed_model
from kdgap.models.build import model_cost
from kdgap.planning.parts import planned_sizes
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec
from kdgap.spec.study import STAGES

BYTES = 4


@dataclass(frozen=True)
class Cost:
    """What one run takes.

    Attributes:
        parameters: of the trained network.
        forward_flops: of one image.
        train_flops: of all its steps and validations.
        teacher_flops: of its teacher's answers to all images.
        memory_bytes: what stays in memory while it trains.
        state_bytes: one saved state.
    """

    parameters: int
    forward_flops: int
    train_flops: float
    teacher_flops: float
    memory_bytes: int
    state_bytes: int


def images(run: RunSpec, shape: Shape) -> tuple[int, int]:
    """Return how many training and validation images a run sees an epoch."""
    val = run.data.val_size or shape.test
    return run.data.train_images(shape.train), min(val, run.data.limit or val)


@cache
def loss_share(name: str) -> float:
    """Return how much longer a method's step takes than one of KD, of which this is a share.

    Measured on small networks, where it counts; nothing where a method was not measured.
    """
    members, known = members_of(name), measured()
    more = (known[member.name]["time"] - member.views for member in members if member.name in known)
    return sum(max(0.0, share) for share in more)


@cache
def loss_flops(name: str) -> float:
    """Return the FLOPs that a method's loss takes as long as, for one image of 32 x 32."""
    student, teacher = (
        model_cost(ModelSpec(name=model), 10, 3, (32, 32))[1] for model in (STUDENT, TEACHER)
    )
    return (3 * student + teacher) * loss_share(name)


def run_cost(run: RunSpec, shape: Shape) -> Cost:
    """Return what a run costs; a training step is three forward passes (Kaplan 2020).

    A network has its weights, momenta, the best weights and, for a step, gradients; a method's
    trained parts the same but for the best, and its memories once. Each device has all of it.
    """

    def cost(model: ModelSpec) -> tuple[int, int]:
        return model_cost(model, shape.classes, shape.channels, shape.image_size)

    parameters, forward = cost(deployed_model(run))
    train, val = images(run, shape)
    epochs, views = run.recipe.epochs, METHODS[run.method.name].views
    teacher = cost(run.teacher.model)[1] if run.teacher else 0
    own = (3 * views * train + val) * forward * epochs + train * epochs * loss_flops(
        run.method.name
    )
    parts = planned_sizes(run, shape, train)
    momenta, network = 2 if run.recipe.optimiser == "dot" else 1, BYTES * parameters
    memory = (3 + momenta) * network + (2 + momenta) * parts.trained + parts.remembered
    state = (2 + momenta) * network + (1 + momenta) * parts.trained + parts.saved
    taught = views * train * teacher * epochs
    return Cost(parameters, forward, own, taught, run.devices * memory, state)


def costs_of(runs: Iterable[PlannedRun], shape: Shape) -> dict[str, Cost]:
    """Return the cost of planned runs by id."""
    return {planned.id: run_cost(planned.run, shape) for planned in runs}


def cohort_key(run: RunSpec) -> tuple[Any, ...]:
    """Return what runs must share to be trained in lock-step, their teacher apart."""
    return (run.data, run.seed, run.recipe.batch_size, run.precision, run.devices)


def cohorts(runs: list[PlannedRun]) -> list[list[PlannedRun]]:
    """Group runs that may train together: one teacher at most, and runs without one join it.

    A run that several devices share trains by itself.
    """
    groups: dict[tuple[Any, ...], list[PlannedRun]] = {}
    shared = [planned for planned in runs if planned.run.devices > 1]
    runs = [planned for planned in runs if planned.run.devices == 1]
    hosts: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    plain = [planned for planned in runs if planned.run.teacher is None]
    for planned in runs:
        if planned.run.teacher is not None:
            identity = planned.run.teacher.run or planned.run.teacher.weight_hash
            key = cohort_key(planned.run)
            host = (*key, identity)
            hosts.setdefault(key, host)
            groups.setdefault(host, []).append(planned)
    for planned in plain:
        key = cohort_key(planned.run)
        groups.setdefault(hosts.get(key, (*key, None)), []).append(planned)
    return [*groups.values(), *([planned] for planned in shared)]


def joined(mine: list[PlannedRun], ready: list[PlannedRun]) -> list[list[PlannedRun]]:
    """Group a stage's runs into cohorts; ready baselines of the same seed and schedule join in."""
    groups = cohorts(mine)
    known = {planned.id for planned in mine}
    hosts: dict[tuple[Any, ...], list[PlannedRun]] = {}
    for group in groups:
        if group[0].run.teacher and group[0].run.devices == 1:
            hosts.setdefault(cohort_key(group[0].run), group)
    for guest in (p for p in ready if p.id not in known and p.roles == ["baseline"]):
        if (host := hosts.get(cohort_key(guest.run))) is not None:
            host.append(guest)
    return groups


def staged_cohorts(plan: Plan) -> list[list[PlannedRun]]:
    """Return the cohorts of a plan, stage by stage, as one worker with enough memory trains them.

    A baseline is ready from the start, so it may join the cohorts of an earlier stage.
    """
    groups: list[list[PlannedRun]] = []
    left = list(plan.runs.values())
    for roles in STAGES.values():
        groups += joined([p for p in left if set(p.roles) & set(roles)], left)
        done = {planned.id for group in groups for planned in group}
        left = [planned for planned in left if planned.id not in done]
    return groups


def members_that_fit(runs: Sequence[PlannedRun], costs: dict[str, Cost], free_bytes: int) -> int:
    """Return how many runs of a cohort may be in memory at once: at least one.

    Half of the free memory is left for images, one member's activations and the teacher.
    """
    taken = 0
    for count, planned in enumerate(runs):
        taken += costs[planned.id].memory_bytes
        if taken > free_bytes / 2:
            return max(1, count)
    return max(1, len(runs))


def worker_share(group: Sequence[PlannedRun], groups: int, workers: int) -> int:
    """Return how many runs of a cohort one worker takes, where there are several cohorts or not.

    None takes everything while others would have nothing to do.
    """
    return -(-len(group) * min(groups, workers) // workers)


def total_flops(groups: list[list[PlannedRun]], costs: dict[str, Cost]) -> float:
    """Return the FLOPs of cohorts, each with one teacher pass."""
    return sum(
        sum(costs[run.id].train_flops for run in group)
        + max(costs[run.id].teacher_flops for run in group)
        for group in groups
    )


def pixel_bytes(shape: Shape) -> int:
    """Return what the decoded images take in the cache: a byte a value."""
    height, width = shape.image_size
    return (shape.train + shape.test) * shape.channels * height * width


def disk_bytes(plan: Plan, costs: dict[str, Cost]) -> int:
    """Return the disk that a study needs at its end, and on the way for the states of a cohort.

    Best and last weights of each kept run, and two states. Give it a plan without open slots
    (`stand_in`).
    """
    kept = sum(
        2 * BYTES * costs[planned.id].parameters
        for planned in plan.runs.values()
        if planned.roles != ["selection"] or plan.study.keep_selection_weights
    )
    states = max(
        (sum(2 * costs[run.id].state_bytes for run in group) for group in staged_cohorts(plan)),
        default=0,
    )
    return kept + states
