"""The first sentence of every page: the main claim, or the gains; and what was trained."""

from dataclasses import replace

import pytest

from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence
from kdgap.judge.headline import headline, trained
from kdgap.judge.judging import analyse, with_claims
from kdgap.spec.claims import ClaimsFile
from tests.judge.builders import Values, claim, evidence, final, pair_of, plain, runs_of

PLAIN = [90.0, 90.2, 89.8, 90.1, 89.9]
BETTER = [92.0, 92.2, 91.8, 92.1, 91.9]
TERM = {"weight": 1.0, "teacher": "big", "student": "little", "method": "logit"}


def of(method: list[float], says: str = "above") -> Evidence:
    runs = pair_of(PLAIN, method)
    return replace(runs, claims=(claim("first", [TERM], says=says),))


@pytest.mark.parametrize(
    ("values", "says", "begins", "verdict"),
    [
        (BETTER, "above", "Shown: ", "established"),
        ([value - 4 for value in BETTER], "above", "Contradicted: ", "contradicted"),
        ([90.1, 90.0, 90.2, 89.9, 89.8], "above", "Not shown: ", "not established"),
        (BETTER, "nothing", "Contradicted: ", "contradicted"),
    ],
)
def test_a_claim_is_told_with_what_it_could_still_be(
    values: list[float], says: str, begins: str, verdict: str
) -> None:
    analysis = analyse(of(values, says))
    first, (judged,) = headline(analysis), analysis.contrasts
    assert (first.verdict, first.claim) == (verdict, "first")
    assert first.text.startswith(begins + judged.text)
    assert judged.estimate_pp is not None
    assert f"{abs(judged.estimate_pp):.2f} pp, somewhere between" in first.text
    assert all(f"{abs(end):.2f}" in first.text for end in judged.ci95_pp or ())
    assert first.text.endswith("(95 %).")


def test_the_main_claim_is_the_one_that_is_named() -> None:
    both = (claim("first", [TERM]), claim("second", [{**TERM, "weight": -1.0}]))
    runs = replace(of(BETTER), claims=both)
    assert headline(analyse(runs)).claim == "first"
    assert headline(analyse(replace(runs, main_claim="second"))).claim == "second"
    # A file of claims replaces those of the study, the main one with them.
    given = ClaimsFile(claims=[both[0]], title="Ours")
    judged = analyse(with_claims(replace(runs, main_claim="second", paper="A paper"), given))
    assert headline(judged).claim == "first"
    assert (judged.study.title, judged.study.paper) == ("Ours", "A paper")


def test_a_claim_without_an_interval_or_a_number_says_so() -> None:
    alone = analyse(of(BETTER[:1]))
    assert "pp, with no interval" in headline(alone).text
    runs = of(BETTER)
    none = replace(runs, runs=tuple(run for run in runs.runs if not run.has_role("final")))
    text = headline(analyse(replace(none, slots=runs.slots))).text
    assert text.startswith("Not shown: ")
    assert "cannot be judged" in text


@pytest.mark.parametrize(
    ("values", "begins", "verdict"),
    [
        (BETTER, "Logit-KD helps little taught by big. +2.00 pp", "gain"),
        ([value - 4 for value in BETTER], "Logit-KD harms little taught by big. −2.00 pp", "harm"),
        ([94.0, 86.0, 91.0, 88.0, 92.0], "Not decided: whether Logit-KD helps", "inconclusive"),
    ],
)
def test_without_claims_one_gain_is_told(values: list[float], begins: str, verdict: str) -> None:
    first = headline(analyse(pair_of(PLAIN, values)))
    assert first.text.startswith(begins)
    assert (first.verdict, first.claim) == (verdict, None)


def test_without_claims_several_gains_are_counted_and_the_largest_named() -> None:
    def pair(feature: list[float], logit: list[float]) -> Evidence:
        return evidence(
            [
                *runs_of(plain("small"), PLAIN),
                *runs_of(final("big", "small", "logit"), logit),
                *runs_of(final("big", "small", "feature"), feature),
            ]
        )

    first = headline(analyse(pair([94.0, 86.0, 91.0, 88.0, 92.0], BETTER)))
    assert first.text.startswith("Of 2 gains over plain training, 1 is shown (1 not decided).")
    assert "Largest: Logit-KD, big → small, +2.00 pp [" in first.text
    assert first.verdict == "gain"
    none = headline(analyse(pair([94.0, 86.0, 91.0, 88.0, 92.0], [value - 4 for value in BETTER])))
    assert none.text == (
        "Of 2 gains over plain training, none is shown (1 of harm, 1 not decided)."
    )
    assert none.verdict == "harm"


