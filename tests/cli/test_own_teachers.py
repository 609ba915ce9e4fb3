"""A teacher keeps its own normalisation, and stays usable when images come or go."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.store.card import read_card
from kdgap.store.weights import read_weights, write_weights

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
Refused = Callable[..., str]

TINY = {
    "model": "resnet8", "width": 0.125, "epochs": 1, "batch_size": 8, "threads": 1,
    "tracker": "none", "data": "imagefolder", "image_size": 16, "val_size": 6,
}  # fmt: skip
OTHER_IMAGES = "trained on other images"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def images(workdir: Path) -> Path:
    """Class folders of small noise with a square in the class's colour."""
    rng, root = np.random.default_rng(0), workdir / "my images"
    for part, count in (("train", 10), ("test", 3)):
        for label, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
                pixels[4:12, 4:12, label] = 200
                Image.fromarray(pixels).save(root / part / name / f"{number:03d}.png")
    return root


@pytest.fixture
def train(kdgap: Command, workdir: Path, images: Path) -> Callable[..., "CompletedProcess[str]"]:
    def run(**keys: Any) -> "CompletedProcess[str]":
        config = workdir.parent / "run.yaml"
        given = {**TINY, "data_root": str(images), **keys}
        config.write_text("".join(f"{key}: {json.dumps(v)}\n" for key, v in given.items()))
        return kdgap("train", config)

    return run


@pytest.fixture
def teacher(train: Callable[..., Any], workdir: Path) -> Path:
    """A teacher's weights outside of its run."""
    assert train(output_dir="teacher").returncode == 0
    path = workdir / "teacher.safetensors"
    path.write_bytes((workdir / "teacher/checkpoint_best.safetensors").read_bytes())
    return path


def recorded(folder: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(Path(folder, "run.json").read_text())
    return record


def _remove(root: Path) -> None:
    (root / "train/cat/000.png").unlink()


def _add(root: Path) -> None:
    (root / "train/dog/999.png").write_bytes((root / "test/dog/000.png").read_bytes())


def _alter(root: Path) -> None:
    Image.fromarray(np.full((16, 16, 3), 255, np.uint8)).save(root / "train/cat/000.png")


@pytest.mark.parametrize("edit", [_remove, _add, _alter])
def test_a_teacher_stays_usable_after_images_changed(
    kdgap: Command,
    train: Callable[..., Any],
    teacher: Path,
    images: Path,
    edit: Callable[..., None],
) -> None:
    edit(images)
    card = read_card(teacher)
    root = ("--data-root", images)
    assert kdgap("evaluate", teacher, *root, "--split", "test").returncode == 0
    keys = {"kd_type": "logit", "teacher_weights": str(teacher)}
    done = train(**keys, output_dir="student")
    assert done.returncode == 0, done.stderr
    run = recorded("student")
    assert any(OTHER_IMAGES in flag for flag in run["flags"])
    assert OTHER_IMAGES in done.stderr
    assert tuple(run["teacher"]["mean"]) == card.mean != tuple(run["data"]["mean"])
    assert run["teacher"]["fingerprint"] == card.fingerprint != run["data"]["fingerprint"]

    # Measured here, it is still known that it was trained elsewhere.
    assert kdgap("evaluate", teacher, *root, "--write-card").returncode == 0
    measured = read_card(teacher)
    assert measured.fingerprint == card.fingerprint
    assert measured.measured_on == run["data"]["fingerprint"]
    assert (measured.mean, measured.std) == (card.mean, card.std)
    assert train(**keys, output_dir="again").returncode == 0
    assert any(OTHER_IMAGES in flag for flag in recorded("again")["flags"])
    assert kdgap("evaluate", "student").returncode == 0


def test_a_teacher_on_its_own_images_is_not_flagged(
    train: Callable[..., Any], teacher: Path
) -> None:
    keys = {"kd_type": "logit", "teacher_weights": str(teacher), "output_dir": "student"}
    assert train(**keys).returncode == 0
    assert recorded("student")["flags"] == []
    assert "measured_on" not in recorded("student")["teacher"]


def test_a_run_goes_on_only_with_the_teacher_s_former_normalisation(
    train: Callable[..., Any], teacher: Path
) -> None:
    keys = {"kd_type": "logit", "teacher_weights": str(teacher), "output_dir": "student"}
    state, card = read_weights(teacher)
    other = card.model_copy(update={"mean": (0.1, 0.2, 0.3), "accuracy": None})
    write_weights(teacher, state, other)
    assert train(**keys, allow_unmeasured_teacher=True).returncode == 0
    assert recorded("student")["teacher"]["mean"] == [0.1, 0.2, 0.3]
    assert "already finished" in train(**keys, allow_unmeasured_teacher=True).stderr
    write_weights(teacher, state, card)
    done = train(**keys)
    assert (done.returncode, "normalised with mean" in done.stderr) == (2, True)


def test_weights_that_are_worse_than_chance_explains_are_refused_on_other_images(
    kdgap: Command, train: Callable[..., Any], teacher: Path, images: Path
) -> None:
    _remove(images)
    state, card = read_weights(teacher)
    assert card.accuracy is not None
    claimed = card.accuracy.model_copy(update={"value": 1.0})
    constant = {**state, "fc.weight": state["fc.weight"] * 0, "fc.bias": torch.tensor([9.0, 0.0])}
    from kdgap.store.weights import weight_hash

    card = card.model_copy(update={"accuracy": claimed, "weight_hash": weight_hash(constant)})
    write_weights(teacher, constant, card)
    keys = {"kd_type": "logit", "teacher_weights": str(teacher), "output_dir": "student"}
    # Six images cannot tell; the rule itself is tested with thousands.
    from kdgap.running import teacher as rules

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "CHANCE", 0.1)
        done = train(**keys)
        assert done.returncode == 2
        Path("copy.safetensors").write_bytes(teacher.read_bytes())
        words = ["copy.safetensors" if word == "COPY" else word for word in advised(done.stderr)]
        assert kdgap(*words).returncode == 0
        assert train(**{**keys, "teacher_weights": "copy.safetensors"}).returncode == 0


