"""Why is a student no better? Facts that the records show, remedies only where a fact asks."""

from dataclasses import replace
from typing import Any

import pytest

from kdgap.judge.evidence import Candidate
from kdgap.spec.claims import Statistics
from tests.judge.builders import analyse, but, evidence, final, pair_of, plain, runs_of, tuning

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
SAME = [94.8, 95.0, 95.1, 94.7, 94.9]


def facts(method: dict[str, Any], **changes: Any) -> dict[str, Any]:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), SAME, **method)
    (gain,) = analyse(evidence(runs, **changes)).gains
    return {fact.topic: fact for fact in gain.diagnosis}


def history(epochs: int = 20, **values: Any) -> list[dict[str, Any]]:
    return [{"epoch": e + 1, "val_acc": 0.9, "train_acc": 0.9, **values} for e in range(epochs)]


def test_a_gain_needs_no_diagnosis() -> None:
    (gain,) = analyse(pair_of(BASELINE, [value + 1 for value in BASELINE])).gains
    assert gain.diagnosis == ()


@pytest.mark.parametrize(
    ("kl", "reading", "remedy"),
    [(0.01, "hardly pulls", "raise alpha"), (99.0, "labels hardly count", "lower alpha"),
     (1.0, None, None)],
)  # fmt: skip
def test_gradient_shares(kl: float, reading: str | None, remedy: str | None) -> None:
    fact = facts({"history": history(term_grad_norm={"ce": 1.0, "kl": kl})})["gradient share"]
    assert fact.fact.endswith("(mean over epochs)")
    assert (reading or "") in (fact.reading or "")
    assert (fact.remedy or "").startswith(remedy or "")
    assert bool(fact.remedy) == bool(fact.source) == bool(fact.reading) == bool(remedy)


@pytest.mark.parametrize(
    ("kl", "alpha", "scores", "words"),
    [
        (0.01, 0.3, {0.3: 0.95, 0.5: 0.94, 0.7: 0.9}, "larger alphas were tried and scored lower"),
        (0.01, 0.3, {0.3: 0.95, 0.9: None}, "larger alphas were tried, and no run of them has"),
        (99.0, 0.7, {0.3: 0.94, 0.7: 0.95}, "smaller alphas were tried and scored lower"),
        (0.01, 0.7, {0.3: 0.94, 0.7: 0.95}, None),  # only smaller ones were tried
        (0.01, 0.3, {0.3: 0.95, 0.5: 0.95}, None),  # a tie speaks for nothing
        (0.01, 0.3, {0.5: 0.95, 0.7: 0.9}, None),  # its own score is not known
    ],
)
def test_nobody_is_told_to_raise_what_was_raised_to_no_avail(
    kl: float, alpha: float, scores: dict[float, float | None], words: str | None
) -> None:
    method = {
        "history": history(term_grad_norm={"ce": 1.0, "kl": kl}),
        "parameters": {"alpha": alpha},
    }
    fact = facts(method, tunings=(tuning({"alpha": alpha}, scores),))["gradient share"]
    assert (words or "(mean over epochs)") in fact.fact
    assert ("were tried" in fact.fact) is bool(words)
    assert (fact.remedy is None) is bool(words)
    assert fact.reading


def test_scores_that_speak_against_a_remedy_are_told() -> None:
    method = {
        "history": history(term_grad_norm={"ce": 1.0, "kl": 0.01}),
        "parameters": {"alpha": 0.3},
    }
    grid = tuning({"alpha": 0.3}, {0.3: 0.95, 0.5: 0.94, 0.7: 0.9})
    fact = facts(method, tunings=(grid,))["gradient share"]
    words = "on validation images (0.5, 0.7: 94.00 % at best, against 95.00 %)"
    assert fact.fact.endswith(words)


def test_a_share_of_the_loss_is_listed_and_not_read() -> None:
    for loss_kd in (3.0, 0.0001):
        method = {"history": history(loss_ce=1.0, loss_kd=loss_kd), "parameters": {"alpha": 0.5}}
        by_topic = facts(method)
        assert "gradient share" not in by_topic
        share = by_topic["loss share"]
        assert "gradients, whose shares may be others, were not recorded" in share.fact
        assert share.reading is share.remedy is share.source is None
    method = {"history": history(loss_ce=1.0, loss_kd=3.0), "parameters": {"alpha": 0.5}}
    assert "ce 25 %, distillation 75 %" in facts(method)["loss share"].fact


