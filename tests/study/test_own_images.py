"""A study on the user's own images: what is certain to fail is refused before it begins."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kdgap.errors import BadInputError
from kdgap.running.evaluation import evaluate_weights
from kdgap.running.measuring import OnImages
from kdgap.spec.study import protocol
from kdgap.store.audit import audit
from kdgap.store.study import StudyDirectory
from kdgap.store.witness import Witness
from kdgap.study.workspace import plan_data, start_study
from tests.e2e.study import contents
from tests.study.conftest import Open, Work, runs


def images(root: Path, counts: dict[str, int], sides: tuple[int, ...] = (8,)) -> Path:
    rng = np.random.default_rng(0)
    root.mkdir()
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            side = sides[number % len(sides)]
            pixels = rng.integers(0, 256, (side, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def of(root: Path, **more: Any) -> dict[str, Any]:
    """What a study of these images has different."""
    data = {"name": "imagefolder", "root": str(root), "val_size": 4, **more}
    return {"data": data, "recipe": {"epochs": 1, "batch_size": 8}}


PLAIN: dict[str, Any] = {"selection": None, "claims": [], "ablations": {}}


def test_a_plan_knows_numbers_sizes_and_costs_before_anything_is_decoded(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = images(tmp_path / "images", {"cat": 20, "dog": 15, "owl": 5})
    monkeypatch.setattr("kdgap.data.decoding.fitted", lambda *_: pytest.fail("decoded"))
    workspace = opened(**of(root))
    data = plan_data(workspace, *workspace.plan())
    shape = workspace.shape()
    assert shape is not None
    assert vars(shape) == {
        "classes": 3,
        "channels": 3,
        "image_size": (8, 8),
        "train": 32,
        "test": 8,
        "per_class": (16, 12, 4),
        "names": ("cat", "dog", "owl"),
    }
    assert all(run["flops"] > 0 for run in data["runs"])


def test_a_study_without_a_split_is_done_and_says_how_it_was_split(
    worked: Work, opened: Open, tmp_path: Path
) -> None:
    root = images(tmp_path / "images", {"cat": 20, "dog": 15})
    (root / "cat" / "20.png").write_bytes((root / "cat" / "3.png").read_bytes())
    ablation = {"of": {"student": "little"}, "change": {"data.split_seed": 99}, "seeds": [0]}
    changes = of(root) | {"ablations": {"split": ablation}, "methods": {"logit": {}}}
    directory = worked(**changes, selection=None, claims=[])
    shape = opened(**changes).shape()
    for run in runs(directory):
        record = directory.record(run["path"])
        data = record.run["data"]
        seed = record.spec.data.split_seed
        assert data["split"] == {"seed": seed, "test_share": 0.2, "alike": 2, "groups": 1}
        assert "test_share" not in record.run["spec"]["data"]
    names = {path.stem for path in (directory.path / "locked").glob("data*")}
    assert names == {"data", "data-None-99"}
    locked = directory.locked("data")
    assert locked is not None
    assert shape is not None
    assert locked["shape"] == json.loads(json.dumps(shape.known()))
    witnesses = {run["id"]: Witness.of(directory.record(run["path"])) for run in runs(directory)}
    assert audit(directory, directory.plan(), witnesses)[0] == []


def test_weights_are_measured_on_the_split_that_they_were_trained_with(
    worked: Work, tmp_path: Path
) -> None:
    root = images(tmp_path / "images", {"cat": 20, "dog": 15})
    (root / "cat" / "half.png").write_bytes((root / "cat" / "3.png").read_bytes()[:40])
    changes = of(root, test_share=0.4, skip_broken=True) | PLAIN
    directory = worked(**changes, methods={"logit": {}})
    run = runs(directory, "baseline")[0]
    weights = directory.path / run["path"] / "checkpoint_best.safetensors"
    with pytest.raises(BadInputError, match=r"half\.png"):
        evaluate_weights(weights, None, "test", OnImages(root), "cpu")
    scored = evaluate_weights(
        weights, None, "test", OnImages(root, test_share=0.4, skip_broken=True), "cpu"
    )
    assert scored["images"] == 14
    assert scored["flags"] == []
    assert scored["accuracy"] == directory.record(run["path"]).results["test_acc_best"]
    other = evaluate_weights(weights, None, "test", OnImages(root, skip_broken=True), "cpu")
    assert "another split" in str(other["flags"])


def test_a_study_whose_images_stay_in_a_file_has_the_same_bits(
    worked: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = of(images(tmp_path / "images", {"cat": 20, "dog": 15})) | {"selection": None}
    changes |= {"ablations": {}, "claims": [], "methods": {"logit": {}}}
    resident = contents(worked("resident", **changes).path)
    used: list[bool] = []

    def tight(*_: int) -> bool:
        used.append(True)
        return False

    for module in ("cache", "decoding"):
        monkeypatch.setattr(f"kdgap.data.{module}.fits_in_memory", tight)
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "other cache"))
    assert contents(worked("mapped", **changes).path) == resident
    assert used


@pytest.mark.parametrize(
    ("counts", "sides", "study", "words"),
    [
        ({"cat": 9}, (8,), {}, r"has one class \('cat'\)"),
        ({"cat": 9, "dog": 0}, (8,), {}, "no image in class 'dog'"),
        ({}, (8,), {}, "no class folder in it"),
        ({"cat": 9, "dog": 1}, (8,), {}, "class 'dog' has one image"),
        ({"cat": 9, "dog": 9}, (8, 9), {}, "the images are of 2 sizes, from 8x8 .* to 9x8"),
        ({"cat": 9, "dog": 9}, (8,), {"dkd": {}}, "dkd"),
        ({"cat": 9, "dog": 9}, (8,), {"nkd": {}}, "nkd"),
        ({"cat": 9, "dog": 9}, (8,), {"crd": {"negatives": 90, "width": 4}}, "crd .* negatives"),
        # As many as of even classes would do: 32 training images of which at most 12 are others.
        ({"cat": 30, "dog": 15}, (8,), {"crd": {"negatives": 15, "width": 4}}, "at most 12 are"),
    ],
)
def test_what_is_certain_to_fail_is_refused_by_plan_and_run(
    counts: dict[str, int],
    sides: tuple[int, ...],
    study: dict[str, Any],
    words: str,
    opened: Open,
    tmp_path: Path,
) -> None:
    root = images(tmp_path / "images", counts, sides)
    workspace = opened(**of(root), **PLAIN, methods=study or {"logit": {}})
    for refused in (workspace.plan, lambda: start_study(workspace, lambda _: None)):
        with pytest.raises(BadInputError, match=words) as caught:
            refused()
        assert str(tmp_path / "study.yaml") in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "study").exists()


def test_a_plan_needs_no_images_and_a_run_does(opened: Open, tmp_path: Path) -> None:
    workspace = opened(**of(tmp_path / "gone"))
    plan, _ = workspace.plan()
    assert plan.runs
    assert workspace.shape() is None
    with pytest.raises(BadInputError, match="gone: no such file or folder"):
        start_study(workspace, lambda _: None)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("key", "value"), [("image_size", 8), ("test_share", 0.3), ("skip_broken", True)]
)
def test_keys_of_own_images_are_refused_for_other_data(
    key: str, value: object, opened: Open, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=rf"study.yaml:\d+: {key}: .*digits.*; leave it out"):
        opened(data={"name": "digits", key: value}).plan()
    assert StudyDirectory(tmp_path / "study").locked("data") is None


def test_what_a_study_expects_is_planned_and_found_or_it_is_refused(
    opened: Open, tmp_path: Path
) -> None:
    expected = {"classes": 2, "train": 28, "test": 7}
    changes = of(tmp_path / "images", image_size=8, expected=expected)
    shape = opened(**changes).shape()
    assert shape is not None
    assert (shape.classes, shape.train, shape.test, shape.image_size) == (2, 28, 7, (8, 8))
    plain = of(tmp_path / "images", image_size=8)
    assert protocol(opened(**changes).study) == protocol(opened(**plain).study)
    assert list(opened(**changes).plan()[0].runs) == list(opened(**plain).plan()[0].runs)
    images(tmp_path / "images", {"cat": 20, "dog": 15})
    assert opened(**changes).shape() == opened(**plain).shape()
    changes["data"]["expected"] = expected | {"train": 29}
    with pytest.raises(BadInputError, match=r"expected 36 images of 2 classes, .* has 35 of 2"):
        opened(**changes).shape()
    with pytest.raises(BadInputError, match="expected: the images of digits are the same"):
        opened(data={"name": "digits", "expected": expected}).plan()
