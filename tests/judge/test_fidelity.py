"""Fidelity: one value a seed, however many teachers and methods measured it, with intervals."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kdgap.judge import fidelity
from kdgap.judge.evidence import Arm, Evidence, Run
from kdgap.judge.fidelity import MEASURES, closeness
from kdgap.report.figures.arms import drawn_arms
from kdgap.report.figures.points import followed
from kdgap.report.tables import measured
from tests.judge.builders import analyse, but, evidence, final, plain, runs_of
from tests.report.test_html import Page, page_of


def fidelity_of(*asked: Any) -> Any:
    """Return `fidelity.fidelity_of`, as `Any`: a test knows what was recorded."""
    return fidelity.fidelity_of(*asked)


AGREEMENT = {"t1": [0.90, 0.92, 0.94], "t2": [0.80, 0.82, 0.84]}


def two_teachers() -> Evidence:
    runs = runs_of(plain("little"), [95.0, 95.1, 95.2])
    for teacher, shares in AGREEMENT.items():
        taught = runs_of(
            final("big", "little", "logit"), [95.5] * 3, configuration="c", teacher=teacher
        )
        runs += [
            but(
                run,
                id=f"{run.id}-{teacher}",
                test={"best": {"accuracy": 0.955, "top1_agreement": share}},
                baseline_test={"best": {"accuracy": 0.95, "top1_agreement": share - 0.1}},
            )
            for run, share in zip(taught, shares, strict=True)
        ]
    return evidence(runs)


def test_a_seed_counts_once_however_many_teachers_it_has() -> None:
    study = two_teachers()
    arm = next(arm for arm in study.arms() if arm.slot.role == "final")
    measures = fidelity_of(arm, None, study, "best")
    assert measures is not None
    assert measures.top1_agreement.n == 3
    assert measures.top1_agreement.mean == pytest.approx(0.87)
    assert measures.top1_agreement.std == pytest.approx(0.02)
    alone = Arm(arm.slot, arm.configuration, tuple(run for run in arm.runs if run.teacher == "t1"))
    single = fidelity_of(alone, None, study, "best")
    assert single is not None
    low, high = single.top1_agreement.ci95
    assert measures.top1_agreement.ci95 == pytest.approx([low - 0.05, high - 0.05])


def test_a_seed_that_lacks_a_teacher_is_in_no_mean_and_in_no_figure() -> None:
    study = two_teachers()
    lacking = [run for run in study.runs if (run.teacher, run.seed) != ("t2", 2)]
    study = evidence(lacking)
    arm = next(arm for arm in study.arms() if arm.slot.role == "final")
    measures = fidelity_of(arm, None, study, "best")
    assert measures is not None
    assert measures.top1_agreement.n == 2
    assert measures.top1_agreement.mean == pytest.approx((0.85 + 0.87) / 2)
    odd = [
        but(run, test={"best": {"accuracy": 0.5}}) if (run.teacher, run.seed) == ("t1", 2)
        else but(run, test={"best": {"accuracy": 0.95 + run.seed / 1000}})
        for run in lacking
    ]  # fmt: skip
    study = evidence(odd)
    drawn = next(a for a in drawn_arms(study, analyse(study), "little", "big") if a.teacher)
    assert drawn.interval is not None
    assert drawn.interval[0] < (drawn.mean or 0.0) < drawn.interval[1]
    assert drawn.mean == pytest.approx(95.05)


def test_a_baseline_is_drawn_at_its_mean_over_teachers() -> None:
    study = two_teachers()
    arms = drawn_arms(study, analyse(study), "little", "big")
    baseline = next(arm for arm in arms if arm.teacher is None)
    methods = [arm for arm in arms if arm.teacher is not None]
    points = followed(baseline, methods, "best")
    assert [agreement for agreement, _, _ in points] == pytest.approx([75.0, 77.0, 79.0])
    assert [run.seed for _, _, run in points] == [0, 1, 2]


# Differences to the plainly trained student ------------------------------------------------------

OWN = [0.975, 0.962, 0.981, 0.970, 0.990]
BESIDE = [0.974, 0.970, 0.985, 0.976, 0.977]


def welch_interval(own: Sequence[float], plain: Sequence[float], confidence: float) -> list[float]:
    interval = stats.ttest_ind(own, plain, equal_var=False).confidence_interval(confidence)
    return [float(interval.low), float(interval.high)]


def beside(own: Sequence[float], plain_values: Sequence[float], name: str) -> Evidence:
    runs = runs_of(plain("little"), [95.0] * len(own))
    taught = runs_of(final("big", "little", "logit"), [95.5] * len(own))
    runs += [
        but(
            run,
            test={"best": {**run.test["best"].document, name: value}},
            baseline_test={"best": {name: other}},
        )
        for run, value, other in zip(taught, own, plain_values, strict=True)
    ]
    return evidence(runs)


def fidelity_in(study: Evidence) -> Any:
    (gain,) = analyse(study).gains
    assert gain.fidelity is not None
    return gain.fidelity


@pytest.mark.parametrize("name", MEASURES)
def test_the_difference_to_the_plainly_trained_student_has_welchs_interval(name: str) -> None:
    measures = fidelity_in(beside(OWN, BESIDE, name)).difference
    assert measures.named(name).difference == pytest.approx(np.mean(OWN) - np.mean(BESIDE))
    assert measures.named(name).ci95 == pytest.approx(welch_interval(OWN, BESIDE, 0.95))
    assert [measures.named(other) for other in MEASURES if other != name] == [None] * 3


def test_there_is_no_interval_without_a_spread_and_no_difference_without_a_baseline() -> None:
    for own, plain_values in (([0.9], [0.8]), ([0.9] * 3, [0.8] * 3)):
        measures = fidelity_in(beside(own, plain_values, "kl_t4"))
        assert measures.difference.kl_t4.difference == pytest.approx(0.1)
        assert measures.difference.kl_t4.ci95 is None
        assert closeness(measures) == {}
    study = beside(OWN, BESIDE, "kl_t4")
    alone = replace(study, runs=tuple(replace(run, baseline_test={}) for run in study.runs))
    assert fidelity_in(alone).difference is None


@pytest.mark.parametrize(
    ("name", "step", "closer"),
    [("top1_agreement", 0.1, 1), ("top1_agreement", -0.1, -1), ("top1_agreement", 0.0, 0),
     ("kl_t1", -0.1, 1), ("kl_t4", 0.1, -1)],
)  # fmt: skip
def test_closer_is_more_agreement_or_less_divergence(name: str, step: float, closer: int) -> None:
    own = [value + step for value in BESIDE]
    assert closeness(fidelity_in(beside(own, BESIDE, name))) == {name: closer}


def test_a_run_that_is_in_no_mean_of_accuracy_is_in_none_of_fidelity() -> None:
    study = beside(OWN, BESIDE, "kl_t4")
    odd = [
        replace(run, state="conflict") if run.seed == 0 and run.baseline_test else run
        for run in study.runs
    ]
    assert fidelity_in(replace(study, runs=tuple(odd))).kl_t4.n == 4


def test_the_table_and_its_file_have_the_difference() -> None:
    shown = measured.fidelity(analyse(beside(OWN, BESIDE, "top1_agreement")))
    row = dict(zip(shown.columns, shown.rows[0], strict=True))
    low, high = (100 * end for end in welch_interval(OWN, BESIDE, 0.95))
    assert row["Difference in pp"] == f"−0.08 [−{-low:.2f}, +{high:.2f}]"
    values = dict(zip(shown.fields, shown.values[0], strict=True))
    assert values["difference_top1_agreement"] == pytest.approx(-0.0008)
    assert values["difference_top1_agreement_ci95_high"] == pytest.approx(high / 100)
    assert values["difference_kl_t1"] is None


# Accuracy by class -------------------------------------------------------------------------------

RECORDED = {"top1_agreement": 0.9}
Classes = dict[str, Sequence[float | None]]


def with_classes(runs: Sequence[Run], classes: Classes) -> list[Run]:
    """The same runs with accuracy by class, one value a run."""
    classed = []
    for number, run in enumerate(runs):
        shares = {name: values[number] for name, values in classes.items()}
        known = {**RECORDED, **({"per_class_acc": shares} if shares else {})}
        classed.append(but(run, test={"best": {**run.test["best"].document, **known}}))
    return classed


def by_class(own: Classes, beside_it: Classes, **changes: Any) -> Evidence:
    runs = with_classes(runs_of(plain("little"), [95.0, 95.1, 95.2, 95.3, 95.4]), beside_it)
    taught = runs_of(final("big", "little", "logit"), [95.4, 95.3, 95.2, 95.1, 95.0])
    return evidence([*runs, *with_classes(taught, own)], **changes)


CAT, PLAIN_CAT = [0.80, 0.81, 0.82, 0.83, 0.84], [0.79, 0.82, 0.80, 0.84, 0.81]
BETTER = [value + 0.1 for value in PLAIN_CAT]


def test_accuracy_by_class_has_intervals_over_seeds() -> None:
    own: Classes = {"cat": CAT, "dog": [1.0, 0.98, 1.0, 1.0, 1.0], "none": [None] * 5}
    measures = fidelity_in(by_class(own, {"cat": PLAIN_CAT}))
    cat = measures.per_class_accuracy["cat"]
    low, high = stats.t.interval(0.95, 4, np.mean(CAT), stats.sem(CAT))
    assert (cat.n, cat.mean, cat.std) == (
        5,
        pytest.approx(0.82),
        pytest.approx(np.std(CAT, ddof=1)),
    )
    assert cat.ci95 == pytest.approx([low, high])
    dog = measures.per_class_accuracy["dog"]
    assert dog.ci95[1] == 1.0  # 1.007 is no accuracy
    assert set(measures.per_class_accuracy) == {"cat", "dog"}
    assert measures.per_class_baseline["cat"].mean == pytest.approx(np.mean(PLAIN_CAT))


def test_classes_are_compared_where_both_arms_have_them() -> None:
    own: Classes = {"cat": CAT, "dog": BETTER, "elk": CAT}
    measures = fidelity_in(by_class(own, {"cat": PLAIN_CAT, "dog": PLAIN_CAT}))
    assert set(measures.per_class_difference) == {"cat", "dog"}
    dog = measures.per_class_difference["dog"]
    assert dog.difference == pytest.approx(0.1)
    assert dog.ci95 == pytest.approx(welch_interval(BETTER, PLAIN_CAT, 0.95))
    # Two comparisons: each at 97.5 %, so that both hold with 95 %.
    assert dog.ci95_simultaneous == pytest.approx(welch_interval(BETTER, PLAIN_CAT, 0.975))


def test_a_seed_counts_once_by_class_too_however_many_teachers_it_has() -> None:
    runs = runs_of(plain("little"), [95.0, 95.1, 95.2])
    for teacher, step in (("t1", 0.0), ("t2", 0.1)):
        taught = runs_of(
            final("big", "little", "logit"), [95.5] * 3, configuration="c", teacher=teacher
        )
        classes: Classes = {"cat": [value + step for value in (0.80, 0.82, 0.84)]}
        named = [replace(run, id=f"{run.id}-{teacher}") for run in taught]
        runs += with_classes(named, classes)
    cat = fidelity_in(evidence(runs)).per_class_accuracy["cat"]
    assert (cat.n, cat.mean) == (3, pytest.approx(0.87))
    assert cat.std == pytest.approx(0.02)


# On the page -------------------------------------------------------------------------------------


def marks_of(page: Page, table: str) -> list[str]:
    caption = page.by_id(table)
    (start,) = [n for n, _ in page.all("table") if caption in page.inside(n)]
    return [
        page.text(n)
        for n in page.inside(start)
        if page.elements[n][0] in ("td", "span")
        and "strong" in page.elements[n][1].get("class", "")
    ]


def test_a_class_is_marked_where_its_corrected_interval_excludes_zero() -> None:
    # Alone its interval excludes zero, among ten classes it does not.
    nearly = [value + 0.036 for value in PLAIN_CAT]
    names = [f"c{number}" for number in range(8)]
    own: Classes = {"cat": nearly, "dog": BETTER, **dict.fromkeys(names, CAT)}
    study = by_class(own, dict.fromkeys(own, PLAIN_CAT))
    difference = fidelity_in(study).per_class_difference["cat"]
    assert difference.ci95[0] > 0 > difference.ci95_simultaneous[0]
    page = page_of(study)
    (head, row) = page.rows("class-table")
    assert head == ["method", *own]
    assert row[1].startswith("+3.60[−")
    assert [cell for cell in row if "†" in cell] == [row[2]]
    assert row[2].startswith("+10.00†[+")
    assert marks_of(page, "class-table") == [row[2]]
    assert "10 comparisons" in page.text(page.by_id("class-table"))
    assert "† and bold: such an interval excludes zero" in page.text(page.by_id("fidelity"))


def test_methods_are_shown_alone_where_baselines_lack_their_classes() -> None:
    page = page_of(by_class({"cat": CAT, "dog": BETTER}, {}))
    text = page.text(page.by_id("fidelity"))
    assert "was not recorded for methods and baselines alike" not in text
    assert "The baselines did not record their accuracy by class" in text
    head, row = page.rows("class-accuracy-table")
    assert head == ["method", "cat", "dog"]
    low, high = (100 * end for end in stats.t.interval(0.95, 4, np.mean(CAT), stats.sem(CAT)))
    assert row[1] == f"82.00[{low:.2f}, {high:.2f}]"
    assert "class-table" not in page.html
    assert "Accuracy by class was not recorded." in page_of(by_class({}, {})).html


@pytest.mark.parametrize("compared", [True, False])
def test_a_hundred_classes_are_the_most_and_the_least(compared: bool) -> None:
    own: Classes = {f"c{n:02}": [value - n / 200 for value in CAT] for n in range(100)}
    plain_classes: Classes = dict.fromkeys(own, CAT) if compared else {}
    page = page_of(by_class(own, plain_classes))
    head, row = page.rows("class-table" if compared else "class-accuracy-table")
    assert len(head) == (4 if compared else 3)
    assert [cell.count("[") for cell in row[-2:]] == [6, 6]
    assert row[-2].startswith("c00 ")
    assert row[-1].startswith("c99 ")
    if compared:
        assert "100 comparisons" in page.text(page.by_id("class-table"))
        marked = int(row[1].removesuffix(" of 100"))
        assert 0 < marked < 100
        assert marks_of(page, "class-table")[-1].endswith("†")


def test_the_page_has_the_difference_under_the_baseline() -> None:
    page = page_of(beside(OWN, BESIDE, "top1_agreement"))
    names = [row[0] for row in page.rows("fidelity-table")]
    assert names == ["method", "big → little", "Logit-KD", "its baseline", "difference"]
    assert page.rows("fidelity-table")[-1][2].startswith("−0.08 [−")


def test_readings_stand_after_the_facts_and_before_the_remedies() -> None:
    runs = runs_of(plain("little"), [94.9, 95.1, 94.8, 95.0, 94.7])
    runs += runs_of(
        final("big", "little", "logit"),
        [94.8, 95.0, 94.9, 94.7, 95.1],
        history=[{"epoch": 1, "val_acc": 0.9, "train_acc": 0.9999}],
    )
    page = page_of(evidence(runs))
    text = page.text(page.by_id("diagnosis"))
    order = [text.index(words) for words in ("Facts fit", "What they may mean", "Usual remedies")]
    assert order == sorted(order)
    boxes = {
        page.elements[n][1].get("class"): page.text(n) for n in page.inside(page.by_id("diagnosis"))
    }
    assert "may only repeat the labels" in boxes["facts readings"]
    assert "may only repeat the labels" not in boxes["facts"]
