"""What is copied beside a verdict: its sentence, how it was found, and what to cite."""

from dataclasses import replace
from typing import Any

from kdgap.judge.quoting import citation, claim_quote, fingerprint, gain_quote
from kdgap.judge.reasons import contrast_sentence
from kdgap.judge.words import gain_sentence
from kdgap.numbers import interval
from kdgap.spec.claims import Statistics
from tests.judge.builders import analyse, claim, evidence, final, pair_of, plain, runs_of


def judged(
    test: str = "welch", *, second: bool = False, values: tuple[float, ...] = (90, 91, 92)
) -> Any:
    runs = [
        *runs_of(plain("little"), [88.0, 89.0, 90.5]),
        *runs_of(final("big", "little", "logit"), list(values)),
    ]
    if second:
        runs += runs_of(final("big", "little", "feature"), [89.0, 90.0, 91.0])
    return analyse(evidence(runs, statistics=Statistics(test=test)))  # type: ignore[arg-type]


def test_a_gain_is_quoted_with_its_sentence_n_test_and_correction() -> None:
    analysis = judged(second=True)
    gain = analysis.gains[0]
    quote = gain_quote(gain, analysis.settings)
    assert quote.startswith(gain_sentence(gain, analysis.settings))
    assert "n = 3 and 3 seeds, best weights" in quote
    assert "95 % interval by Welch's t" in quote
    assert f"all 2 differences of its family at once {interval(gain.ci95_simultaneous_pp)}" in quote
    assert "corrected for 2 gains (Holm)" in quote


def test_what_was_not_corrected_says_so() -> None:
    analysis = judged()
    quote = gain_quote(analysis.gains[0], analysis.settings)
    assert "the only gain, so p-values are not corrected" in quote
    assert "Bonferroni" not in quote


def test_the_test_is_the_one_that_judged() -> None:
    analysis = judged("paired")
    assert "the paired t of equal seeds" in gain_quote(analysis.gains[0], analysis.settings)


def test_without_an_interval_none_is_named() -> None:
    analysis = judged(values=(90,))
    quote = gain_quote(analysis.gains[0], analysis.settings)
    assert "n = 1 and 3 seeds" in quote
    assert "no interval" in quote
    assert "95 %" not in quote.split("(n =")[1]


def test_a_claim_is_quoted_with_every_arm_and_whether_it_came_late() -> None:
    term = {"teacher": "big", "student": "little", "method": "logit", "weight": 1.0}
    declared = claim("gains", [term])
    pair = pair_of([88.0, 89.0, 90.5], [90.0, 91.0, 92.0], claims=(declared,))
    analysis = analyse(pair)
    (late,) = analysis.contrasts
    quote = claim_quote(late, analysis.settings)
    assert quote.startswith(contrast_sentence(late, analysis.settings))
    assert f"n = {' and '.join(str(term.n) for term in late.terms)} seeds" in quote
    assert quote.endswith("Post hoc: not locked before the first test.")
    locked = replace(pair, locked_claims=(declared.model_dump(mode="json"),))
    (early,) = analyse(locked).contrasts
    assert "Post hoc" not in claim_quote(early, analysis.settings)


def test_what_is_cited_names_study_paper_analysis_and_version() -> None:
    analysis = judged()
    titled = replace(analysis.study, title="Small students", paper="arXiv 1234.5678")
    text = citation(replace(analysis, study=titled))
    assert text.startswith("Small students, arXiv 1234.5678. Analysis ")
    assert text.endswith(f"{analysis.made_with}.")


def test_the_digest_is_of_the_numbers_and_not_of_the_place() -> None:
    analysis = judged()
    moved = replace(analysis, study=replace(analysis.study, path="/elsewhere"))
    assert fingerprint(moved) == fingerprint(analysis)
    assert fingerprint(judged(values=(90, 91, 93))) != fingerprint(analysis)
    assert len(fingerprint(analysis)) == 16
