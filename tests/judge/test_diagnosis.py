"""Why is a student no better? Facts that the records show, remedies only where a fact asks."""

from dataclasses import replace
from typing import Any

import pytest

from kdgap.judge.analysis import analyse
from tests.judge.made import evidence, final, pair_of, plain, runs_of, tuning

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
SAME = [94.8, 95.0, 95.1, 94.7, 94.9]


def facts(method: dict[str, Any], **changes: Any) -> dict[str, dict[str, Any]]:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), SAME, **method)
    (gain,) = analyse(evidence(runs, **changes))["gains"]
    return {fact["topic"]: fact for fact in gain["diagnosis"]}


def history(epochs: int = 20, **values: Any) -> list[dict[str, Any]]:
    return [{"epoch": e + 1, "val_acc": 0.9, "train_acc": 0.9, **values} for e in range(epochs)]


def test_a_gain_needs_no_diagnosis() -> None:
    (gain,) = analyse(pair_of(BASELINE, [value + 1 for value in BASELINE]))["gains"]
    assert gain["diagnosis"] == []


@pytest.mark.parametrize(
    ("kl", "words", "remedy"),
    [(0.01, "hardly pulls", "raise alpha"), (99.0, "labels hardly count", "lower alpha"),
     (1.0, "50 %", None)],
)  # fmt: skip
def test_gradient_shares(kl: float, words: str, remedy: str | None) -> None:
    found = facts({"history": history(term_grad_norm={"ce": 1.0, "kl": kl})})["gradient share"]
    assert words in found["fact"]
    assert (found["remedy"] or "").startswith(remedy or "")
    assert bool(found["remedy"]) == bool(found["source"]) == bool(remedy)


def test_loss_shares_where_gradients_were_not_recorded() -> None:
    method = {"history": history(loss_ce=1.0, loss_kd=3.0), "parameters": {"alpha": 0.5}}
    assert "ce 25 %, distillation 75 %" in facts(method)["gradient share"]["fact"]
    assert "not recorded" in facts(method)["gradient share"]["fact"]


@pytest.mark.parametrize(("accuracy", "little"), [(0.953, True), (0.99, False)])
def test_a_teacher_that_is_hardly_better(accuracy: float, little: bool) -> None:
    test = {"best": {"accuracy": 0.949, "top1_agreement": 0.9}}
    method = {"teacher_accuracy": accuracy, "test": test}
    found = facts(method)["teacher"]
    assert ("little to teach" in found["fact"]) is little


def test_a_student_that_fits_its_training_set() -> None:
    assert "repeats the labels" in facts({"history": history(train_acc=0.9999)})["fit"]["fact"]
    assert facts({"history": history(train_acc=0.95)})["fit"]["remedy"] is None


@pytest.mark.parametrize(("plainly", "remedy"), [(0.95, True), (0.8, False)])
def test_agreement_beside_the_baselines(plainly: float, remedy: bool) -> None:
    method = {
        "test": {"best": {"accuracy": 0.949, "top1_agreement": 0.9, "kl_t1": 0.2}},
        "baseline_test": {"best": {"accuracy": 0.949, "top1_agreement": plainly}},
    }
    assert bool(facts(method)["fidelity"]["remedy"]) is remedy


@pytest.mark.parametrize(
    ("entropy", "words"),
    [(0.01, "labels in disguise"), (2.29, "hardly tell the classes apart"), (1.2, "52 %")],
)
def test_soft_targets_that_are_too_hard_or_too_soft(entropy: float, words: str) -> None:
    method = {"history": history(teacher_entropy=entropy), "parameters": {"temperature": 4.0}}
    assert words in facts(method)["soft targets"]["fact"]


def test_a_schedule_that_ended_early() -> None:
    rising = [{"epoch": e, "val_acc": 0.5 + e / 100, "train_acc": 0.8} for e in range(1, 21)]
    assert "still rising" in facts({"history": rising})["schedule"]["fact"]
    fitted = [{**entry, "train_acc": 0.999} for entry in rising]
    assert facts({"history": fitted})["schedule"]["remedy"] is None


def test_a_winner_at_the_edge_of_its_grid() -> None:
    grid = {0.3: 0.94, 0.5: 0.945, 0.7: 0.95}
    found = facts({"parameters": {"alpha": 0.7}}, tunings=(tuning({"alpha": 0.7}, grid),))
    assert "alpha 0.7 is the largest tried" in found["tuning"]["fact"]
    found = facts({"parameters": {"alpha": 0.5}}, tunings=(tuning({"alpha": 0.5}, grid),))
    assert found["tuning"]["remedy"] is None
    assert "not tuned" in facts({})["tuning"]["fact"]


def test_two_values_and_texts_have_no_edge() -> None:
    two = tuning({"alpha": 0.7}, {0.3: 0.94, 0.7: 0.95})
    assert facts({"parameters": {"alpha": 0.7}}, tunings=(two,))["tuning"]["remedy"] is None
    texts = replace(
        two,
        candidates=tuple(
            {"parameters": {"norm": norm}, "runs": [], "score": 0.9} for norm in ("a", "b", "c")
        ),
    )
    assert facts({"parameters": {"norm": "c"}}, tunings=(texts,))["tuning"]["remedy"] is None


def test_one_run_without_history_beside_one_with() -> None:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), SAME, history=history())
    runs[-1] = replace(runs[-1], history=[])
    (gain,) = analyse(evidence(runs))["gains"]
    assert "schedule" in {fact["topic"] for fact in gain["diagnosis"]}


def test_power_says_what_could_not_be_seen() -> None:
    found = facts({})["power"]
    assert "5 seeds" in found["fact"]
    assert "seeds an arm" in found["remedy"]


def test_nothing_recorded_is_no_fact() -> None:
    assert set(facts({"history": []})) == {"tuning", "power"}
