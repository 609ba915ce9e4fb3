"""A study on several machines gives the records of one machine, whatever is lost on the way."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kdgap.cluster.driver import Driver
from kdgap.planning.plan import PlannedRun
from kdgap.spec.study import STAGES
from kdgap.store.mirror import Mirror
from kdgap.store.storage import Folder, Storage, Url
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.cluster.engines import LOSE_AFTER, Machines
from tests.e2e.study import study_text

PROMISED = ("history.jsonl", "results.json", "test.json")
WEIGHTS = ("checkpoint_best.safetensors", "checkpoint_last.safetensors")


def hashes(directory: StudyDirectory) -> dict[str, Any]:
    """What each run of a study promises, by its path."""
    known = {}
    for run in directory.plan()["runs"]:
        manifest = json.loads((directory.path / run["path"] / "manifest.json").read_text())
        files = {**manifest.get("dropped", {}), **manifest["files"]}
        known[run["path"]] = {name: files.get(name) for name in (*PROMISED, *WEIGHTS)}
    return known


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The study on this machine, without any cluster."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "study.yaml").write_text(text())
    workspace = open_study(folder / "study.yaml", {}, folder / "study")
    directory = start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", tuple(STAGES)).work()
    return hashes(directory)


def text() -> str:
    return study_text(
        recipe={"epochs": 2, "batch_size": 64}, threads=1, keep_selection_weights=True
    )


def drive(
    folder: Path,
    engine: Machines,
    storage: Storage | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[StudyDirectory, Driver]:
    """Work on the study on machines, with the folder or another place as its storage."""
    file = folder / "study.yaml"
    file.write_text(text())
    path = folder / "study"
    mirror = None if storage is None else Mirror(storage, path)
    if mirror is not None:
        mirror.pull()
    workspace = open_study(file, {}, path)
    directory = start_study(workspace, lambda _: None)

    def asked(_: PlannedRun, __: Sequence[str]) -> bool:
        return True

    driver = Driver(workspace, storage or Folder(path), mirror, engine, "cpu", asked, say=say)
    driver.work()
    return directory, driver


def test_three_machines_give_the_records_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch))
    assert hashes(directory) == alone


def test_a_study_at_a_url_gives_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    storage = Url(f"file://{tmp_path}/there/study")
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), storage)
    assert hashes(directory) == alone
    assert hashes(StudyDirectory(tmp_path / "there" / "study")) == alone
    assert not list(tmp_path.glob("there/study/incoming/*/*"))


def test_answers_that_are_lost_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    lost: list[str] = []

    def fate(job: Any) -> str | None:
        if len(lost) < 4:
            lost.append(job.id)
            return LOSE_AFTER
        return None

    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch, fate=fate))
    assert hashes(directory) == alone
