"""What must not be hidden: late changes, verdicts that hinge on one choice, what a claim needs."""

from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import pytest
from scipy import stats

from kdgap.errors import BadInputError
from kdgap.judge.evidence import Evidence
from kdgap.judge.judging import judged_by, with_claims
from kdgap.notice import FileNotice
from kdgap.spec.claims import ClaimsFile, Statistics
from kdgap.spec.slot import Slot
from kdgap.stats import power
from tests.judge.builders import analyse, claim, evidence, final, pair_of, plain, runs_of

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
TERM = {"teacher": "big", "student": "little", "method": "logit"}
MORE = claim("more", [{"weight": 1, **TERM}])


def codes(entry: Any) -> set[str]:
    return {flag.code for flag in entry.flags}


def locked(**changes: Any) -> Evidence:
    return pair_of(
        BASELINE,
        METHOD,
        claims=(MORE,),
        locked_claims=(MORE.model_dump(mode="json"),),
        **changes,
    )


def test_another_smallest_effect_than_the_declared_one_is_post_hoc() -> None:
    before, after = (
        analyse(locked()),
        analyse(judged_by(locked(), Statistics(smallest_effect_pp=5))),
    )
    assert not before.contrasts[0].post_hoc
    assert after.contrasts[0].post_hoc
    assert after.study.marks == ("post hoc: statistics",)
    (text,) = (flag.text for flag in after.flags if "post hoc" in flag.text)
    assert text.endswith("smallest_effect_pp 5.0 in place of 0.2")


@pytest.mark.parametrize("origin", ["study", "import"])
def test_other_weights_are_post_hoc_for_a_study_that_declared_them(origin: str) -> None:
    given = ClaimsFile(claims=[MORE], primary="last")
    study = with_claims(locked(origin=origin), given)
    assert study.primary == "last"
    assert list(study.marks) == (["post hoc: primary"] if origin == "study" else [])


def test_judging_as_declared_leaves_no_mark() -> None:
    study = with_claims(
        locked(), ClaimsFile(claims=[MORE], statistics=Statistics(), primary="best")
    )
    assert study.notices == ()
    assert not analyse(study).contrasts[0].post_hoc


def test_a_claim_that_compares_a_cell_with_itself_is_refused() -> None:
    terms = [{"weight": 1, **TERM}, {"weight": -1, **TERM}]
    with pytest.raises(BadInputError, match="claim 'none': its terms cancel"):
        analyse(pair_of(BASELINE, METHOD, claims=(claim("none", terms),)))


def selected(values: list[float]) -> Evidence:
    """Return a study whose first final seed chose the hyper-parameters."""
    pair = pair_of(BASELINE, values, claims=(MORE,))
    first = next(run for run in pair.runs if run.seed == 0 and run.has_role("final"))
    slots = (*first.slots, replace(first.slots[0], role="selection"))
    runs = (replace(run, slots=slots) if run is first else run for run in pair.runs)
    return replace(pair, runs=tuple(runs))


def test_a_verdict_that_hinges_on_the_shared_seed_says_so_where_it_is_said() -> None:
    analysis = analyse(selected([98.0, 95.2, 95.0, 95.3, 95.1]))
    (gain,), (contrast,) = analysis.gains, analysis.contrasts
    assert (gain.verdict, contrast.outcome) == ("inconclusive", "not established")
    assert not {"sensitive"} & (codes(gain) | codes(contrast))  # nothing settled, nothing to lose
    analysis = analyse(selected([95.26, 95.24, 95.04, 95.24, 95.0]))
    (gain,), (contrast,) = analysis.gains, analysis.contrasts
    assert (gain.verdict, contrast.outcome) == ("gain", "established")
    assert "but without shared selection seeds: inconclusive" in gain.sentence
    assert "but without shared selection seeds: not established" in contrast.sentence


def test_a_verdict_that_holds_in_every_way_of_looking_is_not_flagged() -> None:
    analysis = analyse(selected([value + 3 for value in METHOD]))
    assert analysis.gains[0].verdict == "gain"
    assert "sensitive" not in codes(analysis.gains[0])


@pytest.mark.parametrize("says", ["not_below", "nothing"])
def test_a_claim_of_no_loss_or_no_difference_needs_seeds_of_its_own(says: str) -> None:
    spread = [94.5, 95.5, 94.7, 95.4, 94.9]
    declared = claim("same", [{"weight": 1, **TERM}], says=says)
    analysis = analyse(pair_of(BASELINE, spread, claims=(declared, MORE)))
    same, more = analysis.contrasts
    assert same.outcome == "not established"
    needed = same.seeds_needed_claim
    assert f"{needed - 5} more seeds a side ({needed} instead of 5) would show it" in same.sentence
    assert more.seeds_needed_claim > more.seeds_needed  # two claims, of one difference
    stds = (stdev(spread), stdev(BASELINE))
    level = 0.05 / 2  # two claims, two tests
    if says == "nothing":
        reached = [
            power.equivalence_power(0.2, [1, -1], stds, n, level) for n in (needed - 1, needed)
        ]
    else:
        reached = [
            power.contrast_power(0.2, [1, -1], stds, n, 2 * level) for n in (needed - 1, needed)
        ]
    assert reached[0] < 0.8 <= reached[1]


