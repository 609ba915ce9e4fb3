"""One comparison: a weighted sum of arms with its interval, p-values and spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from kdgap.judge.claims import Weighted
from kdgap.judge.evidence import Evidence, ids
from kdgap.notice import Notice
from kdgap.spec.slot import Slot
from kdgap.stats import contrast, permutation
from kdgap.stats.contrast import Estimate, mean_and_std, varying_std

FEW = 4
"""Seeds of an arm up to which Welch's degrees of freedom may be too many; see `statistics.md`."""

BySeed = dict[int, float]
"""Accuracy in percent by seed."""


@dataclass(frozen=True)
class View:
    """How the runs are looked at.

    Attributes:
        weights: `best` or `last`: whose test accuracy counts.
        test: `welch` compares independent arms, `paired` runs of one seed.
        drop_shared: leave out seeds whose own runs chose the hyper-parameters.
        permute: also compute a permutation p, which takes most of the time of large arms.
    """

    weights: str
    test: str
    drop_shared: bool = False
    permute: bool = True


Key = tuple[tuple[Slot, str, float], ...]
"""Slot, configuration and weight of each arm."""


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of arms, in percentage points.

    Attributes:
        ns: runs' seeds counted in each arm.
        point: the sum of the weighted means; None where an arm has no value.
        estimate: the same with its standard error; None where there is none.
        spread: standard deviations of the arms (Welch) or of the differences (paired), with their
            weights: what power is computed from; a guess where `guessed`.
    """

    terms: tuple[Weighted, ...]
    seeds: tuple[tuple[int, ...], ...]
    point: float | None
    estimate: Estimate | None
    p_permutation: float | None
    exact: bool
    spread: tuple[tuple[float, ...], tuple[float, ...]]
    guessed: bool
    paired: bool
    flags: tuple[Notice, ...] = ()

    @property
    def signed_key(self) -> Key:
        """What makes two comparisons one and the same: their arms and weights."""
        parts = ((t.slot, t.arm.configuration if t.arm else "", t.weight) for t in self.terms)
        return tuple(sorted(parts, key=repr))

    @property
    def key(self) -> Key:
        """The same up to the sign: a difference and its opposite are one two-sided test."""
        sign = 1 if self.signed_key[0][2] > 0 else -1
        return tuple(
            (slot, configuration, sign * weight) for slot, configuration, weight in self.signed_key
        )

    @property
    def p(self) -> float | None:
        """Two-sided p of no difference."""
        return None if self.estimate is None else self.estimate.p()

    def p_tost(self, margin: float) -> float | None:
        """Return the p of a difference as large as the margin, in either direction."""
        return None if self.estimate is None else self.estimate.p_equivalent(margin)

    @property
    def ns(self) -> tuple[int, ...]:
        """Seeds counted in each arm."""
        return tuple(len(seeds) for seeds in self.seeds)


def compare(terms: Sequence[Weighted], evidence: Evidence, view: View) -> Comparison:
    """Compute a weighted sum of arms; what is missing or odd becomes a flag."""
    paired, guess = view.test == "paired", evidence.statistics.expected_std_pp
    values, lacking = _values(terms, evidence, view)
    shared = [] if paired else _shared_runs(terms)
    values, unlike = _common_seeds(values) if paired else (values, _unequal_seeds(values))
    arms, weights = [list(arm.values()) for arm in values], [term.weight for term in terms]
    whole = bool(arms) and all(arms) and not shared
    estimate, of_estimate = _estimate(arms, weights, paired=paired) if whole else (None, [])
    p, exact = (
        _permutation(arms, weights, paired=paired) if whole and view.permute else (None, False)
    )
    spread, guessed = (
        _paired_spread(estimate, weights, guess) if paired else _spread(arms, weights, guess)
    )
    return Comparison(
        terms=tuple(terms),
        seeds=tuple(tuple(arm) for arm in values),
        point=contrast.point(arms, weights) if whole else None,
        estimate=estimate,
        p_permutation=p,
        exact=exact,
        spread=spread,
        guessed=guessed,
        paired=paired,
        flags=(*shared, *lacking, *unlike, *of_estimate),
    )


def _common_seeds(values: list[BySeed]) -> tuple[list[BySeed], list[Notice]]:
    """Return the values of seeds that every arm has, and a flag where some have more."""
    common = set.intersection(*(set(arm) for arm in values)) if values else set()
    flags = []
    if any(len(arm) > len(common) for arm in values):
        text = "seeds that not every arm has are left out"
        text += "" if common or not all(values) else ", and none is left"
        flags.append(Notice("unpaired-seeds", text))
    return [{seed: arm[seed] for seed in sorted(common)} for arm in values], flags


def _unequal_seeds(values: list[BySeed]) -> list[Notice]:
    if len({tuple(arm) for arm in values if arm}) < 2:
        return []
    listed = " against ".join(_seeds(arm) for arm in values)
    return [Notice("unequal-seeds", f"the arms have different seeds: {listed}")]


def _estimate(
    arms: list[list[float]], weights: list[float], *, paired: bool
) -> tuple[Estimate | None, list[Notice]]:
    """Return the sum with its standard error, and what is to be known of its interval."""
    estimate = (contrast.paired if paired else contrast.welch)(arms, weights)
    if estimate is None:
        if min(len(arm) for arm in arms) < 2:
            return None, [Notice("one-seed", "an arm has one seed: no interval")]
        return None, [Notice("no-variance", "nothing varies over the seeds: no interval")]
    if paired or not _rests_on_few(arms, weights):
        return estimate, []
    text = (
        f"an arm of {FEW} seeds or fewer carries most of the error: its interval holds less often"
        " than it says, and p-values that many comparisons were corrected for are too small"
    )
    return estimate, [Notice("few-seeds", text)]


def _values(
    terms: Sequence[Weighted], evidence: Evidence, view: View
) -> tuple[list[BySeed], list[Notice]]:
    """Return accuracy in percent by seed of each arm, and a flag for each that lacks some.

    Those that lack all come first: they are why nothing can be said.
    """
    shared: set[int] = set()
    if view.drop_shared:
        for term in terms:
            shared |= set(evidence.shared_seeds(term.arm)) if term.arm else set()
    accuracies: list[BySeed] = []
    empty: list[Notice] = []
    some: list[Notice] = []
    for term in terms:
        values = {} if term.arm is None else term.arm.by_seed(view.weights, shared)
        accuracies.append(values)
        if term.arm is None:
            empty.append(Notice("no-runs", f"{term.text}: {term.lack}"))
            continue
        missing = term.arm.missing(view.weights)
        if missing:
            listed = "; ".join(missing[:3]) + ("; …" if len(missing) > 3 else "")
            count = f"{len(missing)} of {len(term.arm.runs)} runs have no result"
            flag = Notice("missing-runs", f"{term.text}: {count}: {listed}")
            (some if values else empty).append(flag)
    return accuracies, [*empty, *some]


def _shared_runs(terms: Sequence[Weighted]) -> list[Notice]:
    """Return a flag for every two arms with runs in common: they are not independent."""
    members = [(term.text, set(ids(term.arm))) for term in terms]
    return [
        Notice("shared-runs", f"{text} and {other} share runs, so they are not independent")
        for (text, first), (other, second) in combinations(members, 2)
        if first & second
    ]


def _rests_on_few(arms: list[list[float]], weights: list[float]) -> bool:
    """Whether the error comes mostly from an arm so small that Welch's df are too many.

    What else there is has to come mostly from larger arms, or the arm has to weigh so much by sizes
    and weights alone: of two arms of 3 seeds the sample always gives one more than half, and their
    intervals hold (docs/statistics.md).
    """
    planned = [weight**2 / len(arm) for arm, weight in zip(arms, weights, strict=True)]
    shares = [
        part * (mean_and_std(arm)[1] or 0.0) ** 2 for arm, part in zip(arms, planned, strict=True)
    ]
    half, half_planned = math.fsum(shares) / 2, math.fsum(planned) / 2 * (1 + 1e-9)
    for arm, part, share in zip(arms, planned, shares, strict=True):
        if len(arm) > FEW or share <= half:
            continue
        larger = math.fsum(s for a, s in zip(arms, shares, strict=True) if len(a) > len(arm))
        if part > half_planned or larger > (2 * half - share) / 2:
            return True
    return False


def _seeds(arm: BySeed) -> str:
    listed = ", ".join(map(str, list(arm)[:6])) + (", …" if len(arm) > 6 else "")
    return f"{{{listed}}}"


def _by_seed(arms: list[list[float]], weights: list[float]) -> list[float]:
    """Return each seed's weighted sum over the arms."""
    return [
        math.fsum(weight * value for weight, value in zip(weights, row, strict=True))
        for row in zip(*arms, strict=True)
    ]


