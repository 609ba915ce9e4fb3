"""Comparisons that could mislead: shared runs, no spread, unpaired seeds, runs that are lost."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from kdgap.judge.curves import over_runs
from kdgap.judge.evidence import Evidence, Run
from kdgap.judge.reasons import reasons
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from tests.judge.builders import analyse, but, claim, evidence, final, pair_of, plain, runs_of

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
CHANGED = [95.3, 95.6, 95.0, 95.5, 95.4]
TERM: dict[str, Any] = {"teacher": "big", "student": "little", "method": "logit"}
BASE: dict[str, Any] = {"ablation": "clip", "arm": "base"}
FINAL, ABLATED = (
    final("big", "little", "logit"),
    Slot("ablation", "big", "little", "logit", "", "clip", "base"),
)


def ablated(base: list[Run], *claims: Any, **changes: Any) -> Evidence:
    """A study of one pair with an ablation, whose base is of these runs."""
    slot = replace(ABLATED, arm="changed")
    runs = [
        *runs_of(plain("little"), BASELINE),
        *base,
        *runs_of(slot, CHANGED, configuration="other"),
    ]
    return evidence(runs, claims=claims, **changes)


def both(values: list[float]) -> list[Run]:
    """Runs that are final and what the ablation starts from."""
    return [
        replace(run, slots=(FINAL, ABLATED)) for run in runs_of(FINAL, values, configuration="one")
    ]


def changed_against_both(weight: float = 0.5) -> Any:
    terms = [{**BASE, "arm": "changed", "weight": 1}, {**BASE, "weight": -weight}]
    return claim("one", [*terms, {**TERM, "weight": weight - 1}], measure="accuracy")


def test_arms_of_the_same_runs_are_one_arm() -> None:
    (contrast,) = analyse(ablated(both(METHOD), changed_against_both())).contrasts
    expected = stats.ttest_ind(CHANGED, METHOD, equal_var=False)
    assert contrast.p == pytest.approx(expected.pvalue)
    assert contrast.df == pytest.approx(expected.df)
    assert [term.weight for term in contrast.terms] == [1, -1]


def test_arms_that_share_some_runs_are_not_compared_as_if_independent() -> None:
    base = both(METHOD[:4]) + runs_of(FINAL, METHOD[4:], configuration="one", first_seed=4)
    (contrast,) = analyse(ablated(base, changed_against_both())).contrasts
    assert (contrast.estimate_pp, contrast.p, contrast.seeds_needed_claim) == (None, None, None)
    assert "share runs, so they are not independent" in contrast.sentence


def test_what_is_compared_with_itself_is_refused_as_what_cancels() -> None:
    terms = [{**BASE, "weight": 1}, {**TERM, "weight": -1}]
    with pytest.raises(ValueError, match="its terms cancel"):
        analyse(ablated(both(METHOD), claim("one", terms, measure="accuracy")))


# Three times 95.1 % and three times 95.3 % have a spread of about 1e-14 points by their sums.
@pytest.mark.parametrize("test", ["welch", "paired"])
def test_a_spread_of_rounding_is_none_and_the_study_s_guess_is_used(
    test: Literal["welch", "paired"],
) -> None:
    settings = Statistics(test=test, expected_std_pp=0.2)
    pair = pair_of([95.1, 95.1, 95.1], [95.3, 95.3, 95.3], statistics=settings)
    (gain,) = analyse(pair).gains
    assert np.std([100 * (95.1 / 100)] * 3 + [100 * (95.3 / 100)] * 3) > 0
    assert gain.ci95_pp is None
    assert gain.spread_guessed
    assert gain.seeds_needed > 10
    assert "spread-guessed" in {flag.code for flag in gain.flags}


@pytest.mark.parametrize("worse", [True, False])
def test_one_p_says_of_an_above_claim_what_became_of_it(worse: bool) -> None:
    """Beside claims of other kinds the two families of tests are corrected unlike."""
    arms = {"logit": [94.55, 94.75, 94.45, 94.6, 94.5]}
    arms |= {f"m{n}": [v - (1 if worse else -0.01 * n) for v in BASELINE] for n in range(6)}
    runs = runs_of(plain("little"), BASELINE)
    for method, values in arms.items():
        runs += runs_of(final("big", "little", method), values)
    claims = [claim("above", [{**TERM, "weight": 1}])]
    claims += [
        claim(f"m{n}", [{**TERM, "method": f"m{n}", "weight": 1}], says="not_below")
        for n in range(6)
    ]
    analysis = analyse(evidence(runs, claims=tuple(claims)))
    contrast = analysis.contrasts[0]
    assert contrast.estimate_pp < 0
    assert contrast.p_claim < 0.05
    assert contrast.p_against_holm == contrast.p_claim_holm
    assert (contrast.outcome == "contradicted") == (contrast.p_claim_holm <= 0.05)
    shown = f"{contrast.p_claim_holm:.3f}"
    assert shown in " ".join(reasons(contrast, analysis.settings))


@pytest.mark.parametrize(
    ("says", "words"),
    [("above", "would find 0.2 pp with"), ("nothing", "would show it with"),
     ("not_below", "would show it with")],
)  # fmt: skip
def test_seeds_of_a_claim_without_an_interval_are_those_of_its_own_test(
    says: str, words: str
) -> None:
    declared, other = (
        claim(name, [{**TERM, "weight": w}], says=says) for name, w in (("a", 1), ("b", 2))
    )
    analysis = analyse(pair_of(BASELINE[:1], METHOD[:1], claims=(declared, other)))
    contrast = analysis.contrasts[0]
    text = f"{contrast.seeds_needed_claim} seeds a side {words}"
    assert text in contrast.sentence
    assert text in " ".join(reasons(contrast, analysis.settings))
    assert ("truly no difference" in contrast.sentence) == (says != "above")


def test_a_mean_beside_a_paired_gain_is_of_the_seeds_that_count() -> None:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(FINAL, METHOD, first_seed=2)
    (gain,) = analyse(evidence(runs, statistics=Statistics(test="paired"))).gains
    assert gain.n == gain.n_baseline == 3
    assert gain.mean_pp == pytest.approx(np.mean(METHOD[:3]))
    assert gain.baseline_mean_pp == pytest.approx(np.mean(BASELINE[2:]))
    assert gain.mean_pp - gain.baseline_mean_pp == pytest.approx(gain.gain_pp)


def test_seeds_that_do_not_meet_say_so() -> None:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(FINAL, METHOD, first_seed=10)
    (gain,) = analyse(evidence(runs, statistics=Statistics(test="paired"))).gains
    assert (gain.n, gain.mean_pp, gain.gain_pp) == (0, None, None)
    assert "seeds that not every arm has are left out, and none is left" in gain.sentence


def test_the_arm_that_lacks_everything_is_why_nothing_can_be_said() -> None:
    runs = runs_of(plain("little"), BASELINE) + runs_of(FINAL, [95.1, None, 95.3])
    runs += runs_of(final("big", "little", "feature"), [None, None, None])
    terms = [{**TERM, "weight": 1}, {**TERM, "method": "feature", "weight": -1}]
    study = evidence(runs, claims=(claim("one", terms, measure="accuracy"),))
    (contrast,) = analyse(study).contrasts
    assert "feature: 3 of 3 runs have no result" in contrast.sentence


def test_a_run_that_is_not_done_bends_no_mean_curve() -> None:
    runs = runs_of(FINAL, METHOD[:3])
    lost = but(runs[0], state="failed", history=runs[0].history.document[:1])
    curve = over_runs([lost, *runs[1:]], "val_acc")
    assert curve is not None
    epochs, mean, *_, count = curve
    assert (epochs.tolist(), count) == ([1, 2, 3], 2)
    assert mean == pytest.approx([np.mean(METHOD[1:3]) / 100] * 3)


def test_a_failed_run_does_not_hide_how_long_the_others_were_trained() -> None:
    runs = [
        but(run, epochs=run.epochs if run.state == "done" else None)
        for run in [*runs_of(plain("little"), [None, *BASELINE]), *runs_of(FINAL, METHOD)]
    ]
    (baseline,) = analyse(evidence(runs)).baselines
    assert (baseline.n, baseline.epochs) == (5, 3)
