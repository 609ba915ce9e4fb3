"""CAT-KD: what its switches do to class activation maps, and which maps are too small."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from kdgap.errors import BadInputError
from kdgap.methods import Step, build_method
from kdgap.methods.shared import last_map
from kdgap.models.output import Output

STEP = Step(torch.zeros(4).long(), torch.zeros(4).long())


def answer(width: int, side: int, seed: int) -> Output:
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    last = draw(4, width, side, side)
    return Output(draw(4, 3), classifier=(draw(3, width), draw(3)), pooled=last)


def value(student: Output, teacher: Output, **parameters: bool | int) -> float:
    method = build_method("cat_kd", parameters)
    parts = method.build(student, teacher, STEP.labels)
    return method.terms(student, teacher, STEP, parts)["maps"].value.item()


def scaled(output: Output, by: float) -> Output:
    assert output.classifier is not None
    weight, bias = output.classifier
    return replace(output, classifier=(by * weight, bias))


def test_lengths_of_maps_count_unless_they_are_normalised() -> None:
    student, teacher = answer(5, 4, 0), answer(7, 8, 1)
    assert value(scaled(student, 3), teacher) == pytest.approx(value(student, teacher), rel=1e-12)
    plain = value(student, teacher, normalise=False)
    assert value(scaled(student, 3), teacher, normalise=False) > 2 * plain


def test_the_bias_is_left_out() -> None:
    student, teacher = answer(5, 4, 0), answer(7, 8, 1)
    assert student.classifier is not None
    moved = replace(student, classifier=(student.classifier[0], student.classifier[1] + 9))
    assert value(moved, teacher) == value(student, teacher)


def test_maps_are_those_of_a_1x1_convolution_pooled() -> None:
    student, teacher = answer(5, 4, 0), answer(7, 8, 1)

    def maps(output: Output) -> Tensor:
        assert output.classifier is not None
        weight = output.classifier[0][:, :, None, None]
        return nn.functional.adaptive_avg_pool2d(nn.functional.conv2d(last_map(output), weight), 2)

    expected = (maps(student) - maps(teacher)).square().mean().item()
    assert value(student, teacher, normalise=False) == pytest.approx(expected, rel=1e-12)


def test_maps_that_are_smaller_than_what_they_are_pooled_to_are_refused() -> None:
    with pytest.raises(BadInputError, match="of the student is 1x1; set its pool to at most 1"):
        value(answer(5, 1, 0), answer(7, 8, 1))
    with pytest.raises(BadInputError, match="of the teacher is 3x3; set its pool to at most 3"):
        value(answer(5, 4, 0), answer(7, 3, 1), pool=4)
    value(answer(5, 1, 0), answer(7, 8, 1), pool=1)
