"""What has to be known of a number: every flag where it belongs, and not where it does not."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdgap.judge.evidence import Evidence, Run, Tuning
from kdgap.notice import FileNotice, Notice
from kdgap.spec.claims import Statistics
from kdgap.spec.slot import Slot
from tests.judge.builders import (
    Values,
    analyse,
    claim,
    evidence,
    final,
    pair_of,
    plain,
    runs_of,
    tuning,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"
BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]
NEARLY = [95.12, 95.28, 94.98, 95.25, 95.02]  # Welch's p is 0.039
NOISY = [94.8, 95.3, 94.9, 95.2, 94.6]
CLOSE = [94.95, 95.12, 94.88, 95.0, 94.79]  # TOST's p is 0.028 within 0.25 pp
ONE_CHOICE = [95.26, 95.24, 95.04, 95.24, 95.0]  # a gain only with its first seed
LOGIT = final("big", "little", "logit")
ALPHA = {"alpha": 0.5}


def pair(method: Values = METHOD, baseline: Values = BASELINE, **changes: Any) -> Evidence:
    return pair_of(baseline, method, **changes)


def arms(method: dict[str, Any], baseline: dict[str, Any] | None = None) -> Evidence:
    """One pair, with something changed in the runs of one arm or the other."""
    runs = runs_of(plain("little"), BASELINE, **(baseline or {}))
    return evidence(runs + runs_of(LOGIT, METHOD, **method))


def grid(scores: dict[float, float], **changes: Any) -> Evidence:
    """One pair whose alpha of 0.5 was chosen by these scores."""
    return pair(tunings=(replace(tuning(ALPHA, scores), **changes),))


def ablation(shared: int) -> Evidence:
    """An ablation so many of whose runs stand on both of its sides."""
    sides = [
        replace(LOGIT, role="ablation", ablation="clip", arm=side) for side in ("base", "changed")
    ]
    base, changed = (runs_of(slot, METHOD, configuration=slot.variant) for slot in sides)
    both = [replace(run, slots=tuple(sides)) for run in base[:shared]]
    alike = [replace(run, configuration=base[0].configuration) for run in changed[shared:]]
    return evidence([*both, *base[shared:], *(alike if shared else changed)])


def selected(method: Values = METHOD, **changes: Any) -> Evidence:
    """One pair whose first final also chose the hyper-parameters."""
    study = pair(method, **changes)
    chosen = (LOGIT, Slot("selection", "big", "little", "logit", "a0.5"))
    runs = [
        replace(run, slots=chosen) if run.seed == 0 and run.has_role("final") else run
        for run in study.runs
    ]
    return replace(study, runs=tuple(runs))


def tuned(**counts: int) -> Evidence:
    """Methods with so many configurations each, chosen on two seeds."""
    runs, tunings = runs_of(plain("little"), BASELINE), list[Tuning]()
    for method, count in counts.items():
        runs += runs_of(final("big", "little", method), METHOD, parameters=ALPHA)
        scores = {0.5 + number / 10: 0.95 - number / 100 for number in range(count)}
        tunings.append(replace(tuning(ALPHA, scores), method=method, seeds=(8, 9)))
    return evidence(runs, tunings=tuple(tunings))


def taught(*teachers: str) -> Evidence:
    """Students of several teachers, each teacher with a lift of its own."""
    runs: list[Run] = runs_of(plain("little"), BASELINE)
    for number, teacher in enumerate(teachers):
        values = [value + number / 5 for value in METHOD]
        several = runs_of(LOGIT, values, configuration="c", teacher=teacher)
        runs += [replace(run, id=f"{run.id}-{teacher}") for run in several]
    return evidence(runs)


def siblings(first: Values, others: Sequence[Values], **changes: Any) -> Evidence:
    """Several methods over one baseline, which are one family."""
    runs = runs_of(plain("little"), BASELINE) + runs_of(LOGIT, first)
    for number, values in enumerate(others):
        runs += runs_of(final("big", "little", f"other{number}"), values)
    return evidence(runs, **changes)


def both_taught(*teachers: str) -> Evidence:
    """Students of several teachers by two methods."""
    runs = list(taught(*teachers).runs)
    for number, teacher in enumerate(teachers):
        values = [value + number / 7 for value in NOISY]
        other = runs_of(final("big", "little", "feature"), values, teacher=teacher)
        runs += [replace(run, id=f"{run.id}-{teacher}") for run in other]
    return evidence(runs)


def lone_method(statistics: Statistics) -> Evidence:
    """Another method in a pair that the reference was not trained for."""
    runs = list(pair().runs) + runs_of(final("huge", "little", "feature"), METHOD)
    return evidence(runs, statistics=statistics)


def two_references(recipe: str) -> Evidence:
    """A second configuration of the reference, of the other method's recipe or of another."""
    runs = list(siblings(METHOD, [NOISY]).runs)
    runs += runs_of(LOGIT, METHOD, configuration="second", recipe=recipe)
    return evidence(runs, statistics=OVER_LOGIT)


