"""`kdgap convert`: the one way in for a pickled checkpoint, without trusting it."""

import errno
import json
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kdgap.child import bound_memory
from kdgap.disk import Disk
from kdgap.store.card import read_card
from kdgap.store.weights import read_weights, weight_hash

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
    state = {f"model.{name}": tensor for name, tensor in read_weights(teacher_weights)[0].items()}
    path = workdir / "teacher.pth"
    torch.save({"model_state_dict": state, "epoch": 3, "args": {"lr": 0.1}}, path)
    return path


@pytest.fixture
def bare(teacher_weights: Path, workdir: Path) -> Path:
    """The digits teacher as safetensors without a card: converting it starts no process."""
    path = workdir / "bare.safetensors"
    save_file(read_weights(teacher_weights)[0], path)
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
    assert "notes.pth: is no checkpoint; expected what torch.save wrote" in error
    (workdir / "notes.pth").write_text("")
    error = refused(kdgap, "convert", "notes.pth", *AS_TEACHER)
    assert "notes.pth: is empty; name a checkpoint" in error


def test_the_target_can_be_named_in_a_new_folder(kdgap: Command, bare: Path) -> None:
    out = Path("new/place/teacher.safetensors")
    assert kdgap("convert", bare, *AS_TEACHER, "--out", out).stdout == f"{out}\n"
    assert read_card(out).classes == tuple("0123456789")


def test_a_cifar10_card_needs_no_data(kdgap: Command, workdir: Path) -> None:
    from kdgap.models.build import build_model
    from kdgap.spec.model import ModelSpec
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
        (("--data", "digits", "--width", "0.125"), "--width goes with --model"),
        (("--data", "digits", "--shortcut", "B"), "--shortcut goes with --model"),
        (("--data", "digits", "--argument", "a=1"), "--argument goes with --model"),
        (("--model", "resnet8", "--argument", "a=1"), "takes no arguments"),
        (("--model", "resnet8", "--argument", "a"), "--argument a: expected key=value"),
        (("--model", "timm:resnet18", "--argument", "num_classes=3"), "num_classes"),
        (("--model", "timm:resnet1"), "did you mean"),
        (("--model", "torchvision:resnet1"), "did you mean"),
        (("--model", "nowhere.at_all:factory"), "no module 'nowhere'"),
        (("--data", "digits", "--input-size", "2"), "--input-size"),
        (("--data", "digits", "--trained-on", "test"), "--trained-on"),
        (("--data", "digits", "--image-size", "9"), "--input-size"),
        ((), "colour channels: 1, images of cifar10 have 3"),
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
    words = shlex.split(hint[1].replace("--model NAME --data DATA", shlex.join(AS_TEACHER)))
    done = kdgap(*words)
    assert done.returncode == 0, done.stderr
    assert read_card(Path(done.stdout.strip())).checkpoint == "converted"


def test_an_unwritable_target_is_refused(
    kdgap: Command, refused: Refused, bare: Path, workdir: Path
) -> None:
    (workdir / "file").write_text("")
    out = "file/out.safetensors"
    assert "file: is no folder" in refused(kdgap, "convert", bare, *AS_TEACHER, "--out", out)


# What is said, and what can be said of the teacher


def test_the_architecture_is_found_and_the_card_keeps_how_it_sees(
    kdgap: Command, bare: Path
) -> None:
    words = ("--data", "digits", "--input-size", "16", "--interpolation", "bicubic")
    out = ("--trained-on", "train+val", "--out", "out.safetensors")
    done = kdgap("convert", bare, *words, *out)
    assert done.returncode == 0, done.stderr
    assert "recognised: --model resnet8 --width 0.125 of 10 classes" in done.stderr
    card = read_card(Path("out.safetensors"))
    assert (card.model.name, card.model.width) == ("resnet8", 0.125)
    assert card.model.input is not None
    assert (card.model.input.size, card.model.input.interpolation) == (16, "bicubic")
    assert (card.image_size, card.trained_on) == ((16, 16), "train+val")


def test_what_was_taken_renamed_cast_and_left_is_said(
    kdgap: Command, teacher_weights: Path, workdir: Path
) -> None:
    teacher, _ = read_weights(teacher_weights)
    state = {f"model.{name}": tensor.half() for name, tensor in teacher.items()}
    content = {"state_dict": {**state, "loss.weight": torch.ones(3)}, "epoch": 3}
    torch.save(content, workdir / "last.ckpt")
    done = kdgap("convert", "last.ckpt", *AS_TEACHER)
    assert done.returncode == 0, done.stderr
    kinds = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert kinds == ["took", "renamed", "cast", "left", "left", "next"]
    assert done.stdout == "last.safetensors\n"


