"""CTKD: the temperature is trained against the student, by the rule of the paper."""

import pytest
import torch

from tests.laws.numpy_logits import curriculum_gradient, curriculum_temperature
from tests.laws.numpy_reference import Given
from tests.laws.test_methods import loss, setting, side


@pytest.mark.parametrize("epoch", [0, 4, 9, 30])
def test_the_scalar_gets_lambda_times_its_gradient_and_the_student_all_of_its(epoch: int) -> None:
    method, student, teacher, step, parts = setting("ctkd", {})
    step = type(step)(step.labels, step.indices, epoch, 40, step.seed)
    student.logits.requires_grad_()
    scalar = parts.get_parameter("temperature")
    loss(method, student, teacher, step, parts).backward()
    g = scalar.item()
    known = Given({"alpha": 0.9}, side(student), side(teacher), step.labels.numpy(), {})
    assert scalar.grad is not None
    assert scalar.grad.item() == pytest.approx(curriculum_gradient(known, g, epoch), rel=1e-9)

    plain, own, _, at, _ = setting("logit", {"temperature": curriculum_temperature(g)})
    own.logits.requires_grad_()
    loss(plain, own, teacher, at, torch.nn.Module()).backward()
    torch.testing.assert_close(student.logits.grad, own.logits.grad)


def test_it_begins_as_the_paper_says() -> None:
    method, *_, parts = setting("ctkd", {})
    assert curriculum_temperature(parts.get_parameter("temperature").item()) == pytest.approx(
        15.62, abs=0.005
    )
    assert not method.decays("temperature")
