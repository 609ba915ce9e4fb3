"""The table of exit codes holds whatever call of the system fails, at whatever moment.

Each command is run with its first, second, … call of the disk failing, and ends with a code of the
table, with one `error:` line where it is not 0, and, where it says that nothing was written, with
nothing written.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kdgap import disk
from kdgap.study.supervise import Supervisor
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.cli.test_hostile_text import STUDY
from tests.store.foreign_files import PLAIN, history, write

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
pytestmark = pytest.mark.usefixtures("sketched")
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)


class Failing(disk.Disk):
    """The system's calls, of which the `at`-th fails; with `stays` all after it, but removals."""

    def __init__(self, at: int, code: int, *, stays: bool = False) -> None:
        self.at, self.code, self.stays, self.calls = at, code, stays, 0

    def __getattribute__(self, name: str) -> Any:
        attribute = object.__getattribute__(self, name)
        if name.startswith("_") or not callable(attribute):
            return attribute

        def call(*given: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at or (
                self.stays and self.calls > self.at and name not in ("close", "unlink")
            ):
                if name == "close":
                    attribute(*given, **named)
                raise OSError(self.code, os.strerror(self.code))
            return attribute(*given, **named)

        return call


@pytest.fixture
def foreign(workdir: Path) -> Path:
    for number, (kind, keys) in enumerate({"plain": dict(PLAIN), "kd": {}}.items()):
        for seed in range(3):
            epochs = history(0.5 + number / 10 + seed / 100)
            write(workdir / "theirs", f"final/{kind}/seed{seed}", seed=seed, history=epochs, **keys)
    return workdir / "theirs"


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "study.yaml").write_text(json.dumps(STUDY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAP_CACHE", str(folder / "cache"))
        workspace = open_study(folder / "study.yaml", {}, folder / "done")
        start_study(workspace, lambda _: None)
        Worker(workspace, "cpu").work()
    return folder / "done"


@pytest.fixture
def finished(_finished: Path, workdir: Path) -> Path:
    """This test's own copy of a finished study."""
    return shutil.copytree(_finished, workdir / "done")


@pytest.fixture(scope="module")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what `ready` has is kept: made by the first test that needs it, and then copied."""
    return tmp_path_factory.mktemp("prepared") / "work"


@pytest.fixture
def ready(request: pytest.FixtureRequest, _prepared: Path, workdir: Path) -> Path:
    """A folder with an import, a study that has not begun, one that is done, runs, and weights."""
    if not _prepared.exists():
        shutil.copytree(request.getfixturevalue("_set_up"), _prepared)
    else:
        shutil.copytree(_prepared, workdir, dirs_exist_ok=True)
    return workdir


@pytest.fixture
def _set_up(
    kdgap: Command, foreign: Path, finished: Path, workdir: Path, digits_teacher: Path
) -> Path:
    assert kdgap("import", foreign, "--out", "im").returncode == 0
    (workdir / "study.yaml").write_text(json.dumps(STUDY))
    start_study(open_study(workdir / "study.yaml", {}, workdir / "st"), lambda _: None)
    shutil.copytree(digits_teacher, workdir / "run")
    keys = {"data": "digits", "model": "resnet8", "width": 0.0625, "epochs": 1, "limit": 64}
    (workdir / "shut.yaml").write_text(json.dumps(keys | {"output_dir": "shut"}))
    assert kdgap("train", "shut.yaml", "--no-test").returncode == 0
    shutil.copy(digits_teacher / "checkpoint_best.safetensors", workdir / "w.safetensors")
    return workdir


def tree(folder: Path) -> dict[str, bytes]:
    """Return what every file holds, but for locks, which hold nothing of anybody's."""
    paths = (
        path for path in folder.rglob("*") if path.is_file() and path.name.lstrip(".") != "lock"
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def restore(folder: Path, before: dict[str, bytes]) -> None:
    """Bring every file back, and take away what is new."""
    for name in set(tree(folder)) - set(before):
        (folder / name).unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, content in before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


WALK: list[tuple[tuple[str, ...], int]] = [
    (("import", "theirs", "--out", "new"), 4),
    (("analyze", "im"), 9),
    (("report", "im"), 19),
    (("show", "run"), 3),
    (("status", "st"), 3),
    (("verify", "st"), 3),
    (("plan", "study.yaml", "--out", "st"), 4),
    (("clean", "st", "--yes"), 3),
    (("export", "done", "--to", "there"), 13),
    (("show", "done"), 29),
    (("report", "done", "--figures", "figures"), 331),
    (("explore", "done", "--export", "page"), 47),
    (("data", "digits", "--sheet", "sheet.png"), 1),
    (("evaluate", "w.safetensors", "--write-card"), 5),
    (("evaluate", "run"), 5),
    (("evaluate", "shut"), 2),
]
"""A command, and how many calls further the next one fails."""


@pytest.mark.parametrize(
    ("words", "stride"), WALK, ids=lambda w: w[0] if isinstance(w, tuple) else ""
)
def test_any_call_of_the_disk_may_fail(
    kdgap: Command,
    ready: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    stride: int,
) -> None:
    before = tree(ready)
    for at, number in zip(count(1, stride), count()):
        failing = Failing(at, CODES[number % len(CODES)], stays=number % 3 == 0)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "current", failing)
            done = kdgap(*words)
        check_exit(done)
        after = tree(ready)
        if done.returncode == 2:
            assert after == before, (at, done.stderr, after.keys() ^ before.keys())
        if failing.calls < at:
            break
        restore(ready, before)
    assert done.returncode == 0, done


def check_exit(done: "CompletedProcess[str]") -> None:
    """Check a command that failed, or did not, as the table of exit codes has it."""
    assert done.returncode in (0, 2, 3, 4), done
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (done.returncode != 0), done
    assert "Traceback" not in done.stderr


class Full(disk.Disk):
    """A disk on which files of some names find no room."""

    def __init__(self, *names: str) -> None:
        self.names_ = names

    def rename(self, source: Path, target: Path) -> None:
        if target.name in self.names_:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().rename(source, target)


@pytest.mark.parametrize("name", ["report.html", "gains.csv", "analysis.json"])
def test_a_report_without_room_is_no_study_without_results(
    kdgap: Command, finished: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Supervisor, "run", lambda _: (0, ""))  # all is trained: nobody is needed
    before = {path: content for path, content in tree(finished).items() if "runs/" in path}
    monkeypatch.setattr(disk, "current", Full(name))
    done = kdgap("run", "done")
    assert done.returncode == 3, done
    check_exit(done)
    assert "Logit-KD" in done.stdout  # what came of it is shown all the same
    assert name in done.stderr
    assert "No space left" in done.stderr
    assert "all runs are kept: make room, then `kdgap report done`" in done.stderr
    assert {path: tree(finished)[path] for path in before} == before
    monkeypatch.setattr(disk, "current", disk.Disk())
    assert kdgap("report", "done").returncode == 0


@pytest.mark.parametrize(
    ("words", "name", "code"),
    [
        (("analyze", "im"), "tables.md", 2),
        (("analyze", "im"), "analysis.json", 3),
        (("report", "im"), "report.html", 2),
        (("report", "im"), "analysis.json", 3),
        (("import", "theirs", "--out", "new"), "runs.jsonl", 2),
        (("import", "theirs", "--out", "new"), "import.json", 2),
        (("data", "digits", "--sheet", "s.png"), "s.png", 2),
        (("evaluate", "shut"), "timing.json", 2),
        (("evaluate", "shut"), "test.json", 3),
        (("evaluate", "shut"), "results.json", 3),
    ],
)
def test_nothing_was_written_is_said_only_where_it_is_so(
    kdgap: Command, ready: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str,
    code: int,
) -> None:  # fmt: skip
    before = tree(ready)
    monkeypatch.setattr(disk, "current", Full(name))
    done = kdgap(*words)
    assert done.returncode == code, done
    check_exit(done)
    assert (tree(ready) == before) == (code == 2)
    assert ("nothing was written" in done.stderr) == (code == 2)


def test_an_exported_page_of_a_damaged_study_names_what_is_damaged(
    kdgap: Command, finished: Path
) -> None:
    victim = next(finished.glob("runs/*/*/results.json"))
    victim.write_text(victim.read_text().replace("epochs", "ephocs", 1))
    done = kdgap("explore", "done", "--export", "page")
    assert done.returncode == 4, done
    check_exit(done)
    assert str(victim.parent.relative_to(finished)) in done.stderr
    assert Path("page/index.html").exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        ("\ud800".encode, "cannot be read or written"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
        (OSError(errno.EIO, "Input/output error", "some/file"), "some/file: Input/output error"),
    ],
)
@pytest.mark.parametrize("name", ["models", "methods"])
def test_whatever_lets_a_command_down_is_one_line(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch, name: str, error: Any, says: str
) -> None:
    def fail(*_: object) -> None:
        if callable(error):
            error()
        raise error

    monkeypatch.setattr("kdgap.cli.printing.print_table", fail)
    done = kdgap(name)
    assert done.returncode == 2
    check_exit(done)
    assert says in done.stderr


def test_a_defect_of_ours_keeps_its_traceback(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("kdgap.cli.printing.print_table", fail)
    with pytest.raises(ZeroDivisionError):
        kdgap("models")