def test_two_sets_are_refused_and_the_advised_option_chooses(
    kdgap: Command, refused: Refused, teacher_weights: Path, workdir: Path
) -> None:
    state = read_weights(teacher_weights)[0]
    other = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": other, "ema": state}, workdir / "two.pth")
    error = refused(kdgap, "convert", "two.pth", *AS_TEACHER)
    assert "model, ema" in error
    advised = re.search(r"such as (--take \S+)", error)
    assert advised is not None
    assert kdgap("convert", "two.pth", *AS_TEACHER, *shlex.split(advised[1])).returncode == 0
    assert weight_hash(read_weights(Path("two.safetensors"))[0]) == weight_hash(other)


CIFAR_NARROW = ("--model", "resnet8", "--width", "0.125")
NORMAL = ("--mean", "0.5,0.25,0.125", "--std", "0.2,0.3,0.4")


@pytest.fixture
def narrow(workdir: Path) -> Callable[[int], Path]:
    """A network for colour images as bare safetensors."""
    from kdgap.models.build import build_model
    from kdgap.spec.model import ModelSpec
    from kdgap.store.weights import copy_state

    def write(classes: int) -> Path:
        network = build_model(ModelSpec(name="resnet8", width=0.125), classes, 3, (32, 32), 0)
        save_file(copy_state(network), workdir / "narrow.safetensors")
        return workdir / "narrow.safetensors"

    return write


def test_normalisation_size_and_classes_are_kept_in_the_card(
    kdgap: Command, narrow: Callable[[int], Path], workdir: Path
) -> None:
    size = ("--data", "imagefolder", "--image-size", "48")
    words = ("convert", narrow(3), *CIFAR_NARROW, *NORMAL, *size, "--classes")
    assert kdgap(*words, "owl,cat, dog", "--out", "a.safetensors").returncode == 0
    card = read_card(Path("a.safetensors"))
    assert (card.mean, card.std) == ((0.5, 0.25, 0.125), (0.2, 0.3, 0.4))
    assert (card.image_size, card.classes) == ((48, 48), ("owl", "cat", "dog"))
    (workdir / "names.txt").write_text("owl\ncat\n\ndog, the\n")
    assert kdgap(*words, "names.txt", "--out", "b.safetensors").returncode == 0
    assert read_card(Path("b.safetensors")).classes == ("owl", "cat", "dog, the")


def test_more_names_than_a_file_name_is_long_are_names(
    kdgap: Command, narrow: Callable[[int], Path]
) -> None:
    names = [f"class {number}" for number in range(100)]
    words = ("convert", narrow(100), "--classes", ",".join(names), "--out", "a.safetensors")
    done = kdgap(*words)
    assert done.returncode == 0, done.stderr
    assert list(read_card(Path("a.safetensors")).classes) == names


def test_a_named_set_keeps_its_classes_with_another_normalisation(
    kdgap: Command, narrow: Callable[[int], Path]
) -> None:
    words = ("convert", narrow(10), *CIFAR_NARROW, *NORMAL, "--out", "card.safetensors")
    assert kdgap(*words).returncode == 0
    card = read_card(Path("card.safetensors"))
    assert (card.mean, card.classes[0]) == ((0.5, 0.25, 0.125), "airplane")
    assert card.image_size == (32, 32)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--mean", "0.5,0.5,0.5"), "--mean and --std go together"),
        (("--mean", "0.5,0.5", "--std", "1,1"), "3 colour channels"),
        (("--mean", "0.5,0.5,0.5", "--std", "1,1"), "3 and 2 numbers"),
        (("--mean", "0.5,0.5,0.5", "--std", "1,0,1"), "above 0"),
        (("--mean", "0.5,0.5,0.5", "--std", "1,-1,1"), "above 0"),
        (("--mean", "nan,0.5,0.5", "--std", "1,1,1"), "nan is no number"),
        (("--mean", "0.5,0.5,0.5", "--std", "1,inf,1"), "inf is no number"),
        (("--mean", "a,b,c", "--std", "1,1,1"), "expected a number a colour channel"),
        (("--image-size", "64"), "leave it out"),
        (("--data", "imagefolder", "--image-size", "0"), "1 to 16384"),
        (("--classes", "cat"), "No such file"),
        (("--classes", "cat,cat"), "each once"),
        (("--classes", "."), "directory"),
        (("--classes", "narrow.safetensors"), "UTF-8"),
        (("--classes", ",".join("abc")), "expected [3, "),
        (("--data", "imagefolder", "--image-size", "64"), "--data-root"),
        (("--data", "imagefolder"), "--image-size 64"),
    ],
)
def test_card_fields_that_cannot_be_are_refused(
    kdgap: Command,
    refused: Refused,
    narrow: Callable[[int], Path],
    words: tuple[str, ...],
    says: str,
) -> None:
    given = ("convert", narrow(10), *CIFAR_NARROW, *words, "--out", "out.safetensors")
    assert says in refused(kdgap, *given)


