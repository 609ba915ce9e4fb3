"""Laws that every registered method obeys; a new method is picked up by itself."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kdgap.methods import METHODS, Method, build_method
from kdgap.methods.method import STRICT
from kdgap.methods.method import method as registered
from kdgap.models.output import Output
from tests.laws.numpy_reference import IDENTITIES, REFERENCES, Given, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

BATCH, CLASSES = 6, 5
STAGES = ("layer1", "layer2", "layer3")
# (student channels and size, teacher channels and size) of each stage: sizes equal, sizes that
# divide, and sizes that do not.
SHAPES = {
    "layer1": ((3, 8), (5, 8)),
    "layer2": ((4, 8), (4, 4)),
    "layer3": ((6, 5), (2, 3)),
}
CASES: list[tuple[str, dict[str, Any]]] = [
    (name, dict(parameters)) for name, cls in METHODS.items() for parameters in cls.examples
]


def outputs(seed: int = 0) -> tuple[Output, Output, Tensor]:
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    student = Output(
        3 * draw(BATCH, CLASSES),
        {
            name: draw(BATCH, shape[0][0], shape[0][1], shape[0][1])
            for name, shape in SHAPES.items()
        },
    )
    teacher = Output(
        3 * draw(BATCH, CLASSES),
        {
            name: draw(BATCH, shape[1][0], shape[1][1], shape[1][1])
            for name, shape in SHAPES.items()
        },
    )
    return student, teacher, torch.randint(0, CLASSES, (BATCH,), generator=g)


def only(output: Output, stages: tuple[str, ...]) -> Output:
    return Output(output.logits, {stage: output.features[stage] for stage in stages})


def side(output: Output) -> Side:
    """Return an output as the references take it."""
    features = {stage: value.detach().numpy() for stage, value in output.features.items()}
    return Side(output.logits.detach().numpy(), features)


def setting(
    name: str, parameters: dict[str, Any], seed: int = 0
) -> tuple[Method, Output, Output, Tensor, nn.Module]:
    method = build_method(name, parameters)
    student, teacher, labels = outputs(seed)
    student = only(student, method.student_stages(STAGES))
    teacher = only(teacher, method.teacher_stages(STAGES))
    torch.manual_seed(seed)
    return method, student, teacher, labels, method.build(student, teacher).double()


def loss(
    method: Method, student: Output, teacher: Output, labels: Tensor, projections: nn.Module
) -> Tensor:
    terms = method.terms(student, teacher, labels, projections)
    zero = torch.zeros((), dtype=torch.float64)
    return sum((term.weight * term.value for term in terms.values()), zero)


def permuted(output: Output, order: Tensor) -> Output:
    return Output(output.logits[order], {k: v[order] for k, v in output.features.items()})


def test_every_method_is_tested_and_has_a_numpy_reference() -> None:
    assert set(METHODS) == set(REFERENCES) == {name for name, _ in CASES}
    for name in METHODS:
        default = build_method(name, {}).parameters()
        tried = [parameters for other, parameters in CASES if other == name]
        # `alpha` weighs the loss from outside; whatever else a method has is tried at two values.
        for key in set(default) - {"alpha"}:
            values = {default[key], *(given[key] for given in tried if key in given)}
            assert len(values) > 1, f"{name}: its examples never change {key}"


def test_every_method_says_where_it_comes_from() -> None:
    for name, cls in METHODS.items():
        assert cls.name == name
        assert cls.label
        assert any(char.isdigit() for char in cls.citation), f"{name}: no year in its citation"
        assert cls.__doc__


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_agrees_with_the_numpy_reference_to_1e_9(name: str, parameters: dict[str, Any]) -> None:
    for seed in range(5):
        method, student, teacher, labels, projections = setting(name, parameters, seed)
        terms = method.terms(student, teacher, labels, projections)
        expected = REFERENCES[name](
            Given(
                asdict(method),  # type: ignore[call-overload]
                side(student),
                side(teacher),
                labels.numpy(),
                {key: value.numpy() for key, value in projections.state_dict().items()},
            )
        )
        found = {key: term.weight * term.value.item() for key, term in terms.items()}
        assert found == pytest.approx(expected, abs=1e-9, rel=1e-9)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_gradient_is_right(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, labels, projections = setting(name, parameters)
    if not METHODS[name].needs_teacher:
        assert method.terms(student, teacher, labels, projections) == {}
        return
    names, inputs = ["logits"], [student.logits.requires_grad_()]
    for stage, value in student.features.items():
        names.append(stage)
        inputs.append(value.requires_grad_())
    weights = list(projections.parameters())

    def scalar(*values: Tensor) -> Tensor:
        given: Mapping[str, Tensor] = dict(zip(names, values, strict=False))
        features = {k: v for k, v in given.items() if k != "logits"}
        return loss(method, Output(given["logits"], features), teacher, labels, projections)

    # gradcheck perturbs its inputs in place, so the projections' weights are checked as well.
    assert torch.autograd.gradcheck(scalar, (*inputs, *weights))


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_is_finite_for_extreme_outputs(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, labels, projections = setting(name, parameters)
    for scale in (0.0, 1e-6, 1e4):
        a = Output(scale * student.logits, {k: scale * v for k, v in student.features.items()})
        b = Output(scale * teacher.logits, {k: scale * v for k, v in teacher.features.items()})
        for leaf in (a.logits, *a.features.values()):
            leaf.requires_grad_()
        value = loss(method, a, b, labels, projections)
        assert torch.isfinite(value)
        if value.requires_grad:
            value.backward()
            leaves = (a.logits, *a.features.values())
            assert all(x.grad is None or bool(torch.isfinite(x.grad).all()) for x in leaves)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_vanishes_when_student_and_teacher_agree(name: str, parameters: dict[str, Any]) -> None:
    method = build_method(name, parameters)
    if not method.zero_at_equality:
        return
    _, teacher, labels = outputs()
    same = only(teacher, method.student_stages(STAGES))
    projections = method.build(same, same).double()
    if list(projections.parameters()):
        with torch.no_grad():
            IDENTITIES[name](projections)
    assert loss(method, same, same, labels, projections).item() == pytest.approx(0, abs=1e-12)
    other = Output(same.logits.flip(0), {k: v.flip(0) for k, v in same.features.items()})
    differs = loss(method, other, same, labels, projections).item()
    assert differs > 1e-3, f"{name}: with the example {parameters} its loss vanishes everywhere"


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_order_of_images_does_not_matter(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, labels, projections = setting(name, parameters)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    before = loss(method, student, teacher, labels, projections)
    after = loss(
        method, permuted(student, order), permuted(teacher, order), labels[order], projections
    )
    assert after.item() == pytest.approx(before.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_order_of_classes_does_not_matter(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, labels, projections = setting(name, parameters)
    order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(2))
    place = torch.argsort(order)
    before = loss(method, student, teacher, labels, projections)
    after = loss(
        method,
        Output(student.logits[:, order], student.features),
        Output(teacher.logits[:, order], teacher.features),
        place[labels],
        projections,
    )
    assert after.item() == pytest.approx(before.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_low_precision_outputs_give_a_float32_loss(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, labels, projections = setting(name, parameters)
    narrow = projections.to(torch.bfloat16)

    def low(output: Output) -> Output:
        features = {k: v.bfloat16() for k, v in output.features.items()}
        return Output(output.logits.bfloat16(), features)

    for term in method.terms(low(student), low(teacher), labels, narrow).values():
        assert term.value.dtype == torch.float32
        assert torch.isfinite(term.value)


def test_soft_targets_gradient_keeps_its_size_over_temperatures() -> None:
    """Hinton et al. 2015: with the factor T^2 the gradient has a limit for a hot softmax."""
    student, teacher, labels = outputs()
    sizes = []
    for temperature in (50.0, 100.0, 200.0):
        logits = student.logits.detach().clone().requires_grad_()
        method = build_method("logit", {"temperature": temperature})
        loss(method, Output(logits), teacher, labels, nn.Module()).backward()
        assert logits.grad is not None
        sizes.append(float(logits.grad.norm()))
    assert sizes[2] == pytest.approx(sizes[1], rel=0.02)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.04)


def test_a_hyperparameter_takes_no_key_of_a_run_or_of_another_method() -> None:
    @dataclass(frozen=True, config=STRICT)
    class Odd(Method):
        """A method whose keys would be taken for others'."""

        name: ClassVar[str] = "odd"
        label: ClassVar[str] = "Odd"
        summary: ClassVar[str] = "odd"
        citation: ClassVar[str] = "nobody"
        width: float = 1.0
        temperature: int = 2

    with pytest.raises(ValueError, match="width is a key of every run"):
        registered(Odd)
    Odd.flat_names = {"odd_width": "width"}
    with pytest.raises(
        ValueError, match="temperature has another type or range than method 'logit'"
    ):
        registered(Odd)
    assert "odd" not in METHODS
    Odd.flat_names = {"odd_width": "width", "odd_temperature": "temperature"}
    registered(Odd)
    METHODS._entries.pop("odd")
