"""A study's folder is not taken over by a study of other images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdgap.errors import BadInputError
from kdgap.spec.study import StudyData
from kdgap.study.listed import refuse_other_data


def where(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


@pytest.fixture
def data(tmp_path: Path) -> StudyData:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.full((8, 8, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return StudyData(name="imagefolder", root=str(tmp_path), val_size=1)


@pytest.mark.parametrize(
    ("name", "train", "words"),
    [("digits", 4, "has digits"), ("imagefolder", 5, r"7 images of 2 classes, and .* has 6 of 2")],
)
def test_other_images_are_refused(data: StudyData, name: str, train: int, words: str) -> None:
    locked = {"name": name, "shape": {"classes": 2, "train": train, "test": 2}}
    with pytest.raises(BadInputError, match=words):
        refuse_other_data(locked, data, where, Path("runs/x"))


def test_the_same_images_go_on(data: StudyData) -> None:
    shape = {"classes": 2, "train": 3, "test": 3}  # near-duplicates moved some between the parts
    refuse_other_data({"name": "imagefolder", "shape": shape}, data, where, Path("runs/x"))
    refuse_other_data(None, data, where, Path("runs/x"))
