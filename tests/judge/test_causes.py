"""Why no gain was shown: three causes at most, most evidence first, each with what to change."""

import json
from dataclasses import replace
from typing import Any

import pytest

from kdgap.judge.causes import MOST, ORDER, causes
from kdgap.judge.entries import Fact, Gain
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from kdgap.spec.study_file import read_study
from kdgap.yamlio import Document
from tests.e2e.study import study_text
from tests.judge.builders import analyse, evidence, final, plain, runs_of, tuning

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
SAME = [94.8, 95.0, 95.1, 94.7, 94.9]


def gain_of(values: list[float], **changes: Any) -> Gain:
    method = changes.pop("method", {})
    runs = runs_of(plain("little"), changes.pop("baseline", BASELINE))
    runs += runs_of(final("big", "little", "logit"), values, **method)
    gain: Gain = analyse(evidence(runs, **changes)).gains[0]
    return gain


def fact(gain: Gain, topic: str) -> Fact:
    (own,) = [fact for fact in gain.diagnosis if fact.topic == topic]
    return own


@pytest.mark.parametrize(("teacher", "wide"), [(2_000, False), (3_999, False), (4_000, True)])
def test_a_far_larger_teacher_is_a_cause(teacher: int, wide: bool) -> None:
    models = {"big": {"parameters": teacher}, "little": {"parameters": 1_000}}
    own = fact(gain_of(SAME, models=models), "capacity")
    assert f"{teacher / 1000:.1f} times the student's parameters" in own.fact
    assert bool(own.remedy) is bool(own.source) is wide
    if wide:
        assert "assistant" in (own.remedy or "")
    assert not [f for f in gain_of(SAME, models={}).diagnosis if f.topic == "capacity"]


@pytest.mark.parametrize(
    ("epochs", "change"),
    [(240, "teachers.recipe.epochs=120"), (9, "teachers.recipe.epochs=4"), (1, None)],
)
def test_a_teacher_is_stopped_before_its_own_end(epochs: int, change: str | None) -> None:
    """Not before the end of its students, who train for 3 epochs."""
    models = {"big": {"parameters": 9_000}, "little": {"parameters": 1_000}}
    (teacher,) = runs_of(Slot("teacher", None, "big", "none"), [96.0], epochs=epochs)
    runs = [*runs_of(plain("little"), BASELINE), teacher]
    runs += runs_of(final("big", "little", "logit"), SAME, teacher=teacher.id)
    (gain,) = analyse(evidence(runs, models=models)).gains
    assert fact(gain, "capacity").change == change
    # One that is given as a file was trained elsewhere.
    assert fact(gain_of(SAME, models=models), "capacity").change is None


def test_a_teacher_with_little_to_teach_is_not_made_worse() -> None:
    test = {"best": {"accuracy": 0.949, "top1_agreement": 0.9}}
    own = fact(gain_of(SAME, method={"teacher_accuracy": 0.95, "test": test}), "teacher")
    assert own.remedy is not None
    assert own.change is None


def test_a_seed_far_from_the_others_is_named_with_its_weight() -> None:
    values = [96.0, 96.1, 95.9, 96.05, 85.0]
    own = fact(gain_of(values), "seed")
    assert own.fact.startswith("seed 4 of Logit-KD (85.00 %) lies far from its others (mean 96.01")
    assert "without it the gain would be +1.11 pp [" in own.fact
    assert "in place of −1.09 pp [" in own.fact
    assert own.reading == "what can be concluded hangs on this one seed"
    assert "leave none out" in (own.remedy or "")


def test_a_far_seed_that_changes_nothing_asks_for_nothing() -> None:
    # Nothing is shown with it, and nothing without it.
    own = fact(gain_of([94.8, 95.0, 95.1, 94.7, 93.0]), "seed")
    assert own.fact.startswith("seed 4 of Logit-KD")
    assert (own.reading, own.remedy, own.source) == (None, None, None)
    own = fact(gain_of(SAME, baseline=[94.9, 95.1, 94.8, 95.0, 90.0]), "seed")
    assert own.fact.startswith("seed 4 of plain training")
    for values in (SAME, SAME[:3], [95.0] * 5):
        assert not [f for f in gain_of(values).diagnosis if f.topic == "seed"]


