"""`not_below`: the sum is not below zero by the smallest effect of interest (non-inferiority)."""

from collections.abc import Hashable
from typing import ClassVar

from kdgap.judge.comparison import Comparison
from kdgap.judge.kinds.kind import RulesOut, claim_kind
from kdgap.judge.words import ClaimWords
from kdgap.stats.contrast import Estimate


@claim_kind
class NotBelow(RulesOut):
    """Shown where a loss of the margin is ruled out, one-sided; refuted by a loss of the margin."""

    name: ClassVar[str] = "not_below"
    statistic: ClassVar[str] = "one-sided"
    shown_by: ClassVar[float] = 0.0
    refuted_by: ClassVar[float] = -5.0

    def test_of(self, comparison: Comparison) -> Hashable:
        """Return the sum with its sign: only "no worse" has a direction."""
        return self.name, comparison.signed_key

    def p(self, estimate: Estimate, margin: float) -> float:
        """Return the one-sided p that the sum is above minus the margin."""
        return estimate.p_above(-margin)

    def p_against(self, estimate: Estimate, margin: float) -> float:
        """Return the one-sided p that it is below that."""
        return estimate.p_below(-margin)

    def two_sided(self, level: float) -> float:
        """One-sided is two-sided at twice the level: the other side is as good as never found."""
        return 2 * level

    def words(self, margin: float) -> ClaimWords:
        """See `ClaimKind.words`."""
        return ClaimWords(
            says=f"that it is not below zero by {margin:g} pp or more",
            says_briefly=f"this is no worse than −{margin:g} pp",
            opposite=f"it is worse by {margin:g} pp or more",
            truly="If there is truly no difference, ",
            event=f"a loss of {margin:g} pp is ruled out",
            least="a margin of",
            test="p of the claim's own test",
            chart="margin ruled out",
            truth="the claim would be shown, were there truly no difference,",
            shown=f"not worse by {margin:g} pp or more",
            tested=f"being no worse by {margin:g} pp",
        )

    def _sentences(self, margin: str) -> tuple[str, str, str]:
        return (
            f"That it is worse by {margin} or more is ruled out",
            f"It is worse by {margin} or more",
            f"To be shown, a loss of {margin} or more would have to be ruled out",
        )
