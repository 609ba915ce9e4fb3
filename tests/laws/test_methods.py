"""Laws that every registered method obeys; a new method is picked up by itself."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any, ClassVar

import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from kdgap.errors import BadInputError
from kdgap.methods import METHODS, Method, Step, build_method
from kdgap.methods.method import STRICT
from kdgap.methods.method import method as registered
from kdgap.models.output import Output
from kdgap.spec.model import ModelSpec
from tests.laws.numpy_logits import asymmetric, standardised
from tests.laws.numpy_reference import IDENTITIES, Given, Integers, Reference, Side
from tests.laws.numpy_reference import REFERENCES as FIRST
from tests.laws.numpy_reference_more import MORE

BATCH, CLASSES = 6, 5
STAGES = ("layer1", "layer2", "layer3")
# (student channels and size, teacher channels and size) of each stage: sizes equal, sizes that
# divide, and sizes that do not.
SHAPES = {
    "layer1": ((3, 8), (5, 8)),
    "layer2": ((4, 8), (4, 4)),
    "layer3": ((6, 5), (2, 3)),
}
REFERENCES = FIRST | MORE
CASES: list[tuple[str, dict[str, Any]]] = [
    (name, dict(parameters)) for name, cls in METHODS.items() for parameters in cls.examples
]
LABELS = torch.arange(4 * BATCH) % CLASSES
"""Of all training images; the batch is some of them."""
OUTSIDE = {"alpha", "ce_weight", "classifier_weight", "weight"}
"""Hyper-parameters that weigh whole losses: the engine's tests hold these."""


