"""Every option and argument that is a path is read as one, whichever command takes it."""

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import typer

from kdgap.cli import figures, reference
from kdgap.cli.app import app
from kdgap.cli.given import is_path
from kdgap.spec.identity import run_id
from kdgap.spec.run import RunSpec
from kdgap.store.record import RunDirectory

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]

APPS = {
    "kdgap": app,
    "train.py": reference.train_app,
    "eval.py": reference.eval_app,
    "collect_results.py": reference.collect_app,
    "make_figures.py": figures.figures_app,
}
# Text that is a path all the same: keys of the flat file, what may be a URL as well, and
# [NAME=]PATH of a study's teachers.
FLAT = {("train.py", "teacher_weights"), ("train.py", "data_root"), ("train.py", "output_dir")}
OR_URL = {(f"kdgap {name}", "data_root") for name in ("plan", "run", "train", "verify", "worker")}
AS_TEXT = FLAT | OR_URL | {("kdgap run", "out")}
OF_STUDIES = {(f"kdgap {name}", "teacher_weights") for name in ("plan", "run", "verify", "worker")}
LIKE_A_PATH = ("weights", "root", "dir", "out", "file", "folder", "path")


def _parameters() -> dict[tuple[str, str], tuple[typer.Typer, list[str]]]:
    """Return application and words that give each path a value with a hole, by command and name."""
    parameters = {}
    for name, application in APPS.items():
        for info in application.registered_commands:
            command = f"{name} {info.name}" if name == "kdgap" else name
            kinds = {k: p.annotation for k, p in signature(info.callback).parameters.items()}  # type: ignore[arg-type]
            built: Any = typer.main.get_command(application)
            built = built.commands[info.name] if name == "kdgap" else built
            for key, kind in kinds.items():
                if is_path((get_args(kind) or (kind,))[0]) or (command, key) in AS_TEXT:
                    words = [str(info.name)] if name == "kdgap" else []
                    words += ["--model", "resnet8"] if name == "train.py" else []
                    for parameter in built.params:
                        value = "HOLE" if parameter.name == key else "x"
                        if parameter.name == key or parameter.required:
                            option = parameter.param_type_name == "option"
                            words += [parameter.opts[0], value] if option else [value]
                    parameters[command, key] = (application, words)
    return parameters


PATHS = _parameters()


def _is_text(kind: object) -> bool:
    return kind is str or any(map(_is_text, get_args(kind)))


def test_no_text_is_a_path_unknown_to_this_test() -> None:
    texts = {
        (f"{name} {info.name}" if name == "kdgap" else name, key)
        for name, application in APPS.items()
        for info in application.registered_commands
        for key, parameter in signature(info.callback).parameters.items()  # type: ignore[arg-type]
        if key.endswith(LIKE_A_PATH) and _is_text((get_args(parameter.annotation) or (None,))[0])
    }
    assert texts == AS_TEXT | OF_STUDIES  # the latter: test_elsewhere.py
    assert len(PATHS) > 40


@pytest.mark.parametrize("hole", ["~nobody-of-this-name/x", "$SCRATCH/x", ""])
@pytest.mark.parametrize("key", PATHS, ids=" ".join)
def test_every_path_of_every_command_is_read_as_one(
    request: pytest.FixtureRequest, refused: Refused, key: tuple[str, str], hole: str
) -> None:
    application, words = PATHS[key]
    run = request.getfixturevalue("_run")
    command = [hole if word == "HOLE" else word for word in words]
    error = refused(lambda *given: run(application, key[0].split()[0], given), *command)
    pattern = {"~": "home folder of", "$": "names a variable", "": "is empty|printable text"}[
        hole[:1]
    ]
    assert re.search(pattern, error)
    assert "Value error" not in error


def test_a_run_below_the_home_folder(
    kdgap: Command,
    config: Callable[..., Path],
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = workdir.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    done = kdgap("train", config(limit=64, output_dir="~/runs/x"), "--no-test")
    assert done.returncode == 0, done.stderr
    assert not (workdir / "~").exists()
    record = RunDirectory(home / "runs" / "x").read()
    again = RunSpec.model_validate(record.run["spec"])
    moved = again.place.model_copy(update={"output_dir": "~/runs/x", "data_root": "~"})
    assert run_id(again.model_copy(update={"place": moved})) == record.id
    # Found again under either name: where it lies is no part of what it is.
    named = kdgap("train", config(limit=64, output_dir=str(home / "runs" / "x")), "--no-test")
    assert "already finished" in named.stderr
    assert kdgap("show", "~/runs/x").returncode == 0
