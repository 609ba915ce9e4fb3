"""The training page keeps its promises: semantics of the reference, determinism, honesty."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kdgap.engine.student as page
from kdgap.addressing import address
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.meter import DivergedError
from kdgap.engine.optimise import clip_gradients, learning_rate
from kdgap.engine.tracker import NoTracker
from kdgap.methods import METHODS, Method, Step
from kdgap.models.output import Output
from kdgap.models.taps import Taps
from kdgap.spec.run import RecipeSpec
from kdgap.store.weights import weight_hash
from tests.engine.conftest import Lab

if TYPE_CHECKING:
    from kdgap.engine.student import Student


def test_total_is_alpha_times_distillation_plus_the_rest(lab: Lab) -> None:
    for method, parts in (("logit", {"kl": 16.0}), ("feature", {"mse": 1.0, "cos": 0.5})):
        run = lab.spec(method, parameters={"alpha": 0.3})
        for entry in lab.train(run).history:
            kd = sum(weight * entry[f"loss_{name}"] for name, weight in parts.items())
            assert entry["loss_kd"] == pytest.approx(kd, rel=1e-5)
            total = 0.3 * entry["loss_kd"] + 0.7 * entry["loss_ce"]
            assert entry["loss_total"] == pytest.approx(total, rel=1e-5)


def test_early_stopped_distillation_weighs_the_labels_by_one_in_the_end(lab: Lab) -> None:
    run = lab.spec("logit", parameters={"alpha": 0.3, "stop_at": 0.5}, recipe={"epochs": 2})
    first, last = lab.train(run).history
    assert first["loss_total"] == pytest.approx(0.3 * first["loss_kd"] + 0.7 * first["loss_ce"])
    assert last["loss_total"] == last["loss_ce"]
    assert last["loss_kd"] > 0
    assert first["term_grad_norm"]["kl"] > 0
    assert last["term_grad_norm"]["kl"] == 0


def test_alpha_zero_is_the_baseline_and_alpha_one_ignores_the_labels(lab: Lab) -> None:
    baseline = lab.train(lab.spec())
    zero = lab.train(lab.spec("logit", parameters={"alpha": 0.0}))
    for name, tensor in zero.last.items():
        torch.testing.assert_close(tensor, baseline.last[name], rtol=1e-4, atol=1e-5)
    distilled = lab.spec("logit", parameters={"alpha": 1.0})
    other = lab.spec("logit", parameters={"alpha": 1.0})
    before = lab.train(distilled)
    stirred = Lab()
    stirred.parts.train.labels[:] = stirred.parts.train.labels.flip(0)
    assert weight_hash(stirred.train(other).last) == weight_hash(before.last)
    assert before.history[0]["term_grad_norm"]["ce"] == 0


def test_runs_of_one_seed_start_from_the_same_weights(lab: Lab) -> None:
    states = [lab.student(lab.spec(method))[0].network.state_dict() for method in METHODS]
    for state in states[1:]:
        # With a teacher's classifier the student is inside a larger network.
        own = {name.removeprefix("body."): tensor for name, tensor in state.items()}
        shared = own.keys() & states[0].keys()
        assert len(shared) >= len(states[0]) - 2
        assert all(torch.equal(own[name], states[0][name]) for name in shared)


def test_student_trains_in_training_mode_also_after_validation(lab: Lab) -> None:
    students: list[Student] = []
    modes = set()

    class Watch(NoTracker):
        def on_step(self, epoch: int, step: int, steps: int) -> None:
            modes.add(students[0].network.training)

    lab.train(lab.spec(recipe={"epochs": 3}), (Watch(),), students.append)
    assert modes == {True}


@pytest.mark.parametrize("method", ["logit", "feature"])
def test_teacher_is_frozen_in_evaluation_mode(lab: Lab, method: str) -> None:
    run = lab.spec(method)
    student, teacher = lab.student(run)
    assert teacher is not None
    before = weight_hash(teacher.network.state_dict())
    train_cohort([Member(student)], teacher, lab.stream(run), lab.parts.val)
    assert weight_hash(teacher.network.state_dict()) == before  # batch-norm statistics included
    assert not teacher.network.training
    assert not any(module.training for module in teacher._answering.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.network.parameters())
    answer = teacher(torch.zeros(2, 1, 8, 8), Taps(maps=teacher.network.stages))
    assert not answer.logits.requires_grad


def test_projections_are_trained_and_addressed(lab: Lab) -> None:
    run = lab.spec("feature")
    student, teacher = lab.student(run)
    again, _ = lab.student(run)
    before = [p.detach().clone() for p in student.projection_parameters]
    assert all(torch.equal(a, b) for a, b in zip(before, again.projection_parameters, strict=True))
    train_cohort([Member(student)], teacher, lab.stream(run), lab.parts.val)
    moved = [
        not torch.equal(a, b) for a, b in zip(before, student.projection_parameters, strict=True)
    ]
    assert len(moved) == 3
    assert all(moved)


def test_another_seed_begins_with_other_weights_and_other_projections(lab: Lab) -> None:
    run = lab.spec("feature")
    first, other = (lab.student(run.model_copy(update={"seed": seed}))[0] for seed in (0, 1))
    for kind in ("network_parameters", "projection_parameters"):
        pairs = zip(getattr(first, kind), getattr(other, kind), strict=True)
        drawn = [(a, b) for a, b in pairs if a.dim() > 1]
        assert drawn
        assert not any(torch.equal(a, b) for a, b in drawn)


def test_what_a_method_draws_is_addressed_by_seed_epoch_and_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    cls = METHODS["logit"]
    terms = cls.terms

    def seen(self: Method, student: Output, teacher: Output, step: Step, parts: nn.Module) -> Any:
        seeds.append(step.seed)
        return terms(self, student, teacher, step, parts)

    monkeypatch.setattr(cls, "terms", seen)
    for seed in (0, 1):
        lab.train(lab.spec("logit").model_copy(update={"seed": seed}))
    places = [(epoch, step) for epoch in range(2) for step in range(4)]
    assert seeds == [address(seed, "method", *place) for seed in (0, 1) for place in places]
    assert len(set(seeds)) == 16


@pytest.mark.parametrize("optimiser", ["sgd", "dot"])
@pytest.mark.parametrize(
    ("method", "left"), [("vid", "log_scale"), ("ctkd", "temperature"), ("feature", "nothing")]
)
def test_weight_decay_reaches_all_but_what_a_method_leaves_alone(
    lab: Lab, method: str, left: str, optimiser: str
) -> None:
    recipe = {"optimiser": optimiser, "nesterov": False, "weight_decay": 0.1}
    student, _ = lab.student(lab.spec(method, recipe=recipe))
    groups = student.optimiser.param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    trained = dict(student.network.named_parameters())
    trained |= {f"parts.{name}": p for name, p in student.projections.named_parameters()}
    expected = {name: 0.0 if name.endswith(left) else 0.1 for name in trained}
    assert {name: decay[id(p)] for name, p in trained.items()} == expected
    assert len(decay) == len(trained)


def test_cosine_schedule_is_torchs() -> None:
    recipe = RecipeSpec(epochs=7, lr=0.3, eta_min=0.01)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 7, 0.01)
    for epoch in range(7):
        assert learning_rate(recipe, epoch) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        optimiser.step()
        schedule.step()
    assert learning_rate(recipe, 7) == pytest.approx(0.01)


def test_step_schedule_is_torchs() -> None:
    recipe = RecipeSpec(epochs=7, lr=0.3, schedule="step", milestones=[2, 5], factor=0.2)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 5], 0.2)
    for epoch in range(7):
        assert learning_rate(recipe, epoch) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        optimiser.step()
        schedule.step()


def gradients(*values: list[float]) -> list[nn.Parameter]:
    parameters = []
    for value in values:
        parameter = nn.Parameter(torch.zeros(len(value)))
        parameter.grad = torch.tensor(value)
        parameters.append(parameter)
    return parameters


@pytest.mark.parametrize(
    ("scope", "student", "projections"),
    [
        ("all", [3 / 13, 4 / 13], [12 / 13]),
        ("student_only", [3 / 5, 4 / 5], [12.0]),
        ("apart", [3 / 5, 4 / 5], [1.0]),
        ("off", [3.0, 4.0], [12.0]),
    ],
)
def test_clipping_scopes(scope: Any, student: list[float], projections: list[float]) -> None:
    own, other = gradients([3.0, 4.0]), gradients([12.0])
    total, projection = clip_gradients(own, other, scope, 1.0)
    assert (float(total), float(projection)) == (13.0, 12.0)  # the norms before clipping
    assert own[0].grad is not None
    assert other[0].grad is not None
    assert own[0].grad.tolist() == pytest.approx(student, rel=1e-5)
    assert other[0].grad.tolist() == pytest.approx(projections, rel=1e-5)


def test_small_gradients_are_left_alone() -> None:
    own = gradients([0.3, 0.4])
    clip_gradients(own, [], "all", 1.0)
    assert own[0].grad is not None
    assert own[0].grad.tolist() == pytest.approx([0.3, 0.4], rel=1e-6)


def test_recorded_norms_are_maxima_over_the_epoch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, float]] = []

    def spy(*args: Any) -> tuple[Tensor, Tensor]:
        norms = clip_gradients(*args)
        seen.append((float(norms[0]), float(norms[1])))
        return norms

    monkeypatch.setattr(page, "clip_gradients", spy)
    history = lab.train(lab.spec("feature", recipe={"clip_scope": "student_only"})).history
    steps = len(seen) // 2
    for entry, part in zip(history, (seen[:steps], seen[steps:]), strict=True):
        assert entry["grad_norm_max"] == max(total for total, _ in part)
        assert entry["proj_grad_norm_max"] == max(projection for _, projection in part)


def test_term_gradients_add_up_to_the_total(lab: Lab) -> None:
    """One term only: its gradient norm is the whole gradient's norm, at the first step."""
    entry = lab.train(lab.spec(recipe={"epochs": 1, "batch_size": 200})).history[0]
    assert entry["term_grad_norm"]["ce"] == pytest.approx(entry["grad_norm_max"], rel=1e-6)
    run = lab.spec("logit", parameters={"alpha": 1.0}, recipe={"epochs": 1, "batch_size": 200})
    entry = lab.train(run).history[0]
    assert entry["term_grad_norm"]["kl"] == pytest.approx(entry["grad_norm_max"], rel=1e-6)
    feature = lab.train(lab.spec("feature")).history[0]["term_grad_norm"]
    assert set(feature) == {"ce", "mse", "cos"}
    assert all(norm > 0 for norm in feature.values())


