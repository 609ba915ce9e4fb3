"""CRD: negatives are others, drawn once and addressed; its memories are what a plain loop makes."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdgap.engine.cohort import Member, train_cohort
from kdgap.errors import BadInputError, StoppedError
from kdgap.methods import Step, build_method
from kdgap.methods.method import Method
from kdgap.methods.parts.contrast import most_negatives, negatives
from kdgap.models.output import Output
from tests.engine.conftest import Lab, trained

LABELS = torch.tensor([3, 0, 0, 3, 1, 3, 0, 1, 3, 3])  # 2 is no image's class
STATE = {"memory_student", "memory_teacher", "z", "embed_student.weight", "embed_student.bias"}
STATE |= {"embed_teacher.weight", "embed_teacher.bias"}


def draw(count: int, seed: int = 0, labels: Tensor = LABELS) -> Tensor:
    return negatives(labels, labels, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_negatives_are_of_other_classes_and_each_at_most_once(count: int) -> None:
    for seed in range(50):
        rows = draw(count, seed)
        assert rows.shape == (len(LABELS), count)
        assert bool((LABELS[rows] != LABELS[:, None]).all())
        assert all(len(set(row)) == count for row in rows.tolist())


def test_as_many_as_there_are_is_all_of_them() -> None:
    assert most_negatives(LABELS) == 5
    others = {place for place, label in enumerate(LABELS.tolist()) if label != 3}
    assert set(draw(5)[0].tolist()) == others


def test_negatives_are_addressed_and_as_likely_as_each_other() -> None:
    assert torch.equal(draw(4, 7), draw(4, 7))
    assert not torch.equal(draw(4, 7), draw(4, 8))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draw(4)
    assert torch.equal(torch.get_rng_state(), before)
    times, own = 4000, LABELS[:1]
    g = torch.Generator().manual_seed(0)
    drawn = torch.cat([negatives(LABELS, own, 2, g)[0] for _ in range(times)])
    counts = drawn.bincount(minlength=len(LABELS))[own != LABELS]
    expected = 2 * times / 5
    # Each number is within 5 deviations of a binomial one.
    assert float((counts - expected).abs().max()) < 5 * math.sqrt(expected * 0.6)


def answers(indices: Tensor, seed: int) -> tuple[Output, Output, Step]:
    g = torch.Generator().manual_seed(seed)
    student, teacher = (
        torch.randn(len(indices), width, generator=g, dtype=torch.float64) for width in (3, 6)
    )
    logits = torch.zeros(len(indices), 4, dtype=torch.float64)
    return (
        Output(logits, embedding=student),
        Output(logits, embedding=teacher),
        Step(LABELS[indices], indices, 0, 1, seed),
    )


def built(**parameters: Any) -> tuple[Method, nn.Module]:
    method = build_method("crd", {"negatives": 4, "width": 4, **parameters})
    student, teacher, _ = answers(torch.tensor([0]), 0)
    torch.manual_seed(0)
    return method, method.build(student, teacher, LABELS).double()


def test_too_many_negatives_are_refused_with_the_most_that_work() -> None:
    with pytest.raises(BadInputError, match=r"of 1,000 training images at most 900 are; set its"):
        build_method("crd", {}).check_data(10, 1000, 64)
    build_method("crd", {"negatives": 900}).check_data(10, 1000, 64)
    build_method("crd", {"negatives": 6}).check_data(3, 10, 64)  # as far as is known by then
    with pytest.raises(BadInputError, match=r"crd .* 6 of other .* its negatives to at most 5$"):
        built(negatives=6)
    built(negatives=5)
    with pytest.raises(BadInputError, match="at most 0 are; choose another method"):
        build_method("crd", {"negatives": 1}).check_data(1, 10, 64)


def test_labels_are_no_part_of_the_state_and_memories_begin_uniform() -> None:
    _, parts = built(width=300)
    assert set(parts.state_dict()) == STATE
    assert dict(parts.named_buffers())["labels"].tolist() == LABELS.tolist()
    for side in ("student", "teacher"):
        memory = parts.get_buffer(f"memory_{side}")
        assert memory.shape == (10, 300)
        assert 0.098 < float(memory.abs().max()) <= 0.1  # 1 / sqrt(300 / 3)
        lengths = memory.norm(dim=1)
        assert float((lengths - 1).abs().max()) < 0.1


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def embedded(parts: nn.Module, side: str, x: list[float]) -> list[float]:
    layer = parts.get_submodule(f"embed_{side}")
    weight, bias = layer.get_parameter("weight").tolist(), layer.get_parameter("bias").tolist()
    rows = [
        sum(w * v for w, v in zip(row, x, strict=True)) + b
        for row, b in zip(weight, bias, strict=True)
    ]
    return unit(rows)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_memories_and_z_after_some_steps_are_those_of_a_plain_loop(momentum: float) -> None:
    method, parts = built(momentum=momentum)
    sides = ("student", "teacher")
    memory = {side: parts.get_buffer(f"memory_{side}").tolist() for side in sides}
    z: dict[str, float] = {}
    for seed, batch in enumerate(([3, 0, 7], [1, 2], [0, 9, 4, 5])):
        student, teacher, step = answers(torch.tensor(batch), seed)
        inputs = dict(zip(sides, (student.embedding, teacher.embedding), strict=True))
        drawn = negatives(LABELS, LABELS[batch], 4, step.generator()).tolist()
        f = {
            side: [embedded(parts, side, row) for row in x.tolist()]
            for side, x in inputs.items()
            if x is not None
        }
        if not z:
            for side, other in (sides, sides[::-1]):
                powers = [
                    math.exp(sum(map(float.__mul__, memory[other][row], own)) / 0.07)
                    for image, rows, own in zip(batch, drawn, f[side], strict=True)
                    for row in (image, *rows)
                ]
                z[side] = len(LABELS) * sum(powers) / len(powers)
        before = parts.get_buffer("memory_student").clone()
        method.terms(student, teacher, step, parts)
        assert torch.equal(parts.get_buffer("memory_student"), before)
        with torch.no_grad():
            method.update_state(student, teacher, step, parts)
        for side in sides:
            for image, own in zip(batch, f[side], strict=True):
                old = memory[side][image]
                row = [momentum * a + (1 - momentum) * b for a, b in zip(old, own, strict=True)]
                memory[side][image] = unit(row)
    for side in sides:
        expected = torch.tensor(memory[side], dtype=torch.float64)
        torch.testing.assert_close(parts.get_buffer(f"memory_{side}"), expected)
    assert parts.get_buffer("z").tolist() == pytest.approx([z["student"], z["teacher"]], rel=1e-12)


def test_the_first_loss_uses_the_z_that_it_leaves() -> None:
    method, parts = built()
    given = answers(torch.tensor([3, 0, 7]), 0)
    first = method.terms(*given, parts)["contrast"].value.item()
    start = {name: value.clone() for name, value in parts.state_dict().items()}
    with torch.no_grad():
        method.update_state(*given, parts)
    parts.load_state_dict({**start, "z": parts.get_buffer("z")})
    assert method.terms(*given, parts)["contrast"].value.item() == pytest.approx(first, rel=1e-14)
    parts.load_state_dict({**start, "z": 2 * parts.get_buffer("z")})
    assert method.terms(*given, parts)["contrast"].value.item() != pytest.approx(first, rel=1e-3)


def test_the_first_batchs_z_is_a_constant_to_gradients() -> None:
    method, parts = built()
    given, trained = answers(torch.tensor([3, 0, 7]), 0), list(parts.parameters())

    def slopes() -> tuple[Tensor, ...]:
        return torch.autograd.grad(method.terms(*given, parts)["contrast"].value, trained)

    first, start = slopes(), {name: value.clone() for name, value in parts.state_dict().items()}
    with torch.no_grad():
        method.update_state(*given, parts)
    parts.load_state_dict({**start, "z": parts.get_buffer("z")})
    for own, kept in zip(first, slopes(), strict=True):
        torch.testing.assert_close(own, kept)


def test_the_loss_of_the_sharpest_products_is_right_in_float32() -> None:
    """Of partners that are equal, exp(1 / 0.02) = 5e21, and of negatives that are opposite."""
    values = {}
    for dtype in (torch.float32, torch.float64):
        method, parts = built(temperature=0.02)
        parts = parts.to(dtype)
        _, _, step = answers(torch.tensor([3, 0]), 0)
        alike = Output(torch.zeros(2, 4).to(dtype), embedding=torch.ones(2, 6).to(dtype))
        student = Output(alike.logits, embedding=torch.ones(2, 3).to(dtype))
        direction = torch.tensor([0.5, -0.5, 0.5, 0.5])
        with torch.no_grad():
            for side in ("student", "teacher"):
                layer = parts.get_submodule(f"embed_{side}")
                layer.get_parameter("weight").zero_()
                layer.get_parameter("bias").copy_(direction)
                parts.get_buffer(f"memory_{side}").copy_(-direction.expand(10, 4))
                parts.get_buffer(f"memory_{side}")[3] = direction
        value = method.terms(student, alike, step, parts)["contrast"].value
        value.backward()
        assert all(bool(p.grad.isfinite().all()) for p in parts.parameters() if p.grad is not None)
        values[dtype] = value.item()
    assert values[torch.float32] == pytest.approx(values[torch.float64], rel=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("chances", [1, 3, 5, 7])
def test_stopped_and_resumed_the_memories_are_the_same_bits(precision: str, chances: int) -> None:
    lab = Lab(129)
    run = lab.spec("crd", precision=precision, recipe={"epochs": 4})

    def member() -> tuple[Member, Any]:
        student, teacher = lab.student(run)
        return Member(student), teacher

    whole, teacher = member()
    train_cohort([whole], teacher, lab.stream(run), lab.parts.val)
    trained(whole)
    left = chances

    def pause() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoppedError("stopped", 130)

    stopped, teacher = member()
    with pytest.raises(StoppedError):
        train_cohort([stopped], teacher, lab.stream(run), lab.parts.val, pause=pause)
    resumed, teacher = member()
    resumed.resume(stopped.snapshot())
    train_cohort([resumed], teacher, lab.stream(run), lab.parts.val)
    trained(resumed)
    expected, restored = whole.student.state(), resumed.student.state()
    assert {f"projections.{name}" for name in STATE} <= set(expected)
    assert bool((expected["projections.z"] > 0).all())
    assert expected["projections.memory_student"].dtype == torch.float32
    assert set(restored) == set(expected)
    assert all(torch.equal(restored[name], value) for name, value in expected.items())
