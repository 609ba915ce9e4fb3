"""Every method against a named reference: numbers computed apart, families, and what is missing."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kdgap.errors import ClaimError
from kdgap.judge.context import Context
from kdgap.judge.document import to_json
from kdgap.judge.evidence import Evidence
from kdgap.judge.judging import judged_by
from kdgap.judge.references import reference_entries
from kdgap.methods import METHODS
from kdgap.notice import codes
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from tests.judge.builders import (
    Values,
    analyse,
    claim,
    evidence,
    final,
    plain,
    runs_of,
    tuning,
)

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
LOGIT = [95.2, 95.4, 95.0, 95.3, 95.1]
OVER_LOGIT = Statistics(reference="logit")


def study(
    methods: Mapping[str, Values], statistics: Statistics = OVER_LOGIT, **changes: Any
) -> Evidence:
    """One pair with these methods."""
    runs = runs_of(plain("little"), BASELINE)
    for method, values in methods.items():
        runs += runs_of(final("big", "little", method), values)
    return evidence(runs, statistics=statistics, **changes)


def draws(count: int, seeds: int = 5) -> dict[str, list[float]]:
    """The reference and other methods, each with a mean of its own."""
    generator = np.random.default_rng(7)
    lifts = np.linspace(-0.3, 0.6, count)
    names = ["logit", *(f"other{number}" for number in range(1, count))]
    return {
        name: list(95 + lift + 0.15 * generator.standard_normal(seeds))
        for name, lift in zip(names, lifts, strict=True)
    }


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p by its definition: each hypothesis against all that are no smaller."""
    return [min(1.0, max(sum(other >= q for other in ps) * q for q in ps if q <= p)) for p in ps]


def test_numbers_are_those_of_welch_and_holm() -> None:
    methods = draws(5)
    entries = analyse(study(methods)).reference_gains
    reference = methods.pop("logit")
    welch = [stats.ttest_ind(values, reference, equal_var=False) for values in methods.values()]
    assert [entry.method for entry in entries] == list(methods)
    for entry, values, test in zip(entries, methods.values(), welch, strict=True):
        assert entry.gain_pp == pytest.approx(np.mean(values) - np.mean(reference))
        assert entry.p == pytest.approx(test.pvalue)
        assert entry.df == pytest.approx(test.df)
        assert entry.ci95_pp == pytest.approx(tuple(test.confidence_interval(0.95)))
        assert (entry.n, entry.n_reference) == (5, 5)
        assert entry.reference_mean_pp == pytest.approx(np.mean(reference))
        assert entry.reference_std_pp == pytest.approx(np.std(reference, ddof=1))
    expected = holm([test.pvalue for test in welch])
    assert [entry.p_holm for entry in entries] == pytest.approx(expected)


def test_paired_numbers_are_those_of_the_differences_by_seed() -> None:
    methods = draws(3)
    statistics = Statistics(reference="logit", test="paired")
    entries = analyse(study(methods, statistics)).reference_gains
    for entry in entries:
        test = stats.ttest_rel(methods[entry.method], methods["logit"])
        assert entry.p == pytest.approx(test.pvalue)
        assert entry.ci95_pp == pytest.approx(tuple(test.confidence_interval(0.95)))
    beside = analyse(study(methods)).reference_gains
    assert [entry.paired.p for entry in beside] == [entry.p for entry in entries]


def test_twenty_methods_are_corrected_over_twenty_and_over_nineteen() -> None:
    methods = draws(20)
    analysis = analyse(study(methods))
    assert analysis.settings.gains_in_family == 20
    assert {gain.family for gain in analysis.gains} == {20}
    assert len(analysis.reference_gains) == 19
    assert analysis.settings.reference.gains_in_family == 19
    assert {entry.family for entry in analysis.reference_gains} == {19}
    ps = [entry.p for entry in analysis.reference_gains]
    assert [entry.p_holm for entry in analysis.reference_gains] == pytest.approx(holm(ps))


def test_gains_over_plain_training_are_not_touched() -> None:
    methods = draws(6)
    named = to_json(analyse(study(methods)))
    without = to_json(analyse(study(methods, Statistics())))
    further = {"reference_gains"}
    assert set(named) - set(without) == further
    assert set(named["settings"]) - set(without["settings"]) == {"reference"}
    assert {key: named[key] for key in set(without) - {"settings", "sensitivity"}} == {
        key: without[key] for key in set(without) - {"settings", "sensitivity"}
    }
    for view, other in zip(named["sensitivity"], without["sensitivity"], strict=True):
        assert set(view) - set(other) == further
        assert view["gains"] == other["gains"]


