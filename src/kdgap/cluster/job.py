"""A job: what one machine is asked to do for a study, and what it answers. Plain JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kdgap.planning.plan import PlannedRun
from kdgap.spec.identity import run_id
from kdgap.spec.run import RunSpec
from kdgap.spec.slot import Slot

Kind = Literal["look", "train", "test"]


@dataclass(frozen=True)
class Needs:
    """What a machine must have free for a job.

    Attributes:
        cpus: threads.
        gpus: GPUs, or a part of one.
        memory: bytes.
        node: the machine that has to do it, by the engine's id; None = any.
    """

    cpus: int = 1
    gpus: float = 0.0
    memory: int = 0
    node: str | None = None


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        id: of this execution: no two executions of one run share it.
        kind: `look` at a machine and its data, `train` a cohort, or `test` finished runs.
        place: where the study is kept.
        study: the study, with where data and teachers are.
        facts: what is locked, by name.
        runs: the runs, as `written` returns them.
        code: the source that the driver runs.
        device: where to compute.
        threads: of the processor.
        environment: the one that is required; None = any.
        doors: of a `test`, by run: its role, and the baseline (`written`) to compare with.
        save_seconds: how often states are brought to where the study is kept.
    """

    id: str
    kind: Kind
    place: str
    study: Mapping[str, Any]
    facts: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    code: str
    device: str = "auto"
    threads: int = 1
    environment: str | None = None
    doors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    save_seconds: float = 60.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as it travels."""
        return asdict(self)


def written(planned: PlannedRun) -> dict[str, Any]:
    """Return a planned run as it travels."""
    return {
        "run": planned.run.model_dump(mode="json"),
        "path": planned.path,
        "configuration": planned.configuration,
        "teacher": planned.teacher,
        "slots": [dict(slot.written()) for slot in planned.slots],
    }


def planned_run(entry: Mapping[str, Any]) -> PlannedRun:
    """Return what `written` wrote; its id follows from what is asked."""
    run = RunSpec.model_validate(entry["run"])
    slots = [Slot.read(slot) for slot in entry["slots"]]
    return PlannedRun(
        run_id(run), run, entry["path"], entry["configuration"], entry["teacher"], slots
    )
