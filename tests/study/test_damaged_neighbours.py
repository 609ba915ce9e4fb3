"""What a run's record says does not depend on which other records could be read when it was made.

The n-th call on the weights of a neighbour fails, for n = 1, 2, … until there is none: whatever is
recorded then, `clean` and another run give the bytes of the undisturbed study.
"""

import errno
import os
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kdgap import disk
from kdgap.disk import Disk
from kdgap.files import remove_tree
from kdgap.store.progress import removable
from kdgap.store.record import BEST, LAST
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import contents, finish, start, study_text
from tests.study.conftest import Open, Work, runs
from tests.study.test_worker import break_run

SMALL: dict[str, Any] = {
    "methods": {"logit": {"alpha": 0.5, "temperature": 4.0}},
    "selection": None,
    "finals": {"seeds": [0]},
    "recipe": {"epochs": 1, "batch_size": 64},
}


class Faulty(Disk):
    """Lets the n-th call of a kind on the weights below a folder fail, or lie.

    Args:
        folder: whose weights.
        kind: `open` or `read` fail; `rot` turns a bit of what is read.
        at: which call, from 1.
    """

    def __init__(self, folder: Path, kind: str, at: int) -> None:
        self._folder, self._kind, self._left = folder, kind, at
        self._handles: set[int] = set()

    @property
    def fired(self) -> bool:
        return self._left <= 0

    def _is_due(self, kinds: tuple[str, ...]) -> bool:
        self._left -= self._kind in kinds
        return self._kind in kinds and self._left == 0

    def open(self, path: Path, flags: int) -> int:
        ours = path.parent == self._folder and path.name in (BEST, LAST)
        if ours and self._is_due(("open",)):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        handle = super().open(path, flags)
        self._handles.discard(handle)
        if ours:
            self._handles.add(handle)
        return handle

    def read_into(self, handle: int, buffer: memoryview) -> int:
        due = handle in self._handles and self._is_due(("read", "rot"))
        if due and self._kind == "read":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        got = super().read_into(handle, buffer)
        if due and got:
            buffer[got - 1] ^= 1
        return got


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A small study that is trained but not tested, and what is in it once it is."""
    folder = tmp_path_factory.mktemp("trained")
    file = folder / "study.yaml"
    file.write_text(study_text(**SMALL))
    workspace = open_study(file, {}, folder / "study")
    start_study(workspace, lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdgap.study.doors.Doors.open", lambda *_: False)
        Worker(workspace, "cpu").work()
    shutil.copytree(folder / "study", folder / "calm")
    Worker(open_study(folder / "calm"), "cpu").work()
    return folder / "study", contents(folder / "calm")


def cleaned(directory: StudyDirectory) -> list[str]:
    """Do what `kdgap clean --yes` does, and return what it removed."""
    doomed = removable(directory).doomed
    for path in doomed:
        remove_tree(Path(path))
    return list(doomed)


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        *(("baseline", "open"), ("baseline", "read"), ("baseline", "rot")),
        *(("teacher", "open"), ("final", "open"), ("final", "rot")),
    ],
)
def test_whatever_cannot_be_read_at_a_door_leaves_no_trace(
    trained: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    kind: str,
) -> None:
    source, calm = trained
    directory = StudyDirectory(tmp_path / "study")
    for at in count(1):
        shutil.copytree(source, directory.path)
        (victim,) = runs(directory, role)
        faulty = Faulty(directory.path / victim["path"], kind, at)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "current", faulty)
            worker = Worker(open_study(directory.path), "cpu")
            worker.work()
        if faulty.fired:
            # A bit of a buffer that nobody looks at is no damage.
            assert victim["path"] in "".join(worker.damaged) or kind == "rot"
            assert cleaned(directory) == []  # it was a passing fault
            again = Worker(open_study(directory.path), "cpu")
            again.work()
            assert again.damaged == []
        assert contents(directory.path) == calm
        remove_tree(directory.path)
        if not faulty.fired:
            break
    assert at > 4


@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_final_waits_for_its_damaged_baseline(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    source, calm = trained
    directory = StudyDirectory(Path(shutil.copytree(source, tmp_path / "study")))
    (final,), (baseline,) = runs(directory, "final"), runs(directory, "baseline")
    victim = directory.path / baseline["path"]
    rotten = bytearray((victim / name).read_bytes())
    rotten[-1] ^= 1
    (victim / name).write_bytes(rotten)
    worker = Worker(open_study(directory.path), "cpu")
    worker.work()
    assert str(victim) in worker.damaged[0]
    assert not directory.record(final["path"]).tested
    assert directory.record(runs(directory, "teacher")[0]["path"]).tested
    assert cleaned(directory) == [str(victim)]
    Worker(open_study(directory.path), "cpu").work()
    assert contents(directory.path) == calm


def test_a_final_without_a_baseline_that_failed_gets_it_when_it_comes(
    opened: Open, worked: Work, trained: tuple[Path, dict[str, Any]], monkeypatch: Any
) -> None:
    with monkeypatch.context() as patch:
        break_run(patch, lambda run: run.teacher is None and run.model.width == 0.125, None)
        directory = worked(**SMALL)
    (final,), (baseline,) = runs(directory, "final"), runs(directory, "baseline")
    test = directory.record(final["path"]).test
    assert test is not None
    assert "baseline" not in test
    assert cleaned(directory) == [str(directory.path / baseline["path"])]
    assert contents(worked(**SMALL).path) == trained[1]


def test_a_run_that_was_tested_as_an_ablation_becomes_a_final(worked: Work) -> None:
    slow = {
        "of": {"teacher": "big", "student": "little", "method": "logit"},
        "change": {"recipe.lr": 0.01},
        "seeds": [0, 1],
    }
    both = {**SMALL, "ablations": {"slow": slow}}
    more = {**both, "finals": {"seeds": [0, 1]}}
    directory = worked(**both)
    roles = {r["seed"]: r["roles"] for r in runs(directory, "ablation") if "final" in r["roles"]}
    assert list(roles) == [0]
    assert contents(worked(**more).path) == contents(worked("calm", **more).path)


def test_a_baseline_with_other_weights_has_its_finals_measured_beside_it(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is trained again on another machine."""
    source, calm = trained
    directory = StudyDirectory(Path(shutil.copytree(source, tmp_path / "study")))
    (baseline,) = runs(directory, "baseline")
    shutil.rmtree(directory.path / baseline["path"])
    with monkeypatch.context() as patch:
        patch.setattr("kdgap.data.stream.BatchStream.pixels", halved_batch())
        Worker(open_study(directory.path), "cpu").work()
    (path,) = (run["path"] for run in runs(directory, "final"))
    other = directory.record(path).test
    assert other is not None
    shutil.rmtree(directory.path / baseline["path"])
    Worker(open_study(directory.path), "cpu").work()
    assert contents(directory.path) == calm
    again = directory.record(path).test
    assert again is not None
    assert again["baseline"]["best"] != other["baseline"]["best"]
    assert again["best"] == other["best"]


def halved_batch() -> Any:
    """Batches whose images are darker: what is trained on them has other weights."""
    from kdgap.data.stream import BatchStream

    pixels = BatchStream.pixels

    def darker(self: BatchStream, epoch: int, step: int) -> Any:
        images, labels = pixels(self, epoch, step)
        return images // 2, labels

    return darker


@pytest.mark.slow
def test_a_damaged_baseline_ends_a_run_with_4_until_it_is_trained_again(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    source, calm = trained
    directory = StudyDirectory(Path(shutil.copytree(source, tmp_path / "study")))
    victim = directory.path / runs(directory, "baseline")[0]["path"]
    rotten = bytearray((victim / BEST).read_bytes())
    rotten[-1] ^= 1
    (victim / BEST).write_bytes(rotten)
    done = finish(start(tmp_path, "study"))
    assert done.returncode == 4, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(victim.relative_to(tmp_path)) in errors[0]
    assert "`kdgap clean study`" in errors[0]
    assert cleaned(directory) == [str(victim)]
    done = finish(start(tmp_path, "study"))
    assert done.returncode == 0, done.stderr
    assert contents(directory.path) == calm
