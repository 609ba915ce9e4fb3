"""Every command that an error names works as written, also where a path has a space in it."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kdgap.advice import command, quoted
from kdgap.files import read_json
from kdgap.store.record import MANIFEST
from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import study_text

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
SMALL: dict[str, Any] = {
    "data": {"name": "digits", "limit": 64},
    "recipe": {"epochs": 1, "batch_size": 32},
    "methods": {"logit": {"alpha": [0.3, 0.7], "temperature": 4.0}},
    "finals": {"seeds": [0, 1, 2]},
}
SET = {"finals.seeds": [0], "description": 'a "b": $HOME, it\'s'}


@pytest.fixture(scope="module")
def _begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")
    (folder / "study.yaml").write_text(study_text(**SMALL))
    workspace = open_study(folder / "study.yaml", SET, folder / "my study")
    start_study(workspace, lambda _: None)
    Worker(workspace, "cpu").work()
    return folder


@pytest.fixture
def study(_begun: Path, workdir: Path) -> StudyDirectory:
    """This test's own copy of a finished study, whose file was overridden."""
    shutil.copytree(_begun / "my study", workdir / "my study")
    shutil.copy(_begun / "study.yaml", workdir / "its file.yaml")
    return StudyDirectory(Path("my study"))


def advised(text: str) -> list[str]:
    commands = re.findall(r"`(kdgap .*?)`", text)
    assert len(commands) == 1, text
    return shlex.split(commands[0])[1:]


def follow(kdgap: Command, code: int, *words: object) -> "CompletedProcess[str]":
    """Do what a command's one line of error says."""
    done = kdgap(*words)
    assert done.returncode == code, done
    line = done.stderr.strip().splitlines()[-1]
    done = kdgap(*(word.replace("FILE", "its file.yaml") for word in advised(line)))
    assert done.returncode == 0, (line, done)
    return done


def lost(study: StudyDirectory) -> None:
    (study.path / "plan.json").unlink()


def torn(study: StudyDirectory) -> None:
    (study.path / "plan.json").write_text("{")


def another(study: StudyDirectory) -> None:
    path = study.path / "plan.json"
    path.write_text(path.read_text().replace('"name": "small"', '"name": "large"', 1))


@pytest.mark.usefixtures("one_process", "sketched")
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        *((lost, word) for word in ("status", "analyze", "show", "export", "explore")),
        (torn, "status"),
        (another, "verify"),
    ],
)
def test_a_plan_is_written_anew_from_the_study_s_own_file(
    study: StudyDirectory, kdgap: Command, damage: Callable[[StudyDirectory], None], word: str
) -> None:
    before = {**study.plan(), "begun": None, "checksum": None, "study_file": None}
    kept = (study.path / "study.yaml").read_bytes()
    damage(study)
    follow(kdgap, 4, word, study.path)
    assert {**study.plan(), "begun": None, "checksum": None, "study_file": None} == before
    assert (study.path / "study.yaml").read_bytes() == kept
    assert kdgap("verify", study.path).returncode == 0


@pytest.mark.usefixtures("one_process", "sketched")
def test_a_study_s_file_that_is_gone_is_asked_for(study: StudyDirectory, kdgap: Command) -> None:
    (study.path / "study.yaml").unlink()
    follow(kdgap, 4, "status", study.path)
    assert (study.path / "study.yaml").read_text() == study_text(**SMALL)


def test_a_run_of_a_study_whose_plan_is_gone_is_still_the_study_s(
    study: StudyDirectory, kdgap: Command
) -> None:
    run = study.path / next(r["path"] for r in study.plan()["runs"] if r["roles"] == ["selection"])
    lost(study)
    done = kdgap("evaluate", run)
    assert done.returncode == 2
    assert advised(done.stderr) == ["run", str(study.path.resolve())]


def unchosen(study: StudyDirectory) -> None:
    (study.path / "selection.json").write_text("{")