HIGH = [95.35, 95.25, 95.3, 95.4, 95.2]
LOW = [95.0, 95.1, 95.05, 94.95, 95.15]


def methods(first: list[float], second: list[float], *claims: Any) -> Any:
    """Return what becomes of claims about two methods of one pair, by name."""
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "feature"), first)
    runs += runs_of(final("big", "little", "logit"), second)
    study = evidence(runs, claims=claims)
    return {contrast.name: contrast for contrast in analyse(study).contrasts}


def no_worse(name: str, better: str, other: str) -> Any:
    terms = [{"weight": w, **TERM, "method": m} for w, m in ((1, better), (-1, other))]
    return claim(name, terms, measure="accuracy", says="not_below")


@pytest.mark.parametrize("order", [1, -1])
def test_opposite_claims_of_no_loss_have_a_test_each_whatever_their_order(order: int) -> None:
    claims = [no_worse("up", "logit", "feature"), no_worse("down", "feature", "logit")][::order]
    contrasts = methods(LOW, HIGH, *claims)
    test = stats.ttest_ind(HIGH, LOW, equal_var=False)
    se = test.statistic and (mean(HIGH) - mean(LOW)) / test.statistic
    for name, value in (("up", 0.25), ("down", -0.25)):
        contrast = contrasts[name]
        assert contrast.estimate_pp == pytest.approx(value)
        assert contrast.p_claim == pytest.approx(stats.t.sf((value + 0.2) / se, test.df))
        assert contrast.claims_in_family == 2
    assert contrasts["up"].outcome == "established"
    assert contrasts["down"].outcome == "not established"


def test_a_claim_of_no_difference_is_contradicted_only_by_one_that_matters() -> None:
    small = [value + 0.16 for value in LOW]  # there, and yet smaller than 0.2 pp
    tight = [95.001, 95.0, 94.999, 95.0, 95.0]
    nothing = claim("none", [{"weight": w, **TERM, "method": m}
                             for w, m in ((1, "logit"), (-1, "feature"))],
                    measure="accuracy", says="nothing")  # fmt: skip
    contrast = methods(tight, [value + 0.16 for value in tight], nothing)["none"]
    assert (contrast.verdict, contrast.outcome) == ("gain", "established")
    assert methods(LOW, small, nothing)["none"].outcome == "not established"
    contrast = methods(tight, [value + 0.4 for value in tight], nothing)["none"]
    assert contrast.outcome == "contradicted"
    assert "contradicted; +0.40 pp" in contrast.sentence
    assert "the effect is 0.2 pp or more, Holm p" in contrast.sentence


def test_a_claim_of_no_loss_is_contradicted_only_by_a_loss_that_matters() -> None:
    tight = [95.001, 95.0, 94.999, 95.0, 95.0]
    declared = no_worse("up", "logit", "feature")
    contrast = methods(tight, [value - 0.16 for value in tight], declared)["up"]
    assert (contrast.verdict, contrast.outcome) == ("harm", "established")
    contrast = methods(tight, [value - 0.3 for value in tight], declared)["up"]
    assert contrast.outcome == "contradicted"
    assert "it is worse by 0.2 pp or more, Holm p" in contrast.sentence
    assert methods(tight, [value + 0.3 for value in tight], declared)["up"].outcome == "established"


def crossed(lifts: dict[str, float], lacking: tuple[str, int] | None = None) -> Evidence:
    runs = runs_of(plain("little"), BASELINE)
    for teacher, lift in lifts.items():
        values = [v + lift for v in METHOD]
        taught = runs_of(
            final("big", "little", "logit"), values, configuration="c", teacher=teacher
        )
        runs += [replace(run, id=f"{run.id}-{teacher}") for run in taught
                 if (teacher, run.seed) != lacking]  # fmt: skip
    return evidence(runs)


def test_a_gain_from_some_teachers_says_what_it_is_over_teachers_of_their_kind() -> None:
    (gain,) = analyse(crossed({"a": 0.0, "b": 2.0})).gains
    (text,) = (flag.text for flag in gain.flags if flag.code == "these-teachers")
    low, high = gain.teachers.ci95_over_teachers_pp
    assert low < 0 < high
    assert text.startswith(
        "conditional on these 2 teacher checkpoints; over teachers of their kind"
    )
    assert f"{gain.teachers.gain_over_teachers_pp:+.2f} pp" in text


def test_a_seed_that_lacks_a_teacher_is_not_compared() -> None:
    (whole,) = analyse(crossed({"a": 0.0, "b": 2.0})).gains
    (gain,) = analyse(crossed({"a": 0.0, "b": 2.0}, ("a", 4))).gains
    assert (whole.n, gain.n) == (5, 4)
    assert gain.gain_pp == pytest.approx(mean(METHOD[:4]) + 1 - mean(BASELINE))


