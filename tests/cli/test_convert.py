"""`kdgap convert`: the one way in for a pickled checkpoint, without trusting it."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kdgap.store.card import read_card
from kdgap.store.weights import read_state, read_weights, weight_hash

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]
Config = Callable[..., Path]

AS_TEACHER = ("--model", "resnet8", "--width", "0.125", "--data", "digits")


class _Hostile:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self._mark), "w"))


@pytest.fixture
def checkpoint(teacher_weights: Path, workdir: Path) -> Path:
    """The digits teacher as the reference would have saved it."""
    state = {f"model.{name}": tensor for name, tensor in read_state(teacher_weights).items()}
    path = workdir / "teacher.pth"
    torch.save({"model_state_dict": state, "epoch": 3, "args": {"lr": 0.1}}, path)
    return path


@pytest.fixture
def bare(teacher_weights: Path, workdir: Path) -> Path:
    """The digits teacher as safetensors without a card: converting it starts no process."""
    path = workdir / "bare.safetensors"
    save_file(read_state(teacher_weights), path)
    return path


def test_a_reference_checkpoint_becomes_a_teacher_once_it_is_measured(
    kdgap: Command, refused: Refused, config: Config, checkpoint: Path, teacher_weights: Path
) -> None:
    done = kdgap("convert", "teacher.pth", *AS_TEACHER)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "teacher.safetensors\n"
    assert "kdgap evaluate teacher.safetensors --write-card" in done.stderr
    state, card = read_weights(Path("teacher.safetensors"))
    original, its_card = read_weights(teacher_weights)
    assert weight_hash(state) == weight_hash(original)
    assert (card.checkpoint, card.accuracy, card.fingerprint) == ("converted", None, None)

    student = config(kd_type="logit", teacher_weights="teacher.safetensors", output_dir="student")
    assert "never measured" in refused(kdgap, "train", student)
    assert kdgap("evaluate", "teacher.safetensors", "--write-card").returncode == 0
    measured = read_card(Path("teacher.safetensors"))
    assert measured.accuracy == its_card.accuracy
    assert measured.fingerprint == its_card.fingerprint
    assert kdgap("train", student).returncode == 0
    assert json.loads(Path("student/run.json").read_text())["flags"] == []


def test_a_hostile_pickle_is_refused_and_never_executed(
    kdgap: Command, refused: Refused, workdir: Path, tmp_path: Path
) -> None:
    source, mark = workdir / "hostile.pth", tmp_path / "executed"
    torch.save({"model_state_dict": {"fc.weight": _Hostile(mark)}}, source)
    error = refused(kdgap, "convert", source, *AS_TEACHER)
    assert not mark.exists()
    assert str(source) in error
    # torch's own advice is to load it without protection; ours must not pass that on.
    assert "can still be loaded" not in error
    assert "weights_only" not in error
    assert "[1m" not in error


def test_a_file_that_is_no_checkpoint_is_refused(
    kdgap: Command, refused: Refused, workdir: Path
) -> None:
    (workdir / "notes.pth").write_text("not a checkpoint")
    error = refused(kdgap, "convert", "notes.pth", *AS_TEACHER)
    assert "notes.pth" in error
    assert "weights_only" not in error


def test_the_target_can_be_named_in_a_new_folder(kdgap: Command, bare: Path) -> None:
    out = Path("new/place/teacher.safetensors")
    assert kdgap("convert", bare, *AS_TEACHER, "--out", out).stdout == f"{out}\n"
    assert read_card(out).classes == tuple("0123456789")


def test_a_cifar10_card_needs_no_data(kdgap: Command, workdir: Path) -> None:
    from kdgap.models import build_model
    from kdgap.spec import ModelSpec
    from kdgap.store.weights import copy_state

    network = build_model(ModelSpec(name="resnet8", width=0.125), 10, 3, (32, 32), 0)
    save_file(copy_state(network), workdir / "bare.safetensors")
    words = ("--model", "resnet8", "--width", "0.125", "--out", "card.safetensors")
    assert kdgap("convert", "bare.safetensors", *words).returncode == 0
    card = read_card(Path("card.safetensors"))
    assert (card.data, card.classes[0], card.mean) == (
        "cifar10",
        "airplane",
        (0.4914, 0.4822, 0.4465),
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--model", "resnet14", "--width", "0.125", "--data", "digits"), "wrong architecture"),
        (("--model", "resnet8", "--width", "0.25", "--data", "digits"), "wrong architecture"),
        (("--model", "resnet8", "--width", "0.125"), "wrong architecture"),
        (("--model", "resnet9", "--data", "digits"), "resnet8"),
        (("--model", "resnet8", "--width", "0", "--data", "digits"), "width"),
        (("--model", "", "--data", "digits"), "model"),
        (("--model", "resnet8", "--data", "digit"), "digits"),
        (("--model", "resnet8", "--data", "cifar100"), "--data-root"),
        (("--model", "resnet8", "--stem", "small"), "--stem"),
        (("--data", "digits"), "--model"),
    ],
)
def test_a_wrong_description_of_the_weights_is_refused(
    kdgap: Command, refused: Refused, bare: Path, words: tuple[str, ...], says: str
) -> None:
    assert says in refused(kdgap, "convert", bare, *words, "--out", "out.safetensors")


def test_a_source_that_is_missing_or_a_folder_is_refused(
    kdgap: Command, refused: Refused, workdir: Path
) -> None:
    (workdir / "folder.pth").mkdir()
    assert "nowhere.pth: not found" in refused(kdgap, "convert", "nowhere.pth", *AS_TEACHER)
    error = refused(kdgap, "convert", "folder.pth", *AS_TEACHER)
    assert "folder.pth" in error
    assert "not found" not in error


def test_a_checkpoint_never_overwrites_itself(kdgap: Command, refused: Refused, bare: Path) -> None:
    assert "--out" in refused(kdgap, "convert", bare, *AS_TEACHER)
    assert "--out" in refused(kdgap, "convert", bare, *AS_TEACHER, "--out", bare)


@pytest.mark.parametrize("kind", ["without a card", "pickle", "pickle with the wrong suffix"])
def test_the_way_out_that_a_refusal_names_works(
    kdgap: Command, refused: Refused, checkpoint: Path, bare: Path, kind: str
) -> None:
    name = bare.name if kind == "without a card" else checkpoint.name
    if kind == "pickle with the wrong suffix":
        name = checkpoint.rename("wrong.safetensors").name
    hint = re.search(r"`kdgap (convert .*?)`", refused(kdgap, "evaluate", name))
    assert hint is not None
    words = shlex.split(hint[1].replace("--model NAME", shlex.join(AS_TEACHER)))
    done = kdgap(*words)
    assert done.returncode == 0, done.stderr
    assert read_card(Path(done.stdout.strip())).checkpoint == "converted"


def test_an_unwritable_target_is_refused(
    kdgap: Command, refused: Refused, bare: Path, workdir: Path
) -> None:
    (workdir / "file").write_text("")
    out = "file/out.safetensors"
    assert out in refused(kdgap, "convert", bare, *AS_TEACHER, "--out", out)
