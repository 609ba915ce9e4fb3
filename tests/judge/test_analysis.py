"""Verdicts: every gain against its own baseline, claims as contrasts, families, flags."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

from kdgap.errors import BadInputError
from kdgap.judge.document import to_json
from kdgap.judge.evidence import Evidence
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from tests.judge.builders import analyse, claim, evidence, final, pair_of, plain, runs_of, tuning

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
TERM = {"teacher": "big", "student": "little", "method": "logit"}


def codes(entry: Any) -> set[str]:
    return {flag.code for flag in entry.flags}


def test_a_gain_is_welchs_difference_with_everything_beside_it() -> None:
    analysis = analyse(pair_of(BASELINE, METHOD))
    (gain,) = analysis.gains
    expected = stats.ttest_ind(METHOD, BASELINE, equal_var=False)
    low, high = expected.confidence_interval()
    assert gain.gain_pp == pytest.approx(sum(METHOD) / 5 - sum(BASELINE) / 5)
    assert (gain.p, gain.df) == pytest.approx((expected.pvalue, expected.df))
    assert gain.ci95_pp == pytest.approx([low, high])
    assert (gain.n, gain.n_baseline) == (5, 5)
    tost, _, _ = ttost_ind(METHOD, BASELINE, -0.2, 0.2, usevar="unequal")
    assert gain.p_tost == pytest.approx(tost)
    assert gain.p_permutation == pytest.approx(
        stats.permutation_test(
            (METHOD, BASELINE), lambda x, y: abs(sum(x) - sum(y)), alternative="greater"
        ).pvalue
    )
    assert gain.paired.p == pytest.approx(stats.ttest_rel(METHOD, BASELINE).pvalue)
    assert gain.verdict == "gain"
    json.dumps(to_json(analysis), allow_nan=False)


def test_holm_decides_over_all_gains_of_the_study() -> None:
    weak = [95.1, 95.2, 94.9, 95.2, 95.0]
    runs = runs_of(plain("little"), BASELINE)
    arms = {"logit": METHOD, "feature": weak}
    for method, values in arms.items():
        runs += runs_of(final("big", "little", method), values)
    gains = {gain.method: gain for gain in analyse(evidence(runs)).gains}
    raw = [stats.ttest_ind(arms[m], BASELINE, equal_var=False).pvalue for m in arms]
    adjusted = multipletests(raw, method="holm")[1]
    assert [gains[m].p_holm for m in arms] == pytest.approx(list(adjusted))
    level = 1 - 0.05 / 2
    low, high = stats.ttest_ind(METHOD, BASELINE, equal_var=False).confidence_interval(level)
    assert gains["logit"].ci95_simultaneous_pp == pytest.approx([low, high])


def test_what_is_only_significant_uncorrected_is_inconclusive_and_says_so() -> None:
    nearly = [95.12, 95.28, 94.98, 95.25, 95.02]
    runs = runs_of(plain("little"), BASELINE) + runs_of(plain("other"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), nearly)
    for method in ("logit", "feature"):
        runs += runs_of(final("big", "other", method), [94.8, 95.3, 94.9, 95.2, 94.6])
    (gain,) = (g for g in analyse(evidence(runs)).gains if g.student == "little")
    assert gain.p < 0.05 < gain.p_holm
    assert gain.verdict == "inconclusive"
    assert "only-uncorrected" in codes(gain)
    assert f"{gain.seeds_needed - 5} more seeds" in gain.sentence


def test_equivalent_and_harm() -> None:
    close = [94.901, 95.1, 94.801, 95.0, 94.7]
    wide = Statistics(smallest_effect_pp=1)
    assert analyse(pair_of(BASELINE, close, statistics=wide)).gains[0].verdict == "equivalent"
    (harm,) = analyse(pair_of(METHOD, BASELINE)).gains
    assert harm.verdict == "harm"
    (small,) = analyse(pair_of(BASELINE, METHOD, statistics=wide)).gains
    assert small.verdict == "gain"
    assert "small" in codes(small)


def test_a_contrast_is_a_difference_of_gains_with_summed_weights() -> None:
    capacity = claim("capacity", [
        {"weight": 1, "teacher": "big", "student": "wide", "method": "logit"},
        {"weight": -1, "teacher": "big", "student": "little", "method": "logit"},
    ])  # fmt: skip
    arms = {
        final("big", "wide", "logit"): [96.0, 96.3, 96.1, 96.2],
        plain("wide"): [95.5, 95.2, 95.6, 95.4],
        final("big", "little", "logit"): METHOD,
        plain("little"): BASELINE,
    }
    runs = [run for slot, values in arms.items() for run in runs_of(slot, values)]
    (contrast,) = analyse(evidence(runs, claims=(capacity,))).contrasts
    means, variances = [], []
    for values in arms.values():
        mean = sum(values) / len(values)
        means.append(mean)
        n = len(values)
        variances.append(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    se = math.sqrt(math.fsum(variances))
    sizes = [len(v) for v in arms.values()]
    df = se**4 / math.fsum(v**2 / (n - 1) for v, n in zip(variances, sizes, strict=True))
    assert contrast.estimate_pp == pytest.approx(means[0] - means[1] - means[2] + means[3])
    assert (contrast.se_pp, contrast.df) == pytest.approx((se, df))
    assert [term.weight for term in contrast.terms] == [1, -1, -1, 1]


def test_pairs_of_one_student_lose_their_baseline_in_a_difference() -> None:
    runs = runs_of(plain("little"), BASELINE) + runs_of(final("big", "little", "logit"), METHOD)
    runs += runs_of(final("huge", "little", "logit"), [95.3, 95.1, 95.2, 95.6, 95.0])
    bigger = claim("bigger", [{**TERM, "weight": -1}, {**TERM, "weight": 1, "teacher": "huge"}])
    (contrast,) = analyse(evidence(runs, claims=(bigger,))).contrasts
    assert {term.slot for term in contrast.terms} == {
        "big → little logit",
        "huge → little logit",
    }
    assert contrast.p_permutation is not None  # two arms: their labels can be exchanged


def test_two_claims_about_one_sum_are_one_comparison() -> None:
    up = claim("up", [{**TERM, "weight": 1}])
    down = claim("down", [{**TERM, "weight": -1}])
    analysis = analyse(pair_of(BASELINE, METHOD, claims=(up, down)))
    first, second = analysis.contrasts
    assert (first.family, first.p_holm) == (1, first.p)
    assert (first.outcome, second.outcome) == ("established", "contradicted")


@pytest.mark.parametrize(
    ("says", "method", "margin", "outcome"),
    [
        ("above", METHOD, 0.2, "established"),
        ("above", BASELINE[::-1], 0.2, "not established"),
        ("not_below", METHOD, 0.2, "established"),
        ("not_below", BASELINE[::-1], 1, "established"),
        ("not_below", BASELINE[::-1], 0.01, "not established"),
        ("nothing", BASELINE[::-1], 1, "established"),
        ("nothing", METHOD, 0.01, "contradicted"),
    ],
)
def test_what_a_claim_says_decides_which_test_it_needs(
    says: str, method: list[float], margin: float, outcome: str
) -> None:
    declared = claim("one", [{**TERM, "weight": 1}], says=says)
    statistics = Statistics(smallest_effect_pp=margin)
    analysis = analyse(pair_of(BASELINE, method, claims=(declared,), statistics=statistics))
    assert analysis.contrasts[0].outcome == outcome
    assert outcome in analysis.contrasts[0].sentence


def test_a_claim_is_post_hoc_unless_it_was_locked() -> None:
    declared = claim("one", [{**TERM, "weight": 1}])
    pair = pair_of(BASELINE, METHOD, claims=(declared,))
    assert analyse(pair).contrasts[0].post_hoc
    locked = replace(pair, locked_claims=(declared.model_dump(mode="json"),))
    assert not analyse(locked).contrasts[0].post_hoc
    changed = replace(locked, claims=(declared.model_copy(update={"text": "Other words"}),))
    assert analyse(changed).contrasts[0].post_hoc


@pytest.mark.parametrize(
    ("terms", "measure", "words"),
    [
        ([{**TERM, "weight": 1, "method": "logti"}], "gain", "did you mean 'big → little logit'"),
        ([{**TERM, "weight": 1, "student": "nobody"}], "gain", "is no arm of these runs"),
        ([{"weight": 1, "ablation": "clip"}], "accuracy", "unknown ablation 'clip'"),
        ([{"weight": 1, "student": "little"}], "gain", "a gain needs teacher, student and method"),
    ],
)
def test_a_claim_about_a_cell_that_does_not_exist_is_refused(
    terms: list[dict[str, Any]], measure: str, words: str
) -> None:
    declared = claim("one", terms, measure=measure)
    with pytest.raises(BadInputError, match="claim 'one'") as caught:
        analyse(pair_of(BASELINE, METHOD, claims=(declared,)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_slot_of_two_configurations_is_two_gains_and_no_claim() -> None:
    runs = runs_of(plain("little"), BASELINE)
    for alpha in (0.3, 0.5):
        slot = final("big", "little", "logit")
        runs += runs_of(slot, METHOD, configuration=str(alpha), parameters={"alpha": alpha})
    study = evidence(runs)
    assert len(analyse(study).gains) == 2
    declared = claim("one", [{**TERM, "weight": 1}])
    with pytest.raises(BadInputError, match="2 unlike configurations"):
        analyse(replace(study, claims=(declared,)))


# Bad input: what is missing or odd is named, and never a crash.


def test_nothing_tested_is_refused_with_the_states() -> None:
    with pytest.raises(BadInputError, match=r"no run has a test accuracy yet .*failed"):
        analyse(pair_of([None], [None, None]))
    with pytest.raises(BadInputError, match="0 runs: none"):
        analyse(evidence([]))


def test_one_seed_has_a_difference_and_no_interval() -> None:
    (gain,) = analyse(pair_of([95.0], [95.3])).gains
    assert gain.gain_pp == pytest.approx(0.3)
    assert (gain.ci95_pp, gain.p, gain.verdict) == (None, None, "inconclusive")
    assert {"one-seed", "spread-guessed"} <= codes(gain)
    assert gain.seeds_needed > 1
    assert f"{gain.seeds_needed} seeds a side would find 0.2 pp" in gain.sentence
    assert "were the spread 0.2 pp" in gain.sentence


def test_a_small_noisy_arm_is_flagged() -> None:
    noisy, calm = [94.0, 95.0, 96.0], BASELINE
    assert "few-seeds" in codes(analyse(pair_of(calm, noisy)).gains[0])
    assert "few-seeds" in codes(analyse(pair_of([*noisy, 94.5], calm)).gains[0])
    assert "few-seeds" not in codes(analyse(pair_of([*noisy, 94.5, 95.5], calm)).gains[0])
    assert "few-seeds" not in codes(analyse(pair_of(METHOD, BASELINE)).gains[0])


def test_no_variance_has_no_interval() -> None:
    (gain,) = analyse(pair_of([95.0, 95.0], [95.3, 95.3])).gains
    assert gain.verdict == "inconclusive"
    assert "no-variance" in codes(gain)


def test_a_missing_baseline_is_named() -> None:
    (gain,) = analyse(evidence(runs_of(final("big", "little", "logit"), METHOD))).gains
    assert (gain.gain_pp, gain.n_baseline, gain.verdict) == (None, 0, "inconclusive")
    assert "no-baseline" in codes(gain)
    assert "nothing can be said" in gain.sentence


def test_a_baseline_of_another_recipe_is_none() -> None:
    runs = runs_of(plain("little"), BASELINE, recipe="200 epochs")
    runs += runs_of(final("big", "little", "logit"), METHOD, recipe="100 epochs")
    (gain,) = analyse(evidence(runs)).gains
    assert "no-baseline" in codes(gain)


def test_failures_count_and_stay_in_the_family() -> None:
    runs = runs_of(plain("little"), BASELINE) + runs_of(final("big", "little", "logit"), METHOD)
    runs += runs_of(final("big", "little", "feature"), [None, None])
    analysis = analyse(evidence(runs))
    logit, feature = analysis.gains
    assert logit.family == 2
    assert logit.p_holm == pytest.approx(2 * logit.p)
    assert feature.gain_pp is None
    assert "missing-runs" in codes(feature)
    assert len(analysis.failures) == 2
    assert "diverged" in analysis.failures[0].remark
    partly = analyse(pair_of(BASELINE, [*METHOD[:4], None])).gains[0]
    assert {"missing-runs", "unequal-seeds"} <= codes(partly)
    assert partly.n == 4


def test_a_paired_study_counts_the_seeds_that_both_arms_have() -> None:
    statistics = Statistics(test="paired")
    pair = pair_of(BASELINE, [*METHOD[:4], None], statistics=statistics)
    (gain,) = analyse(pair).gains
    assert (gain.n, gain.n_baseline) == (4, 4)
    assert gain.p == pytest.approx(stats.ttest_rel(METHOD[:4], BASELINE[:4]).pvalue)
    assert gain.p_permutation == pytest.approx(2 / 2**4)
    assert "unpaired-seeds" in codes(gain)


# Selection, teachers, and other ways of looking.


def shared_seed() -> Evidence:
    chosen = (final("big", "little", "logit"), Slot("selection", "big", "little", "logit", "a0.5"))
    pair = pair_of(BASELINE, METHOD)
    runs = [replace(r, slots=chosen) if r.seed == 0 and "final" in r.id else r for r in pair.runs]
    return replace(pair, runs=tuple(runs))


def test_a_shared_selection_seed_is_flagged_and_can_be_dropped_from_both_arms() -> None:
    analysis = analyse(shared_seed())
    assert "shared-selection-seed" in codes(analysis.gains[0])
    view = next(v for v in analysis.sensitivity if v.name == "without shared selection seeds")
    assert view.gains[0].n == (4, 4)
    expected = stats.ttest_ind(METHOD[1:], BASELINE[1:], equal_var=False)
    assert view.gains[0].p == pytest.approx(expected.pvalue)
    views = {v.name for v in analyse(pair_of(BASELINE, METHOD)).sensitivity}
    assert views == {"last weights", "paired test"}


@pytest.mark.parametrize(
    ("winner", "scores", "code"),
    [
        ({"alpha": 0.5}, {0.3: 0.94, 0.5: 0.95}, None),
        ({"alpha": 0.5}, {0.3: 0.96, 0.5: 0.95}, "not-the-winner"),
        ({"alpha": 0.5}, {0.3: 0.95, 0.5: 0.95}, "tied"),
        ({"alpha": 0.5}, {0.3: 0.95, 0.7: 0.95}, "untried"),
    ],
)
def test_how_hyperparameters_were_chosen_is_checked(
    winner: dict[str, Any], scores: dict[float, float], code: str | None
) -> None:
    pair = pair_of(BASELINE, METHOD, tunings=(tuning(winner, scores),))
    (gain,) = analyse(pair).gains
    assert gain.tried == 2
    doubts = codes(gain) & {"not-the-winner", "tied", "untried"}
    assert doubts == ({code} if code else set())
    assert "one-selection-seed" in codes(gain)


def test_a_choice_without_a_score_of_its_own_is_tied_with_nothing() -> None:
    scores = {0.5: None, 0.6: 0.9, 0.7: 0.9}
    pair = pair_of(BASELINE, METHOD, tunings=(tuning({"alpha": 0.5}, scores),))
    assert "tied" not in codes(analyse(pair).gains[0])


def test_several_teachers_are_a_sample_too() -> None:
    runs = runs_of(plain("little"), BASELINE)
    for number, lift in enumerate((0.0, 0.4, 0.9)):
        values = [value + lift for value in METHOD]
        taught = runs_of(
            final("big", "little", "logit"), values, configuration="c", teacher=f"t{number}"
        )
        runs += [replace(run, id=f"{run.id}-{number}") for run in taught]
    (gain,) = analyse(evidence(runs)).gains
    assert gain.n == 5  # a seed is what is independent, not a seed and teacher
    assert gain.teachers.teachers == 3
    assert gain.teachers.teacher_share > 0.5
    low, high = gain.teachers.ci95_over_teachers_pp
    assert high - low > gain.ci95_pp[1] - gain.ci95_pp[0]
    assert "one-teacher" not in codes(gain)
    assert "one-teacher" in codes(analyse(pair_of(BASELINE, METHOD)).gains[0])


def test_ablations_compare_the_changed_arm_with_its_base() -> None:
    runs = list(pair_of(BASELINE, METHOD).runs)
    for arm, values in (("base", METHOD), ("changed", BASELINE)):
        slot = Slot("ablation", "big", "little", "logit", "", "clip", arm)
        runs += runs_of(slot, values)
    (ablation,) = analyse(evidence(runs)).ablations
    assert ablation.effect_pp == pytest.approx(-0.3)
    assert (ablation.name, ablation.verdict) == ("clip", "harm")


def test_unequal_epochs_and_mixed_environments_are_flagged() -> None:
    runs = runs_of(plain("little"), BASELINE, epochs=100, environment="cpu")
    runs += runs_of(final("big", "little", "logit"), METHOD, epochs=200, environment="cuda")
    analysis = analyse(evidence(runs))
    assert {"unequal-epochs", "mixed-environments"} <= codes(analysis.gains[0])
    assert "mixed-environments" in {flag.code for flag in analysis.flags}


def test_names_of_architectures_find_the_studys_own_names() -> None:
    pair = pair_of(BASELINE, METHOD)
    models = {"big": {"name": "resnet50"}, "little": {"name": "resnet18"}}
    declared = claim("one", [{**TERM, "weight": 1, "teacher": "resnet50", "student": "resnet18"}])
    analysis = analyse(replace(pair, models=models, claims=(declared,)))
    assert analysis.contrasts[0].estimate_pp == analysis.gains[0].gain_pp
