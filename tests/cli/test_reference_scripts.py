"""The reference study's commands: `tools/train.py`, `tools/eval.py`, `tools/train_teachers.sh`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer

from kdgap import yamlio
from kdgap.cli import reference
from kdgap.methods import hyperparameter_names
from kdgap.spec.flat import read_flat
from kdgap.store.weights import read_weights

Command = Callable[..., "CompletedProcess[str]"]
Config = Callable[..., Path]

ROOT = Path(__file__).resolve().parents[2]
FLAGS: dict[str, object] = {
    "--model": "resnet34",
    "--teacher": "resnet50",
    "--stem": "imagenet",
    "--kd-type": "feature",
    "--alpha": 0.3,
    "--temperature": 2.5,
    "--feat-beta": 0.25,
    "--no-proj-clip": True,
    "--feat-norm": "teacher_std",
    "--teacher-weights": "t.safetensors",
    "--epochs": 7,
    "--batch-size": 32,
    "--lr": 0.05,
    "--weight-decay": 0.001,
    "--momentum": 0.8,
    "--data-root": "elsewhere",
    "--val-size": 100,
    "--output-dir": "runs/x",
    "--num-workers": 3,
    "--device": "cpu",
    "--seed": 9,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, train_script: Command) -> Callable[..., dict[str, Any]]:
    """Return the flat keys that a `tools/train.py` command asks for, without training."""
    seen: list[dict[str, Any]] = []

    def take(document: yamlio.Document | None, given: dict[str, Any], **_: object) -> None:
        config, _places = read_flat(document, given, hyperparameter_names())
        seen.append(config.model_dump() | config.hyperparameters)

    monkeypatch.setattr(reference, "train_flat", take)

    def ask(*words: object) -> dict[str, Any]:
        done = train_script(*words)
        assert done.returncode == 0, done.stderr
        return seen.pop()

    return ask


def test_every_flag_of_the_reference_is_taken(asked: Callable[..., dict[str, Any]]) -> None:
    words: list[object] = []
    for flag, value in FLAGS.items():
        words += [flag] if value is True else [flag, value]
    config = asked(*words)
    assert {flag: config[flag[2:].replace("-", "_")] for flag in FLAGS} == FLAGS


def test_train_has_the_references_flags_and_one_of_ours() -> None:
    command: Any = typer.main.get_command(reference.train_app)
    flags = {name for parameter in command.params for name in parameter.opts}
    assert flags == {*FLAGS, "--config", "--limit"}


@pytest.mark.parametrize("flag", [flag for flag, value in FLAGS.items() if value is not True])
def test_a_flag_beats_the_file(
    asked: Callable[..., dict[str, Any]], config: Config, flag: str
) -> None:
    path = ROOT / "configs" / "r34_to_r18_logit.yaml"
    key, value = flag[2:].replace("-", "_"), FLAGS[flag]
    with_flag, without = asked("--config", path, flag, value), asked("--config", path)
    assert with_flag[key] == value
    assert without.get(key) != value
    assert {k: v for k, v in with_flag.items() if k not in (key, "hyperparameters")} == {
        k: v for k, v in without.items() if k not in (key, "hyperparameters")
    }


def test_zero_is_a_value_too(asked: Callable[..., dict[str, Any]], config: Config) -> None:
    path = config(alpha=0.7, feat_beta=0.7, seed=7)
    keys = asked("--config", path, "--alpha", 0, "--feat-beta", 0, "--seed", 0)
    assert (keys["alpha"], keys["feat_beta"], keys["seed"]) == (0, 0, 0)


def test_an_absent_no_proj_clip_leaves_the_files_alone(
    asked: Callable[..., dict[str, Any]], config: Config
) -> None:
    assert asked("--config", config(no_proj_clip=True))["no_proj_clip"] is True


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "configs").glob("r*_to_r*.yaml")))
def test_the_references_configurations_say_what_the_reference_says(
    asked: Callable[..., dict[str, Any]], name: str
) -> None:
    keys = asked("--config", ROOT / "configs" / f"{name}.yaml")
    teacher, _, rest = name.partition("_to_")
    student, _, method = rest.partition("_")
    assert (keys["teacher"], keys["model"]) == (f"resnet{teacher[1:]}", f"resnet{student[1:]}")
    assert (keys["kd_type"], keys["alpha"], keys["epochs"]) == (method, 0.5, 100)
    assert keys["teacher_weights"] == f"checkpoints/teacher_{teacher}.safetensors"
    assert {k: keys[k] for k in ("temperature", "feat_beta") if k in keys} == (
        {"temperature": 3.0} if method == "logit" else {"feat_beta": 0.5}
    )
    recipe = {k: keys[k] for k in ("batch_size", "lr", "weight_decay", "momentum", "data")}
    assert recipe == {
        "batch_size": 128,
        "lr": 0.1,
        "weight_decay": 5e-4,
        "momentum": 0.9,
        "data": "cifar10",
    }


def test_there_are_eight_configurations_of_the_reference() -> None:
    assert len(list((ROOT / "configs").glob("r*_to_r*_*.yaml"))) == 8


def test_train_py_and_kdgap_train_make_one_run(
    kdgap: Command, train_script: Command, config: Config, teacher_weights: Path, workdir: Path
) -> None:
    keys = {"kd_type": "feature", "teacher_weights": str(teacher_weights), "no_proj_clip": True}
    assert kdgap("train", config(**keys, output_dir="one")).returncode == 0
    plain = config(teacher_weights=str(teacher_weights))
    words = ("--kd-type", "feature", "--no-proj-clip", "--output-dir", "two")
    assert train_script("--config", plain, *words).returncode == 0
    results = [(workdir / name / "results.json").read_bytes() for name in ("one", "two")]
    assert results[0] == results[1]
    assert json.loads(results[0])["no_proj_clip"] is True


# tools/eval.py


@pytest.fixture
def compared(teacher_weights: Path) -> list[object]:
    """Flags that compare the digits teacher with itself."""
    return [
        *("--student-arch", "resnet8", "--student-weights", teacher_weights),
        *("--teacher-arch", "resnet8", "--teacher-weights", teacher_weights),
    ]


def test_eval_prints_the_references_fidelity(
    eval_script: Command, compared: list[object], digits_teacher: Path, teacher_weights: Path
) -> None:
    fidelity = json.loads(eval_script(*compared).stdout)
    tested = json.loads((digits_teacher / "test.json").read_text())["best"]
    assert fidelity["student_test_acc"] == fidelity["teacher_test_acc"] == tested["accuracy"]
    assert fidelity["per_class_acc"] == tested["per_class_acc"]
    assert fidelity["top1_agreement"] == 1.0
    assert (fidelity["kl_t1"], fidelity["kl_t4"]) == pytest.approx((0, 0), abs=1e-12)
    _, card = read_weights(teacher_weights)
    assert fidelity["student_weight_hash"] == card.weight_hash


def test_eval_agrees_with_the_record_of_the_run(
    kdgap: Command, eval_script: Command, config: Config, teacher_weights: Path
) -> None:
    path = config(kd_type="logit", teacher_weights=str(teacher_weights), output_dir="run")
    assert kdgap("train", path, "--seed", 1).returncode == 0
    words = ("--student-arch", "resnet8", "--student-weights", "run/checkpoint_best.safetensors")
    others = ("--teacher-arch", "resnet8", "--teacher-weights", teacher_weights)
    fidelity = json.loads(eval_script(*words, *others).stdout)
    tested = json.loads(Path("run/test.json").read_text())["best"]
    for key in ("top1_agreement", "kl_t1", "kl_t4", "per_class_acc", "ece"):
        assert fidelity[key] == tested[key], key


def test_eval_writes_what_it_prints(
    eval_script: Command, compared: list[object], workdir: Path
) -> None:
    done = eval_script(*compared, "--out", "runs/x/fidelity.json")
    assert json.loads((workdir / "runs/x/fidelity.json").read_text()) == json.loads(done.stdout)


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_eval_refuses_another_architecture(
    eval_script: Command, refused: Callable[..., str], compared: list[object], who: str
) -> None:
    assert "wrong architecture" in refused(eval_script, *compared, f"--{who}-arch", "resnet20")


def test_eval_refuses_a_missing_flag(
    eval_script: Command, refused: Callable[..., str], compared: list[object]
) -> None:
    assert "--teacher-weights" in refused(eval_script, *compared[:-2])


# tools/train_teachers.sh


@pytest.fixture
def teachers(workdir: Path) -> Callable[..., tuple[int, list[list[str]]]]:
    """Run the script on a copy of the repository's `tools/`, with a Python that notes its words.

    The fake leaves a checkpoint whose content is its `--output-dir`, and fails at FAIL_AT.
    """
    tools = workdir / "repository" / "tools"
    tools.mkdir(parents=True)
    for script in (ROOT / "tools").glob("*.sh"):
        shutil.copy(script, tools)
    calls = workdir / "calls"
    fake = workdir / "fake"
    fake.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        "words = sys.argv[1:]\n"
        f"with open({str(calls)!r}, 'a') as stream: print(json.dumps(words), file=stream)\n"
        "out = words[words.index('--output-dir') + 1]\n"
        "if out == os.environ.get('FAIL_AT'): sys.exit(3)\n"
        "pathlib.Path(out).mkdir(parents=True)\n"
        "pathlib.Path(out, 'checkpoint_best.safetensors').write_text(out)\n"
    )
    fake.chmod(0o755)

    def run(**variables: str) -> tuple[int, list[list[str]]]:
        keep = {"PATH": os.environ["PATH"], "PYTHON": str(fake)}
        done = subprocess.run(
            ["bash", str(tools / "train_teachers.sh")],
            env=keep | variables,
            capture_output=True,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in calls.read_text().splitlines()]

    return run


def _flags(words: list[str]) -> dict[str, str]:
    assert words[0] == "tools/train.py"
    return dict(zip(words[1::2], words[2::2], strict=True))


def test_train_teachers_trains_the_references_teachers(
    teachers: Callable[..., tuple[int, list[list[str]]]], workdir: Path
) -> None:
    code, calls = teachers()
    assert code == 0
    flags = [_flags(words) for words in calls]
    trained = [(options["--model"], options["--seed"]) for options in flags]
    assert trained == [(f"resnet{n}", str(s)) for n in (34, 50, 101) for s in range(3)]
    assert {options["--epochs"] for options in flags} == {"200"}
    assert {options["--kd-type"] for options in flags} == {"none"}
    assert len({options["--output-dir"] for options in flags}) == 9
    checkpoints = workdir / "repository" / "checkpoints"
    for teacher in ("r34", "r50", "r101"):
        copied = checkpoints / f"teacher_{teacher}.safetensors"
        assert copied.read_text() == f"runs/teachers/{teacher}/seed0"
    assert len(list(checkpoints.iterdir())) == 3


def test_train_teachers_passes_the_environments_settings_on(
    teachers: Callable[..., tuple[int, list[list[str]]]],
) -> None:
    code, calls = teachers(
        EPOCHS="3", BS="32", LR="0.05", DEVICE="cpu", TEACHERS="r50", SEEDS="4", LIMIT="64"
    )
    assert code == 0
    assert [_flags(words) for words in calls] == [
        {
            "--model": "resnet50",
            "--kd-type": "none",
            "--epochs": "3",
            "--batch-size": "32",
            "--lr": "0.05",
            "--device": "cpu",
            "--data-root": "data",
            "--seed": "4",
            "--output-dir": "runs-smoke/teachers/r50/seed4",
            "--limit": "64",
        }
    ]


def test_a_smoke_run_leaves_the_real_teachers_alone(
    teachers: Callable[..., tuple[int, list[list[str]]]], workdir: Path
) -> None:
    repository = workdir / "repository"
    real = repository / "checkpoints" / "teacher_r34.safetensors"
    real.parent.mkdir()
    real.write_text("weeks of work")
    code, _ = teachers(TEACHERS="r34", SEEDS="0", LIMIT="64")
    assert code == 0
    assert real.read_text() == "weeks of work"
    smoke = repository / "runs-smoke" / "checkpoints" / "teacher_r34.safetensors"
    assert smoke.read_text() == "runs-smoke/teachers/r34/seed0"
    assert not (repository / "runs").exists()


def test_train_teachers_stops_at_the_first_failure(
    teachers: Callable[..., tuple[int, list[list[str]]]], workdir: Path
) -> None:
    code, calls = teachers(FAIL_AT="runs/teachers/r34/seed1")
    assert code == 3
    assert len(calls) == 2
    assert not (workdir / "repository" / "checkpoints").exists()


def test_train_teachers_uses_only_flags_that_train_has(
    teachers: Callable[..., tuple[int, list[list[str]]]], asked: Callable[..., dict[str, Any]]
) -> None:
    _, calls = teachers(TEACHERS="r34", SEEDS="0", LIMIT="64")
    assert asked(*calls[0][1:])["limit"] == 64