def test_verdicts_sentences_and_seeds_are_those_of_a_difference() -> None:
    worse = [value - 1 for value in LOGIT]
    better = [value + 1 for value in LOGIT]
    alike = [value + 0.01 for value in LOGIT]
    noisy = [94.8, 95.9, 94.9, 95.8, 94.6]
    methods = {"logit": LOGIT, "a": better, "b": worse, "c": alike, "d": noisy}
    analysis = analyse(study(methods))
    verdicts = [entry.verdict for entry in analysis.reference_gains]
    assert verdicts == ["gain", "harm", "equivalent", "inconclusive"]
    first, *_, last = analysis.reference_gains
    assert first.sentence.startswith("a over Logit-KD in big → little: +1.00 pp [")
    assert last.seeds_needed > last.n_smallest == 5


def two_pairs(second: Values | None, **changes: Any) -> Evidence:
    """Two pairs of one student, whose second may have no reference."""
    runs = runs_of(plain("little"), BASELINE)
    for teacher in ("big", "huge"):
        runs += runs_of(final(teacher, "little", "feature"), draws(2)["other1"])
    runs += runs_of(final("big", "little", "logit"), LOGIT)
    if second is not None:
        runs += runs_of(final("huge", "little", "logit"), second)
    return evidence(runs, statistics=OVER_LOGIT, **changes)


def test_a_pair_without_the_reference_is_left_out_and_named() -> None:
    analysis = analyse(two_pairs(None))
    assert [entry.teacher for entry in analysis.reference_gains] == ["big"]
    assert analysis.settings.reference.gains_in_family == 1
    assert analysis.settings.gains_in_family == 3
    (flag,) = [flag for flag in analysis.flags if flag.code == "no-reference"]
    assert flag.text.startswith("1 arm of huge → little is not compared with Logit-KD")


def test_a_reference_whose_runs_all_failed_stays_in_the_family() -> None:
    analysis = analyse(two_pairs([None] * 5))
    kept, lost = analysis.reference_gains
    assert (kept.family, lost.family) == (2, 2)
    assert kept.p_holm == pytest.approx(min(1, 2 * kept.p))
    assert (lost.gain_pp, lost.verdict, lost.n_reference) == (None, "inconclusive", 0)
    assert "missing-runs" in codes(lost.flags)
    assert "nothing can be said, huge → little logit: 5 of 5 runs" in lost.sentence


def test_a_reference_with_failed_runs_is_compared_by_those_that_are_done() -> None:
    values = [95.2, None, 95.0, 95.3, None]
    entry = analyse(two_pairs(values)).reference_gains[1]
    done = [value for value in values if value is not None]
    test = stats.ttest_ind(draws(2)["other1"], done, equal_var=False)
    assert (entry.n, entry.n_reference) == (5, 3)
    assert entry.p == pytest.approx(test.pvalue)
    assert {"missing-runs", "unequal-seeds"} <= codes(entry.flags)


def control(*teachers: str) -> Evidence:
    """A control without a teacher beside methods of these teachers."""
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(Slot("final", None, "little", "label_smoothing"), LOGIT)
    for teacher in teachers:
        runs += runs_of(final(teacher, "little", "logit"), draws(2)["other1"])
        runs += runs_of(final(teacher, "little", "feature"), draws(3)["other2"])
    return evidence(runs)


def over(runs_study: Evidence, method: str) -> Any:
    return analyse(replace(runs_study, statistics=Statistics(reference=method)))


def test_a_control_without_a_teacher_is_compared_in_every_pair_of_its_student() -> None:
    analysis = over(control("big", "huge"), "logit")
    pairs = [(entry.method, entry.teacher) for entry in analysis.reference_gains]
    assert sorted(pairs) == [
        *(("feature", "big"), ("feature", "huge")),
        *(("label_smoothing", "big"), ("label_smoothing", "huge")),
    ]
    assert {entry.family for entry in analysis.reference_gains} == {4}
    controls = [entry for entry in analysis.reference_gains if entry.method == "label_smoothing"]
    assert {entry.slot for entry in controls} == {"little label_smoothing"}
    assert [entry.reference_slot for entry in controls] == [
        "big → little logit",
        "huge → little logit",
    ]


