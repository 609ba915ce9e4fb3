"""The engine trains as a loop does that is written with torch's own optimiser and losses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdgap.addressing import address
from kdgap.methods import METHODS, Method, Step
from kdgap.models.output import Output
from kdgap.models.reused import ReusedClassifier
from kdgap.models.taps import Taps
from kdgap.spec.run import RunSpec
from tests.engine.conftest import Lab


def plain_loss(
    method: Method,
    values: Mapping[str, object],
    output: Output,
    target: Output,
    step: Step,
    parts: nn.Module,
) -> Tensor:
    """The whole loss: of the reference's methods written out, of others by their own terms."""
    ce = F.cross_entropy(output.logits, step.labels)
    if method.name == "logit":
        t = float(str(values["temperature"]))
        log_student, soft = F.log_softmax(output.logits / t, 1), F.softmax(target.logits / t, 1)
        kd = t * t * F.kl_div(log_student, soft, reduction="batchmean")
    elif method.name == "feature":
        mse, cos = [], []
        for stage in output.features:
            matrix = parts.get_parameter(f"stages.{stage}.weight")
            a, b = F.conv2d(output.features[stage], matrix), target.features[stage]
            mse.append(F.mse_loss(a, b))
            p, q = (F.adaptive_avg_pool2d(x, 1).flatten(1) for x in (a, b))
            cos.append(1 - F.cosine_similarity(p, q).mean())
        kd = torch.stack(mse).mean() + float(str(values["beta"])) * torch.stack(cos).mean()
    else:  # the laws hold terms to their references: here weights and the loop are of interest
        stages = tuple(output.features)
        own, other = method.student_taps(stages), method.teacher_taps(stages)
        given = target.only(other) if method.needs_teacher else target
        terms = method.terms(output.only(own), given, step, parts).values()
        kd = sum((term.weight * term.value for term in terms), torch.zeros(()))
        warm = values.get("warmup", 0)
        share = min(1.0, (step.epoch + 1) / float(str(warm))) if warm else 1.0
        if "alpha" in values and "ce_weight" not in values:
            alpha = float(str(values["alpha"]))
            return alpha * kd + (1 - alpha) * ce
        ce_weight = values.get("ce_weight", 1 - float(str(values.get("eps", 0.0))))
        return share * kd + float(str(ce_weight)) * ce
    alpha = float(str(values["alpha"]))
    return alpha * kd + (1 - alpha) * ce


def plain_loop(lab: Lab, run: RunSpec) -> dict[str, Tensor]:
    """Train the same run with torch's own optimiser, schedule, clipping and losses only."""
    student, teacher = lab.student(run)
    network, projections = student.network, student.projections
    recipe, values = run.recipe, run.method.parameters
    parameters = [*network.parameters(), *projections.parameters()]
    left = ("log_scale", "temperature")
    undecayed = [p for name, p in projections.named_parameters() if name.endswith(left)]
    decayed = [p for p in parameters if not any(p is other for other in undecayed)]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(
        groups, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs, recipe.eta_min)
    stream = lab.stream(run)
    for epoch in range(recipe.epochs):
        network.train()
        for step in range(stream.steps):
            images, labels = lab.images(stream, epoch, step)
            stages = network.stages
            whole = Taps(stages, stages, embedding=True, classifier=True, norms=stages, pooled=True)
            drawn = address(run.seed, "method", epoch, step)
            at = Step(labels, stream.indices(epoch, step), epoch, recipe.epochs, drawn)
            pixels, _ = stream.pixels(epoch, step)
            views = [images, lab.dataset.seen_by(None)(stream.stronger(pixels, epoch, step))]
            answers = []
            for view in views[: student.method.views]:
                taps = replace(whole, connected=isinstance(network, ReusedClassifier))
                output, target = network(view, taps), Output(torch.empty(0))
                if teacher is not None:
                    with torch.no_grad():
                        target = teacher.network(view, whole)
                answers.append((output, target))
            output, target = answers[0]
            at = replace(at, strong=answers[1] if len(answers) > 1 else None)
            loss = plain_loss(student.method, values, output, target, at, projections)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            with torch.no_grad():
                student.method.update_state(output, target, at, projections)
            optimiser.step()
        schedule.step()
    return dict(network.state_dict())


@pytest.mark.parametrize("images", [200, 129])  # of 129 in batches of 64, one is left over
@pytest.mark.parametrize("method", list(METHODS))
def test_trains_like_a_plain_torch_loop(method: str, images: int) -> None:
    lab = Lab(images)
    # Some losses amplify the last bits tenfold a step: theirs are compared for one epoch.
    epochs = 3 if method in ("none", "logit", "feature", "dkd") else 1
    run = lab.spec(method, recipe={"epochs": epochs, "clip_norm": 0.5})
    trained, expected = lab.train(run), plain_loop(lab, run)
    for name, tensor in trained.last.items():
        torch.testing.assert_close(tensor, expected[name], rtol=2e-4, atol=2e-5)