def another_machine() -> Evidence:
    """A second student that was trained elsewhere, baseline and method alike."""
    runs = runs_of(plain("little"), BASELINE, environment="cpu")
    runs += runs_of(LOGIT, METHOD, environment="cpu")
    runs += runs_of(plain("other"), BASELINE, environment="cuda")
    return evidence(runs + runs_of(final("big", "other", "logit"), METHOD, environment="cuda"))


def odd_baseline(recipe: str) -> Evidence:
    runs = runs_of(plain("little"), BASELINE) + runs_of(LOGIT, METHOD)
    return evidence(runs + runs_of(plain("little"), [90.0], configuration="odd", recipe=recipe))


def open_run(state: str) -> Evidence:
    study = pair()
    return replace(study, runs=(*study.runs[:-1], replace(study.runs[-1], state=state)))


def finding(kind: str, path: str = "a/b") -> Evidence:
    return pair(findings=(FileNotice(kind, "odd", paths=(path,)),))


WIDE = Statistics(smallest_effect_pp=1)
PAIRED = Statistics(test="paired")
WITHIN = Statistics(smallest_effect_pp=0.25)
STUDY, GAIN, CLAIM, ABLATION = "study", "gain", "claim", "ablation"
OVER = "over the reference"
MORE = claim("more", [{"weight": 1, "teacher": "big", "student": "little", "method": "logit"}])
SPLIT = {0.3: 0.94, 0.5: 0.95}
ELSEWHERE = {"environment": "cuda"}
SMOKE_RUN = Notice("smoke-run", "smoke run")
OVER_LOGIT = Statistics(reference="logit")
Case = tuple[str, str, Evidence, Evidence]