def test_a_control_may_be_the_reference_of_every_pair() -> None:
    analysis = over(control("big", "huge"), "label_smoothing")
    pairs = [(entry.method, entry.teacher) for entry in analysis.reference_gains]
    expected = itertools.product(["logit", "feature"], ["big", "huge"])
    assert sorted(pairs) == sorted(expected)


def test_a_claim_between_a_method_and_a_control_is_the_same_difference() -> None:
    runs_study = control("big")
    term = {"teacher": "big", "student": "little"}
    terms = [
        {**term, "weight": 1, "method": "logit"},
        {**term, "weight": -1, "method": "label_smoothing"},
    ]
    for measure in ("gain", "accuracy"):
        judged = analyse(replace(runs_study, claims=(claim("c", terms, measure=measure),)))
        test = stats.ttest_ind(draws(2)["other1"], LOGIT, equal_var=False)
        (contrast,) = judged.contrasts
        assert contrast.p_claim == pytest.approx(test.pvalue)
        assert {term.slot for term in contrast.terms} == {
            "big → little logit",
            "little label_smoothing",
        }


def named(**methods: str) -> Evidence:
    """Arms under names of the study's own, each of a registered method."""
    cards = {name: METHODS[method].about().named(name, method) for name, method in methods.items()}
    values = dict(zip(methods, draws(len(methods)).values(), strict=True))
    plain_card = {"none": METHODS["none"].about()}
    return replace(study(values, Statistics()), methods=plain_card | cards)


@pytest.mark.parametrize(
    ("asked", "arm"),
    [
        ("kd", "kd"),
        ("dkd", "mine"),
        ("crd+logit", "both"),
        ("logit+crd", "both"),
        ("itrd", "lone"),
        ("itrd+", "lone"),
        ("logit", "logit"),  # the name of an arm is that arm, whatever others are
    ],
)
def test_a_reference_is_an_arm_by_its_name_or_the_one_arm_of_its_method(
    asked: str, arm: str
) -> None:
    runs_study = named(kd="logit", mine="dkd", both="crd+logit", lone="itrd+", logit="logit")
    analysis = over(runs_study, asked)
    assert (analysis.settings.reference.method, len(analysis.reference_gains)) == (arm, 4)


@pytest.mark.parametrize("second", ["logit", "logit+"])
def test_a_method_of_several_arms_is_refused_with_their_names(second: str) -> None:
    with pytest.raises(ClaimError) as refused:
        over(named(kd="logit", lskd=second, other="dkd"), "logit")
    text = "reference 'logit' is the method of 2 arms of these runs; name one of them: kd, lskd"
    assert str(refused.value) == text


@pytest.mark.parametrize(
    ("asked", "like"), [("kdd", "kd"), ("lojit", "logit"), ("crd+logt", "crd+logit")]
)
def test_an_unknown_reference_is_refused_with_the_nearest_name(asked: str, like: str) -> None:
    with pytest.raises(ClaimError) as refused:
        over(named(kd="logit", both="crd+logit"), asked)
    hint = f" (did you mean {like!r}?); they have kd, both"
    assert str(refused.value) == f"reference {asked!r} is no method of these runs{hint}"


def test_a_claim_names_an_arm_as_a_reference_does() -> None:
    terms = [{"weight": 1, "teacher": "big", "student": "little", "method": "dkd"}]
    runs_study = named(kd="logit", lskd="logit+", mine="dkd")
    (contrast,) = analyse(replace(runs_study, claims=(claim("c", terms),))).contrasts
    assert {term.slot for term in contrast.terms} == {"big → little mine", "baseline of little"}
    terms[0]["method"] = "logit"
    with pytest.raises(ClaimError) as refused:
        analyse(replace(runs_study, claims=(claim("c", terms),)))
    assert str(refused.value) == (
        "claim 'c', term 1: method 'logit' is the method of 2 arms of these runs; name one of"
        " them: kd, lskd"
    )


def test_an_import_may_have_several_configurations_of_the_reference() -> None:
    runs = list(study(draws(3)).runs)
    runs += runs_of(final("big", "little", "logit"), LOGIT, configuration="other")
    runs_study = evidence(runs, origin="import", paired=False, statistics=OVER_LOGIT)
    analysis = analyse(runs_study)
    assert analysis.reference_gains == ()
    assert analysis.settings.reference.gains_in_family == 0
    (flag,) = [flag for flag in analysis.flags if flag.code == "several-references"]
    assert "it has 2 unlike configurations there" in flag.text
    apart = [replace(run, recipe="other") if run.configuration == "other" else run for run in runs]
    again = analyse(evidence(apart, origin="import", paired=False, statistics=OVER_LOGIT))
    assert len(again.reference_gains) == 2
    assert not {"several-references", "no-reference"} & codes(again.flags)


