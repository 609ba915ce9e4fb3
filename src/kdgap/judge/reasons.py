"""A claim in words: what became of it, and why: what would have shown it, what the runs say."""

from kdgap.judge.analysis import ClaimResult, Settings
from kdgap.judge.kinds import kind_of
from kdgap.judge.words import (
    elsewhere,
    equals,
    guessed_seeds,
    lack_words,
    value_words,
    verdict_words,
)
from kdgap.numbers import counted
from kdgap.numbers import seeds as enough


def contrast_sentence(contrast: ClaimResult, settings: Settings, *, named: bool = True) -> str:
    """Return a claim with what became of it; not `named` where the outcome stands beside it."""
    outcome = f"{contrast.outcome}; " if named and contrast.estimate_pp is not None else ""
    return f"“{contrast.text.rstrip('.')}”: {outcome}{claim_words(contrast, settings)}"


def claim_words(contrast: ClaimResult, settings: Settings) -> str:
    """Return a claim's numbers and what stands behind its outcome, beside which they are shown."""
    if contrast.estimate_pp is None:
        return f"cannot be judged, {lack_words(contrast)}."
    why = _outcome_words(contrast, settings) + elsewhere(contrast)
    return f"{value_words(contrast, contrast.estimate_pp)}; {why}."


def _outcome_words(contrast: ClaimResult, settings: Settings) -> str:
    kind = kind_of(contrast.says)
    if contrast.p_claim_holm is None:
        return verdict_words(contrast, settings, kind.goal(settings))
    if contrast.outcome == "contradicted":
        opposite = kind.words(settings.smallest_effect_pp).opposite
        return f"{opposite}, Holm p {equals(contrast.p_against_holm)}"
    return kind.outcome_words(contrast, settings)


def reasons(contrast: ClaimResult, settings: Settings, power: float | None = None) -> list[str]:
    """Return the steps from a claim's numbers to its outcome, one sentence each.

    Args:
        contrast: one of the analysis.
        settings: how the study is judged.
        power: how often so many seeds show the claim, were it true, in [0, 1]; None if unknown.
    """
    if contrast.estimate_pp is None:
        return [f"It cannot be judged: {lack_words(contrast)}."]
    if contrast.ci95_pp is None:
        goal = kind_of(contrast.says).goal(settings)
        guess = _sentence(guessed_seeds(contrast, settings, goal))
        return [f"Nothing can be tested: {lack_words(contrast)}.", guess]
    steps = kind_of(contrast.says).reasons(contrast, settings)
    if contrast.outcome == "not established" and power is not None:
        steps.append(_power_words(contrast, settings, power))
    other = [flag.text for flag in contrast.flags if flag.code == "sensitive"]
    return [*steps, *map(_sentence, other)]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _power_words(contrast: ClaimResult, settings: Settings, power: float) -> str:
    have, needed = contrast.n_smallest, contrast.seeds_needed_claim
    truth = kind_of(contrast.says).words(settings.smallest_effect_pp).truth
    unequal = len({len(seeds) for seeds in contrast.seeds}) > 1
    seeds = f"{counted(have, 'seed')} a side{', as in the smallest arm,' if unequal else ''}"
    family = counted(contrast.claims_in_family, "claim")
    often = f"in about {round(100 * power)} of 100 such studies, corrected for {family}"
    words = f"With {seeds} and this spread, {truth} {often}"
    if needed is None or needed <= have:
        return f"{words}."
    return f"{words}; with {enough(needed)} seeds a side in {100 * settings.power:g}."
