"""What must not be hidden: late changes, verdicts that hinge on one choice, what a claim needs."""

from dataclasses import replace
from statistics import stdev
from typing import Any

import pytest

from kdgap.errors import BadInputError
from kdgap.judge.analysis import analyse, judged_by, with_claims
from kdgap.judge.evidence import Evidence
from kdgap.spec.study import ClaimsFile, Slot, Statistics
from kdgap.stats import power
from tests.judge.made import claim, evidence, final, pair_of, plain, runs_of

BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
TERM = {"teacher": "big", "student": "little", "method": "logit"}
MORE = claim("more", [{"weight": 1, **TERM}])


def codes(entry: dict[str, Any]) -> set[str]:
    return {flag["code"] for flag in entry["flags"]}


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
    assert not before["contrasts"][0]["post_hoc"]
    assert after["contrasts"][0]["post_hoc"]
    assert after["study"]["marks"] == ["post hoc: statistics"]
    (text,) = (flag["text"] for flag in after["flags"] if "post hoc" in flag["text"])
    assert text.endswith("smallest_effect_pp 5.0 in place of 0.2")


@pytest.mark.parametrize("origin", ["study", "import"])
def test_other_weights_are_post_hoc_for_a_study_that_declared_them(origin: str) -> None:
    given = ClaimsFile(claims=[MORE], primary="last")
    made = with_claims(locked(origin=origin), given)
    assert made.primary == "last"
    assert list(made.marks) == (["post hoc: primary"] if origin == "study" else [])


def test_judging_as_declared_leaves_no_mark() -> None:
    made = with_claims(locked(), ClaimsFile(claims=[MORE], statistics=Statistics(), primary="best"))
    assert made.marks == made.warnings == ()
    assert not analyse(made)["contrasts"][0]["post_hoc"]


def test_a_claim_that_compares_a_cell_with_itself_is_refused() -> None:
    terms = [{"weight": 1, **TERM}, {"weight": -1, **TERM}]
    with pytest.raises(BadInputError, match="claim 'none': its terms cancel"):
        analyse(pair_of(BASELINE, METHOD, claims=(claim("none", terms),)))


def selected(values: list[float]) -> Evidence:
    """Return a study whose first final seed chose the hyper-parameters."""
    made = pair_of(BASELINE, values, claims=(MORE,))
    first = next(run for run in made.runs if run.seed == 0 and run.has_role("final"))
    slots = (*first.slots, replace(first.slots[0], role="selection"))
    runs = (replace(run, slots=slots) if run is first else run for run in made.runs)
    return replace(made, runs=tuple(runs))


def test_a_verdict_that_hinges_on_the_shared_seed_says_so_where_it_is_said() -> None:
    analysis = analyse(selected([98.0, 95.2, 95.0, 95.3, 95.1]))
    (gain,), (one,) = analysis["gains"], analysis["contrasts"]
    assert (gain["verdict"], one["outcome"]) == ("inconclusive", "not established")
    assert not {"sensitive"} & (codes(gain) | codes(one))  # nothing settled, nothing to lose
    analysis = analyse(selected([95.26, 95.24, 95.04, 95.24, 95.0]))
    (gain,), (one,) = analysis["gains"], analysis["contrasts"]
    assert (gain["verdict"], one["outcome"]) == ("gain", "established")
    assert "but inconclusive without shared selection seeds" in gain["sentence"]
    assert "but not established without shared selection seeds" in one["sentence"]


def test_a_verdict_that_holds_in_every_way_of_looking_is_not_flagged() -> None:
    analysis = analyse(selected([value + 3 for value in METHOD]))
    assert analysis["gains"][0]["verdict"] == "gain"
    assert "sensitive" not in codes(analysis["gains"][0])


@pytest.mark.parametrize("says", ["not_below", "nothing"])
def test_a_claim_of_no_loss_or_no_difference_needs_seeds_of_its_own(says: str) -> None:
    spread = [94.5, 95.5, 94.7, 95.4, 94.9]
    one = claim("same", [{"weight": 1, **TERM}], says=says)
    analysis = analyse(pair_of(BASELINE, spread, claims=(one, MORE)))
    same, more = analysis["contrasts"]
    assert same["outcome"] == "not established"
    needed = same["seeds_needed_claim"]
    assert (
        f"{needed - 5} more seeds a side ({needed} instead of 5) would show it" in same["sentence"]
    )
    assert more["seeds_needed_claim"] == more["seeds_needed"]
    found = (stdev(spread), stdev(BASELINE))
    level = 0.05 / 2  # two claims, two tests
    if says == "nothing":
        reached = [
            power.equivalence_power(0.2, [1, -1], found, n, level) for n in (needed - 1, needed)
        ]
    else:
        reached = [
            power.contrast_power(0.2, [1, -1], found, n, 2 * level) for n in (needed - 1, needed)
        ]
    assert reached[0] < 0.8 <= reached[1]


def test_contrasts_say_the_seeds_of_both_sides() -> None:
    runs = runs_of(plain("little"), BASELINE[:4]) + runs_of(final("big", "little", "logit"), METHOD)
    (one,) = analyse(evidence(runs, claims=(MORE,)))["contrasts"]
    assert (one["n"], one["n_baseline"]) == (5, 4)


def test_a_baseline_of_other_epochs_is_named_and_not_missed() -> None:
    runs = runs_of(plain("little"), BASELINE, recipe="a", epochs=3)
    runs += runs_of(final("big", "little", "logit"), METHOD, recipe="b", epochs=6)
    (gain,) = analyse(evidence(runs))["gains"]
    said = [flag["text"] for flag in gain["flags"] if flag["code"] == "no-runs"]
    assert said == [
        "baseline of little: its 5 runs have other epochs (3 against 6) than the method's"
    ]
    assert gain["seeds_needed"] is None  # seeds are not what is missing


def test_a_file_that_could_not_be_read_is_missed_where_it_belongs() -> None:
    torn = "runs/baseline/little/9/results.json"
    made = pair_of(BASELINE, METHOD)
    runs = [replace(run, paths=(f"{run.paths[0]}/results.json",)) for run in made.runs]
    finding = {"kind": "unreadable", "text": "no JSON", "paths": [torn]}
    (gain,) = analyse(evidence(runs, findings=(finding,)))["gains"]
    assert f"a file of one more seed could not be read: {torn}" in {
        f["text"] for f in gain["flags"]
    }
    elsewhere = {**finding, "paths": ["runs/baseline/other/9/results.json"]}
    (gain,) = analyse(evidence(runs, findings=(elsewhere,)))["gains"]
    assert not [f for f in gain["flags"] if "could not be read" in f["text"]]


def test_an_ablation_says_what_it_changed() -> None:
    runs = list(pair_of(BASELINE, METHOD).runs)
    for arm, values in (("base", METHOD), ("changed", BASELINE)):
        runs += runs_of(Slot("ablation", "big", "little", "logit", f"clip: {arm}"), values)
    (found,) = analyse(evidence(runs, changes={"clip": "clip_scope becomes none"}))["ablations"]
    assert found["change"] == "clip_scope becomes none"
