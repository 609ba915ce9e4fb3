"""What a kind of claim is: what a study's `says` may be."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

from kdgap.judge.analysis import ClaimResult, Settings
from kdgap.judge.comparison import Comparison
from kdgap.judge.measures import Interval
from kdgap.judge.words import ClaimWords, Goal, difference, equals, own_seeds_words, verdict_words
from kdgap.numbers import counted, signed
from kdgap.registry import Registry
from kdgap.stats import power
from kdgap.stats.contrast import Estimate

if TYPE_CHECKING:
    from kdgap.stats.verdict import Verdict


class ClaimKind(ABC):
    """What is claimed of a weighted sum of arms, and how that is tested.

    Class attributes:
        name: what studies write after `says`.
        tests_difference: whether its test is that of a difference from zero: it finds something
            and rules nothing out, and the remarks of that test are its own.
        shown_by, refuted_by: a true sum that shows it, and one that refutes it, in margins: what
            tests try it with.

    Every `margin` and effect is in percentage points, every `level` an error rate after
    correction, and `spread` the weights and standard deviations of `Comparison.spread`.
    """

    name: ClassVar[str]
    tests_difference: ClassVar[bool] = False
    shown_by: ClassVar[float]
    refuted_by: ClassVar[float]

    def test_of(self, comparison: Comparison) -> Hashable:
        """Return what makes the tests of two claims, of any kinds, the same test."""
        return self.name, comparison.key

    def refuting_test_of(self, comparison: Comparison) -> Hashable:
        """Return what makes the tests that refute two claims the same; see `test_of`.

        A test that shows some claims and refutes others is corrected among those that show.
        """
        return "against", self.test_of(comparison)

    @abstractmethod
    def p(self, estimate: Estimate, margin: float) -> float:
        """Return the p of the test that shows the claim."""

    @abstractmethod
    def p_against(self, estimate: Estimate, margin: float) -> float:
        """Return the p of the test that refutes it."""

    def allows(self, value: float) -> tuple[bool, bool]:
        """Return whether a claim with this sum may be shown, and whether it may be refuted."""
        return True, True

    def two_sided(self, level: float) -> float:
        """Return the level of a two-sided test that finds as much."""
        return level

    def seeds_needed(
        self, margin: float, spread: tuple[Sequence[float], Sequence[float]], target: float,
        level: float,
    ) -> int | None:  # fmt: skip
        """Return how many seeds an arm show the claim with a power; None if no affordable number.

        A claim that finds something is asked of a true sum of the margin, others of a sum of zero.
        """
        return power.contrast_seeds_needed(margin, *spread, target, self.two_sided(level))

    def power(
        self, margin: float, spread: tuple[Sequence[float], Sequence[float]], n: int, level: float
    ) -> float:
        """Return how often n seeds an arm show it, in [0, 1]."""
        return power.contrast_power(margin, *spread, n, self.two_sided(level))

    def smallest(
        self, spread: tuple[Sequence[float], Sequence[float]], n: int, target: float, level: float
    ) -> float:
        """Return the smallest effect, or margin, that n seeds an arm show with a power."""
        return power.minimum_detectable_contrast(*spread, n, target, self.two_sided(level))

    @abstractmethod
    def words(self, margin: float) -> ClaimWords:
        """Return what is said of such a claim."""

    @abstractmethod
    def goal(self, settings: Settings) -> Goal:
        """Return what its seeds are for, as sentences about them say it."""

    @abstractmethod
    def outcome_words(self, contrast: ClaimResult, settings: Settings) -> str:
        """Return what stands behind an outcome that is no contradiction, in one clause.

        Only asked of a claim that could be tested: its p is a number.
        """

    @abstractmethod
    def reasons(self, contrast: ClaimResult, settings: Settings) -> list[str]:
        """Return the steps from the numbers of a claim to its outcome, one sentence each."""


KINDS: Registry[ClaimKind] = Registry("claim kind")
Kind = TypeVar("Kind", bound=type[ClaimKind])


def claim_kind(cls: Kind) -> Kind:
    """Enter a kind of claim in the registry under its `name`."""
    KINDS.register(cls.name)(cls())
    return cls


def kind_of(says: str) -> ClaimKind:
    """Return the kind of a claim.

    Raises:
        BadInputError: there is none of this name.
    """
    return KINDS[says]


def corrected(contrast: ClaimResult, p: float | None) -> str:
    """Return what a p was corrected for, such as `when corrected for 3 claims (Holm p = 0.02)`."""
    family = counted(contrast.claims_in_family, "claim")
    return f"when corrected for {family} (Holm p {equals(p)})"


def tested(contrast: ClaimResult) -> tuple[float, float, Interval]:
    """Return a claim's sum, the p of its test and its interval, where it could be tested.

    Raises:
        ValueError: it could not.
    """
    value, p, interval = contrast.estimate_pp, contrast.p_claim, contrast.ci95_pp
    if value is None or p is None or interval is None:
        raise ValueError(f"claim {contrast.name!r} was not tested")
    return value, p, interval


class Finds(ClaimKind):
    """A claim that the sum is on one side of zero: one two-sided test decides, and its sign.

    So opposite claims are one of the family.

    Class attributes:
        direction: 1 for above zero, −1 for below.
    """

    tests_difference: ClassVar[bool] = True
    direction: ClassVar[int]

    @property
    def _side(self) -> str:
        return "above" if self.direction > 0 else "below"

    def test_of(self, comparison: Comparison) -> Hashable:
        """Return the sum up to its sign: whichever side is claimed, it is one test."""
        return "difference", comparison.key

    def refuting_test_of(self, comparison: Comparison) -> Hashable:
        """Return the same: the test that looks for one side finds the other."""
        return self.test_of(comparison)

    def p(self, estimate: Estimate, margin: float) -> float:
        """Return the two-sided p of a difference."""
        return estimate.p()

    def p_against(self, estimate: Estimate, margin: float) -> float:
        """Return the same p: the test that looks for one side finds the other."""
        return estimate.p()

    def allows(self, value: float) -> tuple[bool, bool]:
        """Return what the sign of the sum allows."""
        return self.direction * value > 0, self.direction * value < 0

    def words(self, margin: float) -> ClaimWords:
        """See `ClaimKind.words`."""
        return ClaimWords(
            says=f"that it is {self._side} zero",
            says_briefly=f"this is {self._side} zero",
            opposite="the opposite is shown",
            truly="",
            event=f"a true difference of {margin:g} pp is found",
            least="a true difference of",
            test="p, two-sided; the sign decides",
            chart="true difference found",
            truth=f"a true difference of {margin:g} pp would be found",
            shown=f"the difference is {self._side} zero",
            tested="a difference from zero",
        )

    def goal(self, settings: Settings) -> Goal:
        """See `ClaimKind.goal`."""
        return difference(settings)

    def outcome_words(self, contrast: ClaimResult, settings: Settings) -> str:
        """Judged by the claims' family; the verdict of its difference is that of the contrasts'."""
        verdict: Verdict = "gain" if contrast.outcome == "established" else "inconclusive"
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
        other = "below" if self.direction > 0 else "above"
        also = corrected(contrast, contrast.p_claim_holm)
        if contrast.outcome == "established":
            return [f"The difference is {self._side} zero, also {also}."]
        if contrast.outcome == "contradicted":
            return [f"The difference is {other} zero, also {also}."]
        if p <= settings.alpha:
            side = "above" if value > 0 else "below"
            own = f"By itself the difference is {side} zero (p {equals(p)})"
            return [f"{own}, but not {also}."]
        first = (
            f"To be shown, the difference would have to be {self._side} zero. Its interval reaches"
            f" from {signed(low)} to {signed(high)} pp: there may be no difference at all."
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


class RulesOut(ClaimKind):
    """A claim that something of at least the margin is not there.

    Class attributes:
        statistic: what its test is called.
    """

    statistic: ClassVar[str]

    def goal(self, settings: Settings) -> Goal:
        """See `ClaimKind.goal`."""
        truth = "there truly is no difference"
        return Goal("show it", "have shown it", truth, "there truly no difference")

    def outcome_words(self, contrast: ClaimResult, settings: Settings) -> str:
        """See `ClaimKind.outcome_words`."""
        test = f"Holm p {equals(contrast.p_claim_holm)} ({self.statistic})"
        text = f"{self.words(settings.smallest_effect_pp).shown}, {test}"
        if contrast.outcome == "established":
            return text
        return f"not shown: {text}; {own_seeds_words(contrast, settings, self.goal(settings))}"

    @abstractmethod
    def _sentences(self, margin: str) -> tuple[str, str, str]:
        """Return what is said where it is shown, where it is refuted, and what it would take."""

    def reasons(self, contrast: ClaimResult, settings: Settings) -> list[str]:
        """See `ClaimKind.reasons`."""
        shown, refuted, wanted = self._sentences(f"{settings.smallest_effect_pp:g} pp")
        if contrast.outcome == "established":
            return [f"{shown}, also {corrected(contrast, contrast.p_claim_holm)}."]
        if contrast.outcome == "contradicted":
            return [f"{refuted}, also {corrected(contrast, contrast.p_against_holm)}."]
        own = f"p {equals(contrast.p_claim)}"
        _, p, (low, high) = tested(contrast)
        if p <= settings.alpha:
            also = corrected(contrast, contrast.p_claim_holm)
            return [f"{wanted}. By itself it is ({own}), but not {also}."]
        reach = f"the interval reaches from {signed(low)} to {signed(high)} pp"
        return [f"{wanted}. It is not ({own}): {reach}."]
