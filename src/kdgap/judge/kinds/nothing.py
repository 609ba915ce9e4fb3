"""`nothing`: the sum is smaller than the smallest effect of interest, either way (equivalence)."""

from collections.abc import Sequence
from typing import ClassVar

from kdgap.judge.kinds.kind import RulesOut, claim_kind
from kdgap.judge.words import ClaimWords
from kdgap.stats import power
from kdgap.stats.contrast import Estimate


@claim_kind
class Nothing(RulesOut):
    """Shown by two one-sided tests (TOST), refuted by an effect of the margin in one direction."""

    name: ClassVar[str] = "nothing"
    statistic: ClassVar[str] = "TOST"
    shown_by: ClassVar[float] = 0.0
    refuted_by: ClassVar[float] = 5.0

    def p(self, estimate: Estimate, margin: float) -> float:
        """Return the larger p of the two one-sided tests."""
        return estimate.p_equivalent(margin)

    def p_against(self, estimate: Estimate, margin: float) -> float:
        """Return the p that the effect is at least the margin in one direction, of two."""
        return min(1.0, 2 * min(estimate.p_below(-margin), estimate.p_above(margin)))

    def seeds_needed(
        self, margin: float, spread: tuple[Sequence[float], Sequence[float]], target: float,
        level: float,
    ) -> int | None:  # fmt: skip
        """See `ClaimKind.seeds_needed`."""
        return power.equivalence_seeds_needed(margin, *spread, target, level)

    def power(
        self, margin: float, spread: tuple[Sequence[float], Sequence[float]], n: int, level: float
    ) -> float:
        """See `ClaimKind.power`."""
        return power.equivalence_power(margin, *spread, n, level)

    def smallest(
        self, spread: tuple[Sequence[float], Sequence[float]], n: int, target: float, level: float
    ) -> float:
        """See `ClaimKind.smallest`."""
        return power.smallest_margin(*spread, n, target, level)

    def words(self, margin: float) -> ClaimWords:
        """See `ClaimKind.words`."""
        return ClaimWords(
            says=f"that it is smaller than {margin:g} pp in either direction",
            says_briefly=f"this is smaller than {margin:g} pp",
            opposite=f"the effect is {margin:g} pp or more",
            truly="If there is truly no difference, ",
            event=f"a difference of {margin:g} pp either way is ruled out",
            least="a margin of",
            test="p of the claim's own test",
            chart="margin ruled out",
            truth="the claim would be shown, were there truly no difference,",
            shown=f"any effect is smaller than {margin:g} pp",
            tested=f"being smaller than {margin:g} pp either way",
        )

    def _sentences(self, margin: str) -> tuple[str, str, str]:
        return (
            f"That the effect is {margin} or more in either direction is ruled out",
            f"The effect is {margin} or more",
            f"To be shown, {margin} or more would have to be ruled out in both directions",
        )