# A code, whose flag it is, runs that are flagged so, and runs like them that are not.
CASES: list[Case] = [
    ("shared-selection-seed", GAIN, selected(), pair()),
    ("shared-selection-seed", STUDY, selected(origin="import"), pair(origin="import")),
    ("shared-selection-seed", STUDY, selected(origin="import"), selected()),
    ("shared-selection-seed", CLAIM, selected(claims=(MORE,)), pair(claims=(MORE,))),
    ("one-selection-seed", GAIN, grid(SPLIT), grid(SPLIT, seeds=(8, 9))),
    ("not-the-winner", GAIN, grid({0.3: 0.96, 0.5: 0.95}), grid(SPLIT)),
    ("untried", GAIN, grid({0.3: 0.94, 0.7: 0.95}), grid(SPLIT)),
    ("tied", GAIN, grid({0.3: 0.95, 0.5: 0.95}), grid(SPLIT)),
    ("tied", GAIN, grid({0.3: 0.95, 0.5: 0.95}), grid({0.3: 0.9, 0.4: 0.9, 0.5: 0.95})),
    ("chosen-on-test", GAIN, grid(SPLIT, split="test"), grid(SPLIT)),
    ("chosen-on-test", CLAIM, replace(grid(SPLIT, split="test"), claims=(MORE,)),
     replace(grid(SPLIT), claims=(MORE,))),
    ("unequal-tuning", STUDY, tuned(logit=2, feature=3), tuned(logit=1, feature=1)),
    ("unequal-epochs", GAIN, arms({"epochs": 6}), arms({"epochs": 6}, {"epochs": 6})),
    ("unequal-seeds", GAIN, arms({"first_seed": 1}), arms({"first_seed": 1}, {"first_seed": 1})),
    ("one-teacher", GAIN, taught("t0"), taught("t0", "t1")),
    ("one-teacher", STUDY, replace(taught("t0"), origin="import"),
     replace(taught("t0", "t1"), origin="import")),
    ("one-teacher", CLAIM, replace(taught("t0"), claims=(MORE,)),
     replace(taught("t0", "t1"), claims=(MORE,))),
    ("these-teachers", GAIN, taught("t0", "t1"), taught("t0")),
    ("mixed-environments", GAIN, arms(ELSEWHERE, {"environment": "cpu"}), another_machine()),
    ("mixed-environments", STUDY, another_machine(), arms(ELSEWHERE, ELSEWHERE)),
    ("mixed-environments", STUDY, another_machine(), arms(ELSEWHERE)),
    ("missing-runs", GAIN, pair([*METHOD[:4], None]), pair(METHOD[:4])),
    ("missing-runs", GAIN, pair(baseline=[*BASELINE[:4], None]), pair(baseline=BASELINE[:4])),
    ("split", GAIN, finding("split", pair().runs[-1].paths[0]), finding("split", "elsewhere/0")),
    ("one-seed", GAIN, pair(METHOD[:1]), pair(METHOD[:2])),
    ("few-seeds", GAIN, pair([94.0, 95.0, 96.0]), pair([94.0, 95.0, 96.0, 94.5, 95.5])),
    ("few-seeds", GAIN, pair([94.0, 95.0, 96.0]), pair([94.99, 95.0, 95.01])),
    ("few-seeds", GAIN, pair([94.0, 95.0, 96.0]), pair([94.0, 95.0, 96.0], [95.0, 95.1, 95.0])),
    ("few-seeds", GAIN, pair([94.0, 95.0, 96.0]), pair([94.0, 95.0, 96.0], statistics=PAIRED)),
    ("no-variance", GAIN, pair([95.3] * 5, [95.0] * 5), pair([95.3] * 5)),
    ("unpaired-seeds", GAIN, pair(METHOD[:4], statistics=PAIRED), pair(METHOD[:4])),
    ("unpaired-seeds", GAIN, pair(METHOD[:4], statistics=PAIRED), pair(statistics=PAIRED)),
    ("shared-runs", ABLATION, ablation(shared=1), ablation(shared=0)),
    ("no-baseline", GAIN, evidence(runs_of(LOGIT, METHOD)), pair()),
    ("no-baseline", GAIN, arms({"recipe": "long"}), arms({"recipe": "long"}, {"recipe": "long"})),
    ("other-baselines", GAIN, odd_baseline(""), odd_baseline("long")),
    ("no-runs", GAIN, evidence(runs_of(LOGIT, METHOD)), pair()),
    ("only-uncorrected", GAIN, siblings(NEARLY, [NOISY]), siblings(NEARLY, [])),
    ("only-uncorrected", GAIN, siblings(NEARLY, [NOISY]), siblings(NOISY, [NOISY])),
    ("only-uncorrected", GAIN, siblings(NEARLY, [NOISY]), siblings(METHOD, [NOISY])),
    ("equivalence-uncorrected", GAIN, siblings(CLOSE, [NOISY], statistics=WITHIN),
     siblings(CLOSE, [], statistics=WITHIN)),
    ("equivalence-uncorrected", GAIN, siblings(CLOSE, [NOISY], statistics=WITHIN),
     siblings(CLOSE, [NOISY], statistics=WIDE)),
    ("small", GAIN, pair(statistics=WIDE), pair()),
    ("small", GAIN, pair(statistics=WIDE), pair(CLOSE, statistics=WIDE)),
    ("sensitive", GAIN, selected(ONE_CHOICE), pair(ONE_CHOICE)),
    ("sensitive", CLAIM, selected(ONE_CHOICE, claims=(MORE,)),
     pair(ONE_CHOICE, claims=(MORE,))),
    ("spread-guessed", GAIN, pair(METHOD[:1], BASELINE[:1]), pair(METHOD[:2], BASELINE[:2])),
    ("run", GAIN, arms({"notices": (SMOKE_RUN,)}), arms({})),
    ("run", GAIN, arms({}, {"notices": (SMOKE_RUN,)}), arms({})),
    ("protocol", STUDY, pair(notices=(Notice("protocol", "a warning"),)), pair()),
    ("weight-clipped", STUDY, pair(notices=(Notice("weight-clipped", "a weight"),)), pair()),
    ("other-network", STUDY, pair(notices=(Notice("other-network", "larger"),)), pair()),
    ("smoke-run", STUDY, pair(notices=(SMOKE_RUN,), origin="import"), pair(origin="import")),
    ("unequal-tuning", OVER, tuned(logit=2, feature=3), tuned(logit=2, feature=2)),
    ("missing-runs", OVER, siblings([*METHOD[:4], None], [NOISY]), siblings(METHOD, [NOISY])),
    ("one-teacher", OVER, siblings(METHOD, [NOISY]), both_taught("t0", "t1")),
    ("these-teachers", OVER, both_taught("t0", "t1"), both_taught("t0")),
    ("no-reference", STUDY, lone_method(OVER_LOGIT), two_references("long")),
    ("no-reference", STUDY, lone_method(OVER_LOGIT), lone_method(Statistics())),
    ("several-references", STUDY, two_references(""), two_references("long")),
    ("failures", STUDY, pair([*METHOD, None]), pair()),
    ("failures", STUDY, open_run("damaged"), open_run("new")),
    ("open", STUDY, open_run("interrupted"), open_run("failed")),
    ("open", STUDY, pair(open_runs=2), pair()),
    ("import-duplicate", STUDY, finding("duplicate"), finding("copy")),
    ("import-copy", STUDY, finding("copy"), finding("overlap")),
]  # fmt: skip