def test_an_unknown_reference_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ClaimError, match=r"'logti' is no method .*did you mean 'logit'\?"):
        analyse(study(draws(2), Statistics(reference="logti")))


def test_unequal_tuning_is_said_of_both_sides() -> None:
    tunings = (tuning({"alpha": 0.5}, {0.1: 0.94, 0.5: 0.95, 0.9: 0.93}),)
    (entry,) = analyse(study(draws(2), tunings=tunings)).reference_gains
    assert (entry.tried, entry.tried_reference) == (1, 3)
    texts = [flag.text for flag in entry.flags if flag.code == "unequal-tuning"]
    assert texts == ["chosen out of 1 configuration, Logit-KD out of 3"]
    assert any(flag.text.startswith("Logit-KD: tuned on a single seed") for flag in entry.flags)


def taught_by(teachers: Sequence[str], method: str, lift: float) -> list[Any]:
    """Runs of every teacher and seed: what a teacher gives is the same for every method."""
    generator = np.random.default_rng(len(method))
    runs = []
    for number, teacher in enumerate(teachers):
        values = 95 + lift + number + 0.1 * generator.standard_normal(4)
        runs_study = runs_of(
            final("big", "little", method), list(values), configuration=method, teacher=teacher
        )
        runs += [replace(run, id=f"{run.id}-{teacher}") for run in runs_study]
    return runs


def test_several_teachers_of_both_sides_are_told_apart_from_the_difference() -> None:
    teachers = ["t0", "t1", "t2"]
    runs = runs_of(plain("little"), BASELINE) + taught_by(teachers, "logit", 0.0)
    runs += taught_by(teachers, "feature", 0.4)
    (entry,) = analyse(evidence(runs, statistics=OVER_LOGIT)).reference_gains
    values = {run.id: 100 * run.test["best"].accuracy for run in runs if run.teacher}
    table = np.array([
        [values[f"final-big → little {method}-{method}-{seed}-{teacher}"] for seed in range(4)]
        for method in ("feature", "logit") for teacher in teachers
    ])  # fmt: skip
    differences = table[:3] - table[3:]
    assert entry.teachers.gain_over_teachers_pp == pytest.approx(differences.mean())
    # The teachers differ by a point each, and their difference does not.
    assert entry.teachers.teacher_std_pp < 0.2
    low, high = entry.teachers.ci95_over_teachers_pp
    assert low < differences.mean() < high < 1


def test_naming_a_reference_afterwards_is_post_hoc_and_leaves_claims_as_they_are() -> None:
    terms = [{"weight": 1, "teacher": "big", "student": "little", "method": "logit"}]
    registered = claim("c", terms)
    runs_study = study(
        draws(3),
        Statistics(),
        claims=(registered,),
        locked_claims=(registered.model_dump(mode="json"),),
    )
    analysis = analyse(
        judged_by(runs_study, runs_study.statistics.model_copy(update={"reference": "logit"}))
    )
    (notice,) = [flag for flag in analysis.flags if flag.code.startswith("post-hoc")]
    assert notice.code == "post-hoc-reference"
    assert notice.text.endswith("reference logit in place of none")
    assert [contrast.post_hoc for contrast in analysis.contrasts] == [False]
    assert len(analysis.reference_gains) == 2


def test_the_declared_reference_by_the_name_of_its_method_is_not_post_hoc() -> None:
    declared = Statistics(reference="both")
    runs_study = replace(named(kd="logit", both="crd+logit"), statistics=declared)
    again = judged_by(runs_study, declared.model_copy(update={"reference": "logit+crd"}))
    assert again.statistics == declared
    assert again.notices == runs_study.notices


def test_other_ways_of_looking_have_the_reference_as_well() -> None:
    runs_study = study(draws(4))
    analysis = analyse(runs_study)
    for view in analysis.sensitivity:
        assert [glance.method for glance in view.reference_gains] == [
            entry.method for entry in analysis.reference_gains
        ]
    assert reference_entries(Context(replace(runs_study, statistics=Statistics()))) == []
