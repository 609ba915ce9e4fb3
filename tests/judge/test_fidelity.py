"""Fidelity: one value a seed, however many teachers and methods measured it."""

from dataclasses import replace

import pytest

from kdgap.judge.analysis import analyse
from kdgap.judge.evidence import Arm, Evidence
from kdgap.judge.fidelity import fidelity_of
from kdgap.report.figures.arms import drawn_arms
from kdgap.report.figures.points import followed
from tests.judge.made import evidence, final, plain, runs_of

AGREEMENT = {"t1": [0.90, 0.92, 0.94], "t2": [0.80, 0.82, 0.84]}


def two_teachers() -> Evidence:
    runs = runs_of(plain("little"), [95.0, 95.1, 95.2])
    for teacher, shares in AGREEMENT.items():
        made = runs_of(final("big", "little", "logit"), [95.5] * 3, cell="c", teacher=teacher)
        runs += [
            replace(
                run,
                id=f"{run.id}-{teacher}",
                test={"best": {"accuracy": 0.955, "top1_agreement": share}},
                baseline_test={"best": {"accuracy": 0.95, "top1_agreement": share - 0.1}},
            )
            for run, share in zip(made, shares, strict=True)
        ]
    return evidence(runs)


def test_a_seed_counts_once_however_many_teachers_it_has() -> None:
    made = two_teachers()
    arm = next(arm for arm in made.arms() if arm.slot.role == "final")
    found = fidelity_of(arm, None, made, "best")
    assert found is not None
    assert found["top1_agreement"]["n"] == 3
    assert found["top1_agreement"]["mean"] == pytest.approx(0.87)
    assert found["top1_agreement"]["std"] == pytest.approx(0.02)
    alone = Arm(arm.slot, arm.cell, tuple(run for run in arm.runs if run.teacher == "t1"))
    one = fidelity_of(alone, None, made, "best")
    assert one is not None
    low, high = one["top1_agreement"]["ci95"]
    assert found["top1_agreement"]["ci95"] == pytest.approx([low - 0.05, high - 0.05])


def test_a_baseline_is_drawn_at_its_mean_over_teachers() -> None:
    made = two_teachers()
    arms = drawn_arms(made, analyse(made), "little", "big")
    baseline = next(arm for arm in arms if arm.teacher is None)
    methods = [arm for arm in arms if arm.teacher is not None]
    found = followed(baseline, methods, "best")
    assert [agreement for agreement, _, _ in found] == pytest.approx([75.0, 77.0, 79.0])
    assert [run.seed for _, _, run in found] == [0, 1, 2]