@pytest.mark.parametrize(("accuracy", "little"), [(0.953, True), (0.99, False)])
def test_a_teacher_that_is_hardly_better(accuracy: float, little: bool) -> None:
    test = {"best": {"accuracy": 0.949, "top1_agreement": 0.9}}
    method = {"teacher_accuracy": accuracy, "test": test}
    fact = facts(method)["teacher"]
    assert "little to teach" not in fact.fact
    assert (fact.reading == "there is little to teach") is little
    assert bool(fact.remedy) is little


def test_a_student_that_fits_its_training_set() -> None:
    fact = facts({"history": history(train_acc=0.9999)})["fit"]
    assert fact.fact.endswith("of the validation images")
    assert "repeat the labels" in fact.reading
    fact = facts({"history": history(train_acc=0.95)})["fit"]
    assert fact.remedy is fact.reading is None


STEPS = (-2, -1, 0, 1, 2)


def following(changes: dict[str, float], spread: float = 0.004) -> Any:
    """Five seeds, each measure `changes` away from the plainly trained student's on average."""
    plain_student = {"top1_agreement": 0.9764, "kl_t1": 0.072, "kl_t4": 0.1206}
    runs = runs_of(plain("little"), BASELINE)
    for run, step in zip(runs_of(final("big", "little", "logit"), SAME), STEPS, strict=True):
        beside = {name: plain_student[name] + spread * step for name in changes}
        own = {name: value + changes[name] for name, value in beside.items()}
        runs.append(
            but(
                run,
                test={"best": {**run.test["best"].document, **own}},
                baseline_test={"best": beside},
            )
        )
    (gain,) = analyse(evidence(runs)).gains
    (fidelity,) = [fact for fact in gain.diagnosis if fact.topic == "fidelity"]
    return fidelity


def test_noise_in_agreement_does_not_hide_that_kl_came_down() -> None:
    fact = following({"top1_agreement": -0.0004, "kl_t1": -0.006, "kl_t4": -0.0456})
    assert "agreement 97.60 %, plainly trained 97.64 %, difference −0.04 pp [−0.96, +0.88]" in (
        fact.fact
    )
    assert "KL (T = 4) 0.0750 nats, plainly trained 0.1206 nats, difference −0.0456 [−0." in (
        fact.fact
    )
    assert "; closer to the teacher by KL (T = 4) (95 % intervals, each for itself)" in (fact.fact)
    assert fact.reading.startswith("it follows its teacher more than without one")
    assert fact.remedy is fact.source is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"top1_agreement": -0.0004, "kl_t1": 0.001}, "neither agreement nor KL shows a differ"),
        ({"top1_agreement": 0.0004}, "agreement shows no difference"),
        ({"kl_t1": 0.0004, "kl_t4": -0.0004}, "KL shows no difference"),
        ({"top1_agreement": -0.1, "kl_t1": 0.5}, "further from the teacher by agreement and KL (T"),
        ({"top1_agreement": -0.1, "kl_t1": 0.0}, "further from the teacher by agreement (95 %"),
    ],
)
def test_training_longer_is_advised_where_nothing_shows_it_closer(
    changes: dict[str, float], words: str
) -> None:
    fact = following(changes)
    assert words in fact.fact
    assert "closer to" not in fact.fact
    assert fact.remedy.startswith("train longer")
    assert "Stanton" in fact.source


def test_measures_that_disagree_are_told_apart() -> None:
    fact = following({"top1_agreement": -0.1, "kl_t4": -0.05})
    assert "closer to the teacher by KL (T = 4), further from the teacher by agreement" in (
        fact.fact
    )
    assert "disagree" in fact.reading
    assert fact.remedy is None


def test_without_intervals_or_a_baseline_nothing_is_said_of_closeness() -> None:
    for fact in (
        following({"top1_agreement": -0.1}, spread=0.0),
        facts({"test": {"best": {"accuracy": 0.949, "kl_t1": 0.2}}})["fidelity"],
    ):
        assert "closer" not in fact.fact
        assert "shows" not in fact.fact
        assert fact.reading is fact.remedy is None
    assert "KL (T = 1) 0.2000 nats; the baseline's was not recorded" in fact.fact


