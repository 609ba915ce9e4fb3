"""What a path is instead of what a command takes: one's own studies are named, never pooled."""

from pathlib import Path

import pytest

from kdgap.errors import BadInputError
from kdgap.judge.load import load
from kdgap.store.imports.imported import import_runs
from kdgap.store.instead import MOST_NAMED, instead
from kdgap.store.manifest import RESULTS
from kdgap.store.record import RunDirectory
from kdgap.store.study import PLAN, STUDY, StudyDirectory

STUDY_FILE = """
name: mine
data: {name: digits}
models: {big: {name: resnet20}, little: {name: resnet8}}
pairs: [{teacher: big, student: little}]
methods: {logit: {}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(folder: str) -> Path:
    """A study with a run in it, as far as a hint looks."""
    path = Path(folder)
    (path / "runs/final/0").mkdir(parents=True)
    (path / STUDY).write_text(STUDY_FILE)
    (path / PLAN).write_text("{}")
    (path / "runs/final/0" / RESULTS).write_text("{}")
    return path


def refusals(path: Path) -> list[str]:
    """What is said where a study, a run, and its evidence is asked for."""
    texts = []
    for ask in (StudyDirectory(path).plan, RunDirectory(path).read, lambda: load(path)):
        with pytest.raises(BadInputError) as refused:
            ask()
        texts.append(str(refused.value))
    return texts


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["b", "a"], "; it holds 2 studies: runs/a, runs/b; name one of them"),
        (["a"], "; it holds a study: runs/a; name one of them"),
        (
            list("abcdefg"),
            "; it holds 7 studies: runs/a, runs/b, runs/c, runs/d and 3 more; name one of them",
        ),
        (["deep/er"], "; it holds a study: runs/deep/er; name one of them"),
    ],
)
def test_studies_in_a_folder_are_named_and_never_to_be_imported(
    names: list[str], words: str
) -> None:
    assert MOST_NAMED == 4
    for name in names:
        study(f"runs/{name}")
    assert all(text.endswith(words) for text in refusals(Path("runs")))
    with pytest.raises(BadInputError, match="is kdgap's own; no import is needed") as refused:
        import_runs(Path("runs"), "x")
    assert str(refused.value).endswith(words)


def test_a_plan_of_others_among_their_results_makes_no_study_of_them() -> None:
    arm = Path("theirs/arm/seed0")
    arm.mkdir(parents=True)
    (arm / PLAN).write_text("{}")
    (arm / RESULTS).write_text("{}")
    assert instead(Path("theirs")) == (
        "; bring somebody's result files in with: `kdgap import theirs`"
    )


def test_a_study_file_leads_to_its_directory_or_to_run_it() -> None:
    file = Path("mine.yaml")
    file.write_text(STUDY_FILE)
    assert instead(file) == (
        "; it is a study file that was not run here: `kdgap run mine.yaml` runs it"
    )
    study("runs/mine")
    words = "; it is a study file, and was run: `kdgap analyze runs/mine` judges it"
    assert all(text.endswith(words) for text in refusals(file))


@pytest.mark.parametrize(
    "text", ["claims: []", "- a", "name: [", "name: mine\ndata: {name: digits}"]
)
def test_another_file_is_not_called_a_study(text: str) -> None:
    file = Path("other.yaml")
    file.write_text(text)
    assert instead(file) == ""


@pytest.mark.parametrize("name", ["..", "../mine", "/", "''"])
def test_a_study_s_name_leads_nowhere_but_below_runs(name: str) -> None:
    study("mine")
    Path("runs").mkdir()
    file = Path("odd.yaml")
    file.write_text(STUDY_FILE.replace("name: mine", f"name: {name}"))
    assert "was not run here" in instead(file)
