"""The optimiser dot against its formula, written out for one parameter at a time."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.engine.optimise import clip_both
from kdgap.methods import Step
from kdgap.models.taps import Taps
from kdgap.spec.run import RecipeSpec
from tests.engine.conftest import Lab

RECIPE: dict[str, Any] = {"optimiser": "dot", "nesterov": False, "epochs": 1}


def by_hand(lab: Lab, method: str, recipe: dict[str, Any]) -> dict[str, Tensor]:
    """Train an epoch with two buffers a parameter, as the paper's equations 7 to 9 say."""
    run = lab.spec(method, recipe=recipe)
    student, teacher = lab.student(run)
    assert teacher is not None
    network, parts, known = student.network, student.projections, run.recipe
    named = {**dict(network.named_parameters()), **dict(parts.named_parameters(prefix="parts"))}
    buffers: dict[tuple[str, str], Tensor] = {}
    kd_weight, ce_weight = student.method.weights(0, 1)
    stream, own = lab.stream(run), student.method
    network.train()
    for step in range(stream.steps):
        images, labels = lab.images(stream, 0, step)
        stages = network.stages
        answer = network(images, Taps(maps=stages))
        with torch.no_grad():
            target = teacher(images, Taps(maps=stages))
        at = Step(labels, stream.indices(0, step), 0, 1)
        terms = own.terms(answer, target, at, parts).values()
        losses = {
            "task": ce_weight * F.cross_entropy(answer.logits, labels),
            "teacher": kd_weight * sum((t.weight * t.value for t in terms), torch.zeros(())),
        }
        slopes = {
            kind: dict(zip(named, torch.autograd.grad(
                value, list(named.values()), retain_graph=True, allow_unused=True), strict=True))
            for kind, value in losses.items()
        }  # fmt: skip
        whole = [
            sum((s[n] for s in slopes.values() if s[n] is not None), torch.zeros(())) for n in named
        ]
        norm = torch.sqrt(sum((g.square().sum() for g in whole), torch.zeros(())))
        factor = min(1.0, known.clip_norm / (float(norm) + 1e-6))
        with torch.no_grad():
            for name, weight in named.items():
                given = {k: s[name] * factor for k, s in slopes.items() if s[name] is not None}
                first = True
                before = weight.clone()
                for kind, gradient in given.items():
                    delta = known.dot_delta * (1 if kind == "teacher" else -1)
                    m = known.momentum + (delta if len(given) == 2 else 0)
                    slope = gradient + (known.weight_decay * before if first else 0)
                    first = False
                    buffers[name, kind] = m * buffers.get((name, kind), 0) + slope
                    weight.sub_(known.lr * buffers[name, kind])
    return dict(network.state_dict())


@pytest.mark.parametrize("method", ["logit", "feature"])
@pytest.mark.parametrize("clip", ["all", "off"])
def test_two_momenta_move_the_weights_as_the_paper_says(lab: Lab, method: str, clip: str) -> None:
    recipe = {**RECIPE, "clip_scope": clip, "clip_norm": 0.5 if clip == "all" else 1.0, "lr": 0.02}
    if clip == "off":
        expected = by_hand(lab, method, {**recipe, "clip_norm": 1e6})
    else:
        expected = by_hand(lab, method, recipe)
    trained = lab.train(lab.spec(method, recipe=recipe))
    for name, tensor in trained.last.items():
        torch.testing.assert_close(tensor, expected[name], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("method", ["logit_mse", "label_smoothing", "simkd"])
def test_what_one_loss_alone_reaches_has_one_momentum(lab: Lab, method: str) -> None:
    recipe = {"nesterov": False, "epochs": 1, "lr": 0.02, "optimiser": "dot"}
    few, many = (
        lab.train(lab.spec(method, recipe={**recipe, "dot_delta": delta})) for delta in (0.0, 0.09)
    )
    for name, tensor in few.last.items():
        torch.testing.assert_close(many.last[name], tensor, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("scope", "own", "other"),
    [("all", 1 / 13, 1 / 13), ("student_only", 0.2, 1), ("apart", 0.2, 1 / 12), ("off", 1, 1)],
)
def test_both_gradients_are_clipped_by_the_norm_of_their_sum(
    scope: Any, own: float, other: float
) -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    task, taught = (1.0, 4.0, None), (2.0, None, 12.0)  # sums 3, 4 and 12
    distillation = {}
    for weight, first, second in zip(weights, task, taught, strict=True):
        weight.grad = None if first is None else torch.tensor([first])
        if second is not None:
            distillation[weight] = torch.tensor([second])
    recipe = RecipeSpec(clip_scope=scope, clip_norm=1.0)
    norms = clip_both(weights[:2], weights[2:], distillation, recipe)
    assert [float(norm) for norm in norms] == [13.0, 12.0]
    clipped = [weight.grad for weight in weights]
    assert clipped[0] is not None
    assert clipped[1] is not None
    assert clipped[2] is None
    assert [float(clipped[0]), float(clipped[1])] == pytest.approx([own, 4 * own], rel=1e-5)
    assert float(distillation[weights[0]]) == pytest.approx(2 * own, rel=1e-5)
    assert float(distillation[weights[2]]) == pytest.approx(12 * other, rel=1e-5)


def test_without_a_difference_it_is_plain_momentum(lab: Lab) -> None:
    recipe = {"nesterov": False, "epochs": 1, "lr": 0.02}
    usual = lab.train(lab.spec("logit", recipe=recipe))
    same = lab.train(lab.spec("logit", recipe={**recipe, "optimiser": "dot", "dot_delta": 0.0}))
    other = lab.train(lab.spec("logit", recipe={**recipe, "optimiser": "dot", "dot_delta": 0.09}))
    for name, tensor in usual.last.items():
        torch.testing.assert_close(same.last[name], tensor, rtol=2e-4, atol=2e-5)
    assert any(not torch.equal(other.last[name], t) for name, t in same.last.items())
