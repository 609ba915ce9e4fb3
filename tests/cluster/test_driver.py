"""A study on several machines gives the records of one machine, whatever is lost on the way."""

import errno
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bucket import Bucket, start_bucket
from kdgap.cluster.aside import ASIDE, aside
from kdgap.cluster.commit import Commits
from kdgap.cluster.driver import Driver
from kdgap.cluster.job import Job, planned_run
from kdgap.cluster.node import perform
from kdgap.engine.student import State
from kdgap.errors import KdgapError, StoreDamagedError
from kdgap.running.evaluation import recorded_states
from kdgap.spec.study import STAGES
from kdgap.store.mirror import Mirror
from kdgap.store.record import Record, RunDirectory
from kdgap.store.seal import read_sealed, without_checksum, write_sealed
from kdgap.store.storage import Folder, Storage
from kdgap.store.study import StudyDirectory
from kdgap.store.url import Url
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.cluster.engines import LOSE_AFTER, Machines
from tests.e2e.study import study_text
from tests.study.test_worker import image_folder

PROMISED = (
    *("history.jsonl", "results.json", "test.json"),
    *("predictions_val.safetensors", "predictions_test.safetensors"),
)
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
    return hashes(worked_alone(folder))


def worked_alone(
    folder: Path, name: str = "study", stages: Sequence[str] = tuple(STAGES)
) -> StudyDirectory:
    """The study in a folder, done on this machine."""
    workspace = open_study(folder / "study.yaml", {}, folder / name)
    directory = start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", stages).work()
    return directory


def text() -> str:
    return study_text(
        recipe={"epochs": 2, "batch_size": 64}, threads=1, keep_selection_weights=True
    )


def drive(
    folder: Path,
    engine: Machines,
    storage: Storage | None = None,
    say: Callable[[str], None] = lambda _: None,
    study: str = "",
) -> tuple[StudyDirectory, Driver]:
    """Work on the study on machines, with the folder or another place as its storage."""
    file = folder / "study.yaml"
    file.write_text(study or text())
    path = folder / "study"
    mirror = None if storage is None else Mirror(storage, path)
    if mirror is not None:
        mirror.pull()
    workspace = open_study(file, {}, path)
    directory = start_study(workspace, lambda _: None)

    storage = storage or Folder(path)
    driver = Driver(workspace, storage, mirror, engine, "cpu", tuple(STAGES), say=say)
    driver.work()
    return directory, driver


def test_three_machines_give_the_records_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch))
    assert hashes(directory) == alone


def test_another_study_at_the_place_of_one_that_was_removed_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    """Machines keep what they know of a study by its place: of other data, here."""
    other = study_text(
        data={"name": "digits", "limit": 160}, recipe={"epochs": 1, "batch_size": 64}, threads=1
    )
    drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), study=other)
    shutil.rmtree(tmp_path / "study")
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch))
    assert hashes(directory) == alone


def test_a_study_at_a_url_gives_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    storage = Url(f"file://{tmp_path}/there/study")
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), storage)
    assert hashes(directory) == alone
    assert hashes(StudyDirectory(tmp_path / "there" / "study")) == alone
    assert not [path for path in tmp_path.glob("there/study/incoming/**/*") if path.is_file()]


def test_a_study_in_a_bucket_gives_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    start_bucket()
    Bucket.fill("studies/driven", tmp_path)  # nothing
    storage = Url("bucket://studies/driven", (0.0,) * 6)
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), storage)
    assert hashes(directory) == alone
    Mirror(storage, tmp_path / "again").pull()
    assert hashes(StudyDirectory(tmp_path / "again")) == alone
    assert not [name for name in Bucket.objects if "/incoming/" in name]
    assert Bucket.most > 1
    Bucket.objects.clear()


def test_answers_that_are_lost_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    lost: list[str] = []

    def fate(job: Job) -> str | None:
        if len(lost) < 4:
            lost.append(job.id)
            return LOSE_AFTER
        return None

    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch, fate=fate))
    assert hashes(directory) == alone