def unlocked(study: StudyDirectory) -> None:
    (study.path / "locked" / "data.json").unlink()


@pytest.mark.usefixtures("one_process", "sketched")
@pytest.mark.parametrize("damage", [unchosen, unlocked])
def test_what_a_study_makes_again_is_made(
    study: StudyDirectory, kdgap: Command, damage: Callable[[StudyDirectory], None]
) -> None:
    damage(study)
    follow(kdgap, 4, "analyze", study.path)
    assert kdgap("verify", study.path).returncode == 0


@pytest.mark.usefixtures("one_process", "sketched")
def test_damaged_runs_are_cleaned_and_trained_again(study: StudyDirectory, kdgap: Command) -> None:
    run = study.path / next(r["path"] for r in study.plan()["runs"] if r["roles"] == ["final"])
    (run / MANIFEST).unlink()
    done = kdgap("run", study.path)
    assert done.returncode == 4
    assert "is gone, though the run finished" in done.stderr
    words = advised(done.stderr.strip().splitlines()[-1])
    assert kdgap(*words, "--yes").returncode == 0
    assert kdgap("run", study.path).returncode == 0
    assert (run / MANIFEST).exists()


# What belongs to another command


@pytest.mark.parametrize("word", ["show", "status", "verify", "clean", "run", "plan", "export"])
def test_an_import_is_sent_to_what_judges_it(
    study: StudyDirectory, kdgap: Command, word: str
) -> None:
    assert kdgap("export", study.path, "--to", "ex ported").returncode == 0
    done = kdgap("import", "ex ported", "--out", "im ported")
    assert done.returncode == 0
    assert kdgap(*shlex.split(done.stderr.splitlines()[-1])[2:]).returncode == 0
    follow(kdgap, 2, word, "im ported")
    follow(kdgap, 2, "import", "im ported")


def test_one_result_file_is_sent_to_its_folder(
    study: StudyDirectory, kdgap: Command, workdir: Path
) -> None:
    run = study.path / next(r["path"] for r in study.plan()["runs"] if r["roles"] == ["final"])
    follow(kdgap, 2, "import", run / "results.json")  # of a run of ours
    (workdir / "the irs").mkdir()
    shutil.copy(run / "results.json", "the irs")
    follow(kdgap, 2, "import", "the irs/results.json")
    for word in ("status", "show", "analyze", "explore"):
        follow(kdgap, 2, word, "the irs")
    shutil.move("the irs/results.json", "mine.json")
    done = kdgap("import", "mine.json")
    assert done.returncode == 2
    assert "mine.json: is one file; result files are called results.json" in done.stderr


def test_a_folder_without_results_says_where_they_are_looked_for(
    kdgap: Command, workdir: Path
) -> None:
    (workdir / "empty").mkdir()
    done = kdgap("import", "empty")
    assert done.returncode == 2
    assert "empty: holds no results.json" in done.stderr
    assert "each run's stands in a folder of its own" in done.stderr


# The words


@pytest.mark.parametrize("name", ["-rf", "~x", "a b", "it's", "$HOME", "a;b", "x"])
def test_any_path_is_one_argument(name: str) -> None:
    words = shlex.split(command("status", Path(name)))
    assert words[:2] == ["kdgap", "status"]
    assert Path(words[2]) == Path(name)
    assert words[2][0] not in "-~"
    assert shlex.split(quoted(Path(name))) == [words[2]]


def test_what_was_set_beside_a_file_is_kept_once_and_can_be_read_back(
    study: StudyDirectory, workdir: Path
) -> None:
    kept = study.path / "study.yaml"
    head = kept.read_text().splitlines()[: len(SET)]
    assert [json.loads(line.partition("=")[2]) for line in head] == list(SET.values())
    again = open_study(kept, SET, workdir / "out")
    assert again.text == kept.read_text()
    assert open_study(kept, {}, workdir / "out").text == study_text(**SMALL)
    assert read_json(study.path / "plan.json")["study"]["description"] == SET["description"]
