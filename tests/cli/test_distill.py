"""`kdgap distill`: from a folder of photographs to a verdict and a file, in one command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from kdgap.cli import distill as distill_module
from kdgap.study.workspace import start_study

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def photos(workdir: Path) -> Path:
    """Images of three classes that differ in colour, without a split, and a file beside them."""
    rng = np.random.default_rng(0)
    root = workdir / "my photos"
    for label, name in enumerate(("blå", "green", "red")):
        (root / name).mkdir(parents=True)
        for number in range(14):
            pixels = rng.integers(0, 90, (12, 12, 3))
            pixels[:, :, 2 - label] += 120
            suffix = ("png", "jpg")[number % 2]
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.{suffix}")
    (root / "notes.txt").write_text("mine")
    return root


SMALL = ("--epochs", "2", "--seeds", "2", "--set", "models.student.width=0.25")


@pytest.mark.usefixtures("one_process")
def test_a_folder_becomes_a_verdict_and_a_model(kdgap: Command, photos: Path) -> None:
    words = ("distill", "--teacher", "resnet8", "--student", "resnet8", "--data", str(photos))
    done = kdgap(*words, *SMALL, "--out", "st", "--to", "onnx")
    assert done.returncode == 0, done.stderr
    assert "5 of 5 runs" in done.stderr.splitlines()[0]
    assert "teacher → student" in done.stdout
    study = Path("st")
    assert (study / "report.html").exists()
    assert "best of 4 on validation" in done.stderr
    image = next((photos / "red").iterdir())
    answer = kdgap("predict", str(study / "model.onnx"), str(image), "--json")
    assert answer.returncode == 0, answer.stderr
    assert "red" in answer.stdout

    # Again: nothing is left to do, and the file that is there stays.
    before = (study / "model.onnx").read_bytes()
    again = kdgap(*words, *SMALL, "--out", "st", "--to", "onnx")
    assert again.returncode == 0, again.stderr
    assert "was there already" in again.stderr
    assert (study / "model.onnx").read_bytes() == before
    # Its weights know which of these images they were trained on; under another seed they may not.
    weights = next(study.glob("runs/*/*/checkpoint_best.safetensors"))
    shutil.copy(weights, "w.safetensors")
    for seed, other in ((1234, False), (7, True)):
        asked = ("evaluate", "w.safetensors", "--data-root", str(photos), "--split", "test")
        scored = kdgap(*asked, "--split-seed", str(seed))
        assert scored.returncode == 0, scored.stderr
        assert ("they may know some of the test images" in scored.stderr) is other
    # Other images are refused before anything is said of the time, or written.
    planned = (study / "plan.json").read_bytes()
    changed = kdgap(*words[:-1], "digits", *SMALL, "--out", "st")
    assert changed.returncode == 2
    assert len(changed.stderr.strip().splitlines()) == 1
    assert "st has other data: it has imagefolder" in changed.stderr
    assert (study / "plan.json").read_bytes() == planned
    # What it leaves is a study as any other.
    assert kdgap("show", "st").returncode == 0
    assert kdgap("run", "st/study.yaml", "--out", "st").returncode == 0


@pytest.mark.slow
@pytest.mark.usefixtures("one_process")
def test_a_given_teacher_is_not_trained_and_its_file_is_named(kdgap: Command, photos: Path) -> None:
    words = ("distill", "--teacher", "resnet8", "--student", "resnet8", "--data", str(photos))
    assert kdgap(*words, *SMALL, "--out", "a", "--to", "none").returncode == 0
    plan = json.loads(Path("a/plan.json").read_text())
    trained = next(run["path"] for run in plan["runs"] if run["roles"] == ["teacher"])
    file = f"a/{trained}/checkpoint_best.safetensors"
    given = ("distill", "--teacher", file, "--student", "resnet8", "--data", str(photos))
    done = kdgap(*given, *SMALL, "--out", "b", "--to", "none")
    assert done.returncode == 0, done.stderr
    plan = json.loads(Path("b/plan.json").read_text())
    assert {role for run in plan["runs"] for role in run["roles"]} == {"baseline", "final"}
    assert plan["study"]["teachers"]["weights"] == {"teacher": file}
    assert not list(Path("b").glob("model*"))
    # One for other classes is refused before a folder is made.
    for folder in list(photos.iterdir()):
        folder.rename(folder.with_name(f"no {folder.name}"))
    done = kdgap(*given, *SMALL, "--out", "c")
    assert done.returncode == 2
    assert "none of its 3 classes" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not Path("c").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--teacher", "resnet81"), "unknown model 'resnet81' (did you mean 'resnet8'"),
        (("--student", "restnet8"), "unknown model 'restnet8' (did you mean 'resnet8'"),
        # There is no file whose lines a reader could look up.
        (("--student", "torchvision:resnet81"), "error: kdgap distill: torchvision has no network"),
        (("--teacher", "no.safetensors"), "no.safetensors: not found"),
        (("--teacher", "shufflenetv2_1.6"), "unknown model 'shufflenetv2_1.6' (did you mean"),
        (("--teacher", "no_such.nets:make"), "Python finds no module 'no_such'"),
        (("--data", "nowhere"), "--data nowhere: no such folder, and no data set of that name"),
        (("--data-root", "photos"), "--data-root: holds a data set that is given by its name"),
        (("--data", "imagefolder"), "name their place itself: --data FOLDER"),
        (("--data", ""), "--data is empty; name a folder of images, or a data set"),
        (("--method", "none"), "plain training is compared with anyway"),
        (("--method", "logits"), "unknown method 'logits' (did you mean 'logit'"),
        (("--to", "onx"), "onx"),
        (("--out", "taken.txt"), "taken.txt: is a file; name a folder for the study with --out"),
        (("--set", "recipe.lr=-1"), "lr: should be greater than 0"),
        (("--set", "nothing=1"), "unknown key 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    kdgap: Command, photos: Path, changed: tuple[str, str], message: str
) -> None:
    asked = {"--teacher": "resnet8", "--student": "resnet8", "--data": str(photos), "--out": "st"}
    asked[changed[0]] = changed[1]
    Path("taken.txt").write_text("mine")
    done = kdgap("distill", *(word for pair in asked.items() for word in pair))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not Path("st").exists()


def test_hours_of_work_are_asked_for(kdgap: Command, photos: Path) -> None:
    words = ("distill", "--teacher", "resnet101", "--student", "resnet50", "--data", "digits")
    done = kdgap(*words, "--epochs", "5000", "--out", "st")
    assert done.returncode == 2
    assert "add --yes to begin, or fewer --epochs or --seeds" in done.stderr
    assert not Path("st").exists()


def test_images_of_a_set_are_not_resized(kdgap: Command, workdir: Path) -> None:
    words = ("distill", "--teacher", "resnet8", "--student", "resnet8", "--data", "digits")
    done = kdgap(*words, "--image-size", "16", "--out", "st")
    assert done.returncode == 2
    assert "image_size: the images of digits are not resized; leave it out" in done.stderr
    assert not Path("st").exists()


def test_a_study_keeps_its_precision_and_a_new_one_takes_what_is_fast(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--teacher", "resnet8", "--student", "resnet8", "--data", "digits")
    device = "kdgap.engine.device.fast_bf16"
    precisions = []
    for fast in (False, True, True):
        monkeypatch.setattr(device, lambda _, fast=fast: fast)
        workspace = distill_module._workspace(
            "study", *(given[1], given[3], given[5]), None, "logit", 2, 1, None, "cpu", None, {}
        )
        precisions.append(workspace.study.precision)
        if len(precisions) == 1:
            start_study(workspace, lambda _: None)
        elif len(precisions) == 2:
            shutil.rmtree(workdir / "runs")
    assert precisions == ["fp32", "fp32", "bf16"]