# Weights that cannot be opened


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _unreadable(path: Path) -> None:
    path.write_bytes(b"x" * 100)
    path.chmod(0)


def _link(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ""])
@pytest.mark.parametrize("make", [_pipe, _unreadable, _link, Path.mkdir, Path.touch])
@pytest.mark.parametrize("command", ["convert", "evaluate", "measure", "train", "run"])
def test_weights_that_cannot_be_opened_are_one_line(
    kdgap: Command,
    refused: Refused,
    config: Config,
    workdir: Path,
    make: Callable[[Path], None],
    suffix: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = workdir.parent / f"weights{suffix}"
    make(path)
    if make is _unreadable and os.geteuid() == 0:  # the system does not refuse root
        monkeypatch.setattr("kdgap.disk.current", Forbidding(path))
    if command == "train":
        words: tuple[object, ...] = ("train", config(kd_type="logit", teacher_weights=str(path)))
    elif command == "run":
        study = workdir.parent / "study.yaml"
        study.write_text(STUDY.format(path=path))
        words = ("run", study)
    elif command == "convert":
        words = ("convert", path, *AS_TEACHER, "--out", "out.safetensors")
    elif make is Path.mkdir:
        return  # evaluate takes a folder for a run
    else:
        words = ("evaluate", path, *(["--write-card"] if command == "measure" else []))
    assert path.name in refused(kdgap, *words)


STUDY = """\
name: tiny
data: {{name: digits, limit: 64}}
models: {{t: {{name: resnet8, width: 0.125}}, s: {{name: resnet8, width: 0.125}}}}
recipe: {{epochs: 1, batch_size: 32}}
pairs: [{{teacher: t, student: s}}]
teachers: {{weights: {{t: "{path}"}}}}
methods: {{logit: {{alpha: 0.5, temperature: 4}}}}
finals: {{seeds: [0, 1]}}
"""


class Forbidding(Disk):
    """A disk on which one file may not be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, path: Path, flags: int) -> int:
        if Path(path) == self._path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return super().open(path, flags)


# Memory


def test_a_stricter_limit_is_kept_and_a_looser_one_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kdgap.store import unpickle

    free, infinity = 2**33, resource.RLIM_INFINITY
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))
    set_limits: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: set_limits.append(limits))
    for now, wanted in (
        ((2**30, 2**30), []),
        ((2**30, infinity), []),
        ((infinity, infinity), [(unpickle.MAX_MEMORY, infinity)]),
        ((2**40, 2**41), [(unpickle.MAX_MEMORY, 2**41)]),
    ):
        set_limits.clear()
        monkeypatch.setattr("resource.getrlimit", lambda _, now=now: now)
        bound_memory(unpickle.MAX_MEMORY)
        assert set_limits == wanted
    free = 2**20
    bound_memory(unpickle.MAX_MEMORY)
    assert set_limits[-1] == (2**20, 2**41)


@pytest.mark.parametrize("error", [ValueError("not allowed"), OSError("no such limit")])
def test_a_limit_that_cannot_be_set_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, error: Exception, checkpoint: Path
) -> None:
    from kdgap.store import unpickle

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("resource.setrlimit", fails)
    assert unpickle.main(str(checkpoint)) == 0


def test_a_pickle_that_takes_all_memory_ends_in_one_line(workdir: Path) -> None:
    """The child is bounded by the stricter limit that it was started with."""
    (workdir / "bomb.pth").write_bytes(b"(" + b"]" * 2_900_000 + b"l.")
    code = (
        "import resource, sys, psutil; from kdgap.store import unpickle;"
        "used = psutil.Process().memory_info().vms;"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, -1));"
        "sys.exit(unpickle.main('bomb.pth'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "needs more memory than a checkpoint of ours can"


@pytest.mark.parametrize(
    ("mean", "std"), [("127,127,127", "60,60,60"), ("0.5,0.5,0.5", "60,60,60")]
)
def test_a_normalisation_of_other_pixels_is_refused(
    kdgap: Command, workdir: Path, mean: str, std: str
) -> None:
    torch.save({}, workdir / "a.pth")
    done = kdgap("convert", "a.pth", "--model", "resnet8", "--data", "imagefolder", "--image-size",
                 "16", "--classes", "cat,dog", "--mean", mean, "--std", std)  # fmt: skip
    assert done.returncode == 2
    assert "divide numbers of 0 to 255 by 255" in done.stderr