# Advice: every command that an error names is run as it is written


def advised(text: str, pattern: str = r"`kdgap (.*?)`") -> list[str]:
    match = re.search(pattern, text)
    assert match is not None, text
    return shlex.split(match[1])


def test_the_advice_on_a_teacher_that_was_never_measured_works(
    kdgap: Command, refused: Refused, train: Callable[..., Any], teacher: Path, images: Path
) -> None:
    state, card = read_weights(teacher)
    write_weights(teacher, state, card.model_copy(update={"accuracy": None}))
    keys = {"kd_type": "logit", "teacher_weights": str(teacher), "output_dir": "student"}
    done = train(**keys)
    assert (done.returncode, "never measured" in done.stderr) == (2, True)
    key = advised(done.stderr, r"or set (allow_unmeasured_teacher): true")[0]
    assert train(**{**keys, key: True, "output_dir": "unmeasured"}).returncode == 0
    measured = kdgap(*advised(done.stderr))  # though the usual validation images of such are 500
    assert measured.returncode == 0, measured.stderr
    assert train(**keys).returncode == 0


def test_the_way_of_a_checkpoint_of_own_images_is_advised_step_by_step(
    kdgap: Command, refused: Refused, train: Callable[..., Any], teacher: Path, images: Path
) -> None:
    """From the first refusal to a trained student, doing what each text says and no more."""
    state, card = read_weights(teacher)
    teacher.unlink()
    torch.save({"model": state}, "own teacher.pth")
    keys = {"kd_type": "logit", "teacher_weights": "own teacher.safetensors"}
    done = train(**keys, output_dir="student")
    assert done.returncode == 2
    fill = {"NAME": ["resnet8", "--width", "0.125"], "DATA": ["imagefolder"]}
    words = [part for word in advised(done.stderr) for part in fill.get(word, [word])]
    error = refused(kdgap, *words)
    words += [*advised(error, r"such as (--image-size) 64"), "16"]
    error = refused(kdgap, *words)
    assert "--classes, --mean and --std" in error
    words += [*advised(error, r"name the folder that holds it with (--data-root)"), str(images)]
    done = kdgap(*words)
    assert done.returncode == 0, done.stderr
    own_card = read_card(Path("own teacher.safetensors"))
    assert (own_card.mean, own_card.image_size, own_card.classes) == (
        card.mean,
        (16, 16),
        card.classes,
    )
    words = advised(done.stderr, r"next: kdgap (.*?) measures")
    usual = words[: words.index("--val-size")]
    smaller = kdgap(*usual)  # as many as fit, and it is said
    assert smaller.returncode == 0, smaller.stderr
    assert f"note: {words[-1]} of 20 training images are validation" in smaller.stderr
    assert refused(kdgap, *usual, "--val-size", 20) != ""
    measured = kdgap(*words)
    assert measured.returncode == 0, measured.stderr
    assert train(**keys, output_dir="student").returncode == 0