def test_jobs_on_one_machine_do_not_touch_each_others_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one compares with a baseline, another tests that baseline."""
    machines = Machines(tmp_path / "nodes", monkeypatch, count=1)
    short = study_text(recipe={"epochs": 1, "batch_size": 64}, selection=None, threads=1)
    drive(tmp_path, machines, study=short.replace("[0.3, 0.7]", "0.3"))
    tests = [job for job in machines.jobs if job.kind == "test"]
    finals = next(job for job in tests if any(door["baseline"] for door in job.doors.values()))
    wanted = {planned_run(door["baseline"]).id for door in finals.doors.values()}
    baselines = next(job for job in tests if job.doors.keys() >= wanted)
    nested: list[dict[str, Any]] = []

    def read_late(directory: RunDirectory, record: Record) -> dict[str, State]:
        nested.append(perform(baselines, lambda _: False))
        return recorded_states(directory, record)

    monkeypatch.setattr("kdgap.cluster.node.recorded_states", read_late)
    answers = [perform(finals, lambda _: False), *nested]
    assert len(nested) == len(finals.runs)
    assert [answer.get("error") for answer in answers] == [None] * len(answers)
    assert [answer["damaged"] for answer in answers] == [{}] * len(answers)
    assert answers[0]["opened"].keys() == finals.doors.keys()


def test_a_directory_to_test_in_goes_with_its_job_however_that_ends(tmp_path: Path) -> None:
    with aside(tmp_path) as first, aside(tmp_path) as second:
        assert first.path != second.path
        assert [study.path.is_dir() for study in (first, second)] == [True, True]
    left = tmp_path / ASIDE / "123-of-a-job-that-was-killed"
    (left / "runs").mkdir(parents=True)
    with suppress(KdgapError), aside(tmp_path) as own:
        assert not left.exists()
        raise KdgapError("it fails")
    assert not own.path.exists()


def test_each_machine_fetches_the_data_once_and_the_teacher_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = image_folder(tmp_path / "there" / "images", 12, 4)

    def study(root: str, **changes: Any) -> str:
        data = {"name": "imagefolder", "root": root, "val_size": 4}
        recipe = {"epochs": 1, "batch_size": 8}
        return study_text(data=data, recipe=recipe, keep_selection_weights=True, **changes)

    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "study.yaml").write_text(study(str(images)))
    first = worked_alone(alone, stages=("teachers",))
    given = next(first.path.glob("runs/*/*/checkpoint_best.safetensors"))
    teachers = {"weights": {"big": str(given)}}
    (alone / "study.yaml").write_text(study(str(images), teachers=teachers))
    expected = hashes(worked_alone(alone, "given"))

    nodes, ran = tmp_path / "nodes", list[Job]()
    engine = Machines(nodes, monkeypatch, fate=ran.append)
    storage = Url(f"file://{tmp_path}/there/study")
    url = f"local://{images}"
    directory, _ = drive(tmp_path, engine, storage, study=study(url, teachers=teachers))
    assert hashes(directory) == expected
    assert {job.study["data"]["root"] for job in ran} == {url}
    for machine in nodes.iterdir():
        assert len(list(machine.glob("data/*/train/cat/*.png"))) == 12
        assert [path.name[17:] for path in machine.glob("nodes/*/.given/*.safetensors")] == [
            given.name
        ]
    assert not (tmp_path / "there" / "study" / ".given" / given.name).exists()
    assert not list((tmp_path / "there" / "study").glob(".given/*"))  # nobody needs it any more


class Flaky:
    """A file system of fsspec of which every few calls fail, some after they have worked."""

    def __init__(self, there: Any, every: int) -> None:
        self._there, self._every, self._count = there, every, 0
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        known = getattr(self._there, name)
        if name not in ("find", "cat_file", "pipe_file", "open", "cp_file", "rm_file"):
            return known

        def call(*given: Any, **named: Any) -> Any:
            self._count += 1
            if self._count % self._every == 0:
                self.failed += 1
                if self.failed % 2 and name in ("pipe_file", "cp_file", "rm_file"):
                    known(*given, **named)
                raise OSError("the network is away")
            return known(*given, **named)

        return call


def test_a_storage_that_fails_now_and_then_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: dict[str, Any]
) -> None:
    flaky: list[Flaky] = []

    def make(self: Url, url: str, waits: Any = ()) -> None:
        plain(self, url, (0.0,) * 6)
        self._fs = Flaky(self._fs, 7)
        flaky.append(self._fs)

    plain = Url.__init__
    monkeypatch.setattr(Url, "__init__", make)
    storage = Url(f"file://{tmp_path}/there/study")
    directory, _ = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), storage)
    assert hashes(directory) == alone
    assert hashes(StudyDirectory(tmp_path / "there" / "study")) == alone
    assert sum(each.failed for each in flaky) > 30


class Full:
    """A file system of fsspec that after some writes has no room for another, or ends it all."""

    def __init__(self, there: Any, left: list[int], how: str) -> None:
        self._there, self._left, self._how = there, left, how

    def __getattr__(self, name: str) -> Any:
        known = getattr(self._there, name)
        if name not in ("pipe_file", "open", "cp_file"):
            return known

        def call(path: str, *given: Any, **named: Any) -> Any:
            if name != "open" or given == ("wb",):
                take_room(self._left, path, self._how)
            return known(path, *given, **named)

        return call


class Died(BaseException):
    """The end of every process at once."""


def take_room(left: list[int], path: object, how: str) -> None:
    left[0] -= 1
    if left[0] < 0 and how == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if left[0] < 0 and threading.current_thread() is threading.main_thread():
        left[0] = sys.maxsize  # once
        raise Died


POINTS = [
    (kind, how, room) for kind in ("folder", "url") for how in ("full", "dies")
    for room in range(2, 142, 5)
]  # fmt: skip
FEW = [("folder", "full", 62), ("folder", "dies", 112), ("url", "full", 112), ("url", "dies", 62)]


@pytest.mark.parametrize(
    ("kind", "how", "room"),
    [at if at in FEW else pytest.param(*at, marks=pytest.mark.slow) for at in POINTS],
)
def test_what_ends_at_any_write_goes_on_when_there_is_room_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: dict[str, Any],
    kind: str,
    how: str,
    room: int,
) -> None:
    left = [room]
    init, write = Url.__init__, Folder.write

    def make(self: Url, url: str, waits: Any = ()) -> None:
        init(self, url, ())
        self._fs = Full(self._fs, left, how)

    def put(self: Folder, name: str, content: bytes) -> None:
        take_room(left, name, how)
        write(self, name, content)

    place = f"file://{tmp_path}/there/study"
    with monkeypatch.context() as patch:
        patch.setattr(Url, "__init__", make)
        patch.setattr(Folder, "write", put)
        storage = Url(place) if kind == "url" else None
        with pytest.raises((KdgapError, OSError, Died)) as ended:
            drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), storage)
    assert how == "dies" or "No space left" in str(ended.value)
    storage = Url(place) if kind == "url" else None
    directory, driver = drive(tmp_path, Machines(tmp_path / "nodes", monkeypatch), storage)
    assert hashes(directory) == alone
    assert driver.damaged == []


def test_an_equal_record_is_dropped_and_an_unequal_one_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Job] = []

    def fate(job: Job) -> str | None:
        ran.append(job)
        return None

    engine = Machines(tmp_path / "nodes", monkeypatch, count=1, fate=fate)
    directory, _ = drive(tmp_path, engine)
    first = next(job for job in ran if job.kind == "train")
    again = Job(**{**first.as_dict(), "id": "again"})
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "other"))
    perform(again, lambda _: False)
    planned = [planned_run(entry) for entry in first.runs]
    commits = Commits(Folder(directory.path), directory, None)
    before = hashes(directory)
    commits.all(planned)
    assert commits.dropped == len(planned)
    assert hashes(directory) == before

    perform(again, lambda _: False)
    left = directory.path / "incoming" / planned[0].id / "again"
    manifest = read_sealed(left / "manifest.json")
    manifest["files"]["history.jsonl"] = "0" * 64
    write_sealed(left / "manifest.json", without_checksum(manifest))
    with pytest.raises(StoreDamagedError, match=r"two executions gave different records.*one of"):
        commits.all(planned)
    assert hashes(directory) == before