def codes_of(place: str, analysis: Any) -> list[set[str]]:
    """Codes of each gain, claim or ablation, or of the study."""
    holders = {STUDY: [analysis], GAIN: analysis.gains, CLAIM: analysis.contrasts}
    holders |= {ABLATION: analysis.ablations, OVER: analysis.reference_gains}
    return [{flag.code for flag in holder.flags} for holder in holders[place]]


def test_what_a_plan_says_is_not_said_again() -> None:
    planned = Notice("unequal-tuning", "unequal tuning budgets, in configurations: as planned")
    flags = analyse(replace(tuned(logit=2, feature=3), notices=(planned,))).flags
    assert [flag for flag in flags if flag.code == "unequal-tuning"] == [planned]


@pytest.mark.parametrize(
    ("code", "place", "odd", "usual"),
    CASES,
    ids=[f"{c[0]}-{c[1]}-{n}" for n, c in enumerate(CASES)],
)
def test_what_is_odd_is_flagged_where_it_belongs_and_nothing_else_is(
    code: str, place: str, odd: Evidence, usual: Evidence
) -> None:
    if place == OVER:
        odd, usual = (replace(runs, statistics=OVER_LOGIT) for runs in (odd, usual))
    flagged, unflagged = codes_of(place, analyse(odd)), codes_of(place, analyse(usual))
    assert any(code in codes for codes in flagged)
    assert unflagged
    assert not any(code in codes for codes in unflagged)


def test_every_flag_that_the_documentation_names_has_a_case_here() -> None:
    section = DOCUMENT.read_text().split("## What is flagged")[1].split("\n**Codes of")[0]
    verdicts = DOCUMENT.read_text().split("## Verdicts")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section)) - {"sensitivity", "flags"}
    named |= set(re.findall(r"flag(?:ged)?\s`([a-z-]+)`", verdicts))
    assert {"small", "equivalence-uncorrected", "tied", "run"} <= named
    assert named <= {case[0] for case in CASES}


def test_of_two_pairs_the_one_with_something_odd_is_flagged_alone() -> None:
    runs = runs_of(plain("little"), BASELINE) + runs_of(plain("other"), BASELINE)
    runs += runs_of(LOGIT, METHOD, notices=(SMOKE_RUN,))
    runs += runs_of(final("big", "other", "logit"), METHOD)
    analysis = analyse(evidence(runs))
    flagged = [gain.student for gain in analysis.gains if "run" in
               {flag.code for flag in gain.flags}]  # fmt: skip
    assert flagged == ["little"]


@pytest.mark.parametrize(
    ("study", "place", "words"),
    [
        (selected(), GAIN, "seed 0 chose the hyper-parameters and is in the mean"),
        (selected(origin="import"), STUDY, "selection and finals share seed 0:"),
        (grid(SPLIT, split="test"), GAIN, "chosen on the test images"),
        (tuned(logit=2, feature=3), STUDY, "Feature-KD 3, Logit-KD 2; baselines 1"),
        (arms({"epochs": 6}), GAIN, "epochs [6] against [3]"),
        (arms({"notices": (SMOKE_RUN,)}), GAIN, "5 of 10 runs: smoke run"),
        (pair([*METHOD[:4], None]), GAIN, "1 of 5 runs have no result: seed 4: failed (diverged"),
        (siblings(NEARLY, [NOISY]), GAIN, "p = 0.039 alone, but 0.077 corrected for 2 comparisons"),
    ],
)
def test_a_flag_says_what_and_how_much(study: Evidence, place: str, words: str) -> None:
    analysis = analyse(study)
    holders = {STUDY: [analysis], GAIN: analysis.gains}[place]
    assert any(words in flag.text for holder in holders for flag in holder.flags)


@pytest.mark.parametrize(("split", "images"), [("val", "validation"), ("test", "the test images")])
def test_what_chose_is_called_by_its_images(split: str, images: str) -> None:
    for rival, words in ((0.95, "2 configurations tied on"), (0.96, "were not the best on")):
        (gain,) = analyse(grid({0.5: 0.95, 0.7: rival}, split=split)).gains
        assert [flag for flag in gain.flags if f"{words} {images}" in flag.text]
