"""Data and teachers that are not where a record says: found beside it, or told; every advice works.

What a command's error advises is read from the error and followed, word for word.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from PIL import Image

from kdgap.cli.app import app
from kdgap.running.places import Origin
from kdgap.store.record import RunDirectory
from kdgap.store.study import StudyDirectory

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]

KEYS: dict[str, object] = {
    "data": "imagefolder",
    "image_size": 16,
    "val_size": 4,
    "model": "resnet8",
    "width": 0.0625,
    "epochs": 1,
    "batch_size": 8,
    "tracker": "none",
    "threads": 1,
}
STUDY = """\
name: tiny
data: {name: imagefolder, root: data, image_size: 16, val_size: 4}
threads: 1
models:
  t: {name: resnet8, width: 0.0625}
  s: {name: resnet8, width: 0.0625}
recipe: {epochs: 1, batch_size: 8}
teachers: {weights: {t: t/checkpoint_best.safetensors}}
pairs: [{teacher: t, student: s}]
methods:
  logit: {alpha: 0.5, temperature: 4}
finals: {seeds: [0]}
"""


@pytest.fixture
def data(workdir: Path) -> Path:
    """A folder of images, beside the current one."""
    rng, root = np.random.default_rng(0), workdir.parent / "data"
    for part, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    return root


@pytest.fixture
def home(data: Path, workdir: Path, kdgap: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a teacher `t`, a student `s` whose door is closed, and a study's file."""
    folder = workdir.parent / "home"
    folder.mkdir()
    data.rename(folder / "data")
    (folder / "study.yaml").write_text(STUDY)
    _write(folder / "t.yaml", output_dir="t")
    weights = "t/checkpoint_best.safetensors"
    _write(folder / "s.yaml", output_dir="s", kd_type="logit", teacher_weights=weights)
    monkeypatch.chdir(folder)
    for words in (["t.yaml"], ["s.yaml", "--no-test"]):
        done = kdgap("train", *words)
        assert done.returncode == 0, done.stderr
    monkeypatch.chdir(workdir)
    return folder


def _write(path: Path, **keys: object) -> Path:
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in (KEYS | keys).items()]
    path.write_text("".join(lines))
    return path


def _options(command: str) -> set[str]:
    group: Any = typer.main.get_command(app)
    return {name for parameter in group.commands[command].params for name in parameter.opts}


def _advised(done: "CompletedProcess[str]", command: str) -> set[str]:
    """Return the options that an error's last part advises; each is one of the command's own."""
    assert done.returncode == 2, done
    line = done.stderr.strip().splitlines()[-1]
    own = re.sub(r"`[^`]*`", "", line)  # another command's, in its own quotes
    advised = set(re.findall(r"--[a-z][a-z-]+", own))
    assert advised <= _options(command), line
    return advised


def test_a_run_is_trained_and_evaluated_where_it_is_told_the_data_is(
    kdgap: Command, home: Path, workdir: Path
) -> None:
    config = _write(workdir.parent / "other.yaml", output_dir="out", data_root="nowhere")
    assert _advised(kdgap("train", config), "train") == {"--data-root"}
    assert kdgap("train", config, "--data-root", home / "data").returncode == 0
    (home / "data").rename(workdir.parent / "moved")
    done = kdgap("evaluate", home / "s")
    assert _advised(done, "evaluate") == {"--data-root"}
    done = kdgap("evaluate", home / "s", "--data-root", workdir.parent / "moved")
    assert done.returncode == 0, done.stderr
    assert RunDirectory(home / "s").read().tested


def test_a_run_finds_data_and_teacher_beside_it_and_after_a_move(
    kdgap: Command, home: Path, workdir: Path
) -> None:
    moved = home.rename(workdir.parent / "moved")
    done = kdgap("evaluate", moved / "s")
    assert done.returncode == 0, done.stderr


