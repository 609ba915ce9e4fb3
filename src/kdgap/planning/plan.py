"""A study becomes runs, as pure data: nothing is trained, read or written here.

Finals depend on what selection chooses, so a plan is made from a study *and* the winners that are
known. Without them, finals are open slots with counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod

from kdgap.errors import BadInputError
from kdgap.methods import METHODS, Method
from kdgap.notice import Notice
from kdgap.spec.run import DataSpec, RunSpec
from kdgap.spec.slot import PLAIN, Slot
from kdgap.spec.study import STAGES, StudySpec
from kdgap.spec.validation import Scalar
from kdgap.text import settings_text

ROLES = ("teacher", "selection", "baseline", "final", "ablation")
Parameters = dict[str, Scalar]
SlotKey = tuple[str | None, str, str]
"""Teacher, student and method: what a choice is made for. A method without a teacher has none."""


@dataclass
class PlannedRun:
    """A run of the plan, once for all the roles it plays."""

    id: str
    run: RunSpec
    path: str
    configuration: str
    teacher: str | None
    slots: list[Slot] = field(default_factory=list)

    @property
    def roles(self) -> list[str]:
        """Its roles, in the order in which a study meets them."""
        return sorted({slot.role for slot in self.slots}, key=ROLES.index)

    def is_of(self, stages: Collection[str], roles: Collection[str] = ROLES) -> bool:
        """Whether stages, or ablations by their names, ask for it in one of some roles."""
        asked = {role for stage in stages for role in STAGES.get(stage, ())}
        return any(
            slot.role in roles and (slot.role in asked or slot.ablation in stages)
            for slot in self.slots
        )


@dataclass(frozen=True)
class Choice:
    """What selection chooses from for one pair and method; `runs` has the ids of a candidate."""

    key: SlotKey
    candidates: list[Parameters]
    runs: list[list[str]]


@dataclass
class Plan:
    """Runs by id in order of work, the choices to make, and how many finals are still open."""

    study: StudySpec
    data: DataSpec
    runs: dict[str, PlannedRun] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    winners: dict[SlotKey, Parameters] = field(default_factory=dict)
    open_slots: dict[Slot, int] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def of_role(self, role: str) -> list[PlannedRun]:
        """Return the planned runs that play a role."""
        return [planned for planned in self.runs.values() if role in planned.roles]


def method_class(study: StudySpec, name: str) -> type[Method]:
    """Return what the study calls by a name."""
    return METHODS[study.method_of(name)]


def check_method(study: StudySpec, name: str) -> None:
    """Refuse a method that is unknown, is no method, or has a name that says another.

    Raises:
        BadInputError: saying what to do.
    """
    registered = method_class(study, name).name
    if PLAIN in (name, registered):
        raise BadInputError(f"{PLAIN} is what every method is compared with; it is always there")
    if name in METHODS and METHODS[name].name != registered:
        raise BadInputError(
            f"{name!r} is a method itself; give {registered} another name of your own"
        )


def slot_key(study: StudySpec, teacher: str | None, student: str, method: str) -> SlotKey:
    """Return what is chosen and judged as one; a method without a teacher has none."""
    taught = method_class(study, method).needs_teacher
    return teacher if taught else None, student, method


def variant_text(parameters: Parameters, grid: Mapping[str, object]) -> str:
    """Return what distinguishes a candidate, such as `alpha 0.5, temperature 4`."""
    varied = [name for name, values in grid.items() if isinstance(values, list)]
    return settings_text({name: parameters[name] for name in varied})


def count_runs(study: StudySpec) -> dict[str, int]:
    """Return how many runs of each role a study asks for, without making any of them."""
    grids = [
        prod(len(v) if isinstance(v, list) else 1 for v in grid.values())
        for grid in study.grids.values()
    ]
    pairs, seeds = len(study.pairs), len(study.finals.seeds)
    trained = {pair.teacher for pair in study.pairs} - set(study.teachers.weights)
    selection = 0
    if study.selection is not None:
        selection = pairs * len(study.selection.seeds) * sum(size for size in grids if size > 1)
    return {
        "teacher": len(trained) * len(study.teachers.seeds),
        "selection": selection,
        "baseline": len({pair.student for pair in study.pairs}) * seeds,
        "final": pairs * len(grids) * seeds * len(study.teachers.teach),
        "ablation": sum(2 * len(ablation.seeds) for ablation in study.ablations.values()),
    }
