"""A study's folder is not taken over by a study of other images."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from kdgap.data import Request, load_dataset
from kdgap.errors import BadInputError, TeacherError
from kdgap.spec.study import StudyData
from kdgap.store.study import StudyDirectory
from kdgap.study.listed import (
    listed_shape,
    refuse_other_classes,
    refuse_other_data,
    refuse_start,
)


def where(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


@pytest.fixture
def data(tmp_path: Path) -> StudyData:
    root = tmp_path / "photos"
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((8, 8, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return StudyData(name="imagefolder", root=str(root), val_size=1)


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


def test_other_pixels_of_the_same_number_are_refused_before_anything_is_written(
    data: StudyData, tmp_path: Path
) -> None:
    """The listing is the same; only the pixels tell. What is said as before is not decoded."""
    before = load_dataset("imagefolder", Request(Path(data.root)))
    shape = {"classes": 2, "train": before.shape.train, "test": before.shape.test}
    locked = {"name": "imagefolder", "fingerprint": before.fingerprint, "shape": shape}
    other = tmp_path / "other"
    for path in Path(data.root).glob("*/*.png"):
        (other / path.parent.name).mkdir(parents=True, exist_ok=True)
        pixels = 255 - np.asarray(Image.open(path))
        Image.fromarray(pixels).save(other / path.parent.name / path.name)
    directory = Mock(spec=StudyDirectory, path=Path("runs/x"))
    directory.locked.return_value = locked
    directory.plan.return_value = {"study": {"data": data.model_dump(mode="json")}}
    refuse_start(directory, data, where, replace=True)
    elsewhere = data.model_copy(update={"root": str(other)})
    refuse_start(directory, elsewhere, where, replace=False)
    with pytest.raises(BadInputError, match=r"data\.root: the study in runs/x began with other"):
        refuse_start(directory, elsewhere, where, replace=True)
    nowhere = data.model_copy(update={"root": str(tmp_path / "nowhere")})
    with pytest.raises(BadInputError, match="nowhere: no such file or folder; name the place"):
        refuse_start(directory, nowhere, where, replace=True)
    assert not directory.lock_fact.called


@pytest.mark.parametrize(
    ("classes", "subset", "words"),
    [
        (("wasp", "fly"), [], r"none of its 2 classes .* is one of the data's \('ant', 'bee'\)"),
        (("ant", "bee", "fly"), [], r"has 1 classes besides .* set teachers\.subset: \[t\]"),
        (("ant", "bee", "fly"), ["t"], None),
        (("bee", "ant"), [], None),
    ],
)
def test_a_given_teacher_of_other_classes_is_refused_by_the_listing(
    data: StudyData,
    classes: tuple[str, ...],
    subset: list[str],
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the study's folder would be made, and its data locked, before it fails."""
    monkeypatch.setattr("kdgap.study.listed.read_card", lambda _: Mock(classes=classes))
    teachers = Mock(weights={"t": "t.safetensors"}, subset=subset)
    study = Mock(pairs=[Mock(teacher="t"), Mock(teacher="trained here")], teachers=teachers)
    with nullcontext() if words is None else pytest.raises(TeacherError, match=words):
        refuse_other_classes(study, listed_shape(data, where))