def gains(**methods: Values) -> Analysis:
    """Methods of a student, of which `PLAIN` is equivalent to plain training by itself alone."""
    runs = runs_of(plain("small"), PLAIN)
    for method, values in methods.items():
        runs += runs_of(final("big", "small", method), values)
    return analyse(evidence(runs))


def test_an_equivalence_before_correction_alone_settles_nothing() -> None:
    both = gains(logit=PLAIN, feature=PLAIN)
    assert [(gain.verdict, gain.uncorrected) for gain in both.gains] == [("equivalent", True)] * 2
    first = headline(both)
    assert first.verdict == "inconclusive"
    assert first.text == (
        "Of 2 gains over plain training, none is shown"
        " (2 equivalent, 2 of them before correction only)."
    )
    # One gain that can be judged is told by itself; the other is still corrected for.
    (alone, _) = (known := gains(logit=PLAIN, feature=[None] * 5)).gains
    assert (alone.verdict, alone.uncorrected) == ("equivalent", True)
    first = headline(known)
    assert first.verdict == "inconclusive"
    assert "by less than 0.2 pp (uncorrected). " in first.text


def test_what_is_equivalent_after_correction_is_told_from_what_is_not() -> None:
    near = [90.0, 90.02, 89.98, 90.01, 89.99]
    runs = [
        *runs_of(plain("small"), PLAIN),
        *runs_of(final("big", "small", "logit"), PLAIN),
        *runs_of(final("big", "small", "feature"), [94.0, 86.0, 91.0, 88.0, 92.0]),
        *runs_of(plain("tiny"), near),
        *runs_of(final("big", "tiny", "logit"), near),
    ]
    first = headline(analyse(evidence(runs)))
    assert first.verdict == "equivalent"
    assert first.text == (
        "Of 3 gains over plain training, none is shown"
        " (1 not decided, 2 equivalent, 1 of them before correction only)."
    )


@pytest.mark.parametrize(
    ("locked", "begins"),
    [((), "Shown: "), ((0, 1), "Shown: "), ((0,), "Shown: "), ((1,), "Shown, post hoc: ")],
)
def test_a_main_claim_is_said_to_be_post_hoc_where_others_are_not(
    locked: tuple[int, ...], begins: str
) -> None:
    both = (claim("first", [TERM]), claim("second", [{**TERM, "weight": -1.0}]))
    registered = tuple(both[number].model_dump(mode="json") for number in locked)
    study = replace(of(BETTER), claims=both, locked_claims=registered)
    assert headline(analyse(study)).text.startswith(f"{begins}Claim first. ")


def test_what_was_trained_is_told_as_far_as_it_is_known() -> None:
    runs = replace(
        pair_of(PLAIN, BETTER),
        images=360,
        models={"big": {"name": "resnet20", "parameters": 272_474}, "little": {"name": "little"}},
        provenance={
            "data": {"name": "imagefolder", "root": "../pictures/birds"},
            "data_fingerprint": {"shape": {"classes": 7, "train": 1437}},
        },
        train_images=1000,
    )
    facts = dict(trained(runs, analyse(runs)))
    assert facts["data"] == "birds, 7 classes, 1,000 training images, 360 test images"
    assert facts["teachers (parameters)"] == "big (resnet20, 272 k)"
    assert facts["students (parameters)"] == "little"
    assert (facts["methods"], facts["seeds"]) == ("Logit-KD", "5 a method")
    bare = dict(trained(pair_of(PLAIN, BETTER), analyse(pair_of(PLAIN, BETTER))))
    assert "data" not in bare
    given = ClaimsFile(claims=[claim("first", [TERM])], data="CIFAR-10")
    named = with_claims(pair_of(PLAIN, BETTER), given)
    assert dict(trained(named, analyse(named)))["data"] == "CIFAR-10 (said by the claims' file)"
    recorded = with_claims(runs, given)
    assert dict(trained(recorded, analyse(recorded)))["data"] == facts["data"]
