"""`kdgap models`, `methods`, `env`, `data`, and the help of every command."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer
from PIL import Image

from kdgap.cli import reference
from kdgap.cli.app import app
from kdgap.methods import METHODS

Command = Callable[..., "CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {
    **{f"kdgap {name}": command for name, command in GROUP.commands.items()},
    "python tools/train.py": typer.main.get_command(reference.train_app),
    "python tools/eval.py": typer.main.get_command(reference.eval_app),
}


@pytest.mark.parametrize("words", [("models",), ("methods",), ("env",), ("data", "digits")])
def test_listing_is_readable_and_its_json_parses(kdgap: Command, words: tuple[str, ...]) -> None:
    plain, as_json = kdgap(*words), kdgap(*words, "--json")
    assert (plain.returncode, as_json.returncode) == (0, 0)
    assert plain.stdout.strip()
    assert json.loads(as_json.stdout)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("resnet50", 23_520_842),
        ("resnet101", 42_512_970),
    ],
)
def test_models_have_the_published_parameter_counts(
    kdgap: Command, name: str, parameters: int
) -> None:
    rows = json.loads(kdgap("models", "--json").stdout)
    assert [r["parameters"] for r in rows if (r["name"], r["stem"]) == (name, "cifar")] == [
        parameters
    ]


def test_models_too_deep_for_small_images_are_listed_without_a_count(kdgap: Command) -> None:
    rows = json.loads(kdgap("models", "--image-size", "4", "--json").stdout)
    counts = {(row["name"], row["stem"]): row["parameters"] for row in rows}
    assert counts["resnet18", "imagenet"] is None
    assert counts["resnet8", "cifar"] > 0


def test_methods_name_their_hyperparameters_as_configurations_do(kdgap: Command) -> None:
    rows = {row["name"]: row for row in json.loads(kdgap("methods", "--json").stdout)}
    assert set(rows) >= {"none", "logit", "feature"}
    assert set(rows["logit"]["hyperparameters"]) == {
        *("alpha", "temperature", "temperature_true", "temperature_others", "standardise"),
        "logit_stop_at",
    }
    assert set(rows["feature"]["hyperparameters"]) == {"alpha", "feat_beta", "feat_norm"}
    assert all(row["citation"] for row in rows.values())


def test_methods_are_a_line_each_and_one_is_shown_in_full(
    kdgap: Command, refused: Callable[..., str]
) -> None:
    listed = kdgap("methods").stdout
    assert all(re.search(rf"^\W*{name} ", listed, re.MULTILINE) for name in METHODS)
    assert len(list(METHODS)) >= 25
    lines = listed.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == len(list(METHODS)) + 6  # one line each, in a frame of three with a heading
    shown = kdgap("methods", "dkd").stdout
    assert "Zhao et al. 2022" in shown
    assert all(key in shown for key in ("dkd_beta", "kd_warmup", "8.0"))
    (row,) = json.loads(kdgap("methods", "vid", "--json").stdout)
    assert row["needs"] == "feature maps, trained parts"
    assert refused(kdgap, "methods", "dkdd").startswith(
        "unknown method 'dkdd' (did you mean 'dkd'?)"
    )


def test_data_counts_every_image_of_digits(kdgap: Command) -> None:
    about = json.loads(kdgap("data", "digits", "--json").stdout)
    assert (about["train"], about["test"]) == (1297, 500)
    assert sum(about["class_counts"]["train"]) == 1297
    assert sum(about["class_counts"]["test"]) == 500
    copies = ("across_parts", "in_training", "in_validation")
    assert [about[f"duplicates_{where}"] for where in copies] == [0, 0, 0]


def test_data_counts_copies_wherever_they_are(kdgap: Command, workdir: Path) -> None:
    images = [("train/a", 0), ("train/a", 1), ("train/a", 1), ("test/a", 1), ("test/a", 2)]
    for part, number in [*images, ("train/b", 100), ("test/b", 200)]:
        folder = workdir / part
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{len(list(folder.iterdir()))}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name)
    words = ("data", "imagefolder", "--data-root", workdir, "--image-size", 8)
    about = json.loads(kdgap(*words, "--json").stdout)
    assert about["duplicates_across_parts"] == 1
    assert about["duplicates_in_training"] == 1
    assert about["duplicates_in_validation"] is None  # 500 images cannot be set apart from 4
    assert "duplicates in training" in kdgap(*words).stdout


def test_data_writes_a_contact_sheet(kdgap: Command, workdir: Path) -> None:
    assert kdgap("data", "digits", "--sheet", "sheets/digits.png").returncode == 0
    with Image.open(workdir / "sheets" / "digits.png") as sheet:
        sheet.load()
        assert sheet.format == "PNG"
        assert len(set(sheet.convert("L").tobytes())) > 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert [p.name for p in command.params if not (getattr(p, "help", None) or "").strip()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_of_itself(name: str) -> None:
    epilog = COMMANDS[name].epilog or ""
    assert "Example" in epilog
    assert f"{name} " in epilog


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_name_configurations_that_exist(name: str) -> None:
    named = re.findall(r"configs/\S+\.yaml", COMMANDS[name].epilog or "")
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("words", [(), *((name,) for name in GROUP.commands)])
def test_help_pages_open(kdgap: Command, words: tuple[str, ...]) -> None:
    done = kdgap(*words, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kdgap", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "kdgap.cli.app" in imported
    assert imported.isdisjoint({"torch", "numpy", "pydantic", "pandas", "sklearn", "torchvision"})


def test_no_arguments_show_the_help_and_no_empty_error(kdgap: Command) -> None:
    done = kdgap()
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr
    assert "error:" not in done.stderr


def test_an_unknown_device_is_refused(kdgap: Command, refused: Callable[..., str]) -> None:
    assert "abacus" in refused(kdgap, "env", "--device", "abacus")


def test_an_unknown_case_or_precision_of_the_benchmark_is_refused(
    kdgap: Command, refused: Callable[..., str]
) -> None:
    assert "there are a, b, c, d, e, f" in refused(kdgap, "bench", "z")
    assert "fp32, bf16 or auto" in refused(kdgap, "bench", "f", "--precision", "fp16")
