"""A job: what one machine is asked to do for a study, and what it answers. Plain JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from kdgap.files import entries, file_hash
from kdgap.paths import is_url
from kdgap.planning.plan import PlannedRun
from kdgap.running.places import moved
from kdgap.spec.identity import run_id
from kdgap.spec.run import RunSpec
from kdgap.spec.slot import Slot
from kdgap.store.provenance import source_digest
from kdgap.store.study import LOCKED, PREREGISTRATION
from kdgap.study.workspace import Workspace

Kind = Literal["look", "train", "test"]
GIVEN = ".given"
"""Where in the storage the files of given teachers are, for machines that do not see them."""
BEGUN = "begun"
"""The locked fact that tells a study from any that was kept at the same place before it."""
OTHER_CODE = "other code"
"""The answer of a machine that runs another version than the driver."""


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
        given: teachers that are given as files: path on the driver's machine → name in the storage.
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
    given: Mapping[str, str] = field(default_factory=dict)
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


def _given_name(file: Path) -> str:
    return f"{GIVEN}/{file_hash(file)[:16]}-{file.name}"


class JobMaker:
    """Makes the jobs of one study.

    Attributes:
        code: the source that this machine runs.
        given: where the files of given teachers are to be in the storage, by their paths here.

    Args:
        workspace: the study.
        place: where it is kept.
        device: what to compute on.
        threads: of each job.
    """

    def __init__(self, workspace: Workspace, place: str, device: str, threads: int) -> None:
        study = workspace.study
        # Other machines have other current folders.
        files = {name: str(Path(file).resolve()) for name, file in study.teachers.weights.items()}
        root = study.data.root
        self._study = moved(study, root if is_url(root) else str(Path(root).resolve()), files)
        self.given = {file: _given_name(Path(file)) for file in files.values()}
        self._directory = workspace.directory
        self._place, self._device, self._threads = place, device, threads
        self.code = source_digest()
        self._directory.lock_fact(BEGUN, token_hex(8))

    def make(
        self,
        kind: Kind,
        runs: Sequence[PlannedRun],
        environment: str | None = None,
        doors: Mapping[str, tuple[str, PlannedRun | None]] | None = None,
    ) -> Job:
        """Return a new job.

        Args:
            kind: see `Job`.
            runs: what it is about.
            environment: the one that is required; None = any.
            doors: of a `test`, by run: its role, and the baseline to compare with.
        """
        folder = self._directory.path / LOCKED
        names = {entry.stem for entry in entries(folder, "*.json")} - {PREREGISTRATION}
        known = {
            run: {"role": role, "baseline": baseline and self._written(baseline)}
            for run, (role, baseline) in (doors or {}).items()
        }
        return Job(
            id=token_hex(8),
            kind=kind,
            place=self._place,
            study=self._study.model_dump(mode="json"),
            facts={name: self._directory.locked(name) for name in sorted(names)},
            runs=[self._written(planned) for planned in runs],
            code=self.code,
            device=self._device,
            threads=self._threads,
            environment=environment,
            given=self.given,
            doors=known,
        )

    def _written(self, planned: PlannedRun) -> dict[str, Any]:
        entry = written(planned)
        entry["run"]["place"]["data_root"] = self._study.data.root
        teacher = planned.run.teacher
        if teacher is not None and teacher.run is None:
            entry["run"]["teacher"]["weights"] = str(Path(teacher.weights).resolve())
        return entry


def planned_run(entry: Mapping[str, Any]) -> PlannedRun:
    """Return what `written` wrote; its id follows from what is asked."""
    run = RunSpec.model_validate(entry["run"])
    slots = [Slot.read(slot) for slot in entry["slots"]]
    return PlannedRun(
        run_id(run), run, entry["path"], entry["configuration"], entry["teacher"], slots
    )
