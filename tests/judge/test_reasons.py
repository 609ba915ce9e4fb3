"""A claim's outcome is explained by its own numbers, and never by more than they say."""

from dataclasses import replace
from typing import Any

import pytest

from kdgap.judge.analysis import ClaimResult
from kdgap.judge.reasons import reasons
from kdgap.notice import Notice
from tests.judge.builders import analyse, claim, pair_of

ANALYSIS = analyse(
    pair_of(
        [94.9, 95.1, 94.8, 95.0, 94.7],
        [95.2, 95.4, 95.0, 95.3, 95.1],
        claims=(claim("more", [{"weight": 1, "teacher": "big", "student": "little",
                                "method": "logit"}]),),
    )
)  # fmt: skip
SETTINGS = replace(ANALYSIS.settings, smallest_effect_pp=0.2, alpha=0.05, power=0.8)


def contrast(**changes: Any) -> ClaimResult:
    """Return a claim that is not established, of a difference that may be anything."""
    known: dict[str, Any] = {
        "says": "above",
        "outcome": "not established",
        "estimate_pp": 0.1,
        "ci95_pp": [-0.19, 0.38],
        "p_claim": 0.48,
        "p_claim_holm": 1.0,
        "p_against_holm": 1.0,
        "p_tost": 0.22,
        "p_tost_holm": 1.0,
        "family": 14,
        "seeds": [[0, 1, 2, 3, 4]] * 4,
        "claims_in_family": 15,
        "n_smallest": 5,
        "seeds_needed_claim": 33,
        "flags": (),
    }
    result: ClaimResult = replace(ANALYSIS.contrasts[0], **(known | changes))
    return result


def reasons_text(power: float | None = 0.05, **changes: Any) -> str:
    return " ".join(reasons(contrast(**changes), SETTINGS, power))


def test_an_open_claim_says_what_was_wanted_what_may_be_and_what_seeds_would_show() -> None:
    assert reasons(contrast(), SETTINGS, 0.048) == [
        "To be shown, the difference would have to be above zero. Its interval reaches from −0.19"
        " to +0.38 pp: there may be no difference at all.",
        "Nor is it shown that there is none: it may be as much as +0.38 pp, and 0.2 pp is the"
        " smallest effect of interest.",
        "With 5 seeds a side and this spread, a true difference of 0.2 pp would be found in about 5"
        " of 100 such studies, corrected for 15 claims; with 33 seeds a side in 80.",
    ]


def test_the_far_end_of_the_interval_is_the_one_that_is_named() -> None:
    assert "as much as −0.33 pp" in reasons_text(ci95_pp=[-0.33, 0.23])


def test_absence_is_claimed_only_where_it_was_shown() -> None:
    ends: dict[str, Any] = {"ci95_pp": [-0.13, 0.17], "p_tost": 0.014}
    shown = reasons_text(**ends, p_tost_holm=0.03)
    assert "Any difference is smaller than 0.2 pp in either direction (TOST p = 0.014)." in shown
    alone = reasons_text(**ends, p_tost_holm=0.19)
    assert "By itself any difference is smaller than 0.2 pp" in alone
    assert "(TOST p = 0.014), but not when corrected for 14 comparisons (Holm p = 0.190)." in alone


@pytest.mark.parametrize(("ends", "side"), [([0.02, 0.37], "above"), ([-0.37, -0.02], "below")])
def test_a_difference_that_correction_takes_away_says_so(ends: list[float], side: str) -> None:
    text = reasons_text(ci95_pp=ends, estimate_pp=sum(ends) / 2, p_claim=0.031, p_claim_holm=0.46)
    assert f"By itself the difference is {side} zero (p = 0.031), but not when corrected" in text
    assert "15 claims (Holm p = 0.460)" in text


@pytest.mark.parametrize(
    ("says", "outcome", "expected"),
    [
        ("above", "established", "is above zero, also when corrected"),
        ("above", "contradicted", "is below zero, also when corrected"),
        ("not_below", "established", "worse by 0.2 pp or more is ruled out"),
        ("not_below", "contradicted", "It is worse by 0.2 pp or more"),
        ("nothing", "established", "0.2 pp or more in either direction is ruled out"),
        ("nothing", "contradicted", "The effect is 0.2 pp or more"),
    ],
)
def test_a_settled_claim_says_by_which_p(says: str, outcome: str, expected: str) -> None:
    settled = {"p_claim_holm": 0.011, "p_against_holm": 0.022}
    text = reasons_text(says=says, outcome=outcome, **settled)
    assert expected in text
    refuted = outcome == "contradicted" and says != "above"
    assert f"Holm p = {'0.022' if refuted else '0.011'}" in text
    assert "such studies" not in text  # nothing more is needed


@pytest.mark.parametrize("says", ["not_below", "nothing"])
def test_ruling_out_speaks_of_the_margin_and_of_no_true_difference(says: str) -> None:
    text = reasons_text(says=says, p_claim=0.127)
    assert "would have to be ruled out" in text
    assert "It is not (p = 0.127): the interval reaches from −0.19 to +0.38 pp." in text
    assert "were there truly no difference, in about 5 of 100" in text
    alone = reasons_text(says=says, p_claim=0.027, p_claim_holm=0.27)
    assert "By itself it is (p = 0.027), but not when corrected" in alone


def test_one_claim_is_not_said_to_be_corrected_for_several() -> None:
    text = reasons_text(claims_in_family=1, outcome="established", p_claim_holm=0.00001)
    assert "corrected for 1 claim (Holm p < 0.0001)" in text


@pytest.mark.parametrize(
    ("power", "words"), [(0.0, "0 of 100"), (0.9999, "100 of 100"), (0.126, "13 of 100")]
)
def test_power_is_told_as_a_count_of_studies(power: float, words: str) -> None:
    assert f"found in about {words} such studies" in reasons_text(power)


def test_without_power_or_more_seeds_nothing_is_said_of_them() -> None:
    assert "such studies" not in reasons_text(None)
    assert reasons_text(0.9, seeds_needed_claim=4).endswith(
        "in about 90 of 100 such studies, corrected for 15 claims."
    )
    assert "; with" not in reasons_text(0.5, seeds_needed_claim=None)


def test_what_could_not_be_judged_says_why() -> None:
    missing = Notice("no-runs", "final of r18: there are no runs of it")
    assert reasons_text(estimate_pp=None, flags=[missing]) == (
        "It cannot be judged: final of r18: there are no runs of it."
    )
    lone = Notice("one-seed", "an arm has one seed: no interval")
    settings = replace(SETTINGS, expected_std_pp=0.15)
    assert reasons(contrast(ci95_pp=None, flags=[lone], seeds_needed_claim=19), settings) == [
        "Nothing can be tested: an arm has one seed: no interval.",
        "19 seeds a side would find 0.2 pp with 80 % power, were the spread 0.15 pp.",
    ]


def test_a_claim_that_falls_when_looked_at_otherwise_says_so_at_last() -> None:
    falls = Notice("sensitive", "but with last weights: not established")
    text = reasons(contrast(outcome="established", flags=[falls]), SETTINGS)
    assert text[-1] == "But with last weights: not established."


def test_arms_of_unequal_seeds_count_as_the_smallest() -> None:
    assert "With 3 seeds a side, as in the smallest arm, and" in reasons_text(
        n_smallest=3, seeds=[[0, 1, 2], [0, 1, 2, 3, 4]]
    )