def test_a_run_that_was_taken_away_finds_them_where_it_was_begun(
    kdgap: Command, home: Path, workdir: Path
) -> None:
    (home / "s").rename(workdir / "taken")
    done = kdgap("evaluate", "taken")
    assert done.returncode == 0, done.stderr


def test_a_record_of_before_is_read_from_the_directory_of_training(
    kdgap: Command, home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = (home / "s").rename(workdir / "taken") / "attempts.jsonl"
    attempts.write_text(re.sub(r', "in": "[^"]*"', "", attempts.read_text()))
    assert _advised(kdgap("evaluate", "taken"), "evaluate") == {"--teacher-weights"}
    monkeypatch.chdir(home)
    done = kdgap("evaluate", workdir / "taken")
    assert done.returncode == 0, done.stderr


def test_a_teacher_is_told_to_train_and_to_evaluate(
    kdgap: Command, home: Path, workdir: Path
) -> None:
    teacher = (home / "t").rename(workdir.parent / "elsewhere") / "checkpoint_best.safetensors"
    assert _advised(kdgap("evaluate", home / "s"), "evaluate") == {"--teacher-weights"}
    other = workdir.parent / "other.safetensors"
    other.write_bytes((home / "s" / "checkpoint_best.safetensors").read_bytes())
    done = kdgap("evaluate", home / "s", "--teacher-weights", other)
    assert "the run's teacher was" in done.stderr
    assert str(other) in done.stderr
    done = kdgap("evaluate", home / "s", "--teacher-weights", teacher)
    assert done.returncode == 0, done.stderr
    config = home / "s.yaml"
    options = ("--data-root", home / "data")
    assert _advised(kdgap("train", config, *options), "train") == {"--teacher-weights"}
    done = kdgap("train", config, *options, "--teacher-weights", teacher)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("one_process", "sketched")
def test_a_study_finds_or_is_told_where_things_are(
    kdgap: Command, home: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, teacher = workdir.parent / "moved", workdir.parent / "teacher.safetensors"
    file, out = home / "study.yaml", ("--out", home / "runs" / "tiny")
    # From its file, in another directory: neither is found, and each is asked for by name.
    for command, asked in (("plan", "--teacher-weights"), ("run", "--data-root")):
        assert _advised(kdgap(command, file, *out), command) == {asked}
    options: tuple[object, ...] = ("--teacher-weights", f"t={home}/t/checkpoint_best.safetensors")
    assert kdgap("plan", file, *out, *options).returncode == 0  # which needs no data
    assert _advised(kdgap("run", file, *out, *options), "run") == {"--data-root"}
    done = kdgap("run", file, *out, *options, "--data-root", home / "data")
    assert done.returncode == 0, done.stderr

    # Begun where its relative paths hold, it is found whole from anywhere, and after a move.
    monkeypatch.chdir(home)
    assert kdgap("run", "study.yaml").returncode == 0
    monkeypatch.chdir(workdir)
    home = home.rename(moved)
    study = moved / "runs" / "tiny"
    before = (study / "plan.json").read_bytes()
    run = next(run for run in StudyDirectory(study).plan()["runs"] if run["roles"] == ["final"])
    for words in (("plan",), ("run",), ("verify", "--rerun", 1), ("verify", "--run", run["id"])):
        done = kdgap(words[0], study, *words[1:])
        assert done.returncode == 0, done.stderr
    assert (study / "plan.json").read_bytes() == before

    # Taken apart, it is told.
    (moved / "data").rename(workdir.parent / "data")
    shutil.move(moved / "t" / "checkpoint_best.safetensors", teacher)
    for words in (("verify", "--rerun", 1), ("verify", "--run", run["id"])):
        done = kdgap(words[0], study, *words[1:])
        assert _advised(done, "verify") == {"--teacher-weights"}
        options = ("--teacher-weights", teacher)
        done = kdgap(words[0], study, *words[1:], *options)
        assert _advised(done, "verify") == {"--data-root"}
        done = kdgap(words[0], study, *words[1:], *options, "--data-root", workdir.parent / "data")
        assert done.returncode == 0, done.stderr
    assert "--data-root" in kdgap("run", study, "--set", "data.root=x").stderr
    assert (study / "plan.json").read_bytes() == before


def test_what_needs_data_alone_says_how_it_is_told(
    kdgap: Command, data: Path, workdir: Path, teacher_weights: Path
) -> None:
    words: tuple[object, ...] = ("data", "imagefolder", "--image-size", 16)
    assert _advised(kdgap(*words), "data") == {"--data-root"}
    assert kdgap(*words, "--data-root", data).returncode == 0
    words = ("data", "cifar10", "--data-root", "my data")
    error = kdgap(*words).stderr
    assert "`kdgap data cifar10 --download --data-root 'my data'`" in error
    (workdir / "x.safetensors").write_bytes(teacher_weights.read_bytes())
    words = ("convert", "x.safetensors", "--model", "resnet8", "--width", 0.125, "--out", "y")
    words += ("--data", "cifar100")
    assert "--data-root" in _advised(kdgap(*words), "convert")
    assert "not found under" in kdgap(*words, "--data-root", data).stderr
    assert not {"--data-root", "--teacher-weights"} & _options("bench")  # it makes its own images


def test_evaluating_a_file_says_how_it_is_told(kdgap: Command, home: Path, workdir: Path) -> None:
    copy = workdir / "copy.safetensors"
    copy.write_bytes((home / "t" / "checkpoint_best.safetensors").read_bytes())
    for more in ((), ("--write-card",), ("--split", "test", "--teacher-weights", copy)):
        assert _advised(kdgap("evaluate", copy, *more), "evaluate") == {"--data-root"}
        done = kdgap("evaluate", copy, *more, "--data-root", home / "data")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("r=x", "given teachers are t"),
        ("=x", "given teachers are t"),
        ("t=", "is empty"),
        ("t=~nobody-of-this-name/x", "home folder"),
        ("t=$X", "variable"),
        ("$X", "variable"),
    ],
)
def test_a_teacher_that_cannot_be_told_is_refused(
    kdgap: Command, workdir: Path, words: str, why: str
) -> None:
    (workdir / "study.yaml").write_text(STUDY)
    for command in ("plan", "run"):
        done = kdgap(command, "study.yaml", "--teacher-weights", words)
        assert done.returncode == 2
        assert "--teacher-weights" in done.stderr
        assert why in done.stderr


