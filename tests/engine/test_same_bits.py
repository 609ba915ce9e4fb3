"""One specification gives one result, whatever is drawn or measured beside it."""

from typing import Any

import pytest
import torch

from kdgap.store.weights import weight_hash
from tests.engine.conftest import TRAINED, Lab, Trained


def hashes(trained: Trained) -> tuple[str, str, list[dict[str, Any]]]:
    return weight_hash(trained.best), weight_hash(trained.last), trained.history


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_spec_gives_one_result(lab: Lab, method: str, precision: str) -> None:
    run = lab.spec(method, precision=precision)
    first = hashes(lab.alone(run))
    torch.manual_seed(99)  # nothing is drawn from the global stream
    assert hashes(lab.train(run)) == first


@pytest.mark.parametrize("method", TRAINED)
def test_another_seed_gives_another_result(lab: Lab, method: str) -> None:
    run = lab.spec(method)
    assert hashes(lab.train(run.model_copy(update={"seed": 1}))) != hashes(lab.alone(run))


def test_precision_changes_the_result(lab: Lab) -> None:
    assert hashes(lab.train(lab.spec())) != hashes(lab.train(lab.spec(precision="bf16")))


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_measuring_gradients_of_terms_disturbs_nothing(
    lab: Lab, method: str, precision: str
) -> None:
    run = lab.spec(method, precision=precision)
    probed, plain = lab.alone(run), lab.train(run, probe=False)
    assert weight_hash(probed.last) == weight_hash(plain.last)
    assert all("term_grad_norm" not in entry for entry in plain.history)
    without = [dict(entry) for entry in probed.history]
    for entry in without:
        assert entry.pop("term_grad_norm")
    assert without == plain.history
