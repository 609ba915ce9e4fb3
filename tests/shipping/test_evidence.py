"""What is said of an exported network: its time, its accuracy, and that it answers the same."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdgap.errors import BadInputError
from kdgap.shipping import latency
from kdgap.shipping.evidence import Sample, measured_of
from kdgap.shipping.exporting import _compared
from kdgap.shipping.facts import Facts
from kdgap.shipping.models import Model
from kdgap.spec.model import ModelSpec
from kdgap.stats.proportion import wilson
from kdgap.store.card import Card, MeasuredAccuracy


def card(**fields: Any) -> Card:
    known: dict[str, Any] = {
        "model": ModelSpec(name="resnet8"),
        "classes": ("a", "b"),
        "channels": 1,
        "image_size": (8, 8),
        "mean": (0.5,),
        "std": (0.5,),
        "data": "digits",
        "fingerprint": None,
        "weight_hash": "0" * 64,
        "checkpoint": "converted",
    }
    return Card(**known | fields)


def source(**fields: Any) -> Any:
    return SimpleNamespace(
        path=Path("x"), record=None, weights=SimpleNamespace(card=card(**fields))
    )


def test_times_are_milliseconds_and_warming_up_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clock that stands still but for what is called: slow at first, then 2 to 6 ms."""
    now, calls = [0.0], count()

    def call() -> None:
        number = next(calls) - latency.WARM_UP
        now[0] += 0.1 if number < 0 else (2 + number % 5) / 1000

    monkeypatch.setattr(latency, "perf_counter", lambda: now[0])
    monkeypatch.setattr(latency, "SECONDS", 10.0)
    timed = latency.latency(call, calls=20)
    assert timed.calls == 20
    assert timed.median == pytest.approx(4)
    assert timed.quartiles == pytest.approx((3, 5))


@pytest.mark.parametrize(("limit", "images"), [(None, 297), (50, 50), (400, 297)])
def test_an_accuracy_is_as_sure_as_the_images_that_it_was_measured_on(
    limit: int | None, images: int
) -> None:
    known = MeasuredAccuracy(
        value=0.8, val_size=297, split_seed=1, limit=limit, precision="fp32", environment="x"
    )
    sample = Sample(torch.zeros(0), "images that were named")
    measured = measured_of(source(accuracy=known), sample, torch.zeros(0))
    assert measured is not None
    assert (measured.part, measured.images) == ("validation", images)
    assert measured.interval == wilson(0.8, images, 0.95)
    assert measured.calibration_error is None


def test_images_of_training_measure_no_accuracy() -> None:
    logits, labels = torch.eye(2), torch.arange(2)
    seen = Sample(torch.zeros(0), "training images of digits", labels)
    assert measured_of(source(), seen, logits) is None
    fresh = Sample(torch.zeros(0), "validation images of digits", labels)
    measured = measured_of(source(), fresh, logits)
    assert measured is not None
    assert (measured.accuracy, measured.images) == (1.0, 2)


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), 0.01])
def test_what_answers_otherwise_or_with_no_numbers_is_refused(answer: float) -> None:
    model = Model(Facts(kdgap="0", card=card()), lambda x: torch.full((len(x), 2), answer))
    sample = Sample(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), "images")
    with pytest.raises(BadInputError, match="it answers otherwise than PyTorch"):
        _compared(source(), sample, torch.zeros(3, 2), model, "onnx")