def test_soft_targets_are_described_at_their_temperature(lab: Lab) -> None:
    cold = lab.train(lab.spec("logit", parameters={"temperature": 1.0})).history[0]
    hot = lab.train(lab.spec("logit", parameters={"temperature": 100.0})).history[0]
    assert hot["teacher_entropy"] == pytest.approx(math.log(10), abs=1e-2)
    assert hot["teacher_top_prob"] == pytest.approx(0.1, abs=1e-2)
    assert cold["teacher_entropy"] < hot["teacher_entropy"]
    assert "teacher_entropy" not in lab.train(lab.spec("feature")).history[0]


@pytest.mark.parametrize("bad_step", [1, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_names_the_first_bad_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, bad_step: int, value: float
) -> None:
    original, count = F.cross_entropy, 0

    def poisoned(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal count
        count += 1
        loss = original(logits, labels)
        return loss * value if count == bad_step else loss

    monkeypatch.setattr(F, "cross_entropy", poisoned)
    with pytest.raises(DivergedError, match=f"step {bad_step} of epoch 1") as caught:
        lab.train(lab.spec())
    assert (caught.value.epoch, caught.value.step) == (1, bad_step)


def test_a_tie_in_validation_keeps_the_earliest_epoch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([0.3, 0.5, 0.5, 0.4])
    monkeypatch.setattr("kdgap.engine.cohort.accuracy", lambda logits, labels: next(answers))
    states: list[str] = []

    class Keep(NoTracker):
        def on_epoch(self, entry: Mapping[str, Any]) -> None:
            states.append(weight_hash(student[0].network.state_dict()))

    student: list[Student] = []
    trained = lab.train(lab.spec(recipe={"epochs": 4}), (Keep(),), student.append)
    assert trained.best_epoch == 2
    assert weight_hash(trained.best) == states[1]
    assert weight_hash(trained.last) == states[3]


def test_watchers_see_every_step_and_epoch(lab: Lab) -> None:
    seen: list[Any] = []

    class Watch(NoTracker):
        def on_step(self, epoch: int, step: int, steps: int) -> None:
            seen.append((epoch, step, steps))

        def on_epoch(self, entry: Mapping[str, Any]) -> None:
            seen.append(entry["epoch"])

    lab.train(lab.spec(), (Watch(),))
    steps = [(1, i, 4) for i in range(1, 5)], [(2, i, 4) for i in range(1, 5)]
    assert seen == [*steps[0], 1, *steps[1], 2]


def test_history_has_the_references_keys(lab: Lab) -> None:
    keys = {"epoch", "val_acc", "loss_ce", "loss_kd", "loss_total", "train_acc", "grad_norm_max"}
    assert keys <= set(lab.train(lab.spec()).history[0])
    feature = lab.train(lab.spec("feature")).history[0]
    assert {*keys, "loss_mse", "loss_cos", "proj_grad_norm_max"} <= set(feature)


def test_simkd_trains_and_keeps_its_teachers_classifier_as_it_is(lab: Lab) -> None:
    run = lab.spec("simkd")
    teacher = lab.teacher(run)
    assert teacher is not None
    own = teacher.network.state_dict()
    trained = lab.train(run)
    for state in (trained.best, trained.last):
        assert torch.equal(state["classifier.weight"], own["fc.weight"])
        assert torch.equal(state["classifier.bias"], own["fc.bias"])


def test_members_of_a_combination_keep_their_state(lab: Lab) -> None:
    student, _ = lab.student(lab.spec("crd+logit"))
    before = {k: v.clone() for k, v in student.projections.state_dict().items()}
    students: list[Student] = []
    lab.train(lab.spec("crd+logit"), change=students.append)
    after = students[0].projections.state_dict()
    assert not before["crd.z"].any()
    assert bool((after["crd.z"] > 0).all())
    for side in ("student", "teacher"):
        moved = (after[f"crd.memory_{side}"] != before[f"crd.memory_{side}"]).any(1)
        assert bool(moved.all())


def test_a_second_views_cross_entropy_weighs_what_the_first_does(lab: Lab) -> None:
    run = lab.spec("logit+mlkd", parameters={"ce_weight": 0.7})
    for entry in lab.train(run).history:
        parts = {"logit_kl": 16.0, "mlkd_instance": 0.9, "mlkd_batch": 0.9, "mlkd_class": 0.9}
        kd = sum(weight * entry[f"loss_{name}"] for name, weight in parts.items())
        whole = kd + 0.7 * (entry["loss_ce"] + entry["loss_mlkd_strong_ce"])
        assert entry["loss_total"] == pytest.approx(whole, rel=1e-5)
