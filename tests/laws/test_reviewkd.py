"""ReviewKD: levels are paired from the deepest on, and built from the shapes of both networks."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from kdgap.methods import Step, build_method
from kdgap.methods.method import Method
from kdgap.methods.reviewkd import _apart
from kdgap.models.output import Output

Shape = tuple[int, int]
STUDENT: dict[str, Shape] = {"one": (3, 8), "two": (4, 6), "three": (6, 4)}
TEACHER: dict[str, Shape] = {"a": (2, 16), "b": (5, 8), "c": (7, 5), "d": (8, 2)}
"""Channels and size of each stage."""


def answer(stages: dict[str, Shape], seed: int, batch: int = 3) -> Output:
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=g, dtype=torch.float64)

    maps = {stage: draw(width, side, side) for stage, (width, side) in stages.items()}
    deepest = list(stages.values())[-1][0]
    return Output(draw(3), maps, maps, draw(deepest))


def case(own: dict[str, Shape], other: dict[str, Shape]) -> tuple[Method, Output, Output, Step]:
    labels = torch.zeros(3).long()
    step = Step(labels, labels)
    return build_method("reviewkd", {}), answer(own, 0), answer(other, 1), step


def value(method: Method, student: Output, teacher: Output, step: Step, parts: nn.Module) -> float:
    return method.terms(student, teacher, step, parts)["review"].value.item()


@pytest.mark.parametrize("turned", [False, True])
def test_three_against_four_stages_leave_the_first_one_out(turned: bool) -> None:
    own, other = (TEACHER, STUDENT) if turned else (STUDENT, TEACHER)
    method, student, teacher, step = case(own, other)
    parts = method.build(student, teacher, step.labels).double()
    assert [name for name, _ in parts.get_submodule("levels").named_children()] == list("0123")
    before = value(method, student, teacher, step, parts)
    for stage in TEACHER:
        if turned:
            maps = {**student.features, stage: 2 * student.features[stage] + 1}
            maps[stage][:, :, 0] = 0  # batch norm would undo a change of scale alone
            changed = value(method, replace(student, features=maps), teacher, step, parts)
        else:
            maps = {**teacher.before_relu, stage: teacher.before_relu[stage] + 1}
            changed = value(method, student, replace(teacher, before_relu=maps), step, parts)
        assert (changed == before) == (stage == "a"), stage


def test_levels_have_the_shapes_of_their_pairs_and_the_names_of_the_specification() -> None:
    method, student, teacher, step = case(STUDENT, TEACHER)
    parts = method.build(student, teacher, step.labels)
    shapes = {name: tuple(p.shape) for name, p in parts.named_parameters() if ".bn." not in name}
    pairs = [(6, 8), (6, 8), (4, 7), (3, 5)]  # embeddings, then the stages from the last one
    expected: dict[str, tuple[int, ...]] = {}
    for level, (inputs, outputs) in enumerate(pairs):
        expected[f"levels.{level}.conv1.conv.weight"] = (6, inputs, 1, 1)
        expected[f"levels.{level}.conv2.conv.weight"] = (outputs, 6, 3, 3)
        if level:
            expected[f"levels.{level}.attention.weight"] = (2, 12, 1, 1)
            expected[f"levels.{level}.attention.bias"] = (2,)
    assert shapes == expected
    assert {"levels.0.conv1.bn.running_mean", "levels.3.conv2.bn.bias"} <= set(parts.state_dict())


def test_fused_maps_have_at_most_512_channels() -> None:
    method, student, teacher, step = case({"one": (4, 4), "two": (700, 2)}, TEACHER)
    parts = method.build(student, teacher, step.labels)
    assert parts.get_parameter("levels.0.conv1.conv.weight").shape == (512, 700, 1, 1)


def test_every_deeper_level_reaches_the_shallow_ones() -> None:
    """The last level's answer changes with the embedding, by three fusions."""
    method, student, teacher, step = case(STUDENT, TEACHER)
    parts = method.build(student, teacher, step.labels).double()
    seen: list[Tensor] = []
    last = parts.get_submodule("levels.3.conv2.bn")
    last.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    value(method, student, teacher, step, parts)
    assert student.embedding is not None
    flipped = replace(student, embedding=student.embedding.flip(0))
    value(method, flipped, teacher, step, parts)
    assert seen[0].shape[1:] == (5, 8, 8)
    assert float((seen[0] - seen[1]).abs().max()) > 1e-3


def test_coarser_maps_weigh_half_of_the_one_before() -> None:
    def error(side: int, wave: list[float]) -> float:
        row = torch.tensor(wave).double().repeat(side // len(wave))
        return _apart(row.expand(1, 1, side, side), torch.zeros(1, 1, side, side)).item()

    assert error(8, [1.0]) == pytest.approx(1)
    assert error(1, [3.0]) == pytest.approx(9)  # of a single pixel there is nothing coarser
    # A wave of two pixels is nothing in the mean: full size weighs 1 of 1 + 1/2 + 1/4 + 1/8.
    assert error(8, [1.0, -1.0]) == pytest.approx(1 / 1.875)
    assert error(8, [1.0, 1.0, -1.0, -1.0]) == pytest.approx(1.5 / 1.875)
    # Maps of 4 are not pooled to 4: full size, 2 and 1 weigh 1, 1/2, 1/4.
    assert error(4, [1.0, -1.0]) == pytest.approx(1 / 1.75)
    assert error(2, [1.0, -1.0]) == pytest.approx(1 / 1.5)


def test_the_warm_up_is_counted_from_one() -> None:
    method = build_method("reviewkd", {})
    assert [method.scale(epoch, 240) for epoch in (0, 9, 19, 20, 239)] == [0.05, 0.5, 1, 1, 1]
    assert build_method("reviewkd", {"warmup": 0}).scale(0, 240) == 1