def test_a_baseline_that_does_not_vary_adds_no_error_over_teachers() -> None:
    study = crossed({"a": 0.0, "b": 0.4, "c": 0.9})
    runs = [run for run in study.runs if not run.has_role("baseline")]
    runs += runs_of(plain("little"), [95.0] * 5)
    (gain,) = analyse(evidence(runs)).gains
    gained = mean(METHOD) + (0.4 + 0.9) / 3 - 95.0
    assert gain.teachers.gain_over_teachers_pp == pytest.approx(gained)


def test_an_ablation_of_finals_carries_what_makes_them_doubtful() -> None:
    study = selected(METHOD)
    base = Slot("ablation", "big", "little", "logit", "", "clip", "base")
    runs = [replace(run, slots=(*run.slots, base)) if run.has_role("final") else run
            for run in study.runs]  # fmt: skip
    runs += runs_of(Slot("ablation", "big", "little", "logit", "", "clip", "changed"), BASELINE)
    terms = [{"weight": 1, "ablation": "clip", "arm": "base"}, {"weight": -1, "ablation": "clip"}]
    analysis = analyse(evidence(runs, claims=(claim("clip", terms, measure="accuracy"),)))
    for entry in (analysis.ablations[0], analysis.contrasts[0]):
        assert {"shared-selection-seed", "one-teacher"} <= codes(entry)


def test_baselines_in_other_settings_are_named_and_the_largest_group_counts() -> None:
    runs = runs_of(plain("little"), [90.0], configuration="odd", first_seed=9)
    runs += runs_of(plain("little"), BASELINE, configuration="usual")
    runs += runs_of(final("big", "little", "logit"), METHOD)
    (gain,) = analyse(evidence(runs)).gains
    assert gain.n_baseline == 5
    (text,) = (flag.text for flag in gain.flags if flag.code == "other-baselines")
    assert text == "1 run of plain training in other settings left out"


@pytest.mark.parametrize("weight", [0.0, 1e-13, 1e200, 1e308])
def test_a_weight_that_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        claim("odd", [{"weight": weight, **TERM}])


@pytest.mark.parametrize(
    ("n", "other", "smallest"), [(5, 5, 2 / 252), (3, 5, 1 / 56), (12, 12, 1e-4)]
)
def test_the_smallest_p_is_one_that_a_test_of_these_seeds_can_reach(
    n: int, other: int, smallest: float
) -> None:
    values = [95 + 0.01 * number for number in range(n)]
    analysis = analyse(pair_of([90 + 0.01 * number for number in range(other)], values))
    assert analysis.settings.smallest_p == pytest.approx(smallest)
    assert analysis.gains[0].p_permutation == pytest.approx(smallest)


def test_contrasts_say_the_seeds_of_both_sides() -> None:
    runs = runs_of(plain("little"), BASELINE[:4]) + runs_of(final("big", "little", "logit"), METHOD)
    (contrast,) = analyse(evidence(runs, claims=(MORE,))).contrasts
    assert (contrast.n, contrast.n_baseline) == (5, 4)


def test_a_baseline_of_other_epochs_is_named_and_not_missed() -> None:
    runs = runs_of(plain("little"), BASELINE, recipe="a", epochs=3)
    runs += runs_of(final("big", "little", "logit"), METHOD, recipe="b", epochs=6)
    (gain,) = analyse(evidence(runs)).gains
    texts = [flag.text for flag in gain.flags if flag.code == "no-runs"]
    assert texts == [
        "baseline of little: its 5 runs have other epochs (3 against 6) than the method's"
    ]
    assert gain.seeds_needed is None  # seeds are not what is missing


def test_a_file_that_could_not_be_read_is_missed_where_it_belongs() -> None:
    torn = "runs/baseline/little/9/results.json"
    pair = pair_of(BASELINE, METHOD)
    runs = [replace(run, paths=(f"{run.paths[0]}/results.json",)) for run in pair.runs]
    finding = FileNotice("unreadable", "no JSON", paths=(torn,))
    (gain,) = analyse(evidence(runs, findings=(finding,))).gains
    assert f"a file of one more seed could not be read: {torn}" in {f.text for f in gain.flags}
    elsewhere = replace(finding, paths=("runs/baseline/other/9/results.json",))
    (gain,) = analyse(evidence(runs, findings=(elsewhere,))).gains
    assert not [f for f in gain.flags if "could not be read" in f.text]


def test_an_ablation_says_what_it_changed() -> None:
    runs = list(pair_of(BASELINE, METHOD).runs)
    for arm, values in (("base", METHOD), ("changed", BASELINE)):
        runs += runs_of(Slot("ablation", "big", "little", "logit", "", "clip", arm), values)
    (ablation,) = analyse(evidence(runs, changes={"clip": "clip_scope becomes none"})).ablations
    assert ablation.change == "clip_scope becomes none"
