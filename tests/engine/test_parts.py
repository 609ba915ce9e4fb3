"""What is planned for a method's parts is what these take."""

import subprocess
import sys

import pytest

from kdgap.errors import BadInputError
from kdgap.methods import METHODS
from kdgap.planning.parts import part_sizes
from kdgap.spec.model import ModelSpec
from tests.engine.conftest import Lab

DIGITS = (1, (8, 8), 10)


@pytest.mark.parametrize("method", [*METHODS, "crd+reviewkd"])
def test_the_sizes_of_parts_are_known_before_there_are_any(method: str) -> None:
    lab = Lab()
    own = {"crd_negatives": 5} if "+" in method else {}
    run = lab.spec(method, parameters=own)
    sizes = part_sizes(run, *DIGITS, lab.parts.train.labels)
    parts = lab.student(run)[0].projections
    trained = sum(p.numel() * p.element_size() for p in parts.parameters())
    assert sizes.trained == trained
    assert sizes.remembered == sum(b.numel() * b.element_size() for b in parts.buffers())
    assert sizes.saved == sum(t.nbytes for t in parts.state_dict().values()) - trained


def test_what_build_would_refuse_is_refused_before_it() -> None:
    lab = Lab()
    for method, parameters, words in (
        ("cat_kd", {"pool": 5}, "pools maps to 5x5, and the last one of the student is 2x2"),
        ("crd", {"negatives": 199}, "of 200 training images at most"),
        ("crd+logit", {"crd_negatives": 199}, "of 200 training images at most"),
    ):
        run = lab.spec(method, parameters=parameters)
        with pytest.raises(BadInputError, match=words):
            part_sizes(run, *DIGITS, lab.parts.train.labels)


def test_no_compiler_and_no_scikit_learn_are_loaded_for_it() -> None:
    code = """
import sys, torch
from kdgap.models.build import model_cost
from kdgap.planning.parts import part_sizes
from kdgap.spec.model import ModelSpec
from tests.engine.conftest import Lab
lab = Lab()
for method in ("crd", "ctkd", "feature", "ofd", "reviewkd", "vid"):
    part_sizes(lab.spec(method), 1, (8, 8), 10, lab.parts.train.labels)
model_cost(ModelSpec(name="resnet8", width=0.5), 10, 1, (8, 8))
assert not {"sympy", "torch._dynamo", "triton", "scipy", "sklearn"} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_map_that_is_not_what_the_classifier_gets_is_refused_before_training() -> None:
    """Of a blank image a network that is not trained makes zeros, which proves nothing."""
    lab = Lab()
    run = lab.spec("srrl", model=ModelSpec(name="timm:convnext_atto"))
    with pytest.raises(BadInputError, match="does not get the mean of its last map"):
        part_sizes(run, 1, (32, 32), 10, lab.parts.train.labels)


def test_a_network_that_cannot_be_trained_is_refused_before_training() -> None:
    lab = Lab()
    pair = ModelSpec(name="tests.models.user_networks:TwoHeads")
    with pytest.raises(BadInputError, match=r"cannot be trained as it is .*type tuple"):
        part_sizes(lab.spec("none", model=pair), *DIGITS, lab.parts.train.labels)