def _permutation(
    arms: list[list[float]], weights: list[float], *, paired: bool
) -> tuple[float | None, bool]:
    """Return a permutation p where labels can be exchanged: two opposite arms, or paired seeds."""
    if paired:
        test = permutation.sign_flip(_by_seed(arms, weights))
    elif len(arms) == 2 and math.isclose(weights[0], -weights[1]):
        test = permutation.two_sample(arms[0], arms[1])
    else:
        test = None
    return (None, False) if test is None else (test.p, test.exact)


def _paired_spread(
    estimate: Estimate | None, weights: list[float], guess: float
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], bool]:
    """Return weight and standard deviation of the differences by seed, a guess without any."""
    if estimate is None:
        return ((1.0,), (guess * math.hypot(*weights),)), True
    return ((1.0,), (estimate.se * math.sqrt(estimate.df + 1),)), False


def _spread(
    arms: list[list[float]], weights: list[float], guess: float
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], bool]:
    """Return (weights, standard deviations) of independent arms, a guess where nothing varies."""
    stds = [varying_std(arm) if arm else None for arm in arms]
    if any(stds) and all(std is not None for std in stds):
        return (tuple(weights), tuple(std or 0.0 for std in stds)), False
    return (tuple(weights), tuple(guess for _ in weights)), True