def test_a_study_that_trains_its_teachers_is_told_so(kdgap: Command, workdir: Path) -> None:
    (workdir / "study.yaml").write_text(re.sub(r"teachers: .*\n", "", STUDY))
    done = kdgap("plan", "study.yaml", "--teacher-weights", "t=x")
    assert done.returncode == 2
    assert "it trains its own" in done.stderr


@pytest.mark.parametrize(
    ("named", "begun", "place"),
    [
        ("runs/one", None, "here"),
        ("./runs/one", "/gone", "here"),
        ("one", "{tmp}", "runs"),
        ("{old}/runs/one", "{old}", "here"),
        ("{old}/runs/one", "{tmp}/there", "there"),
        ("../runs/one", "{tmp}/there", "there"),
        ("other/name", "{tmp}/there", "there"),
        ("other/name", "relative", None),
        ("other/name", 7, None),
        ("", None, None),
    ],
)
def test_a_recorded_path_is_looked_for_beside_the_record_first(
    tmp_path: Path, named: str, begun: object, place: str | None
) -> None:
    record = tmp_path / "here" / "runs" / "one"
    for folder in (tmp_path / "here", tmp_path / "here" / "runs", tmp_path / "there", record):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").touch()
    names = {"tmp": tmp_path, "old": "/old/place"}
    begun = begun.format(**names) if isinstance(begun, str) else begun
    path = Origin(record, named.format(**names), begun).find("data")
    places = {
        "here": tmp_path / "here",
        "runs": tmp_path / "here/runs",
        "there": tmp_path / "there",
    }
    assert path == ("data" if place is None else str(places[place] / "data"))