def outputs(
    seed: int = 0, *, batch: int = BATCH, classes: int = CLASSES
) -> tuple[Output, Output, Step]:
    """Return what a student and a teacher answer, all that may be asked for, and a step."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    def answer(side: int) -> Output:
        maps = {name: (batch, s[side][0], s[side][1], s[side][1]) for name, s in SHAPES.items()}
        before = {name: draw(*shape) for name, shape in maps.items()}
        width = SHAPES["layer3"][side][0]
        return Output(
            3 * draw(batch, classes),
            {name: draw(*shape) for name, shape in maps.items()},
            before,
            draw(batch, width),
            (draw(classes, width), draw(classes)),
            {name: (draw(s[side][0]), draw(s[side][0])) for name, s in SHAPES.items()},
            connected=draw(batch, SHAPES["layer3"][1][0], 3, 3) if side == 0 else None,
            pooled=draw(*maps["layer3"]),
        )

    student, teacher = answer(0), answer(1)
    indices = torch.randperm(len(LABELS), generator=g)[:batch]
    return student, teacher, Step(LABELS[indices] % classes, indices, 3, 40, 7)


def leaves(output: Output) -> dict[str, Tensor]:
    """Return every tensor of an answer by a name."""
    named = {"logits": output.logits}
    named |= {f"features.{stage}": value for stage, value in output.features.items()}
    named |= {f"before_relu.{stage}": value for stage, value in output.before_relu.items()}
    if output.embedding is not None:
        named["embedding"] = output.embedding
    if output.connected is not None:
        named["connected"] = output.connected
    if output.pooled is not None:
        named["pooled"] = output.pooled
    if output.classifier is not None:
        named |= dict(zip(("weight", "bias"), output.classifier, strict=True))
    return named


def mapped(
    output: Output, change: Callable[[Tensor], Tensor], *, classifier: bool = True
) -> Output:
    """Return an answer with every tensor changed; batch norms stay as they are."""
    kept = output.classifier
    return Output(
        change(output.logits),
        {stage: change(value) for stage, value in output.features.items()},
        {stage: change(value) for stage, value in output.before_relu.items()},
        None if output.embedding is None else change(output.embedding),
        (change(kept[0]), change(kept[1])) if kept and classifier else kept,
        output.norms,
        connected=None if output.connected is None else change(output.connected),
        pooled=None if output.pooled is None else change(output.pooled),
    )


def step_mapped(step: Step, change: Callable[[Tensor], Tensor], **fields: Tensor) -> Step:
    """Return a step with other fields, and what is answered to a second view changed."""
    if step.strong is None:
        return replace(step, **fields)  # type: ignore[arg-type]
    own, other = (mapped(answer, change, classifier=False) for answer in step.strong)
    return replace(step, strong=(own, other), **fields)  # type: ignore[arg-type]


def side(output: Output) -> Side:
    """Return an output as the references take it."""
    plain = mapped(output, Tensor.detach)
    return Side(
        plain.logits.numpy(),
        {stage: value.numpy() for stage, value in plain.features.items()},
        {stage: value.numpy() for stage, value in plain.before_relu.items()},
        None if plain.embedding is None else plain.embedding.numpy(),
        plain.classifier and (plain.classifier[0].numpy(), plain.classifier[1].numpy()),
        {stage: (scale.numpy(), shift.numpy()) for stage, (scale, shift) in plain.norms.items()},
        None if plain.connected is None else plain.connected.numpy(),
        None if plain.pooled is None else plain.pooled.numpy(),
    )


def setting(
    name: str, parameters: dict[str, Any], seed: int = 0, **sizes: int
) -> tuple[Method, Output, Output, Step, nn.Module]:
    method = build_method(name, parameters)
    student, teacher, step = outputs(seed, **sizes)
    student = student.only(method.student_taps(STAGES))
    teacher = teacher.only(method.teacher_taps(STAGES))
    if method.views > 1:
        step = replace(step, strong=outputs(seed + 100, **sizes)[:2])
    torch.manual_seed(seed)
    return (
        method,
        student,
        teacher,
        step,
        method.build(student, teacher, LABELS % student.logits.shape[1]).double(),
    )


def loss(method: Method, student: Output, teacher: Output, step: Step, parts: nn.Module) -> Tensor:
    terms = method.terms(student, teacher, step, parts)
    zero = torch.zeros((), dtype=torch.float64)
    return sum((term.weight * term.value for term in terms.values()), zero)


def assert_finite(value: Tensor, student: Output) -> None:
    """Hold a loss and its gradients on the student to be finite."""
    assert torch.isfinite(value)
    if value.requires_grad:
        value.backward()
        grads = [leaf.grad for leaf in leaves(student).values() if leaf.grad is not None]
        assert all(bool(torch.isfinite(grad).all()) for grad in grads)


def drawn_negatives(name: str, method: Method, student: Output, step: Step) -> Integers | None:
    """Return the training images that a method compares each image with, where it draws any."""
    if name != "crd":
        return None
    contrast = import_module("kdgap.methods.parts.contrast")
    labels = LABELS % student.logits.shape[1]
    count = method.parameters()["negatives"]
    rows: Integers = contrast.negatives(labels, step.labels, count, step.generator()).numpy()
    return rows


def fields_of(name: str) -> dict[str, Any]:
    """Return every hyper-parameter of a method, those at their neutral value, too."""
    return asdict(build_method(name, {}))  # type: ignore[call-overload, no-any-return]


def reference_of(name: str, parameters: Mapping[str, Any]) -> Reference:
    """Return the reference of a method, with what its switches change."""
    reference = REFERENCES[name]
    if {"temperature_true", "temperature_others"} & parameters.keys():
        reference = asymmetric
    if name == "mlkd":  # it standardises in one of its parts
        return reference
    return standardised(reference) if parameters.get("standardise") else reference


def test_every_method_is_tested_and_has_a_numpy_reference() -> None:
    assert set(METHODS) == set(REFERENCES) == {name for name, _ in CASES}
    for name in METHODS:
        default = fields_of(name)
        tried = [parameters for other, parameters in CASES if other == name]
        for key in set(default) - OUTSIDE:
            values = {default[key], *(given[key] for given in tried if key in given)}
            assert len(values) > 1, f"{name}: its examples never change {key}"


def test_every_method_says_where_it_comes_from() -> None:
    for name, cls in METHODS.items():
        assert cls.name == name
        assert cls.label
        assert any(char.isdigit() for char in cls.citation), f"{name}: no year in its citation"
        assert cls.__doc__


@pytest.mark.parametrize("name", list(METHODS))
def test_every_hyperparameter_changes_the_loss(name: str) -> None:
    """A switch that changes nothing is a mistake: here of value, schedule, weights or state."""

    def seen(parameters: dict[str, Any]) -> tuple[object, ...]:
        try:
            method, student, teacher, step, parts = setting(name, parameters)
        except BadInputError:  # too much for these few images, which is seen as well
            return ()
        scales = [method.weights(epoch, 40) for epoch in range(40)]
        values = []
        for _ in range(2):
            value = loss(method, student, teacher, step, parts)
            values.append(value.item())
            trained = list(parts.parameters())
            slopes = torch.autograd.grad(value, trained, allow_unused=True) if trained else ()
            values += [
                float(slope.sum())
                for slope in slopes
                if slope is not None  # type: ignore[redundant-expr]
            ]
            with torch.no_grad():
                method.update_state(student, teacher, step, parts)
        network = method.deployed(ModelSpec(name="resnet8"), ModelSpec(name="resnet14"))
        return (*values, network, *scales)

    default = fields_of(name)
    tried = [parameters for other, parameters in CASES if other == name]
    for key, usual in default.items():
        others = [given for given in tried if given.get(key, usual) != usual]
        if key in OUTSIDE:
            others = [{**METHODS[name].examples[0], key: float(str(usual)) / 2 + 0.125}]
        for given in others:
            back = {k: v for k, v in given.items() if k != key}
            assert seen(given) != seen(back), f"{name}: {key} changes nothing in {given}"


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_agrees_with_the_numpy_reference_to_1e_9(name: str, parameters: dict[str, Any]) -> None:
    for seed in range(5):
        method, student, teacher, step, parts = setting(name, parameters, seed)
        state = {key: value.numpy().copy() for key, value in parts.state_dict().items()}
        terms = method.terms(student, teacher, step, parts)
        expected = reference_of(name, parameters)(
            Given(
                asdict(method),  # type: ignore[call-overload]
                side(student),
                side(teacher),
                step.labels.numpy(),
                state,
                step.indices.numpy(),
                drawn_negatives(name, method, student, step),
                step.strong and (side(step.strong[0]), side(step.strong[1])),
            )
        )
        values = {key: term.weight * term.value.item() for key, term in terms.items()}
        assert values == pytest.approx(expected, abs=1e-9, rel=1e-9)


@pytest.mark.parametrize(
    "fast",
    [
        pytest.param(True, id="along one direction"),
        pytest.param(False, id="along each axis", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_gradient_is_right(name: str, parameters: dict[str, Any], fast: bool) -> None:
    method, student, teacher, step, parts = setting(name, parameters)
    if not method.terms(student, teacher, step, parts):
        pytest.skip("not applicable: it has no terms")
    inputs = {key: value.requires_grad_() for key, value in leaves(student).items()}
    # A tuple of no ends is none that a name ends with.
    weights = [p for key, p in parts.named_parameters() if not key.endswith(method.steered)]
    with torch.no_grad():  # what a first step finds and keeps is a constant to gradients
        method.update_state(student, teacher, step, parts)

    def scalar(*values: Tensor) -> Tensor:
        given: Mapping[str, Tensor] = dict(zip(inputs, values, strict=False))

        def of(kind: str) -> dict[str, Tensor]:
            starts = f"{kind}."
            return {k.removeprefix(starts): v for k, v in given.items() if k.startswith(starts)}

        answer = Output(
            given["logits"],
            of("features"),
            of("before_relu"),
            given.get("embedding"),
            (given["weight"], given["bias"]) if "weight" in given else None,
            student.norms,
            connected=given.get("connected"),
            pooled=given.get("pooled"),
        )
        return loss(method, answer, teacher, step, parts)

    # gradcheck perturbs its inputs in place, so the parts' weights are checked as well.
    assert torch.autograd.gradcheck(scalar, (*inputs.values(), *weights), fast_mode=fast)


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_is_finite_for_extreme_outputs(
    name: str, parameters: dict[str, Any], dtype: torch.dtype
) -> None:
    method, student, teacher, step, parts = setting(name, parameters)
    narrow = dtype is torch.bfloat16
    parts = parts.float() if narrow else parts.to(dtype)
    for scale in (0.0, 1e-6, 1e4):
        a, b = (
            mapped(answer, lambda x, scale=scale: (scale * x).to(dtype).detach())  # type: ignore[misc]
            for answer in (student, teacher)
        )
        for leaf in leaves(a).values():
            leaf.requires_grad_()
        at = step_mapped(step, lambda x, scale=scale: (scale * x).to(dtype).detach())  # type: ignore[misc]
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            value = loss(method, a, b, at, parts)
        assert torch.isfinite(value), scale
        if value.requires_grad:
            value.backward()
            for key, leaf in leaves(a).items():
                assert leaf.grad is None or bool(torch.isfinite(leaf.grad).all()), (scale, key)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_no_gradient_reaches_the_teacher_and_no_answer_is_written_into(
    name: str, parameters: dict[str, Any]
) -> None:
    method, student, teacher, step, parts = setting(name, parameters)
    before = [value.clone() for value in (*leaves(student).values(), *leaves(teacher).values())]
    for leaf in leaves(student).values():
        leaf.requires_grad_()
    value = loss(method, student, teacher, step, parts)
    if value.requires_grad:
        value.backward()
    assert all(leaf.grad is None for leaf in leaves(teacher).values())
    after = [*leaves(student).values(), *leaves(teacher).values()]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_every_trained_part_gets_a_gradient_and_is_in_the_state(
    name: str, parameters: dict[str, Any]
) -> None:
    moved: set[str] = set()
    for seed in range(5):  # a ReLU of few channels may be off for all of a batch
        method, student, teacher, step, parts = setting(name, parameters, seed)
        trained = dict(parts.named_parameters())
        assert set(trained) <= set(parts.state_dict())
        assert all(METHODS[name].has_projections for _ in trained)
        if trained:
            loss(method, student, teacher, step, parts).backward()
            moved |= {k for k, p in trained.items() if p.grad is not None and bool(p.grad.any())}
    assert moved == set(trained)
    for end in method.undecayed:
        assert any(key.endswith(end) for key in trained) or not trained


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_vanishes_when_student_and_teacher_agree(name: str, parameters: dict[str, Any]) -> None:
    method = build_method(name, parameters)
    if not method.vanishes_at_equality():
        pytest.skip("not applicable: an entropy, a constant or a trained part is left at equality")
    _, teacher, step = outputs()
    same = teacher.only(method.student_taps(STAGES))
    other_side = teacher.only(method.teacher_taps(STAGES))
    parts = method.build(same, other_side, LABELS).double()
    if list(parts.parameters()):
        with torch.no_grad():
            IDENTITIES[name](parts)
    step = replace(step, strong=(same, other_side)) if method.views > 1 else step

    def distillation(answer: Output) -> float:
        terms = method.terms(answer, other_side, step, parts).items()
        # A second view's cross-entropy is no distillation.
        return sum(term.weight * term.value.item() for key, term in terms if key != "strong_ce")

    at_equality = distillation(same)
    assert at_equality == pytest.approx(0, abs=method.zero_at_equality_to)
    flipped = mapped(same, lambda x: x.flip(0), classifier=False)
    differs = distillation(flipped)
    assert differs > 1e-3, f"{name}: with the example {parameters} its loss vanishes everywhere"


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_order_of_images_does_not_matter(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, step, parts = setting(name, parameters)
    if method.depends_on_order():
        pytest.skip("not applicable: it draws by place, or compares neighbours of the batch")
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    before = loss(method, student, teacher, step, parts)
    moved = step_mapped(
        step, lambda x: x[order], labels=step.labels[order], indices=step.indices[order]
    )
    a, b = (mapped(x, lambda x: x[order], classifier=False) for x in (student, teacher))
    assert loss(method, a, b, moved, parts).item() == pytest.approx(before.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_only_a_loss_that_compares_images_is_more_than_the_mean_of_its_parts(
    name: str, parameters: dict[str, Any]
) -> None:
    """On several devices each computes a part, so what a method says of itself must be true."""
    method, student, teacher, step, parts = setting(name, parameters)
    parts.eval()  # batch norm is another matter, see `models/split_norm.py`
    total = 0.0
    for part in (slice(2), slice(2, BATCH)):

        def taken(x: Tensor, part: slice = part) -> Tensor:
            return x[part]

        own = step_mapped(step, taken, labels=step.labels[part], indices=step.indices[part])
        a, b = (mapped(x, taken, classifier=False) for x in (student, teacher))
        total += len(own.labels) / BATCH * loss(method, a, b, own, parts).item()
    whole = loss(method, student, teacher, step, parts).item()
    assert (total != pytest.approx(whole, rel=1e-9, abs=1e-12)) == method.compares_images()


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_order_of_classes_does_not_matter(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, step, parts = setting(name, parameters)
    order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(2))
    place = torch.argsort(order)
    before = loss(method, student, teacher, step, parts)

    def moved(answer: Output) -> Output:
        kept = answer.classifier
        classes = kept and (kept[0][order], kept[1][order])
        return replace(answer, logits=answer.logits[:, order], classifier=classes)

    relabelled = replace(step, labels=place[step.labels])
    if step.strong is not None:
        relabelled = replace(relabelled, strong=(moved(step.strong[0]), moved(step.strong[1])))
    after = loss(method, moved(student), moved(teacher), relabelled, parts)
    assert after.item() == pytest.approx(before.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_low_precision_outputs_give_a_float32_loss(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, step, parts = setting(name, parameters)
    parts = parts.float()
    with torch.autocast("cpu", torch.bfloat16):
        low = [mapped(answer, Tensor.bfloat16) for answer in (student, teacher)]
        terms = method.terms(low[0], low[1], step_mapped(step, Tensor.bfloat16), parts)
    for term in terms.values():
        assert term.value.dtype == torch.float32
        assert torch.isfinite(term.value)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_partial_batches_are_finite(name: str, parameters: dict[str, Any]) -> None:
    for batch in (2, 3, 5):
        method, student, teacher, step, parts = setting(name, parameters, batch=batch)
        for leaf in leaves(student).values():
            leaf.requires_grad_()
        assert_finite(loss(method, student, teacher, step, parts), student)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_two_classes_are_defined_or_refused(name: str, parameters: dict[str, Any]) -> None:
    method, student, teacher, step, parts = setting(name, parameters, classes=2)
    refused = True
    with suppress(BadInputError):
        method.check_data(2, 1000, 128)
        refused = False
    if refused:
        return
    for leaf in leaves(student).values():
        leaf.requires_grad_()
    assert_finite(loss(method, student, teacher, step, parts), student)


def test_usual_data_are_refused_by_no_method() -> None:
    for name, parameters in CASES:
        build_method(name, parameters).check_data(10, 45_000, 128)


def test_schedules_are_shares_that_rise_to_one_or_fall_from_it() -> None:
    for name, parameters in CASES:
        method = build_method(name, parameters)
        for epochs in (1, 2, 7, 240):
            scales = [method.scale(epoch, epochs) for epoch in range(epochs)]
            assert all(0 <= scale <= 1 and math.isfinite(scale) for scale in scales)
            assert max(scales) > 0
            assert scales in (sorted(scales), sorted(scales, reverse=True))
        assert max(scales) == 1


def test_early_stopped_distillation_is_plain_training_from_a_share_of_the_epochs_on() -> None:
    method = build_method("logit", {"alpha": 0.9, "stop_at": 0.55})
    assert [method.weights(epoch, 20) for epoch in (0, 10, 11, 19)] == [
        *[(0.9, pytest.approx(0.1))] * 2,
        *[(0.0, 1.0)] * 2,
    ]
    assert build_method("logit", {"stop_at": 0.01}).weights(0, 6) == (0.5, 0.5)
    both = build_method("crd+logit", {"crd_negatives": 5, "crd_width": 8, "logit_stop_at": 0.5})
    student, teacher, step = outputs()
    parts = both.build(student, teacher, LABELS).double()
    weights = [
        {key: term.weight for key, term in both.terms(student, teacher, at, parts).items()}
        for at in (step, replace(step, epoch=20))
    ]
    assert weights == [
        {"crd_contrast": 0.8, "logit_kl": 16.0},
        {"crd_contrast": 0.8, "logit_kl": 0.0},
    ]


def test_soft_targets_gradient_keeps_its_size_over_temperatures() -> None:
    """Hinton et al. 2015: with the factor T^2 the gradient has a limit for a hot softmax."""
    student, teacher, step = outputs()
    sizes = []
    for temperature in (50.0, 100.0, 200.0):
        logits = student.logits.detach().clone().requires_grad_()
        method = build_method("logit", {"temperature": temperature})
        loss(method, Output(logits), teacher, step, nn.Module()).backward()
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
    with pytest.raises(ValueError, match="temperature has another type or range than method"):
        registered(Odd)
    assert "odd" not in METHODS
    Odd.flat_names = {"odd_width": "width", "odd_temperature": "temperature"}
    registered(Odd)
    METHODS._entries.pop("odd")
