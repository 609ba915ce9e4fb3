"""Nothing in the current directory runs: it may be a downloaded folder with hostile names in it."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

import kdgap as package
from kdgap.benchmark.arm_process import REFERENCE, ArmProcess
from kdgap.benchmark.cases import CASES

Command = Callable[..., "CompletedProcess[str]"]

SOURCE = str(Path(package.__file__).parents[1])
INSTALLED = {name for name in packages_distributions() if name.isidentifier()} | {"kdgap"}
# Whatever a child of ours imports, or Python by itself, is among these.
NAMES = INSTALLED | sys.stdlib_module_names | {"sitecustomize", "usercustomize"}
PROGRAMS = ("python", "python3", Path(sys.executable).name, "git", "gcc", "ldconfig", "uname")
STUDY = """\
name: tiny
data: {name: digits, limit: 64}
threads: 1
models:
  teacher: {name: resnet8, width: 0.125}
  s: {name: resnet8, width: 0.0625}
recipe: {epochs: 1, batch_size: 32}
pairs: [{teacher: teacher, student: s}]
methods:
  logit: {alpha: 0.5, temperature: 4}
finals: {seeds: [0]}
"""


def _plant(folder: Path, names: set[str], marks: Path) -> None:
    """Put a module and a package of each name into a folder; imported, they leave their mark."""
    marks.mkdir(exist_ok=True)
    for name in names:
        code = f"import os\nos.close(os.open({str(marks / name)!r}, os.O_CREAT | os.O_WRONLY))\n"
        (folder / f"{name}.py").write_text(code)
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(code)


@pytest.fixture
def planted(workdir: Path) -> Path:
    """Make the current folder as hostile as it can be; return where whatever ran left a mark."""
    folder = workdir.parent / "marks"
    _plant(workdir, NAMES, folder)
    for name in PROGRAMS:
        program = workdir / name
        program.unlink(missing_ok=True)
        if not program.exists():
            program.write_text(f"#!/bin/sh\n: > {folder}/program-{name}\nexit 1\n")
            program.chmod(0o755)
    (workdir / "pyvenv.cfg").write_text("home = .\ninclude-system-site-packages = true\n")
    return folder


@pytest.fixture
def marks(planted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the search paths name that folder as well."""
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "work", SOURCE]))
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep)
    return planted


def _ran(marks: Path) -> list[str]:
    return sorted(path.name for path in marks.iterdir())


def test_convert_runs_nothing_beside_a_checkpoint(
    kdgap: Command, workdir: Path, marks: Path
) -> None:
    torch.save({"state_dict": {"odd": torch.zeros(1)}}, "model.pth")
    done = kdgap("convert", "model.pth", "--model", "resnet8")
    assert _ran(marks) == []
    assert done.returncode == 2  # the child read it, and it is no ResNet
    assert "odd" in done.stderr or "conv1" in done.stderr


def test_convert_runs_nothing_where_the_environment_is_the_usual_one(
    kdgap: Command, workdir: Path, planted: Path
) -> None:
    (workdir / "model.pth").write_bytes(b"\x80no pickle")
    done = kdgap("convert", "model.pth", "--model", "resnet8")
    assert _ran(planted) == []
    assert "cannot be converted: its pickle is damaged" in done.stderr


def test_a_worker_runs_nothing_of_the_current_directory(
    kdgap: Command, workdir: Path, marks: Path
) -> None:
    (workdir / "study.yaml").write_text(STUDY)
    done = kdgap("run", "study.yaml", "--out", "out")
    assert _ran(marks) == []
    assert done.returncode == 0, done.stderr


def test_an_arm_of_the_benchmark_runs_nothing_of_the_current_directory(
    workdir: Path, marks: Path
) -> None:
    with ArmProcess(CASES["a"], REFERENCE, "fp32", 1) as arm:
        assert arm.account()["peak_memory_bytes"] > 0
    assert _ran(marks) == []


def _run(words: list[str], folder: Path, **variables: str) -> "CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": SOURCE} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def third_party(workdir: Path) -> Path:
    """Make the current folder hostile by the names of what is installed; return the marks.

    Python by itself imports some of its own modules before any code of ours can run.
    """
    folder = workdir.parent / "marks"
    names = INSTALLED - {"kdgap"} - sys.stdlib_module_names
    _plant(workdir, {name for name in names if not name.startswith("_")}, folder)
    return folder


def test_python_m_kdgap_leaves_the_current_directory(third_party: Path, workdir: Path) -> None:
    done = _run(["-m", "kdgap", "train", "missing.yaml"], workdir)
    assert _ran(third_party) == []
    assert done.returncode == 2
    assert "missing.yaml" in done.stderr


@pytest.mark.parametrize("entries", [["", SOURCE], [SOURCE, "."], ["../work", SOURCE]])
def test_the_command_passes_over_relative_entries_of_pythonpath(
    third_party: Path, workdir: Path, entries: list[str]
) -> None:
    start = ["-P", "-c", "from kdgap.__main__ import start; start()"]
    done = _run([*start, "train", "missing.yaml"], workdir, PYTHONPATH=os.pathsep.join(entries))
    assert _ran(third_party) == []
    assert done.returncode == 2
    assert "missing.yaml" in done.stderr
