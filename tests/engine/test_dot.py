"""The optimiser dot against its formula, written out for one parameter at a time."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdgap.methods import Step
from kdgap.models.taps import Taps
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
    stream, own = lab.stream(run), student.method
    network.train()
    for step in range(stream.steps):
        images, labels = stream.batch(0, step)
        stages = network.stages
        answer = network(images, Taps(maps=stages))
        with torch.no_grad():
            target = teacher(images, Taps(maps=stages))
        at = Step(labels, stream.indices(0, step), 0, 1)
        terms = own.terms(answer, target, at, parts).values()
        losses = {
            "task": own.ce_weight * F.cross_entropy(answer.logits, labels),
            "teacher": own.kd_weight * sum((t.weight * t.value for t in terms), torch.zeros(())),
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


def test_without_a_difference_it_is_plain_momentum(lab: Lab) -> None:
    recipe = {"nesterov": False, "epochs": 1, "lr": 0.02}
    usual = lab.train(lab.spec("logit", recipe=recipe))
    same = lab.train(lab.spec("logit", recipe={**recipe, "optimiser": "dot", "dot_delta": 0.0}))
    other = lab.train(lab.spec("logit", recipe={**recipe, "optimiser": "dot", "dot_delta": 0.09}))
    for name, tensor in usual.last.items():
        torch.testing.assert_close(same.last[name], tensor, rtol=2e-4, atol=2e-5)
    assert any(not torch.equal(other.last[name], t) for name, t in same.last.items())
