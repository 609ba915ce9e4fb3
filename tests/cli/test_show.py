"""`kdgap show` of runs: what stands over their numbers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdgap.cli import printing
from kdgap.cli.show import print_records
from tests.store import small


def record(folder: Path, seed: int, choose_on: str) -> Any:
    """A baseline without its test, whose epoch these images chose."""
    spec = small.spec("baseline", seed).model_dump(mode="json")
    spec["data"]["choose_on"] = choose_on
    results = {"model": "resnet8", "width": 1.0, "teacher": None, "kd_type": "none", "seed": seed}
    results |= {"best_val_acc": 0.9, "best_val_epoch": 1, "epochs": 2}
    results |= {"test_acc_best": None, "test_acc_final": None}
    run = {"spec": spec, "model": {"parameters": 10}, "flags": []}
    return SimpleNamespace(path=folder, id="0" * 64, run=run, results=results, test=None)


@pytest.mark.parametrize("runs", [1, 2, 5])
@pytest.mark.parametrize(
    ("images", "title"), [("val", "validation, best"), ("test", "on the test images, best")]
)
def test_the_accuracy_that_chose_the_epoch_is_called_by_its_images(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    runs: int,
    images: str,
    title: str,
) -> None:
    monkeypatch.setattr(printing.out, "width", 110)
    print_records([record(tmp_path, seed, images) for seed in range(runs)])
    out = capsys.readouterr().out
    assert title in out
    assert out.count("90.00 %") == runs
    assert ("validation" in out) is (images == "val")
