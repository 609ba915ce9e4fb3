"""`above`: the sum is above zero."""

from dataclasses import replace
from typing import ClassVar

from kdgap.judge.analysis import ClaimResult, Settings
from kdgap.judge.kinds.kind import ClaimKind, claim_kind, corrected, tested
from kdgap.judge.words import counted, equals, signed, verdict_words
from kdgap.stats.contrast import Estimate


@claim_kind
class Above(ClaimKind):
    """Shown by a difference above zero, refuted by one below: one two-sided test decides.

    So opposite claims are one of the family.
    """

    name: ClassVar[str] = "above"
    tests_difference: ClassVar[bool] = True

    def p(self, estimate: Estimate, margin: float) -> float:
        """Return the two-sided p of a difference."""
        return estimate.p()

    def p_against(self, estimate: Estimate, margin: float) -> float:
        """Return the same p: the test that looks for one above finds a difference below zero."""
        return estimate.p()

    def allows(self, value: float) -> tuple[bool, bool]:
        """Return what the sign of the sum allows."""
        return value > 0, value < 0

    def words(self, margin: float) -> dict[str, str]:
        """See `ClaimKind.words`."""
        return {
            "says": "that it is above zero",
            "says_briefly": "this is above zero",
            "opposite": "the opposite is shown",
            "truly": "",
            "event": f"a true difference of {margin:g} pp is found",
            "least": "a true difference of",
            "test": "p, two-sided; the sign decides",
            "chart": "true difference found",
            "truth": f"a true difference of {margin:g} pp would be found",
            "shown": "the difference is above zero",
        }

    def outcome_words(self, contrast: ClaimResult, settings: Settings) -> str:
        """Judged by the claims' family; the verdict of its difference is that of the contrasts'."""
        if contrast.p_claim_holm is None:
            return verdict_words(contrast, settings)
        verdict = "gain" if contrast.outcome == "established" else "inconclusive"
        if verdict == "inconclusive" and contrast.verdict == "equivalent":
            verdict = "equivalent"
        own = replace(
            contrast,
            verdict=verdict,
            p_holm=contrast.p_claim_holm,
            seeds_needed=contrast.seeds_needed_claim,
        )
        return verdict_words(own, settings)

    def reasons(self, contrast: ClaimResult, settings: Settings) -> list[str]:
        """See `ClaimKind.reasons`."""
        value, p, (low, high) = tested(contrast)
        also = corrected(contrast, contrast.p_claim_holm)
        if contrast.outcome == "established":
            return [f"The difference is above zero, also {also}."]
        if contrast.outcome == "contradicted":
            return [f"The difference is below zero, also {also}."]
        if p <= settings.alpha:
            side = "above" if value > 0 else "below"
            own = f"By itself the difference is {side} zero (p {equals(p)})"
            return [f"{own}, but not {also}."]
        first = (
            "To be shown, the difference would have to be above zero. Its interval reaches from"
            f" {signed(low)} to {signed(high)} pp: there may be no difference at all."
        )
        return [first, _absence(contrast, settings)]


def _absence(contrast: ClaimResult, settings: Settings) -> str:
    """Return whether the runs show that there is nothing, which is more than not finding it."""
    _, _, (low, high) = tested(contrast)
    margin, p, adjusted = settings.smallest_effect_pp, contrast.p_tost, contrast.p_tost_holm
    if p is not None and p <= settings.alpha:
        own = f"ny difference is smaller than {margin:g} pp in either direction"
        if adjusted is not None and adjusted <= settings.alpha:
            return f"A{own} (TOST p {equals(p)})."
        family = f"{counted(contrast.family, 'comparison')} (Holm p {equals(adjusted)})"
        return f"By itself a{own} (TOST p {equals(p)}), but not when corrected for {family}."
    return (
        f"Nor is it shown that there is none: it may be as much as"
        f" {signed(high if high >= -low else low)} pp, and {margin:g} pp is the smallest effect of"
        " interest."
    )
