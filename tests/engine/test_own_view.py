"""Every network sees pixels its own way, draws at its own address, and has its own classes."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdgap.data import Preprocessing
from kdgap.engine.cohort import Seen
from kdgap.engine.evaluate import predict
from kdgap.engine.student import Student
from kdgap.engine.teacher import Teacher
from kdgap.models.taps import Taps
from kdgap.spec.model import InputSpec, ModelSpec, Modules
from kdgap.spec.run import RunSpec
from tests.engine.conftest import CPU, Lab
from tests.engine.test_cohort import outcome, trained_three_ways

LARGER = InputSpec(size=12, mean=[0.3], std=[0.4], interpolation="bicubic")
DROPS = ModelSpec(
    name="tests.models.user_networks:Tiny",
    arguments={"drop": 0.5},
    modules=Modules(stages=["blocks.0", "blocks.1"], pooled="blocks.1", classifier="head"),
)
STUDENTS = {
    "as the data": ModelSpec(name="resnet8", width=0.125),
    "another size": ModelSpec(name="resnet8", width=0.125, input=LARGER),
    "projections": ModelSpec(name="resnet8", width=0.25, shortcut="B"),
    "dropout": DROPS,
    "draws elsewhere": DROPS.model_copy(update={"name": "tests.models.user_networks:Skips"}),
}


def runs_of(lab: Lab, method: str = "logit", precision: str = "fp32") -> list[RunSpec]:
    return [lab.spec(method, model=model, precision=precision) for model in STUDENTS.values()]


def test_each_network_gets_its_own_pixels_and_those_that_see_alike_share_them(lab: Lab) -> None:
    pixels, _ = lab.stream(lab.spec()).pixels(0, 0)
    students = [lab.student(run)[0] for run in (*runs_of(lab), lab.spec())]
    seen = Seen(pixels)
    batches = [seen.by(student) for student in students]
    assert [tuple(batch.shape[2:]) for batch in batches] == [(8, 8), (12, 12), *[(8, 8)] * 4]
    assert batches[0] is batches[2] is batches[3] is batches[4]
    assert torch.equal(batches[0], lab.dataset.seen_by(None)(pixels))
    assert torch.equal(batches[1], Preprocessing((12, 12), (0.3,), (0.4,), "bicubic")(pixels))


@pytest.mark.parametrize(
    ("precision", "method"),
    [
        ("fp32", "logit"),
        ("bf16", "mlkd"),
        pytest.param("fp32", "mlkd", marks=pytest.mark.slow),
        pytest.param("bf16", "logit", marks=pytest.mark.slow),
    ],
)
def test_alone_in_a_cohort_and_resumed_the_bits_are_the_same(
    lab: Lab, method: str, precision: str, tmp_path: Path
) -> None:
    runs = runs_of(lab, method, precision)
    assert len(set(trained_three_ways(lab, runs, tmp_path, 10))) == len(runs)


def test_dropout_draws_at_the_address_of_its_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.spec("logit", model=DROPS)
    dropped: list[Tensor] = []
    build = Student.__init__

    def keep(module: torch.nn.Module, _: Any, x: Tensor) -> None:
        if module.training:
            dropped.append(x)

    def watched(self: Student, *arguments: Any) -> None:
        build(self, *arguments)
        self.network.get_submodule("inner.drop").register_forward_hook(keep)

    monkeypatch.setattr(Student, "__init__", watched)
    before = torch.get_rng_state()
    first = outcome(lab.train(run))
    torch.manual_seed(5)  # nothing depends on it
    assert outcome(lab.train(run)) == first
    torch.set_rng_state(before)
    count = len(dropped) // 2
    for first_time, second_time in zip(dropped[:count], dropped[count:], strict=True):
        assert torch.equal(first_time, second_time)
        assert 0.2 < (first_time == 0).float().mean() < 0.95
    zeros = [(x == 0)[:8] for x in dropped[:count]]
    assert all(not torch.equal(a, b) for i, a in enumerate(zeros) for b in zeros[:i])
    assert outcome(lab.train(lab.spec("logit", model=DROPS, seed=1))) != first


def test_what_draws_from_python_and_numpy_leaves_their_generators_as_they_were(lab: Lab) -> None:
    run = lab.spec("logit", model=STUDENTS["draws elsewhere"])
    ends = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        state, array = random.getstate(), str(np.random.get_state())  # noqa: NPY002
        ends.append(outcome(lab.train(run)))
        assert random.getstate() == state
        assert str(np.random.get_state()) == array  # noqa: NPY002
    assert ends[0] == ends[1] != outcome(lab.train(lab.spec("logit", model=DROPS)))


class Permuted(Lab):
    """A laboratory whose teacher has the same classes and more, in another order."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self._more = more

    def teacher(self, run: RunSpec) -> Teacher | None:
        plain = super().teacher(run)
        if plain is None:
            return None
        order = torch.randperm(10 + self._more, generator=torch.Generator().manual_seed(3))
        network = plain.network
        layer = network.fc
        assert isinstance(layer, torch.nn.Linear)
        weight = torch.cat([layer.weight, torch.randn(self._more, layer.in_features)])[order]
        bias = torch.cat([layer.bias, torch.randn(self._more)])[order]
        network.fc = torch.nn.Linear(layer.in_features, len(order)).requires_grad_(False)
        network.fc.load_state_dict({"weight": weight, "bias": bias})
        places = tuple(order.argsort().tolist()[:10])
        return Teacher(network.eval(), run, CPU, plain.preprocessing, places)