def test_a_folder_that_is_elsewhere_is_asked_for_and_found(
    kdgap: Command, refused: Refused, teacher: Path, images: Path
) -> None:
    option = advised(refused(kdgap, "evaluate", teacher), r"with (--data-root)")[0]
    assert kdgap("evaluate", teacher, option, images).returncode == 0


def test_the_advice_to_name_another_target_works(
    kdgap: Command, refused: Refused, teacher: Path
) -> None:
    data = ("--data", "imagefolder", "--image-size", 16, "--classes", "cat,dog")
    moments = ("--mean", "0,0,0", "--std", "1,1,1")
    words = ("convert", teacher, "--model", "resnet8", "--width", 0.125, *data, *moments)
    option = advised(refused(kdgap, *words), r"to write with (--out)")[0]
    assert kdgap(*words, option, "new.safetensors").returncode == 0
    assert read_weights(Path("new.safetensors"))[0].keys() == read_weights(teacher)[0].keys()


def test_a_run_s_own_weights_are_measured_as_the_refusal_says(
    kdgap: Command, refused: Refused, teacher: Path, images: Path
) -> None:
    own = Path("teacher/checkpoint_best.safetensors")
    error = refused(kdgap, "evaluate", own, "--write-card", "--data-root", images)
    assert "copy it first" in error
    Path("copy.safetensors").write_bytes(own.read_bytes())
    words = ("evaluate", "copy.safetensors", "--write-card", "--data-root", images)
    assert kdgap(*words).returncode == 0


# Measured on other images


def test_a_teacher_is_measured_on_a_split_and_on_data_of_the_user_s_choice(
    kdgap: Command, refused: Refused, teacher: Path, images: Path
) -> None:
    root = ("--data-root", images)
    words = ("evaluate", teacher, "--write-card", *root, "--val-size", 8, "--split-seed", 3)
    assert kdgap(*words).returncode == 0
    card = read_card(teacher)
    assert card.accuracy is not None
    assert (card.accuracy.val_size, card.accuracy.split_seed) == (8, 3)
    # The same images under another name of a data set, and in another size, are other data.
    state, own = read_weights(teacher)
    write_weights(teacher, state, own.model_copy(update={"data": "cifar10", "accuracy": None}))
    assert "--data-root" in refused(kdgap, "evaluate", teacher, "--write-card", *root)
    other = ("--data", "imagefolder", "--image-size", 12)
    done = kdgap("evaluate", teacher, "--write-card", *root, *other)
    assert done.returncode == 0, done.stderr
    card = read_card(teacher)
    assert card.accuracy is not None
    assert card.accuracy.val_size == 4
    assert card.fingerprint == own.fingerprint != card.measured_on
    assert "none of its 2 classes" in refused(kdgap, "evaluate", teacher, "--data", "digits")
    assert "image_size" in refused(kdgap, "evaluate", teacher, "--data", "digits",
                                   "--image-size", 8)  # fmt: skip
    assert "--data" in refused(kdgap, "evaluate", "teacher", "--data", "digits")


def test_a_teacher_of_all_training_images_is_measured_with_a_word(
    kdgap: Command, teacher: Path, images: Path
) -> None:
    said_of_it = "has seen the validation images"
    state, card = read_weights(teacher)
    root = ("--data-root", images)
    assert said_of_it not in kdgap("evaluate", teacher, "--write-card", *root).stderr
    write_weights(teacher, state, card.model_copy(update={"trained_on": "train+val"}))
    for more in ((), ("--write-card",)):
        assert kdgap("evaluate", teacher, *root, *more).stderr.count(said_of_it) == 1
    assert said_of_it not in kdgap("evaluate", teacher, *root, "--split", "test").stderr
