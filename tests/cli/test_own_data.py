"""docs/own-data.md is walked: each of its commands, in its order, on a small folder."""

import io
import re
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec
from tests.conftest import ROOT

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
PAGE = (ROOT / "docs" / "own-data.md").read_text()
LESS = {
    "distill": ["--epochs", "1", "--seeds", "2", "--out"],
    "plan": ["--set", "data.val_size=6"],
    "run": [
        *("--set", "data.val_size=6", "--set", "recipe.epochs=1", "--set", "finals.seeds=[0, 1]"),
        *("--set", "models.teacher.name=resnet8"),
    ],
}
"""What makes a command small, and nothing else."""


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("kdgap ")]


@pytest.fixture
def photos(workdir: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog", "owl")):
        (workdir / "photos" / name).mkdir(parents=True)
        for number in range(14):
            pixels = rng.integers(0, 90, (16, 16, 3))
            pixels[:, :, label] += 120
            path = workdir / "photos" / name / f"{number}.{('png', 'jpg')[number % 2]}"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    network = build_model(ModelSpec(name="resnet18"), 3, 3, (16, 16), 0)
    torch.save({"state_dict": network.state_dict()}, workdir / "teacher.pth")
    (workdir / "shards").mkdir()
    for part in ("train", "val"):
        with tarfile.open(workdir / "shards" / f"{part}-000000.tar", "w") as tar:
            for name in ("cat", "dog", "owl"):
                for number in range(3):
                    tar.add(workdir / "photos" / name / f"{2 * number}.png", f"{name}{number}.png")
                    member = tarfile.TarInfo(f"{name}{number}.cls")
                    member.size = len(name)
                    tar.addfile(member, io.BytesIO(name.encode()))
    (workdir / "configs").symlink_to(ROOT / "configs")
    return workdir / "photos"


@pytest.mark.slow
def test_every_command_of_the_page_works(kdgap: Command, photos: Path) -> None:
    walked = commands()
    assert {words[0] for words in walked} == {
        *("distill", "data", "plan", "run", "show", "models", "convert", "evaluate"),
        *("export", "predict"),
    }
    for number, words in enumerate(walked):
        more = LESS.get(words[0], [])
        if words[0] == "distill":
            more = [*more, f"st{number}", "--set", "recipe.batch_size=16"]
        if words[0] == "export":
            run = next(Path("st0").glob("runs/*/*/checkpoint_best.safetensors")).parent
            words = [str(run) if word == "RUN" else word for word in words]
        done = kdgap(*words, *more)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout.strip() or done.stderr.strip(), words


def test_the_page_names_what_there_is() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / path).exists(), path
