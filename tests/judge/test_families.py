"""Families of gains and of claims: every number against scipy and statsmodels, or by hand."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

from kdgap.judge.claims import weighted
from kdgap.judge.comparison import View, compare
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.judging import with_claims
from kdgap.spec.claims import ClaimsFile, Statistics
from tests.judge.builders import Values, analyse, claim, evidence, final, pair_of, plain, runs_of

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
NEARLY = [95.12, 95.28, 94.98, 95.25, 95.02]  # p = 0.039 against the baseline
WORSE = [94.0, 94.2, 93.9, 94.1, 93.8]
TERM = {"teacher": "big", "student": "little", "method": "logit"}
PLAIN = {
    "little": [94.9, 94.93, 94.9, 94.82, 94.93, 94.91],
    "wide": [96.04, 95.98, 95.99, 95.83, 96.16],
}
EIGHT = {
    ("little", "logit"): ([95.83, 95.37, 95.66, 95.57, 95.58, 95.6], "gain"),
    ("little", "feature"): ([94.87, 94.9, 95.01, 94.95, 94.81, 94.91], "equivalent"),
    ("little", "third"): ([94.99, 94.97, 95.01, 95.03, 95.05, 95.02], "gain"),
    ("little", "fourth"): ([95.37, 95.56, 94.42, 95.05], "inconclusive"),
    ("wide", "logit"): ([95.48, 95.57, 95.4, 95.21, 95.34], "harm"),
    ("wide", "feature"): ([95.97, 96.05, 96.04, 96.24, 95.86], "equivalent"),
    ("wide", "third"): ([96.17, 96.19, 96.15, 96.2, 96.21, 96.17], "inconclusive"),
    ("wide", "fourth"): ([95.77, 95.98, 95.95, 96.54, 96.25], "inconclusive"),
}
Cell = tuple[str, str]


def study(
    baselines: Mapping[str, Values], methods: Mapping[Cell, Values], **changes: Any
) -> Evidence:
    """A study of arms (student, method), all from one teacher."""
    runs = [run for student, values in baselines.items() for run in runs_of(plain(student), values)]
    for (student, method), values in methods.items():
        runs += runs_of(final("big", student, method), values)
    return evidence(runs, **changes)


def by_cell(analysis: Any) -> dict[Cell, Any]:
    return {(gain.student, gain.method): gain for gain in analysis.gains}


def codes(entry: Any) -> set[str]:
    return {flag.code for flag in entry.flags}


def test_eight_gains_over_two_baselines_are_those_of_scipy_and_statsmodels() -> None:
    arms = {arm: values for arm, (values, _) in EIGHT.items()}
    gains = by_cell(analyse(study(PLAIN, arms)))
    assert set(gains) == set(EIGHT)
    welch = {
        arm: stats.ttest_ind(values, PLAIN[arm[0]], equal_var=False) for arm, values in arms.items()
    }
    tost = {
        arm: ttost_ind(np.array(values), np.array(PLAIN[arm[0]]), -0.2, 0.2, usevar="unequal")[0]
        for arm, values in arms.items()
    }
    raw = [test.pvalue for test in welch.values()]
    p_holm = dict(zip(arms, multipletests(raw, method="holm")[1], strict=True))
    tost_holm = dict(zip(arms, multipletests(list(tost.values()), method="holm")[1], strict=True))
    for arm, gain in gains.items():
        single = welch[arm].confidence_interval(0.95)
        joint = welch[arm].confidence_interval(1 - 0.05 / 8)
        assert gain.gain_pp == pytest.approx(np.mean(arms[arm]) - np.mean(PLAIN[arm[0]]))
        assert gain.p == pytest.approx(welch[arm].pvalue, rel=1e-6)
        assert gain.p_holm == pytest.approx(p_holm[arm], rel=1e-6)
        assert gain.p_tost == pytest.approx(tost[arm], rel=1e-6)
        assert gain.p_tost_holm == pytest.approx(tost_holm[arm], rel=1e-6)
        assert gain.ci95_pp == pytest.approx(list(single))
        assert gain.ci95_simultaneous_pp == pytest.approx(list(joint))
        assert gain.family == 8
        assert gain.verdict == EIGHT[arm][1]
    flagged = {
        code: {arm for arm, gain in gains.items() if code in codes(gain)}
        for code in ("small", "equivalence-uncorrected", "only-uncorrected")
    }
    assert flagged == {
        "small": {("little", "third")},
        "equivalence-uncorrected": {("wide", "feature")},
        "only-uncorrected": {("wide", "third")},
    }
    assert tost["wide", "feature"] < 0.05 < tost_holm["wide", "feature"]
    assert welch["wide", "third"].pvalue < 0.05 < p_holm["wide", "third"]


# Seeds that are needed: counted here by scipy's noncentral t, and by an integral for equivalence.


def noise(parts: list[float], n: int) -> tuple[float, float]:
    """Standard error and degrees of freedom of arms with these squared weighted spreads."""
    total = math.fsum(parts)
    return math.sqrt(total / n), (n - 1) * total**2 / math.fsum(part**2 for part in parts)


def finds(parts: list[float], n: int, level: float) -> float:
    """Power of a two-sided test at an effect of 0.2."""
    se, df = noise(parts, n)
    critical = stats.t.isf(level / 2, df)
    shifted = stats.nct(df, 0.2 / se)
    return float(shifted.sf(critical) + shifted.cdf(-critical))


def excludes(parts: list[float], n: int, level: float) -> float:
    """Power of TOST with margins of 0.2 where there is no effect, given what the spread seems."""
    se, df = noise(parts, n)
    critical = stats.t.isf(level, df)

    def both(u: float) -> float:
        room = 0.2 / se - critical * u
        return float(2 * df * u * stats.chi2.pdf(df * u**2, df) * (2 * stats.norm.cdf(room) - 1))

    return float(integrate.quad(both, 0, 0.2 / se / critical)[0])


def fewest(power: Callable[[int], float]) -> int:
    return next(n for n in count(2) if power(n) >= 0.8)


def needs(parts: list[float], family: int) -> dict[str, int]:
    return {
        "seeds_needed": fewest(lambda n: finds(parts, n, 0.05 / family)),
        "seeds_needed_uncorrected": fewest(lambda n: finds(parts, n, 0.05)),
        "seeds_needed_equivalence": fewest(lambda n: excludes(parts, n, 0.05)),
    }


@pytest.mark.parametrize("test", ["welch", "paired"])
def test_seeds_needed_are_at_the_corrected_level_and_of_equivalence_at_the_declared_one(
    test: str,
) -> None:
    other = [94.8, 95.3, 94.9, 95.2, 94.6]
    arms = {("little", method): other for method in ("feature", "third", "fourth")}
    statistics = Statistics.model_validate({"test": test})
    family = study(
        {"little": BASELINE}, {("little", "logit"): NEARLY, **arms}, statistics=statistics
    )
    gain = by_cell(analyse(family))["little", "logit"]
    if test == "paired":
        parts = [float(np.var(np.subtract(NEARLY, BASELINE), ddof=1))]
    else:
        parts = [float(np.var(NEARLY, ddof=1)), float(np.var(BASELINE, ddof=1))]
    expected = needs(parts, 4)
    assert {name: getattr(gain, name) for name in expected} == expected
    assert expected["seeds_needed"] > expected["seeds_needed_uncorrected"]
    assert expected["seeds_needed_equivalence"] < fewest(lambda n: excludes(parts, n, 0.025))


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_guessed_spread_of_paired_seeds_is_that_of_the_weighted_sum(weight: float) -> None:
    statistics = Statistics(test="paired", expected_std_pp=0.1)
    declared = claim("one", [{**TERM, "weight": weight}])
    analysis = analyse(pair_of([95.0], [95.3], claims=(declared,), statistics=statistics))
    (contrast,) = analysis.contrasts
    expected = needs([0.1**2 * weight**2 * 2], 1)
    assert {name: getattr(contrast, name) for name in expected} == expected
    assert contrast.spread_guessed


def test_the_power_that_a_diagnosis_tells_is_at_the_corrected_level() -> None:
    arms = {("little", method): BASELINE[::-1] for method in ("logit", "feature", "third")}
    (gain, *_) = analyse(study({"little": BASELINE}, arms)).gains
    (sentence,) = (fact.fact for fact in gain.diagnosis if fact.topic == "power")
    power = finds([float(np.var(BASELINE, ddof=1))] * 2, 5, 0.05 / 3)
    assert f"be found with {100 * round(power, 3):g} % power after correction" in sentence


def test_the_smallest_p_of_five_paired_seeds_is_that_of_flipped_signs() -> None:
    analysis = analyse(pair_of(BASELINE, METHOD, statistics=Statistics(test="paired")))
    assert analysis.settings.smallest_p == pytest.approx(2 / 2**5)
    assert analysis.gains[0].p_permutation == pytest.approx(2 / 2**5)


# What is one comparison, and what is two.


def test_two_configurations_of_one_slot_are_two_comparisons_of_the_family() -> None:
    runs = runs_of(plain("little"), BASELINE)
    arms = {"0.3": METHOD, "0.5": NEARLY}
    for arm, values in arms.items():
        slot = final("big", "little", "logit")
        runs += runs_of(slot, values, configuration=arm, parameters={"alpha": float(arm)})
    gains = {gain.configuration: gain for gain in analyse(evidence(runs)).gains}
    raw = [stats.ttest_ind(v, BASELINE, equal_var=False).pvalue for v in arms.values()]
    adjusted = multipletests(raw, method="holm")[1]
    assert [gains[arm].p for arm in arms] == pytest.approx(raw)
    assert [gains[arm].p_holm for arm in arms] == pytest.approx(list(adjusted))
    assert {gain.family for gain in gains.values()} == {2}


@pytest.mark.parametrize(
    ("weights", "exchangeable"),
    [((1, -1), True), ((-2, 2), True), ((1, -2), False), ((1, 1), False), ((0.5, -1), False)],
)
def test_labels_are_only_exchanged_between_arms_of_opposite_weights(
    weights: tuple[float, float], exchangeable: bool
) -> None:
    pair = pair_of(BASELINE, METHOD)
    terms = [weighted(arm, w) for arm, w in zip(pair.arms(), weights, strict=True)]
    comparison = compare(terms, pair, View("best", "welch"))
    assert comparison.exact is exchangeable
    every = stats.permutation_test((METHOD, BASELINE), lambda x, y: abs(sum(x) - sum(y)),
                                   alternative="greater")  # fmt: skip
    expected = pytest.approx(every.pvalue) if exchangeable else None
    assert comparison.p_permutation == expected


def shifted(std: float, n: int) -> list[float]:
    """Values of that standard deviation around 95."""
    raw = np.linspace(-1, 1, n)
    return [round(v, 6) for v in (95 + raw * std / np.std(raw, ddof=1)).tolist()]


@pytest.mark.parametrize(("few", "flagged"), [("wide", False), ("little", True)])
def test_whether_an_interval_rests_on_few_seeds_is_a_matter_of_squared_weights(
    few: str, flagged: bool
) -> None:
    """Of three times one gain less another, the noise of the first counts nine times."""
    # Squared standard errors 1 (weighted 9) and 5: shares 9/14 and 5/14; unsquared 3/8 and 5/8.
    sizes = {"little": 3 if few == "little" else 12, "wide": 3 if few == "wide" else 12}
    noisy = {"little": math.sqrt(1 * sizes["little"]), "wide": math.sqrt(5 * sizes["wide"])}
    calm = {student: shifted(0.001, sizes[student]) for student in sizes}
    arms = {(student, "logit"): shifted(noisy[student], sizes[student]) for student in sizes}
    declared = claim("one", [{**TERM, "weight": 3}, {**TERM, "student": "wide", "weight": -1}])
    (contrast,) = analyse(study(calm, arms, claims=(declared,))).contrasts
    assert ("few-seeds" in codes(contrast)) is flagged


def test_a_seed_counts_as_its_mean_over_teachers() -> None:
    lifts = {"t0": 0.0, "t1": 0.2, "t2": 0.7}
    runs = runs_of(plain("little"), BASELINE)
    runs += crossed({teacher: [v + lift for v in METHOD] for teacher, lift in lifts.items()})
    (gain,) = analyse(evidence(runs)).gains
    means = [value + 0.3 for value in METHOD]
    assert (gain.n, gain.mean_pp) == (5, pytest.approx(np.mean(means)))
    assert gain.p == pytest.approx(stats.ttest_ind(means, BASELINE, equal_var=False).pvalue)


def crossed(tables: Mapping[str, Values]) -> list[Run]:
    slot = final("big", "little", "logit")
    return [
        replace(run, id=f"{run.id}-{teacher}")
        for teacher, values in tables.items()
        for run in runs_of(slot, values, configuration="c", teacher=teacher)
    ]


def test_a_gain_over_teachers_of_their_kind_is_one_of_the_seeds_that_every_teacher_has() -> None:
    table: dict[str, list[float | None]] = {
        "t0": [95.2, 95.6, 95.1, 95.3, 95.7, None],
        "t1": [None, 95.9, 95.7, 95.6, 96.0, 95.8],
        "t2": [95.5, 96.4, 96.0, 95.8, 96.5, 95.9],
    }
    runs = runs_of(plain("little"), BASELINE) + crossed(table)
    (gain,) = analyse(evidence(runs)).gains
    values = np.array([row[1:5] for row in table.values()], dtype=np.float64)
    rows, columns, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    squares = [
        4 * float(np.sum((rows - mean) ** 2)) / 2,
        3 * float(np.sum((columns - mean) ** 2)) / 3,
        float(np.sum((values - rows[:, None] - columns + mean) ** 2)) / 6,
    ]
    square = squares[0] + squares[1] - squares[2]
    assert square > max(squares)
    df = square**2 / (squares[0] ** 2 / 2 + squares[1] ** 2 / 3 + squares[2] ** 2 / 6)
    own, theirs = np.var(BASELINE, ddof=1) / 5, square / 12
    joint = (own + theirs) ** 2 / (own**2 / 4 + theirs**2 / df)
    centre, half = mean - np.mean(BASELINE), stats.t.isf(0.025, joint) * math.sqrt(own + theirs)
    components = gain.teachers
    assert (components.teachers, components.seeds) == (3, 4)
    assert components.residual_std_pp**2 == pytest.approx(squares[2])
    assert components.gain_over_teachers_pp == pytest.approx(centre)
    assert components.ci95_over_teachers_pp == pytest.approx([centre - half, centre + half])


# Claims: their own tests are a family of their own.


@pytest.mark.parametrize("outcome", ["established", "contradicted"])
def test_the_tests_that_claims_need_are_corrected_over_the_claims(outcome: str) -> None:
    arms = {
        ("little", "logit"): [94.9, 95.1, 94.8, 95.0, 94.7],
        ("little", "feature"): [94.92, 95.12, 94.82, 95.02, 94.72],
        ("little", "third"): [95.2, 95.0, 94.9, 95.1, 95.05],
    }
    if outcome == "contradicted":  # as far below the margin of 0.2 as they are above it here
        arms = {arm: [2 * (94.9 - 0.2) - v for v in values] for arm, values in arms.items()}
    side = "greater" if outcome == "established" else "less"
    claims = [claim(m, [{**TERM, "weight": 1, "method": m}], says="not_below") for _, m in arms]
    contrasts = analyse(study({"little": BASELINE}, arms, claims=tuple(claims))).contrasts
    raw = [
        stats.ttest_ind(np.add(v, 0.2), BASELINE, equal_var=False, alternative=side).pvalue
        for v in arms.values()
    ]
    adjusted = multipletests(raw, method="holm")[1]
    name = "p_claim_holm" if outcome == "established" else "p_against_holm"
    assert [getattr(contrast, name) for contrast in contrasts] == pytest.approx(list(adjusted))
    # Each for itself would be settled, but only one is after correction.
    assert max(raw) < 0.05 < sorted(adjusted)[1]
    assert [contrast.outcome for contrast in contrasts] == [
        "not established",
        "not established",
        outcome,
    ]


def test_a_gain_alone_establishes_nothing_that_the_correction_over_claims_takes_back() -> None:
    above = claim("above", [{**TERM, "weight": 1}])
    nothing = claim("nothing", [{**TERM, "weight": 1}], says="nothing")
    p = stats.ttest_ind(NEARLY, BASELINE, equal_var=False).pvalue
    assert 0.025 < p < 0.05
    (alone,) = analyse(pair_of(BASELINE, NEARLY, claims=(above,))).contrasts
    both, _ = analyse(pair_of(BASELINE, NEARLY, claims=(above, nothing))).contrasts
    assert (alone.verdict, alone.outcome) == ("gain", "established")
    assert (both.verdict, both.outcome) == ("gain", "not established")
    assert both.p_claim_holm == pytest.approx(2 * p)


def test_a_gain_never_contradicts_that_a_method_is_no_worse() -> None:
    arms = {("little", "logit"): NEARLY, ("little", "feature"): WORSE, ("little", "third"): WORSE}
    claims = [claim(m, [{**TERM, "weight": 1, "method": m}], says="not_below") for _, m in arms]
    family = study({"little": BASELINE}, arms, claims=tuple(claims))
    family = replace(family, statistics=Statistics(smallest_effect_pp=0.001))
    first, *worse = analyse(family).contrasts
    # Holm over three claims, two of which are hopeless, leaves this one unproven at such a margin.
    assert first.verdict == "gain"
    assert first.outcome == "not established"
    assert [contrast.outcome for contrast in worse] == ["contradicted"] * 2


def test_a_file_of_claims_is_judged_by_the_statistics_that_it_declares() -> None:
    declared = claim("one", [{**TERM, "weight": 1}], says="nothing")
    wide = Statistics(smallest_effect_pp=1, test="paired", confidence=0.9)
    before = pair_of(BASELINE, METHOD)
    analysis = analyse(with_claims(before, ClaimsFile(claims=[declared], statistics=wide)))
    expected = stats.ttest_rel(METHOD, BASELINE)
    (contrast,) = analysis.contrasts
    assert (contrast.outcome, contrast.p) == ("established", pytest.approx(expected.pvalue))
    assert contrast.ci95_pp == pytest.approx(list(expected.confidence_interval(0.9)))
    assert with_claims(before, ClaimsFile(claims=[declared])).statistics == before.statistics
