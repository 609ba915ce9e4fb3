"""Fixtures of the command line's tests: commands run in this process, in an empty folder.

A real process takes seconds to import torch, so only a few tests start one. A command's outcome
comes as a `CompletedProcess`, whichever way it ran.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer
import yaml

from kdgap import yamlio
from kdgap.cli import reference, run
from kdgap.cli.app import app
from kdgap.errors import KdgapError
from kdgap.methods import hyperparameter_names
from kdgap.running.config import resolve
from kdgap.running.single import train_single
from kdgap.spec.flat import read_flat
from tests.report.sketches import sketch

Command = Callable[..., "CompletedProcess[str]"]

TINY: dict[str, object] = {
    "data": "digits",
    "model": "resnet8",
    "width": 0.125,
    "epochs": 1,
    "tracker": "none",
}


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: whatever a test writes, and a command should not, is seen there."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach another host fails at once, as on a machine without network."""

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    monkeypatch.setattr("socket.socket.connect", unreachable)


@pytest.fixture
def _run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[typer.Typer, str, tuple[object, ...]], "CompletedProcess[str]"]:
    def execute(
        application: typer.Typer, name: str, words: tuple[object, ...]
    ) -> "CompletedProcess[str]":
        command = [name, *map(str, words)]
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            run(application)
        captured = capsys.readouterr()
        code = stopped.value.code
        assert isinstance(code, int)
        return CompletedProcess(command, code, captured.out, captured.err)

    return execute


@pytest.fixture
def kdgap(_run: Callable[..., "CompletedProcess[str]"]) -> Command:
    """`kdgap WORDS...` in this process."""
    return lambda *words: _run(app, "kdgap", words)


@pytest.fixture
def train_script(_run: Callable[..., "CompletedProcess[str]"]) -> Command:
    """`python tools/train.py WORDS...` in this process."""
    return lambda *words: _run(reference.train_app, "train.py", words)


@pytest.fixture
def eval_script(_run: Callable[..., "CompletedProcess[str]"]) -> Command:
    """`python tools/eval.py WORDS...` in this process."""
    return lambda *words: _run(reference.eval_app, "eval.py", words)


@pytest.fixture
def config(workdir: Path) -> Callable[..., Path]:
    """Write a configuration of a one-epoch run on digits, with some keys changed; None leaves out.

    It lies beside the current folder, so that this stays empty.
    """

    def write(**changes: object) -> Path:
        keys = {key: value for key, value in (TINY | changes).items() if value is not None}
        path = workdir.parent / "config.yaml"
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items()))
        return path

    return write


@pytest.fixture
def refused(workdir: Path) -> Callable[..., str]:
    """Run a command that must be refused as bad input, and return its one line on stderr."""

    def check(command: Command, *words: object) -> str:
        before = _tree(workdir)
        done = command(*words)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert done.returncode == 2, done
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        assert done.stdout == ""
        assert _tree(workdir) == before
        return lines[0].removeprefix("error: ")

    return check


def _tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture(scope="session")
def _digits_teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("teacher")
    keys = {**TINY, "output_dir": str(folder / "run")}
    config, places = read_flat(
        yamlio.parse(yaml.safe_dump(keys), "teacher"), {}, hyperparameter_names()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDGAP_CACHE", str(folder / "cache"))
        spec, weights = resolve(config, places)
        yield train_single(spec, weights).path


@pytest.fixture
def digits_teacher(_digits_teacher: Path) -> Path:
    """The run directory of a teacher trained once for all tests; only to be read."""
    return _digits_teacher


@pytest.fixture
def teacher_weights(_digits_teacher: Path, workdir: Path) -> Path:
    """This test's own copy of the teacher's weights, beside the current folder."""
    copy = workdir.parent / "teacher.safetensors"
    copy.write_bytes((_digits_teacher / "checkpoint_best.safetensors").read_bytes())
    return copy


@pytest.fixture
def rewrite_card(teacher_weights: Path) -> Callable[..., Path]:
    """Change fields of the card of this test's teacher; the weights and their hash stay true."""
    from kdgap.store.weights import read_weights, write_weights

    def rewrite(**changes: Any) -> Path:
        state, card = read_weights(teacher_weights)
        write_weights(teacher_weights, state, card.model_copy(update=changes))
        return teacher_weights

    return rewrite


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a run loads data."""

    def touched(*_: object) -> None:
        pytest.fail("data was touched")

    monkeypatch.setattr("kdgap.running.single.load_dataset", touched)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `kdgap run` do its worker's command in this process."""

    class Supervisor:
        def __init__(
            self, study: Path, _: Any, places: list[str], stages: list[str], *__: Any
        ) -> None:
            only = [word for stage in stages for word in ("--only", stage)]
            self._words = ["worker", str(study), "--device", "cpu", *places, *only]

        def run(self) -> tuple[int, str]:
            try:
                app(self._words, standalone_mode=False)
            except KdgapError as error:
                return error.exit_code, str(error)
            return 0, ""

    monkeypatch.setattr("kdgap.study.supervise.Supervisor", Supervisor)


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are written as lists of what they show: for tests of what becomes of their files."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", sketch)