def soft(entropy: float | None, **changes: Any) -> Any:
    test = {"best": {"accuracy": 0.949, "per_class_acc": dict.fromkeys(map(str, range(10)), 0.9)}}
    recorded: dict[str, Any] = {} if entropy is None else {"teacher_entropy": entropy}
    method = {"history": history(**recorded), "parameters": {"temperature": 4.0}, "test": test}
    return facts(method, **changes)["soft targets"]


@pytest.mark.parametrize(
    ("entropy", "reading", "remedy"),
    [(0.01, "labels in disguise", "a higher"), (2.29, "hardly tell the classes apart", "a lower"),
     (1.2, None, None)],
)  # fmt: skip
def test_soft_targets_that_are_too_hard_or_too_soft(
    entropy: float, reading: str | None, remedy: str | None
) -> None:
    fact = soft(entropy)
    assert fact.fact.endswith("% of what 10 classes allow")
    assert (reading or "") in (fact.reading or "")
    assert (fact.remedy or "").startswith(remedy or "")
    assert bool(fact.reading) is bool(fact.remedy) is bool(reading)


def test_a_temperature_that_was_raised_to_no_avail_is_told() -> None:
    grid = replace(
        tuning({"temperature": 4.0}, {}),
        candidates=tuple(
            Candidate({"temperature": value}, (), score)
            for value, score in ((4.0, 0.95), (8.0, 0.94))
        ),
    )
    fact = soft(0.01, tunings=(grid,))
    assert "larger temperatures were tried and scored lower" in fact.fact
    assert fact.remedy is None


def test_soft_targets_that_were_not_recorded_are_said_to_be() -> None:
    fact = soft(None)
    assert fact.fact == "the entropy of the soft targets was not recorded"
    assert fact.reading is fact.remedy is None
    unknown = facts({"history": history(teacher_entropy=0.01)})["soft targets"]
    assert unknown.fact == "soft targets have 0.010 nats of entropy"  # of how many classes?
    assert unknown.reading is unknown.remedy is None


def test_a_schedule_that_ended_early() -> None:
    rising = [{"epoch": e, "val_acc": 0.5 + e / 100, "train_acc": 0.8} for e in range(1, 21)]
    fact = facts({"history": rising})["schedule"]
    assert fact.reading == "validation accuracy was still rising"
    assert "still rising" not in fact.fact
    tested = facts({"history": rising}, chosen_on="test")
    assert tested["schedule"].reading == "accuracy on the test images was still rising"
    assert "training accuracy on the test images changed by" in tested["schedule"].fact
    assert tested["fit"].fact.endswith("of the test images")
    fitted = [{**entry, "train_acc": 0.999} for entry in rising]
    assert facts({"history": fitted})["schedule"].remedy is None


def test_a_winner_at_the_edge_of_its_grid() -> None:
    grid = {0.3: 0.94, 0.5: 0.945, 0.7: 0.95}
    by_topic = facts({"parameters": {"alpha": 0.7}}, tunings=(tuning({"alpha": 0.7}, grid),))
    assert "alpha 0.7 is the largest tried" in by_topic["tuning"].fact
    assert "tuned over 3 configurations on 1 selection seed;" in by_topic["tuning"].fact
    assert "Bouthillier" in by_topic["tuning"].source
    by_topic = facts({"parameters": {"alpha": 0.5}}, tunings=(tuning({"alpha": 0.5}, grid),))
    assert by_topic["tuning"].remedy is None
    assert "not tuned" in facts({})["tuning"].fact
    assert "Bouthillier" in facts({})["tuning"].source