def test_a_study_that_compares_by_seed_leaves_the_seed_out_on_both_sides() -> None:
    paired = Statistics(test="paired")
    base, own = [94.0, 96.0, 95.0, 97.0, 93.0], [94.5, 96.4, 95.6, 97.5, 85.0]
    far = fact(gain_of(own, baseline=base, statistics=paired), "seed")
    assert far.fact.startswith("seed 4 of Logit-KD (85.00 %) lies far from its others (mean 96.00")
    # By hand: differences of 0.5, 0.4, 0.6 and 0.5, whose mean has a standard error of 0.0408.
    assert "without it the gain would be +0.50 pp [+0.37, +0.63] by itself" in far.fact
    assert far.reading == "what can be concluded hangs on this one seed"
    # A seed that one side lacks is in no pair, so the gain does not hang on it.
    near = [94.1, 95.8, 95.2, 96.9, 93.1]
    lost = gain_of([*near, 60.0], baseline=[*base, None], statistics=paired)
    assert lost.n == 5
    assert lost.diagnosis
    assert not [f for f in lost.diagnosis if f.topic == "seed"]


def test_at_most_three_most_evidence_first() -> None:
    gain = gain_of(SAME)
    facts = [Fact(topic=topic, fact="f", remedy="r") for topic in reversed(ORDER)]
    facts.append(Fact(topic="seed", fact="without a remedy"))
    named = causes(replace(gain, diagnosis=tuple(facts)))
    assert [cause.topic for cause in named] == list(ORDER[:MOST])
    assert all(cause.remedy for cause in causes(gain))


@pytest.mark.parametrize(
    ("method", "topic", "change"),
    [
        ({"ce": 1.0, "kl": 0.01}, "gradient share", "methods.logit.alpha=[0.5,0.75]"),
        ({"ce": 1.0, "kl": 99.0}, "gradient share", "methods.logit.alpha=[0.5,0.25]"),
        ({"ce": 1.0, "kl": 1.0}, "tuning", "methods.logit.alpha=[0.25,0.5,0.75]"),
    ],
)
def test_a_change_is_one_that_the_study_takes(
    method: dict[str, float], topic: str, change: str
) -> None:
    """One that selects nothing so far needs seeds for it."""
    history = [
        {"epoch": e + 1, "val_acc": 0.9, "train_acc": 0.9, "term_grad_norm": method}
        for e in range(20)
    ]
    given = {"history": history, "parameters": {"alpha": 0.5}, "epochs": 20}
    own = fact(gain_of(SAME, method=given), topic).change
    assert own == f"{change} --set selection.seeds=[1000]"
    given_by_hand = dict(text.split("=", 1) for text in own.split(" --set "))
    changes = {key: json.loads(value) for key, value in given_by_hand.items()}
    file = json.loads(study_text(selection=None, methods={"logit": {"alpha": 0.5}}))
    study, _ = read_study(Document(file, "study.yaml"), changes)
    assert study.selection is not None
    assert study.methods["logit"]["alpha"] == json.loads(given_by_hand["methods.logit.alpha"])
    tuned = tuning({"alpha": 0.5}, {0.5: 0.95})
    if topic != "tuning":
        assert fact(gain_of(SAME, method=given, tunings=(tuned,)), topic).change == change
    assert fact(gain_of(SAME, method=given, chosen_on="test"), topic).change is None
    # What was imported has no file that could be changed.
    assert fact(gain_of(SAME, method=given, origin="import"), topic).change is None


def test_few_seeds_are_written_out_and_many_are_not() -> None:
    gain = gain_of([95.3, 94.6, 95.2, 94.8, 95.4])
    own = fact(gain, "power")
    assert gain.seeds_needed is not None
    assert own.change == f"finals.seeds=[{','.join(map(str, range(gain.seeds_needed)))}]"
    needed, selected = gain.seeds_needed, 20
    runs = runs_of(plain("little"), BASELINE, first_seed=10)
    runs += runs_of(final("big", "little", "logit"), [95.3, 94.6, 95.2, 94.8, 95.4], first_seed=10)
    tuned = replace(tuning({"alpha": 0.5}, {0.5: 0.95}), seeds=(selected,))
    (own_gain,) = analyse(evidence(runs, tunings=(tuned,))).gains
    seeds = [seed for seed in range(10, 11 + needed) if seed != selected]
    assert fact(own_gain, "power").change == f"finals.seeds=[{','.join(map(str, seeds))}]"
    wild = gain_of([90.0, 99.0, 91.0, 98.0, 95.0])
    assert fact(wild, "power").change is None
