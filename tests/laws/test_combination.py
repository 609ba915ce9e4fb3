"""Several methods in one run: their terms, weights, parts and draws, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from kdgap.errors import BadInputError
from kdgap.methods import METHODS, build_method
from kdgap.models.taps import Taps
from tests.laws.test_methods import CLASSES, LABELS, STAGES, loss, outputs

PAIRS = ["logit+wttm", "itrd+wttm", "fitnet+sp+vid", "cc+dkd+hard_label", "feature+rld"]


def whole(seed: int) -> tuple[Any, Any, Any]:
    student, teacher, step = outputs(seed)
    return replace(student, stages=STAGES), replace(teacher, stages=STAGES), step


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("seed", [0, 1])
def test_its_loss_is_the_weighted_sum_of_its_members_losses(name: str, seed: int) -> None:
    student, teacher, step = whole(seed)
    members = name.split("+")
    parameters = {
        f"{member}_weight": 0.5 + number
        for number, member in enumerate(members)
        if "weight" not in build_method(member, {}).parameters()
    }
    method = build_method(name, parameters)
    own = student.only(method.student_taps(STAGES))
    other = teacher.only(method.teacher_taps(STAGES))
    torch.manual_seed(seed)
    parts = method.build(own, other, LABELS % CLASSES).double()
    expected = 0.0
    for member in members:
        alone = build_method(member, {})
        taken = student.only(alone.student_taps(STAGES)), teacher.only(alone.teacher_taps(STAGES))
        value = loss(alone, *taken, step, parts.get_submodule(member))
        weight = parameters.get(f"{member}_weight", 1.0)
        expected += weight * alone.scale(step.epoch, step.epochs) * value.item()
    assert loss(method, own, other, step, parts).item() == pytest.approx(expected, rel=1e-12)
    assert method.weights(3, 40) == (1, 1)


def test_each_member_keeps_its_own_fields_and_gets_a_weight_where_it_has_none() -> None:
    assert build_method("logit+crd", {}).parameters() == {
        "ce_weight": 1.0,
        "crd_weight": 0.8,
        "crd_negatives": 16384,
        "crd_temperature": 0.07,
        "crd_momentum": 0.5,
        "crd_width": 128,
        "logit_weight": 1.0,
        "logit_temperature": 4.0,
    }
    switched = build_method("crd+logit", {"logit_standardise": True}).parameters()
    assert switched["logit_standardise"] is True


def test_one_alone_has_weights_in_place_of_alpha() -> None:
    student, teacher, step = whole(0)
    own, plain = (
        build_method("logit+", {"logit_weight": 9.0, "ce_weight": 0.1}),
        build_method("logit", {}),
    )
    assert own.weights(0, 1) == (1, 0.1)
    parts = own.build(student, teacher, LABELS)
    value = loss(plain, student, teacher, step, torch.nn.Module()).item()
    assert loss(own, student, teacher, step, parts).item() == pytest.approx(9 * value)


def test_the_order_in_which_it_is_written_says_nothing() -> None:
    assert METHODS["wttm+itrd"] is METHODS["itrd+wttm"]
    assert METHODS["wttm+itrd"].name == "itrd+wttm"
    assert METHODS["+logit"].name == METHODS["logit+"].name == "logit+"
    assert "wttm+itrd" in METHODS
    assert "wttm+nobody" not in METHODS
    assert "+" not in METHODS


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("logit+logit", "logit is named twice"),
        ("crd+logit+crd", "crd is named twice"),
        ("logit+lojit", "unknown method 'lojit' \\(did you mean 'logit'"),
        ("none+logit", "none is plain training"),
        ("+", "unknown method ''"),
    ],
)
def test_what_is_no_combination_is_refused(name: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        METHODS[name]


def test_what_a_member_draws_follows_from_the_step() -> None:
    student, teacher, step = whole(0)
    method = build_method("crd+logit", {"crd_negatives": 5, "crd_width": 4})
    parts = method.build(student, teacher, LABELS % CLASSES).double()
    values = {method.terms(student, teacher, at, parts)["crd_contrast"].value.item()
              for at in (step, replace(step, seed=8), step)}  # fmt: skip
    assert len(values) == 2


def test_a_members_state_is_changed_with_the_draw_of_its_loss() -> None:
    student, teacher, step = whole(0)
    method = build_method("crd+logit", {"crd_negatives": 5, "crd_width": 4})
    parts = method.build(student, teacher, LABELS % CLASSES).double()

    def contrast() -> float:
        return method.terms(student, teacher, step, parts)["crd_contrast"].value.item()

    first, start = contrast(), {name: value.clone() for name, value in parts.state_dict().items()}
    method.update_state(student, teacher, step, parts)
    parts.load_state_dict({**start, "crd.z": parts.state_dict()["crd.z"]})
    assert contrast() == pytest.approx(first, rel=1e-12)


def test_it_reads_what_any_member_reads_and_leaves_alone_what_any_leaves_alone() -> None:
    method: Any = build_method("fitnet+sp+vid", {"fitnet_stage": 1})
    assert method.student_taps(STAGES) == Taps(maps=STAGES)
    assert build_method("fitnet+sp", {"fitnet_stage": 1}).student_taps(STAGES) == Taps(
        maps=("layer1", "layer3")
    )
    assert method.decays("fitnet.conv.weight")
    assert not method.decays("vid.stages.layer1.log_scale")
    assert not build_method("ctkd+fitnet", {}).decays("ctkd.temperature")
    with pytest.raises(BadInputError, match="2 classes"):
        build_method("dkd+logit", {}).check_data(2, 1000, 128)