@pytest.mark.parametrize(
    ("values", "winner", "change"),
    [
        ((0.3, 0.5, 0.7), 0.7, "[0.3,0.5,0.7,0.85]"),
        ((0.3, 0.5, 0.7), 0.3, "[0.15,0.3,0.5,0.7]"),
        ((1.0, 2.0, 4.0), 4.0, "[1,2,4,8]"),
        ((0.0, 0.5, 1.0), 1.0, None),
        ((0.0, 0.5, 1.0), 0.0, None),
    ],
)
def test_a_grid_is_extended_beyond_its_edge(
    values: tuple[float, ...], winner: float, change: str | None
) -> None:
    grid = tuning({"alpha": winner}, dict.fromkeys(values, 0.94) | {winner: 0.95})
    fact = facts({"parameters": {"alpha": winner}}, tunings=(grid,))["tuning"]
    assert fact.change == (change and f"methods.logit.alpha={change}")


@pytest.mark.parametrize(
    ("parameters", "change"),
    [
        ({"alpha": 0.5, "temperature": 4.0}, "alpha=[0.25,0.5,0.75]"),
        ({"alpha": 1.0}, "alpha=[0.5,1]"),
        ({"alpha": 0.0, "temperature": 4}, "temperature=[2,4,8]"),
        ({"weight": 100.0, "ce_weight": 1.0}, "weight=[50,100,200]"),
        ({"alpha": True, "norm": "c"}, None),
        ({}, None),
    ],
)
def test_what_was_not_tuned_comes_with_a_small_grid(
    parameters: dict[str, Any], change: str | None
) -> None:
    fact = facts({"parameters": parameters})["tuning"]
    assert fact.remedy == "a small grid on validation images"
    assert fact.change == (change and f"methods.logit.{change} --set selection.seeds=[1000]")


def test_two_values_and_texts_have_no_edge() -> None:
    two = tuning({"alpha": 0.7}, {0.3: 0.94, 0.7: 0.95})
    assert facts({"parameters": {"alpha": 0.7}}, tunings=(two,))["tuning"].remedy is None
    texts = replace(
        two,
        candidates=tuple(Candidate({"norm": norm}, (), 0.9) for norm in ("a", "b", "c")),
    )
    assert facts({"parameters": {"norm": "c"}}, tunings=(texts,))["tuning"].remedy is None


def test_one_run_without_history_beside_one_with() -> None:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), SAME, history=history())
    runs[-1] = but(runs[-1], history=[])
    (gain,) = analyse(evidence(runs)).gains
    assert "schedule" in {fact.topic for fact in gain.diagnosis}


OPEN = Statistics(smallest_effect_pp=0.05)
"""The same runs do not show that any effect is smaller than this."""


def test_power_says_what_could_not_be_seen() -> None:
    fact = facts({}, statistics=OPEN)["power"]
    assert "5 seeds" in fact.fact
    assert "unseen" in fact.reading
    assert "unseen" not in fact.fact
    assert "seeds a side" in fact.remedy
    assert "Colas" in fact.source


def test_what_is_shown_to_be_equivalent_does_not_help_unseen() -> None:
    study = evidence(
        [*runs_of(plain("little"), BASELINE), *runs_of(final("big", "little", "logit"), SAME)]
    )
    (gain,) = analyse(study).gains
    assert gain.verdict == "equivalent"
    (power,) = [fact for fact in gain.diagnosis if fact.topic == "power"]
    assert "with 42.1 % power" in power.fact
    assert power.reading is power.remedy is None


def test_nothing_recorded_is_no_fact() -> None:
    assert set(facts({"history": []})) == {"soft targets", "tuning", "power", "capacity"}


def test_facts_hold_no_reading_and_every_remedy_has_a_source() -> None:
    test = {"best": {"accuracy": 0.949, "per_class_acc": {"a": 1.0, "b": 0.9}}}
    method: dict[str, Any] = {
        "history": history(
            train_acc=0.9999, teacher_entropy=0.01, term_grad_norm={"ce": 9, "k": 0}
        ),
        "teacher_accuracy": 0.95,
        "test": test | {"best": test["best"] | {"top1_agreement": 0.9}},
    }
    by_topic = facts(method, statistics=OPEN)
    assert all(bool(fact.remedy) == bool(fact.source) for fact in by_topic.values())
    readings = {topic: fact.reading for topic, fact in by_topic.items() if fact.reading}
    assert set(readings) == {"gradient share", "teacher", "fit", "soft targets", "power"}
    assert not [topic for topic, words in readings.items() if words in by_topic[topic].fact]
