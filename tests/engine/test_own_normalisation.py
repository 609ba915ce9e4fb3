"""A teacher sees the same augmented pixels as its students, normalised as it was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdgap.data import Preprocessing, normalise
from kdgap.engine.evaluate import BATCH
from kdgap.engine.teacher import Teacher
from kdgap.methods import METHODS
from kdgap.spec.run import RunSpec
from tests.engine.conftest import Lab
from tests.engine.test_cohort import grid, outcome, trained_three_ways

OTHER = ((0.45,), (0.2,))


class OtherLab(Lab):
    """A laboratory whose teacher was trained with another normalisation."""

    def __init__(self, own: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        super().__init__()
        self.own = own

    def teacher(self, run: RunSpec) -> Teacher | None:
        teacher = super().teacher(run)
        if teacher is not None:
            teacher.preprocessing = Preprocessing((8, 8), *self.own)
        return teacher


def other() -> OtherLab:
    return OtherLab(OTHER)


@pytest.mark.parametrize("method", ["logit", "mlkd"])
def test_the_teacher_s_pixels_are_the_students_normalised_as_its_card_says(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = other()
    run = lab.spec(method)
    seen: list[Tensor] = []
    answer = Teacher.__call__

    def spy(self: Teacher, images: Tensor, stages: Any) -> Any:
        seen.append(images.clone())
        return answer(self, images, stages)

    monkeypatch.setattr(Teacher, "__call__", spy)
    lab.train(run)
    stream = lab.stream(run)
    places = [(epoch, step) for epoch in range(2) for step in range(stream.steps)]
    views = METHODS[method].views
    assert len(seen) == len(places) * views
    for images, place in zip(seen[::views], places, strict=True):
        pixels, _ = stream.pixels(*place)
        assert torch.equal(images, normalise(pixels, *OTHER))
        # And by hand, from what the students see.
        theirs = lab.images(stream, *place)[0]
        grey = theirs * lab.dataset.std[0] + lab.dataset.mean[0]
        torch.testing.assert_close(images, (grey - 0.45) / 0.2, rtol=1e-5, atol=1e-5)
    for images, place in zip(seen[1::2] if views > 1 else (), places, strict=False):
        pixels = stream.stronger(stream.pixels(*place)[0], *place)
        assert torch.equal(images, normalise(pixels, *OTHER))


def test_an_equal_normalisation_changes_no_bit_and_costs_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, prepared = lab.spec("feature"), list[Preprocessing]()
    plain = outcome(lab.train(run))
    prepare = Preprocessing.__call__

    def spy(self: Preprocessing, pixels: Tensor) -> Tensor:
        prepared.append(self)
        return prepare(self, pixels)

    monkeypatch.setattr(Preprocessing, "__call__", spy)
    equal = OtherLab((lab.dataset.mean, lab.dataset.std))
    assert outcome(equal.train(run)) == plain
    batches = -(-len(lab.parts.val) // BATCH)
    assert len(prepared) == run.recipe.epochs * (lab.stream(run).steps + batches)


def test_another_normalisation_changes_what_is_learnt_and_no_baseline(lab: Lab) -> None:
    for method, same in (("none", True), ("logit", False)):
        run = lab.spec(method)
        assert (outcome(other().train(run)) == outcome(lab.train(run))) is same


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_alone_in_a_cohort_and_resumed_the_bits_are_the_same(
    precision: str, tmp_path: Path
) -> None:
    lab = other()
    runs = grid(lab, precision)[:2] + grid(lab, precision)[-2:]
    assert len(trained_three_ways(lab, runs, tmp_path, 9)) == len(runs)
