"""SRRL: gradient goes through the teacher's classifier, which stays as it is."""

import pytest
import torch

from kdgap.methods import Step, build_method
from kdgap.methods.shared import last_map
from kdgap.models.output import Output


def given(dtype: torch.dtype = torch.float64) -> tuple[Output, Output, Step]:
    g = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    labels = torch.zeros(4).long()
    student = Output(draw(4, 3), pooled=draw(4, 5, 4, 4))
    teacher = Output(draw(4, 3), classifier=(draw(3, 6), draw(3)), pooled=draw(4, 6, 2, 2))
    return student, teacher, Step(labels, labels)


def test_the_classifier_term_teaches_the_student_and_not_the_classifier() -> None:
    student, teacher, step = given()
    method = build_method("srrl", {})
    parts = method.build(student, teacher, step.labels).double()
    assert set(dict(parts.named_parameters())) == {"conv.weight", "bn.weight", "bn.bias"}
    leaf = last_map(student).requires_grad_()
    terms = method.terms(student, teacher, step, parts)
    assert (terms["feature"].weight, terms["classifier"].weight) == (1.0, 1.0)
    terms["classifier"].value.backward()
    assert leaf.grad is not None
    assert bool(leaf.grad.any())
    assert teacher.classifier is not None
    assert all(tensor.grad is None for tensor in teacher.classifier)


def test_the_classifier_works_in_its_own_precision_under_autocast() -> None:
    """Logits of thousands, of which bfloat16 would leave three digits."""
    student, teacher, step = given(torch.float32)
    assert teacher.classifier is not None
    weight, bias = teacher.classifier[0], teacher.classifier[1] + 1000
    method = build_method("srrl", {})
    parts = method.build(student, teacher, step.labels).eval()
    with torch.no_grad():
        plain = parts.get_submodule("bn")(parts.get_submodule("conv")(last_map(student)))
        logits = plain.relu().mean((2, 3)) @ weight.t() + bias
        target = Output(logits, classifier=(weight, bias), pooled=teacher.pooled)
        with torch.autocast("cpu", torch.bfloat16):
            terms = method.terms(student, target, step, parts)
    # What is left is the connector's own rounding; a step of bfloat16 at 1000 is 4.
    assert terms["classifier"].value.item() == pytest.approx(0, abs=1e-3)
