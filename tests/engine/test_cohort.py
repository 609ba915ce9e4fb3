"""Alone, in a cohort, and resumed: the same bits; and a sibling's failure is nobody else's."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.student import Student
from kdgap.errors import StoppedError
from kdgap.models.taps import NOTHING, Taps
from kdgap.spec.identity import canonical_json, run_id
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import RunSpec
from kdgap.store.state import StateFiles
from kdgap.store.weights import weight_hash
from tests.engine.conftest import CPU, TRAINED, Lab, Trained, lab_of, trained

WIDE = ModelSpec(name="resnet8", width=1.0)  # the others are narrow, so of another layout
STEPS = 4  # 200 images in batches of 64


def grid(lab: Lab, precision: str, **recipe: Any) -> list[RunSpec]:
    """A baseline, nine Logit-KD and three Feature-KD runs of one seed."""
    logit = [{"alpha": a, "temperature": t} for a in (0.3, 0.5, 0.7) for t in (2.0, 3.0, 4.0)]
    feature = [{"alpha": a} for a in (0.3, 0.5, 0.7)]
    return [
        lab.spec("none", precision=precision, recipe=recipe),
        *(lab.spec("logit", precision=precision, parameters=p, recipe=recipe) for p in logit),
        *(lab.spec("feature", precision=precision, parameters=p, recipe=recipe) for p in feature),
    ]


def outcome(trained: Trained) -> str:
    return canonical_json(
        [weight_hash(trained.best), trained.best_epoch, weight_hash(trained.last), trained.history]
    )


def members(lab: Lab, runs: list[RunSpec]) -> tuple[list[Member], Any]:
    teacher = next((t for t in map(lab.teacher, runs) if t is not None), None)
    prepared = [
        Member(
            Student(run, lab.dataset, lab.parts.train.labels, teacher if run.teacher else None, CPU)
        )
        for run in runs
    ]
    return prepared, teacher


class StopAfter:
    """Stops a cohort at the n-th chance, as a signal would."""

    def __init__(self, chances: int) -> None:
        self.left = chances

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoppedError("stopped", 130)


def trained_three_ways(lab: Lab, runs: list[RunSpec], folder: Path, chances: int) -> list[str]:
    """Train runs alone, in a cohort, and in one that is interrupted: all must end alike."""
    alone = [outcome(lab.alone(run)) for run in runs]
    together, teacher = members(lab, runs)
    train_cohort(together, teacher, lab.stream(runs[0]), lab.parts.val)
    assert [outcome(trained(member)) for member in together] == alone
    files = [StateFiles(folder / str(number), "id") for number, _ in enumerate(runs)]
    for states in files:
        states.folder.mkdir()
    interrupted, teacher = members(lab, runs)
    place = {id(member): states for member, states in zip(interrupted, files, strict=True)}
    with pytest.raises(StoppedError):
        train_cohort(
            interrupted,
            teacher,
            lab.stream(runs[0]),
            lab.parts.val,
            pause=StopAfter(chances),
            save=lambda member: place[id(member)].write(member.snapshot()),
        )
    resumed, teacher = members(lab, runs)
    for member, states in zip(resumed, files, strict=True):
        snapshot = states.read()
        assert snapshot is not None
        member.resume(snapshot)
    train_cohort(resumed, teacher, lab.stream(runs[0]), lab.parts.val)
    assert [outcome(trained(member)) for member in resumed] == alone
    return alone


OTHERS = [("bf16", 0.125), ("fp32", 1.0), ("bf16", 1.0)]


@pytest.mark.parametrize(
    ("precision", "width", "every"),
    # Contiguous and channels-last; a whole grid of 13 runs, and every third of them.
    [("fp32", 0.125, 1)]
    + [(*kind, 3) for kind in OTHERS]
    + [pytest.param(*kind, 1, marks=pytest.mark.slow) for kind in OTHERS],
)
def test_alone_and_in_a_cohort_the_bits_are_the_same(
    lab: Lab, precision: str, width: float, every: int
) -> None:
    runs = [
        run.model_copy(update={"model": ModelSpec(name="resnet8", width=width)})
        for run in grid(lab, precision)[::every]
    ]
    assert {run.method.name for run in runs} == {"none", "logit", "feature"}
    together, teacher = members(lab, runs)
    train_cohort(together, teacher, lab.stream(runs[0]), lab.parts.val)
    alone = [outcome(lab.alone(run)) for run in runs]
    assert [outcome(trained(member)) for member in together] == alone
    assert len(set(alone)) == len(runs)


def every_run(lab: Lab, precision: str) -> list[RunSpec]:
    """A run of every method, one of them with a student of another layout."""
    runs = [lab.spec(method, precision=precision) for method in TRAINED]
    runs[2] = runs[2].model_copy(update={"model": WIDE})
    # What an optimiser of two momenta keeps, and a rate that steps.
    for method, recipe in (
        ("feature", {"optimiser": "dot", "nesterov": False}),
        ("logit", {"schedule": "step", "milestones": [1]}),
    ):
        runs.append(lab.spec(method, precision=precision, recipe=recipe))
    return runs


PLACES = [
    # Within a step, after some of the members; between steps; at the end of an epoch.
    *(("fp32", *at, 200) for at in ((0, 0), (0, 5), (1, 0), (3, -1), (4, 0), (5, 7), (7, 3))),
    *(("bf16", *at, 200) for at in ((0, 9), (3, -1), (4, 0), (6, 2))),
    # In batches of 64 and 65: stopped before and within the last step, and after it.
    *(("fp32", *at, 129) for at in ((0, 2), (1, 0), (1, 9), (2, 0))),
]
FEW = [("fp32", 0, 5, 200), ("fp32", 4, 0, 200), ("bf16", 6, 2, 200), ("fp32", 1, 9, 129)]


@pytest.mark.parametrize(
    ("precision", "steps", "further", "images"),
    [at if at in FEW else pytest.param(*at, marks=pytest.mark.slow) for at in PLACES],
)
def test_stopped_anywhere_and_resumed_from_disk_the_bits_are_the_same(
    precision: str, steps: int, further: int, images: int, tmp_path: Path
) -> None:
    lab = lab_of(images)
    runs = every_run(lab, precision)
    expected = [outcome(lab.alone(run)) for run in runs]
    chances = steps * len(runs) + further
    files = {run_id(run): StateFiles(tmp_path / run_id(run)[:12], run_id(run)) for run in runs}
    for states in files.values():
        states.folder.mkdir()

    def save(member: Member) -> None:
        files[run_id(member.student.run)].write(member.snapshot())

    interrupted, teacher = members(lab, runs)
    with pytest.raises(StoppedError):
        train_cohort(
            interrupted,
            teacher,
            lab.stream(runs[0]),
            lab.parts.val,
            pause=StopAfter(chances),
            save=save,
        )
    torch.manual_seed(5)
    resumed, teacher = members(lab, runs)
    for member in resumed:
        snapshot = files[run_id(member.student.run)].read()
        if snapshot is not None:
            member.resume(snapshot)
    assert [m.place for m in resumed] == [m.place for m in interrupted]
    train_cohort(resumed, teacher, lab.stream(runs[0]), lab.parts.val)
    assert [outcome(trained(member)) for member in resumed] == expected


def test_members_that_lag_behind_catch_up_and_go_on_in_step(lab: Lab) -> None:
    runs = [lab.spec("logit"), lab.spec("feature", recipe={"epochs": 1}), lab.spec("none")]
    ahead, teacher = members(lab, runs[:1])
    with pytest.raises(StoppedError):
        train_cohort(ahead, teacher, lab.stream(runs[0]), lab.parts.val, pause=StopAfter(STEPS + 2))
    late, teacher = members(lab, runs[1:])
    train_cohort([*ahead, *late], teacher, lab.stream(runs[0]), lab.parts.val)
    for member, run in zip([*ahead, *late], runs, strict=True):
        assert outcome(trained(member)) == outcome(lab.train(run))


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate"), None])
def test_a_member_that_fails_or_diverges_leaves_its_siblings_alone(
    lab: Lab, error: Exception | None
) -> None:
    runs = [lab.spec("logit"), lab.spec("logit", parameters={"alpha": 0.7}), lab.spec("none")]
    together, teacher = members(lab, runs)
    victim = together[1]
    ended: list[Member] = []
    step = victim.student.step

    def broken(*args: Any, **options: Any) -> Any:
        if victim.place == (1, 2):
            if error is not None:
                raise error
            with torch.no_grad():
                victim.student.network_parameters[0].fill_(float("nan"))
        return step(*args, **options)

    victim.student.step = broken  # type: ignore[method-assign]
    train_cohort(together, teacher, lab.stream(runs[0]), lab.parts.val, end=ended.append)
    assert len(ended) == 3
    assert victim.failure is not None
    expected = "can't allocate" if error else "diverged at step 3 of epoch 2"
    assert expected in str(victim.failure)
    for member, run in ((together[0], runs[0]), (together[2], runs[2])):
        assert outcome(trained(member)) == outcome(lab.train(run))


def test_a_diverged_member_is_never_saved(lab: Lab) -> None:
    run = lab.spec("none")
    (member,), _ = members(lab, [run])
    step = member.student.step

    def poisoned(*args: Any, **options: Any) -> Any:
        measured, norms = step(*args, **options)
        return {**measured, "loss_ce": torch.tensor(float("nan"))}, norms

    member.student.step = poisoned  # type: ignore[method-assign]
    saved: list[Any] = []
    train_cohort(
        [member],
        None,
        lab.stream(run),
        lab.parts.val,
        save=lambda m: saved.append(m.snapshot()),
        save_seconds=0,
    )
    assert saved == []
    assert "diverged at step 1 of epoch 1" in str(member.failure)


def test_the_teacher_answers_once_a_batch_and_only_what_is_asked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [lab.spec("logit"), lab.spec("feature"), lab.spec("logit", parameters={"alpha": 0.7})]
    together, teacher = members(lab, runs)
    asked: list[Taps] = []
    answer = type(teacher).__call__

    def counted(self: Any, images: Any, taps: Taps) -> Any:
        asked.append(taps)
        return answer(self, images, taps)

    monkeypatch.setattr(type(teacher), "__call__", counted)
    train_cohort(together, teacher, lab.stream(runs[0]), lab.parts.val)
    assert asked == [Taps(maps=teacher.network.stages)] * (2 * STEPS)
    asked.clear()
    together, teacher = members(lab, [runs[0], runs[2]])
    train_cohort(together, teacher, lab.stream(runs[0]), lab.parts.val)
    assert asked == [NOTHING] * (2 * STEPS)
