"""Whoever reads a study reads each file once, works out once what its runs share, keeps little."""

import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kdgap import disk
from kdgap.explorer import watch as watching
from kdgap.explorer.watch import Watch
from kdgap.files import write_json
from kdgap.spec.identity import configuration_id, run_id, slot_name
from kdgap.spec.run import RunSpec
from kdgap.spec.study import StudyModel, StudySpec, preregistered
from kdgap.store import audit
from kdgap.store.preregistration import content_hash
from kdgap.store.progress import survey
from kdgap.store.record import Record
from kdgap.store.study import PLAN, StudyDirectory
from kdgap.store.witness import Witness
from tests.faults.conftest import Command
from tests.faults.conftest import kdgap as kdgap
from tests.store import small

FINALS = 5
SHAPE = {"train": 9, "test": 3, "classes": 2, "channels": 1, "image_size": [8, 8]}


def entry(run: RunSpec, role: str, teacher: RunSpec | None = None) -> dict[str, Any]:
    """A run in a plan."""
    return {
        "id": run_id(run),
        "cell": configuration_id(run, teacher),
        "path": f"runs/{slot_name(run)}/{run.seed}-{run_id(run)[:8]}",
        "seed": run.seed,
        "teacher": None if teacher is None else run_id(teacher),
        "roles": [role],
        "slots": [
            {
                "role": role,
                "teacher": None if teacher is None else "big",
                "student": "big" if role == "teacher" else "little",
                "method": run.method.name,
            }
        ],
        "parameters": dict(run.method.parameters),
    }


@pytest.fixture
def study(tmp_path: Path) -> StudyDirectory:
    """A finished study of a teacher and five finals."""
    teacher = small.spec("teacher", 0)
    finals = [small.spec("final", seed, run_id(teacher)) for seed in range(FINALS)]
    runs = [entry(teacher, "teacher"), *(entry(run, "final", teacher) for run in finals)]
    directory = StudyDirectory(tmp_path / "study")
    for run, planned in zip([teacher, *finals], runs, strict=True):
        small.finished(directory.path / planned["path"], run, 0.9)
    plan = {
        "study": small.asked(),
        "selection_complete": True,
        "winners": [],
        "runs": runs,
        "open_runs": 0,
        "open_flops": 0.0,
        "notices": [],
    }
    directory.write(PLAN, plan)
    protocol = {**preregistered(StudySpec.model_validate(plan["study"])), "winners": []}
    facts = {
        "format": 1,
        "threads": 1,
        "data": {"name": "digits", "fingerprint": small.FINGERPRINT, "shape": SHAPE},
    }
    for name, fact in facts.items():
        directory.lock_fact(name, fact)
    registered = directory.path / "locked" / "preregistration.json"
    write_json(registered, {"sha256": content_hash(protocol), "content": protocol})
    return directory


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file was opened."""
    count: Counter[Path] = Counter()

    class Counting(disk.Disk):
        def open(self, path: Path, flags: int) -> int:
            count[path] += 1
            return super().open(path, flags)

    monkeypatch.setattr(disk, "current", Counting())
    return count


def test_a_record_is_read_with_each_of_its_files_opened_once(
    study: StudyDirectory, opened: Counter[Path]
) -> None:
    path = study.plan()["runs"][1]["path"]
    study.record(path)
    of_run = {file.name: n for file, n in opened.items() if file.parent == study.path / path}
    names = ("manifest.json", "run.json", "history.jsonl", "results.json", "test.json")
    assert of_run == dict.fromkeys(names, 1)


@pytest.mark.parametrize("command", ["status", "verify", "analyze"])
def test_a_command_reads_the_plan_once(
    study: StudyDirectory, opened: Counter[Path], kdgap: Command, command: str
) -> None:
    code, output = kdgap(command, study.path)
    assert code == 0, output
    assert opened[study.path / PLAN] == 1


def test_what_runs_share_is_worked_out_once(
    study: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study.plan()
    witnesses = {run["id"]: Witness.of(study.record(run["path"])) for run in plan["runs"]}
    calls: Counter[str] = Counter()

    def counted(name: str, original: Any) -> Any:
        def count(*words: Any, **named: Any) -> Any:
            calls[name] += 1
            return original(*words, **named)

        return count

    monkeypatch.setattr(
        "kdgap.store.audit.configuration_id", counted("teacher's configuration", configuration_id)
    )
    monkeypatch.setattr(StudyModel, "model_dump", counted("models", StudyModel.model_dump))
    assert list(audit.plan_faults(study, plan, witnesses)) == []
    assert calls == {"teacher's configuration": 1, "models": len(plan["study"]["models"])}


def test_the_survey_of_a_study_holds_one_record_at_a_time(
    study: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_before: list[weakref.ref[Record]] = []
    alive: list[int] = []
    original = StudyDirectory.record

    def traced(self: StudyDirectory, path: str, *, hash_weights: bool = False) -> Record:
        alive.append(sum(known() is not None for known in seen_before))
        record = original(self, path, hash_weights=hash_weights)
        seen_before.append(weakref.ref(record))
        return record

    monkeypatch.setattr(StudyDirectory, "record", traced)
    seen = survey(study)
    assert seen.count("done") == len(alive) == FINALS + 1
    assert max(alive) <= 1, "the last one, until the next is there"


def test_a_look_at_a_study_whose_plan_did_not_change_does_not_read_it(
    study: StudyDirectory, opened: Counter[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watching, "REST", 0.0)
    watch = Watch(study.path)
    opened.clear()
    before = watch.look()
    assert watch.look() is before
    assert opened[study.path / PLAN] == 0
    study.write(
        PLAN,
        study.plan()
        | {"notices": [{"code": "smoke-run", "text": "smoke run", "short": "smoke run"}]},
    )
    assert watch.look().evidence.marks == ("smoke run",)
