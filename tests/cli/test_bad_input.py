"""Bad input: exit code 2, one line on stderr, nothing written, and for a teacher no data touched.

Everything that a configuration can get wrong is asked of both training scripts.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from PIL import Image

from kdgap import yamlio
from kdgap.errors import TeacherError
from kdgap.methods import hyperparameter_names
from kdgap.running.config import resolve
from kdgap.spec.flat import read_flat
from kdgap.spec.model import ModelSpec
from kdgap.store.weights import read_weights, weight_hash, write_weights

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]
Config = Callable[..., Path]

ROOT = Path(__file__).resolve().parents[2]
DISTIL: dict[str, object] = {"kd_type": "logit", "teacher": "resnet8"}


@pytest.fixture(params=["kdgap train", "tools/train.py"])
def script(request: pytest.FixtureRequest, kdgap: Command, train_script: Command) -> Command:
    """Train from a configuration file, through either script."""
    if request.param == "kdgap train":
        return lambda path, *words: kdgap("train", path, *words)
    return lambda path, *words: train_script("--config", path, *words)


# Teacher weights, before any data is touched


@pytest.fixture(
    params=["missing", "folder", "empty", "truncated", "garbage", "another network", "altered"]
)
def bad_teacher(request: pytest.FixtureRequest, teacher_weights: Path) -> tuple[Path, str]:
    """A path that holds no usable teacher, and a word that the refusal has to say."""
    path, kind = teacher_weights, request.param
    content = path.read_bytes()
    if kind == "missing":
        path.unlink()
        return path, "not found"
    if kind == "folder":
        path.unlink()
        path.mkdir()
        return path, "directory"
    if kind == "empty":
        path.write_bytes(b"")
        return path, "not a safetensors file"
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
        return path, "not a safetensors file"
    if kind == "garbage":
        path.write_bytes(b"\x00\xff" * 500)
        return path, "not a safetensors file"
    if kind == "another network":
        state, card = read_weights(path)
        write_weights(path, state, card.model_copy(update={"model": ModelSpec(name="resnet14")}))
        return path, "wrong architecture"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return path, "changed after it was written"


@pytest.mark.usefixtures("no_data")
def test_bad_teacher_weights_stop_the_run_before_any_data_is_touched(
    script: Command, refused: Refused, config: Config, bad_teacher: tuple[Path, str]
) -> None:
    path, reason = bad_teacher
    keys = {key: value for key, value in DISTIL.items() if key != "teacher"}
    error = refused(script, config(**keys, teacher_weights=str(path)))
    assert str(path) in error
    assert reason in error


def test_bad_teacher_weights_are_a_value_error_as_in_the_reference(
    config: Config, bad_teacher: tuple[Path, str]
) -> None:
    path, reason = bad_teacher
    document = yamlio.load(config(kd_type="logit", teacher_weights=str(path)))
    flat, places = read_flat(document, {}, hyperparameter_names())
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        resolve(flat, places)
    assert isinstance(caught.value, TeacherError)


@pytest.mark.usefixtures("no_data")
def test_a_teacher_of_another_architecture_is_refused(
    script: Command, refused: Refused, config: Config, teacher_weights: Path
) -> None:
    path = config(kd_type="logit", teacher="resnet14", teacher_weights=str(teacher_weights))
    error = refused(script, path)
    assert "wrong architecture" in error
    assert "resnet8" in error
    assert "resnet14" in error


@pytest.mark.usefixtures("no_data")
def test_a_student_without_teacher_weights_is_refused(
    script: Command, refused: Refused, config: Config
) -> None:
    assert "teacher_weights" in refused(script, config(**DISTIL))


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("name", ["teacher.pth", "teacher.pt", "teacher.safetensors"])
def test_a_pickle_for_a_teacher_is_refused_with_the_way_out(
    script: Command, refused: Refused, config: Config, workdir: Path, name: str
) -> None:
    torch.save({"model_state_dict": {"model.conv1.weight": torch.zeros(1)}}, workdir / name)
    error = refused(script, config(**DISTIL, teacher_weights=name))
    assert f"kdgap convert {name}" in error


@pytest.mark.usefixtures("no_data")
def test_a_missing_teacher_points_to_its_unconverted_twin(
    script: Command, refused: Refused, config: Config, workdir: Path
) -> None:
    (workdir / "teacher.pth").write_bytes(b"\x80")
    error = refused(script, config(**DISTIL, teacher_weights="teacher.safetensors"))
    assert "kdgap convert teacher.pth" in error


@pytest.mark.usefixtures("no_data")
def test_an_unmeasured_teacher_is_refused(
    script: Command, refused: Refused, config: Config, rewrite_card: Callable[..., Path]
) -> None:
    path = rewrite_card(accuracy=None, fingerprint=None, checkpoint="converted")
    error = refused(script, config(**DISTIL, teacher_weights=str(path)))
    assert "kdgap evaluate" in error
    assert "allow_unmeasured_teacher" in error


def test_an_unmeasured_teacher_is_used_on_demand_and_flagged(
    script: Command, config: Config, rewrite_card: Callable[..., Path], workdir: Path
) -> None:
    path = rewrite_card(accuracy=None, fingerprint=None, checkpoint="converted")
    keys = {**DISTIL, "teacher_weights": str(path), "allow_unmeasured_teacher": True}
    done = script(config(**keys, output_dir="run"))
    assert done.returncode == 0, done.stderr
    assert "never measured" in done.stderr
    run: dict[str, Any] = yamlio.load(workdir / "run" / "run.json").value
    assert run["flags"] == ["the teacher's accuracy was never measured"]


# Teacher against data


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": tuple("0123456798")}, "its card says"),  # so its accuracy does not hold
        ({"image_size": (16, 16)}, "its card says"),
        ({"mean": (0.5,)}, "its card says"),
        ({"classes": ("owl", *"123456789")}, "lacks 1 of the data's 10 classes ('0')"),
        ({"classes": tuple("abcdefghij")}, "none of its 10 classes ('a', 'b', 'c', …)"),
    ],
)
def test_a_teacher_of_other_data_is_refused(
    script: Command,
    refused: Refused,
    config: Config,
    rewrite_card: Callable[..., Path],
    changes: dict[str, object],
    reason: str,
) -> None:
    path = rewrite_card(**changes)
    error = refused(script, config(**DISTIL, teacher_weights=str(path)))
    assert str(path) in error
    assert reason in error


def test_a_teacher_of_fewer_classes_is_refused(
    script: Command, refused: Refused, config: Config, teacher_weights: Path
) -> None:
    state, card = read_weights(teacher_weights)
    state = {name: t[:9].clone() if name.startswith("fc.") else t for name, t in state.items()}
    _write(teacher_weights, state, card.model_copy(update={"classes": card.classes[:9]}))
    error = refused(script, config(**DISTIL, teacher_weights=str(teacher_weights)))
    assert "lacks 1 of the data's 10 classes ('9')" in error


def test_a_teacher_of_more_classes_teaches_those_of_the_data_if_it_is_asked_to(
    script: Command, refused: Refused, config: Config, teacher_weights: Path
) -> None:
    state, card = read_weights(teacher_weights)
    wider = dict(state)
    for name in ("fc.weight", "fc.bias"):
        wider[name] = torch.cat([state[name][:1] + 9, state[name]])
    _write(teacher_weights, wider, card.model_copy(update={"classes": ("owl", *card.classes)}))
    keys = {**DISTIL, "teacher_weights": str(teacher_weights), "output_dir": "student"}
    error = refused(script, config(**keys))
    assert "has 1 classes besides the data's 10 ('owl')" in error
    key, _, value = error.rpartition("set ")[2].partition(": ")
    assert (key, value.strip()) == ("teacher_subset", "true")
    assert script(config(**keys, teacher_subset=True)).returncode == 0
    assert refused(script, config(**keys)) == error


def _write(path: Path, state: dict[str, torch.Tensor], card: Any) -> None:
    write_weights(path, state, card.model_copy(update={"weight_hash": weight_hash(state)}))


def test_a_card_with_another_accuracy_than_measured_is_refused(
    script: Command, refused: Refused, config: Config, rewrite_card: Callable[..., Path]
) -> None:
    _, card = read_weights(rewrite_card())
    assert card.accuracy is not None
    one_image = 1 / card.accuracy.val_size
    better = card.accuracy.model_copy(update={"value": card.accuracy.value + one_image})
    path = rewrite_card(accuracy=better)
    error = refused(script, config(**DISTIL, teacher_weights=str(path)))
    assert f"{better.value:.2%}" in error
    assert f"{card.accuracy.value:.2%}" in error


@pytest.mark.parametrize(("off_by", "accepted"), [(0.004, True), (0.006, False)])
def test_in_another_environment_half_a_point_is_allowed(
    kdgap: Command,
    config: Config,
    rewrite_card: Callable[..., Path],
    off_by: float,
    accepted: bool,
) -> None:
    _, card = read_weights(rewrite_card())
    assert card.accuracy is not None
    update = {"value": card.accuracy.value + off_by, "environment": "elsewhere"}
    path = rewrite_card(accuracy=card.accuracy.model_copy(update=update))
    done = kdgap("train", config(**DISTIL, teacher_weights=str(path)))
    assert done.returncode == (0 if accepted else 2), done.stderr


def test_random_weights_with_a_good_teachers_card_are_refused(
    script: Command, refused: Refused, config: Config, teacher_weights: Path
) -> None:
    state, card = read_weights(teacher_weights)
    generator = torch.Generator().manual_seed(0)
    noise = {
        name: torch.randn(t.shape, generator=generator) if name.endswith("weight") else t
        for name, t in state.items()
    }
    _write(teacher_weights, noise, card)
    error = refused(script, config(**DISTIL, teacher_weights=str(teacher_weights)))
    assert "measured" in error


# Values


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("alpha", -0.1, "0"),
        ("alpha", 1.1, "1"),
        ("alpha", True, "number"),
        ("alpha", "half", "number"),
        ("temperature", 0, "greater than 0"),
        ("temperature", -1.0, "greater than 0"),
        ("feat_beta", -1, "0"),
        ("feat_norm", "teacher-std", "teacher_std"),
        ("epochs", 0, "1"),
        ("epochs", 1.5, "integer"),
        ("batch_size", 1, "2"),
        ("lr", 0, "greater than 0"),
        ("momentum", 1.0, "less than 1"),
        ("val_size", 0, "1"),
        ("limit", 0, "2"),
        ("seed", -1, "0"),
        ("seed", 2**64, "less than"),
        ("precision", "fp16", "bf16"),
        ("no_proj_clip", "false", "boolean"),
        ("output_dir", "", "printable"),
        ("output_dir", "a\nb", "printable"),
    ],
)
def test_a_bad_value_is_refused_with_file_line_and_key(
    script: Command, refused: Refused, config: Config, key: str, value: object, says: str
) -> None:
    error = refused(script, config(**{key: value}))
    assert re.search(rf"config\.yaml:\d+: {key}: ", error)
    assert says in error


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model", "resnet19", "did you mean 'resnet18'"),
        ("kd_type", "logits", "did you mean 'logit'"),
        ("data", "digit", "did you mean 'digits'"),
        ("widht", 1, "did you mean 'width'"),
    ],
)
def test_an_unknown_name_is_refused_with_file_line_and_the_nearest_name(
    script: Command, refused: Refused, config: Config, key: str, value: object, says: str
) -> None:
    error = refused(script, config(**{key: value}))
    assert says in error
    assert re.search(r"config\.yaml:\d+: ", error)


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": None}, "config.yaml: model"),
        ({"stem": "imagenet"}, "'imagenet' stem"),
        ({"width": 0.3}, "1/16"),
        ({"width": 0}, "width"),
        ({"device": "abacus"}, "abacus"),
        ({"momentum": 0.0}, "nesterov"),
        ({"no_proj_clip": True, "clip_scope": "all"}, "clip_scope"),
    ],
)
def test_a_request_that_cannot_be_built_is_refused(
    script: Command, refused: Refused, config: Config, changes: dict[str, object], says: str
) -> None:
    assert says in refused(script, config(**changes))


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999"])
@pytest.mark.parametrize("key", ["alpha", "temperature", "lr"])
def test_a_number_that_is_not_finite_is_refused(
    script: Command, refused: Refused, config: Config, key: str, number: str
) -> None:
    path = config()
    path.write_text(path.read_text() + f"{key}: {number}\n")
    error = refused(script, path)
    assert re.search(rf"config\.yaml:6: {key}: ", error)
    assert "finite" in error


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize(
    "text",
    [
        "model: resnet8\nmodel: resnet14\n",
        "teacher-weights: a\nteacher_weights: b\n",
        "- model\n",
        "model: &a resnet8\n",
        "model: !!python/name:os.system\n",
        "model: [\n",
        "model: \x00\n",
    ],
)
def test_yaml_that_is_not_strict_is_refused(
    script: Command, refused: Refused, config: Config, text: str
) -> None:
    path = config()
    path.write_text(text)
    assert "config.yaml" in refused(script, path)


@pytest.mark.parametrize(
    "words",
    [
        ("--alpha", "1.5"),
        ("--alpha", "nan"),
        ("--alpha", "much"),
        ("--temperature", "0"),
        ("--epochs", "0"),
        ("--model", "resnet19"),
        ("--kd-type", "logits"),
        ("--seed", "-1"),
        ("--val-size", "0"),
        ("--feat-norm", "std"),
        ("--no-such-flag",),
        ("surplus",),
        ("--config", "nowhere.yaml"),
    ],
)
@pytest.mark.usefixtures("no_data")
def test_a_bad_flag_of_the_references_command_is_refused(
    train_script: Command, refused: Refused, config: Config, words: tuple[str, ...]
) -> None:
    refused(train_script, "--config", config(), *words)


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "alpha=1.5"),
        ("--set", "alpha"),
        ("--set", "alpha=0.1", "--set", "alpha=0.2"),
        ("--set", "alhpa=0.1"),
        ("--set", "alpha=[0.1, 0.2]"),
        ("--seed", "one"),
        ("--no-such-option",),
        ("surplus",),
    ],
)
@pytest.mark.usefixtures("no_data")
def test_a_bad_option_of_train_is_refused(
    kdgap: Command, refused: Refused, config: Config, words: tuple[str, ...]
) -> None:
    refused(kdgap, "train", config(), *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("train",), "CONFIG"),
        (("train", "nowhere.yaml"), "nowhere.yaml"),
        (("trian",), "train"),
        (("evaluate",), "RUN|WEIGHTS"),
        (("evaluate", "nowhere"), "nowhere"),
        (("evaluate", "."), "no run"),
        (("show", "nowhere"), "no run"),
        (("show",), "RUN"),
        (("data", "digit"), "digits"),
        (("data", "digits", "--image-size", "16"), "image_size"),
        (("data", "imagefolder"), "there is no such folder"),
        (("data", "cifar10"), "kdgap data cifar10 --download"),
        (("data", "cifar10", "--download", "--data-root", "nowhere"), "nowhere"),
        (("data", "digits", "--sheet", "/dev/null/x.png"), "/dev/null: is no folder"),
        (("models", "--classes", "1"), "--classes"),
        (("convert", "nowhere.pth", "--model", "resnet8", "--width", "0"), "width"),
    ],
)
def test_a_wrong_command_line_is_refused(
    kdgap: Command, refused: Refused, words: tuple[str, ...], says: str
) -> None:
    assert says in refused(kdgap, *words)


@pytest.mark.parametrize("key", ["output_dir", "data_root", "teacher_weights"])
def test_a_name_longer_than_file_systems_take_is_refused(
    kdgap: Command, refused: Refused, config: Config, key: str
) -> None:
    keys: dict[str, object] = {key: "x" * 300 + ".safetensors"}
    if key == "teacher_weights":
        keys |= DISTIL
    if key == "data_root":
        keys |= {"data": "imagefolder", "image_size": 8}
    assert "xxx" in refused(kdgap, "train", config(**keys))


def test_a_path_longer_than_file_systems_take_is_refused_by_evaluate(
    kdgap: Command, refused: Refused
) -> None:
    assert "xxx" in refused(kdgap, "evaluate", "x" * 300)


# Data


@pytest.mark.parametrize("val_size", [1297, 10**6])
def test_validation_must_leave_training_images(
    script: Command, refused: Refused, config: Config, val_size: int
) -> None:
    error = refused(script, config(val_size=val_size))
    assert "val_size" in error
    assert "1,297" in error


def test_a_single_training_image_is_refused(
    script: Command, refused: Refused, config: Config
) -> None:
    assert "val_size 1,296 leaves 1 training image" in refused(script, config(val_size=1296))


@pytest.mark.parametrize("size", [0, 1])
def test_a_batch_of_less_than_two_images_is_refused(
    script: Command, refused: Refused, config: Config, size: int
) -> None:
    assert "batch_size" in refused(script, config(batch_size=size))


def test_images_too_small_for_the_network_are_refused(
    script: Command, refused: Refused, config: Config
) -> None:
    path = config(model="resnet18", width=None, stem="imagenet", limit=16)
    assert "8x8" in refused(script, path)


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_missing_cifar_says_what_was_looked_for_and_how_to_get_it(
    script: Command, refused: Refused, config: Config, data: str
) -> None:
    error = refused(script, config(data=data, data_root="nowhere"))
    assert "train-*.parquet" in error
    assert {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}[data] in error
    assert f"kdgap data {data} --download --data-root nowhere" in error


def _folder(root: Path, *, broken: str | None = None) -> Path:
    for part, label, number in [(p, c, i) for p in ("train", "test") for c in "ab" for i in "123"]:
        path = root / part / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (int(number), 0, 90)).save(path)
    if broken is not None:
        path = root / broken
        path.write_bytes(path.read_bytes()[:40])
    return root


@pytest.mark.parametrize("broken", ["train/b/2.png", "test/a/3.png"])
def test_a_broken_image_is_named(
    script: Command, refused: Refused, config: Config, workdir: Path, broken: str
) -> None:
    _folder(workdir / "flowers", broken=broken)
    keys = {"data": "imagefolder", "data_root": "flowers", "image_size": 8, "val_size": 2}
    assert f"flowers/{broken}" in refused(script, config(**keys))


def test_a_folder_whose_parts_differ_in_classes_is_refused(
    script: Command, refused: Refused, config: Config, workdir: Path
) -> None:
    _folder(workdir / "flowers")
    (workdir / "flowers" / "test" / "b").rename(workdir / "flowers" / "test" / "c")
    keys = {"data": "imagefolder", "data_root": "flowers", "image_size": 8, "val_size": 2}
    assert "class 'b' is in train/ only" in refused(script, config(**keys))


# The output directory


def test_an_output_directory_with_another_run_is_refused(
    script: Command, refused: Refused, config: Config
) -> None:
    assert script(config(output_dir="run")).returncode == 0
    assert "another run" in refused(script, config(output_dir="run", seed=1))


def test_an_output_directory_with_somebody_elses_files_is_refused(
    script: Command, refused: Refused, config: Config, workdir: Path
) -> None:
    (workdir / "run").mkdir()
    (workdir / "run" / "thesis.tex").write_text("years of work")
    assert "thesis.tex" in refused(script, config(output_dir="run"))


def test_an_output_directory_that_is_a_file_is_refused(
    script: Command, refused: Refused, config: Config, workdir: Path
) -> None:
    (workdir / "run").write_text("a file")
    assert "is a file" in refused(script, config(output_dir="run"))


@pytest.mark.parametrize("limit", [None, 64])
def test_an_output_directory_that_cannot_be_written_is_refused_before_training(
    script: Command,
    refused: Refused,
    config: Config,
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
) -> None:
    (workdir / "file").write_text("a file")
    monkeypatch.setattr(
        "kdgap.running.training.train_cohort", lambda *_, **__: pytest.fail("it trained")
    )
    assert "file/run" in refused(script, config(output_dir="file/run", limit=limit))


# As a real process


def test_the_references_command_refuses_a_missing_teacher(workdir: Path) -> None:
    config = ROOT / "configs" / "r50_to_r34_feature.yaml"
    words = ["--config", str(config), "--seed", "0", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train.py"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "checkpoints/teacher_r50.safetensors: not found" in done.stderr
    assert list(workdir.iterdir()) == []
