"""Scores against definitions written out by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from kdgap.engine.evaluate import (
    accuracy,
    calibration_error,
    fidelity,
    per_class_accuracy,
    predict,
    scores,
)
from kdgap.models.build import build_model
from kdgap.spec.model import ModelSpec
from tests.engine.conftest import CPU, Lab


def logits_of(*confidences: float) -> torch.Tensor:
    """Two-class logits whose first class has the given probability."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], 1)


def test_calibration_error_by_hand() -> None:
    logits = logits_of(0.9, 0.9, 0.9, 0.9, 0.6, 0.6)
    labels = torch.tensor([0, 0, 0, 1, 0, 1])
    # Two bins: confidence 0.9 with 3/4 right, confidence 0.6 with 1/2 right.
    expected = 4 / 6 * abs(0.75 - 0.9) + 2 / 6 * abs(0.5 - 0.6)
    assert calibration_error(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert calibration_error(torch.eye(3) * 1e4, torch.arange(3)) == 0


def test_accuracy_by_class_counts_each_class_alone() -> None:
    logits = torch.eye(3)[[0, 0, 1, 2, 2]]
    labels = torch.tensor([0, 0, 1, 1, 0])
    assert accuracy(logits, labels) == 3 / 5
    shares = per_class_accuracy(logits, labels, ["a", "b", "c"])
    assert shares == {"a": 2 / 3, "b": 1 / 2, "c": None}


def test_fidelity_is_agreement_and_kl_from_teacher_to_student() -> None:
    g = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(50, 7, generator=g), torch.randn(50, 7, generator=g)
    measured = fidelity(student, teacher)
    same = (student.numpy().argmax(1) == teacher.numpy().argmax(1)).mean()
    assert measured["top1_agreement"] == pytest.approx(same)
    for key, temperature in (("kl_t1", 1.0), ("kl_t4", 4.0)):
        p = np.exp(teacher.double().numpy() / temperature)
        q = np.exp(student.double().numpy() / temperature)
        assert measured[key] == pytest.approx(entropy(p, q, axis=1).mean(), rel=1e-9)
    assert fidelity(teacher, teacher) == pytest.approx(
        {"top1_agreement": 1.0, "kl_t1": 0.0, "kl_t4": 0.0}, abs=1e-12
    )


def test_prediction_keeps_the_networks_mode_and_statistics(lab: Lab) -> None:
    network = build_model(ModelSpec(name="resnet8", width=0.125), 10, 1, (8, 8), 0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = lab.dataset
    logits = predict(network, lab.parts.val, data.seen_by(None), "fp32", CPU)
    assert network.training
    assert logits.shape == (len(lab.parts.val), 10)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert scores(logits, lab.parts.val.labels, data.classes)["nll"] > 0
