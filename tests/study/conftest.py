"""Small studies on the digits, worked on in this process: seconds for a whole one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap.spec.study import STAGES
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import Workspace, open_study, start_study
from tests.e2e.study import contents, study_text

Open = Callable[..., Workspace]
Work = Callable[..., StudyDirectory]
Finished = Callable[..., StudyDirectory]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a small study; keywords change its keys, `out` its directory."""

    def make(out: str = "study", **changes: Any) -> Workspace:
        file = tmp_path / f"{out}.yaml"
        file.write_text(study_text(**{"recipe": {"epochs": 1, "batch_size": 64}, **changes}))
        return open_study(file, {}, tmp_path / out)

    return make


@pytest.fixture
def worked(opened: Open) -> Work:
    """Opens a small study and works on it until nothing is left to do."""

    def run(
        out: str = "study", *, share: int = 1, stages: tuple[str, ...] = (), **changes: Any
    ) -> StudyDirectory:
        workspace = opened(out, **changes)
        directory = start_study(workspace, lambda _: None)
        Worker(workspace, "cpu", stages or tuple(STAGES), share=share).work()
        return directory

    return run


_FINISHED: dict[tuple[str, ...], Path] = {}
"""Studies that nobody changes any more, by the stages that were worked on."""


@pytest.fixture
def finished(opened: Open, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A copy of the small study with some stages, or all, worked on: trained once a process."""

    def copy(*stages: str, out: str = "study") -> StudyDirectory:
        if stages not in _FINISHED:
            file = tmp_path_factory.mktemp("finished") / "study.yaml"
            file.write_text(study_text(recipe={"epochs": 1, "batch_size": 64}))
            workspace = open_study(file, {}, file.parent / "study")
            start_study(workspace, lambda _: None)
            Worker(workspace, "cpu", stages or tuple(STAGES)).work()
            _FINISHED[stages] = workspace.directory.path
        shutil.copytree(_FINISHED[stages], tmp_path / out)
        return start_study(opened(out), lambda _: None)

    return copy


@pytest.fixture
def calm(finished: Finished) -> dict[str, Any]:
    """What the small study comes to when nothing is in its way."""
    return contents(finished(out="calm").path)


def runs(directory: StudyDirectory, role: str | None = None) -> list[dict[str, Any]]:
    """The plan's runs, all or of one role."""
    return [r for r in directory.plan()["runs"] if role is None or role in r["roles"]]


def results(directory: StudyDirectory, run: dict[str, Any]) -> dict[str, Any]:
    """A run's results."""
    content: dict[str, Any] = json.loads(
        (directory.path / run["path"] / "results.json").read_text()
    )
    return content
