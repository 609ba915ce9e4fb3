"""A verdict as others quote it: sentence, numbers, how they were found, and what to cite."""

from dataclasses import replace

from kdgap.judge.analysis import Analysis, ClaimResult, Settings
from kdgap.judge.document import to_json
from kdgap.judge.entries import Gain, Numbers, ReferenceGain
from kdgap.judge.reasons import contrast_sentence
from kdgap.judge.words import gain_sentence, reference_sentence
from kdgap.numbers import counted, interval, level
from kdgap.store.seal import digest

_TESTS = {"welch": "Welch's t", "paired": "the paired t of equal seeds"}


def gain_quote(gain: Gain, settings: Settings) -> str:
    """Return a gain's sentence, with n, interval and correction."""
    ns = (gain.n, gain.n_baseline)
    return f"{gain_sentence(gain, settings)} {_how(gain, settings, ns, 'gain', gain.family)}"


def reference_quote(entry: ReferenceGain, settings: Settings) -> str:
    """Return the sentence of a gain over the reference, with n, interval and correction."""
    ns, kind = (entry.n, entry.n_reference), "gain over the reference"
    return f"{reference_sentence(entry, settings)} {_how(entry, settings, ns, kind, entry.family)}"


def claim_quote(claim: ClaimResult, settings: Settings) -> str:
    """Return a claim with what became of it, with n, interval, correction, and if it came late."""
    ns = tuple(term.n for term in claim.terms)
    how = _how(claim, settings, ns, "claim", claim.claims_in_family)
    late = " Post hoc: not locked before the first test." if claim.post_hoc else ""
    return f"{contrast_sentence(claim, settings)} {how}{late}"


def _how(
    numbers: Numbers, settings: Settings, ns: tuple[int, ...], kind: str, corrected: int
) -> str:
    """Return n, the method of the intervals, and what p-values are corrected for.

    Args:
        numbers: what was judged.
        settings: how.
        ns: seeds of each arm.
        kind: what it is one of.
        corrected: how many its verdict is corrected for.
    """
    n = f"n = {' and '.join(map(str, ns))} seeds, {settings.primary} weights"
    if numbers.ci95_pp is None:
        return f"({n}; no interval.)"
    words = f"{n}; {level(settings.confidence)} interval by {_TESTS[settings.test]}"
    if numbers.family > 1:
        every = interval(numbers.ci95_simultaneous_pp)
        words += (
            f", for all {numbers.family} differences of its family at once {every} (Bonferroni)"
        )
    if corrected > 1:
        return f"({words}; p-values corrected for {_plural(corrected, kind)} (Holm).)"
    return f"({words}; the only {kind}, so p-values are not corrected.)"


def _plural(count: int, kind: str) -> str:
    noun, *rest = kind.split(" ", 1)
    return " ".join([counted(count, noun), *rest])


def citation(analysis: Analysis) -> str:
    """Return what to cite: the study, its paper, the analysis by its digest, and kdgap."""
    study = analysis.study
    name = study.title or study.name
    paper = f", {study.paper}" if study.paper else ""
    return f"{name}{paper}. Analysis {fingerprint(analysis)}, {analysis.made_with}."


def fingerprint(analysis: Analysis) -> str:
    """Return 16 hex digits of the SHA-256 of an analysis: equal wherever its study lies."""
    return digest(to_json(replace(analysis, study=replace(analysis.study, path=""))))[:16]
