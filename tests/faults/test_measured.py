"""A measurement in the cache that was damaged is made again: it refuses no good teacher."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdgap.data import Request, load_dataset
from kdgap.running.teacher import TeacherWeights, check_teacher, open_teacher
from kdgap.store.measured import keep_measured, measured_folder, read_measured
from kdgap.store.record import BEST
from kdgap.store.study import StudyDirectory


def _teacher(study: StudyDirectory) -> TeacherWeights:
    (path,) = (run["path"] for run in study.plan()["runs"] if run["roles"] == ["teacher"])
    return open_teacher(study.path / path / BEST, None, unmeasured=False)


def _other_value(path: Path) -> object:
    text = path.read_text()
    value = str(json.loads(text)["values"]["val_acc"])
    return path.write_text(text.replace(value, "0.987"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        _other_value,
        lambda path: path.write_text('{"val_acc": 0.987}'),
        lambda path: path.write_text("[]"),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        _folder,
    ],
)
def test_a_damaged_accuracy_is_measured_again(
    pristine: StudyDirectory, damage: Callable[[Path], object]
) -> None:
    dataset = load_dataset("digits", Request(Path("data")))
    check_teacher(_teacher(pristine), dataset, torch.device("cpu"))
    (path,) = measured_folder().iterdir()
    before = path.read_bytes()
    damage(path)
    check_teacher(_teacher(pristine), dataset, torch.device("cpu"))
    assert path.is_dir() or path.read_bytes() == before


def test_a_measurement_of_something_else_is_none(tmp_path: Path) -> None:
    keep_measured(tmp_path / "one.json", {"val_acc": 0.5})
    shutil.copy(tmp_path / "one.json", tmp_path / "two.json")
    assert read_measured(tmp_path / "one.json") == {"val_acc": 0.5}
    assert read_measured(tmp_path / "two.json") is None


@pytest.mark.parametrize("values", [{"val_acc": "0.5"}, {"val_acc": None}, [0.5], None])
def test_a_measurement_of_another_type_is_none(tmp_path: Path, values: object) -> None:
    keep_measured(tmp_path / "one.json", values)  # type: ignore[arg-type]
    assert read_measured(tmp_path / "one.json") is None
