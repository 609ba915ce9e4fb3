"""A study on a folder of images says once what was left out of it, and every run records it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from kdgap.study.worker import Worker
from kdgap.study.workspace import Workspace, start_study
from tests.study.conftest import runs


def test_a_study_says_and_records_what_was_left_out(
    opened: Callable[..., Workspace], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4), ("val", 1)):
        for label in ("cat", "dog"):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "images" / "train" / "cat" / "._0.png").touch()
    workspace = opened(
        data={
            "name": "imagefolder",
            "root": str(tmp_path / "images"),
            "image_size": 8,
            "val_size": 4,
        },
        recipe={"epochs": 1, "batch_size": 8},
    )
    directory = start_study(workspace, lambda _: None)
    printed: list[str] = []
    Worker(workspace, "cpu", ("teachers",), say=printed.append).work()
    (line,) = [line for line in printed if line.startswith("left out of the data: ")]
    assert "train/cat/._0.png" in line
    assert "val/" in line
    (teacher,) = runs(directory, "teacher")
    header = json.loads((directory.path / teacher["path"] / "run.json").read_text())
    named = [name for part in header["data"]["left_out"] for name in part["names"]]
    assert sorted(named) == ["train/cat/._0.png", "val/"]