@pytest.mark.parametrize("more", [0, 4])
@pytest.mark.parametrize("method", ["logit", "srrl", "cat_kd", "dist", "simkd"])
def test_a_teacher_of_other_classes_in_another_order_teaches_the_same(
    lab: Lab, method: str, more: int
) -> None:
    run, other = lab.spec(method), Permuted(more)
    plain, teacher = lab.teacher(run), other.teacher(run)
    assert plain is not None
    assert teacher is not None
    images = lab.dataset.seen_by(None)(lab.parts.val.pixels[:50])
    asked = Taps(classifier=True, maps=("layer3",))
    answers = [each(images, asked) for each in (plain, teacher)]
    torch.testing.assert_close(answers[0].logits, answers[1].logits)
    for own, there in zip(*(answer.classifier or () for answer in answers), strict=True):
        assert torch.equal(own, there)
    torch.testing.assert_close(
        teacher.predict(lab.parts.val, "fp32"), plain.predict(lab.parts.val, "fp32")
    )
    # To the last bit it is another sum: the student that learns from it is nearly the same.
    epochs = [each.train(run).history[0] for each in (lab, other)]
    assert epochs[1]["loss_kd"] == pytest.approx(epochs[0]["loss_kd"], rel=1e-3)
    # SimKD's loss does not read the classifier that its student takes over, but this does.
    assert epochs[1]["loss_ce"] == pytest.approx(epochs[0]["loss_ce"], rel=1e-2)


def test_validation_sees_what_training_sees(lab: Lab) -> None:
    run = lab.spec("none", model=STUDENTS["another size"])
    student, _ = lab.student(run)
    assert student.preprocessing.size == (12, 12)
    wrong = replace(student.preprocessing, size=(8, 8))
    here, elsewhere = (
        predict(student.network, lab.parts.val, seen, "fp32", CPU)
        for seen in (student.preprocessing, wrong)
    )
    assert not torch.allclose(here, elsewhere)
    result = lab.train(run)
    network = student.network
    network.load_state_dict(result.best)
    logits = predict(network, lab.parts.val, student.preprocessing, "fp32", CPU)
    right = int((logits.argmax(1) == lab.parts.val.labels).sum()) / len(lab.parts.val)
    assert right == result.history[result.best_epoch - 1]["val_acc"]
