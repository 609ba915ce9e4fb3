"""OFD: its margins are means of negative numbers, and silence need only be silence."""

import math

import pytest
import torch
from torch import nn

from kdgap.methods import Step, build_method
from kdgap.methods.method import Method
from kdgap.methods.ofd import margins
from kdgap.models.output import Output


def mean_of_negatives(gamma: float, beta: float) -> float:
    """Integrate over the negative half of a normal density, in many small steps."""
    low = min(beta, 0.0) - 12 * gamma
    step = -low / 200_000
    total = weighted = 0.0
    for i in range(200_000):
        x = low + (i + 0.5) * step
        density = math.exp(-(((x - beta) / gamma) ** 2) / 2)
        total += density
        weighted += density * x
    return weighted / total


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("gamma", "beta"), [(1.0, 0.0), (1.0, 0.5), (0.3, -0.7), (-2.0, 1.0), (0.05, 0.15)]
)
def test_a_margin_is_the_mean_of_the_negative_numbers(
    gamma: float, beta: float, dtype: torch.dtype
) -> None:
    margin = margins(torch.tensor([gamma], dtype=dtype), torch.tensor([beta], dtype=dtype))
    assert margin.dtype == dtype
    assert margin.item() == pytest.approx(mean_of_negatives(abs(gamma), beta), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_margins_where_negative_numbers_are_rare_or_gamma_is_nothing(dtype: torch.dtype) -> None:
    cases = [
        (1.0, 4.0, -3.0),  # Phi(-4) = 3e-5
        (-1.0, 30.0, -3.0),  # where Phi is 0 in float64, too
        (0.0, 2.0, 0.0),
        (0.0, 0.0, 0.0),
        (0.0, -2.0, -2.0),
        (1e-30, -2.0, -2.0),
        (1e-30, 2.0, -3e-30),
        (1.0, -1000.0, -1000.0),
    ]
    weight, bias, expected = (
        torch.tensor(column, dtype=dtype) for column in zip(*cases, strict=True)
    )
    margin = margins(weight, bias)
    torch.testing.assert_close(margin, expected.to(margin.dtype), rtol=1e-2, atol=0.0)
    assert bool((margin <= 0).all())


def test_the_margin_changes_form_at_a_thousandth() -> None:
    rare = 3.0902323061678132  # Phi(-rare) = 0.001
    shifts = torch.tensor([rare - 1e-6, rare + 1e-6], dtype=torch.float64)
    margin = margins(torch.ones(2, dtype=torch.float64), shifts)
    assert margin[0].item() == pytest.approx(mean_of_negatives(1.0, rare), rel=1e-3)
    assert margin[1].item() == -3.0


def stages_of(pixels: dict[str, list[float]]) -> tuple[Method, Output, Output, Step, nn.Module]:
    """Return stages of one channel and four pixels on both sides, through connectors of nothing."""
    maps = {name: torch.tensor(x).double().view(1, 1, 2, 2) for name, x in pixels.items()}
    scale, zero = torch.ones(1).double(), torch.zeros(1).double()
    method, logits = build_method("ofd", {}), torch.zeros(1, 3).double()
    stages = [name for name in maps if name != "teacher"]
    student = Output(logits, before_relu={name: maps[name] for name in stages})
    teacher = Output(
        logits,
        before_relu=dict.fromkeys(stages, maps["teacher"]),
        norms=dict.fromkeys(stages, (scale, zero)),
    )
    parts = method.build(student, teacher, torch.zeros(1).long()).double().eval()
    for stage in stages:
        with torch.no_grad():
            parts.get_parameter(f"stages.{stage}.conv.weight").fill_(math.sqrt(1 + 1e-5))
    return method, student, teacher, Step(torch.zeros(1).long(), torch.zeros(1).long()), parts


def value(method: Method, student: Output, teacher: Output, step: Step, parts: nn.Module) -> float:
    return method.terms(student, teacher, step, parts)["margin"].value.item()


def test_only_what_the_teacher_says_and_what_it_does_not_say_counts() -> None:
    margin = -math.sqrt(2 / math.pi)
    teacher = [2.0, -0.5, -3.0, -3.0]
    # As the teacher says; above and below the teacher's number; below, above the margin.
    pixels = {"a": [1.0, -0.2, -5.0, 0.5], "teacher": teacher}
    expected = 1.0 + 0.3**2 + 0 + (0.5 - margin) ** 2
    assert value(*stages_of(pixels)) == pytest.approx(expected / 1000, rel=1e-9)


def test_earlier_stages_weigh_half_each() -> None:
    quiet, loud, teacher = [1.0] * 4, [2.0, 1.0, 1.0, 1.0], [1.0] * 4
    for place, share in enumerate((1 / 4, 1 / 2, 1)):
        pixels = {name: loud if i == place else quiet for i, name in enumerate("abc")}
        margin = value(*stages_of({**pixels, "teacher": teacher}))
        assert margin == pytest.approx(share / 1000, rel=1e-9)


def test_a_first_stage_without_a_partner_is_left_out() -> None:
    method, student, teacher, step, parts = stages_of({"b": [3.0] * 4, "teacher": [1.0] * 4})
    more = Output(
        teacher.logits,
        before_relu={"a": 100 * torch.ones(1, 7, 4, 4).double(), **teacher.before_relu},
        norms={"a": (torch.ones(7).double(), torch.ones(7).double()), **teacher.norms},
    )
    assert set(dict(parts.named_parameters())) == {
        "stages.b.conv.weight",
        "stages.b.bn.weight",
        "stages.b.bn.bias",
    }
    assert value(method, student, more, step, parts) == value(method, student, teacher, step, parts)
