"""A small finished study that tests damage, and the command line in this process."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap.cli import run
from kdgap.cli.app import app
from kdgap.spec.study import STAGES
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import study_text
from tests.report.sketches import sketch

Command = Callable[..., tuple[int, str]]
SMALL: dict[str, Any] = {
    "data": {"name": "digits", "limit": 64},
    "recipe": {"epochs": 1, "batch_size": 32},
    "methods": {"logit": {"alpha": [0.3, 0.7], "temperature": 4.0}},
}


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    """A finished study of seven runs."""
    folder = tmp_path_factory.mktemp("rot")
    file = folder / "study.yaml"
    file.write_text(study_text(**SMALL))
    workspace = open_study(file, {}, folder / "study")
    directory = start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", tuple(STAGES)).work()
    return directory


@pytest.fixture
def directory(pristine: StudyDirectory, tmp_path: Path) -> StudyDirectory:
    """A copy of the finished study, beside its file."""
    shutil.copytree(pristine.path, tmp_path / "study")
    shutil.copy(pristine.path.parent / "study.yaml", tmp_path / "study.yaml")
    return StudyDirectory(tmp_path / "study")


@pytest.fixture
def kdgap(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `kdgap WORDS` in this process, figures sketched; returns exit code and stderr."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", sketch)

    def execute(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kdgap", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            run(app)
        except SystemExit as end:
            code = int(end.code or 0)
        return code, capsys.readouterr().err

    return execute
