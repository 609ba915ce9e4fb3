"""Claims as contrasts, and ablations: differences that were declared, each judged in its family."""

from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

from kdgap.judge.analysis import Ablation, ClaimOutcome, ClaimResult, Outcome, Term
from kdgap.judge.claims import Weighted, weighted_arms
from kdgap.judge.comparison import Comparison, View, compare
from kdgap.judge.context import Context
from kdgap.judge.evidence import ids
from kdgap.judge.family import Judged, judge, small_flag, with_flags
from kdgap.judge.flags import arm_flags
from kdgap.judge.kinds import kind_of
from kdgap.notice import codes
from kdgap.spec.claims import Claim, Statistics
from kdgap.stats.multiple import holm
from kdgap.store.preregistration import judged_otherwise

if TYPE_CHECKING:
    from kdgap.judge.evidence import Arm

_OF_DIFFERENCE = ("only-uncorrected", "equivalence-uncorrected", "small")
"""Flags of the test of a difference, which is not the one that other claims rest on."""
_GRAVE = ("shared-selection-seed", "chosen-on-test", "one-teacher")


def judged_claims(context: Context, view: View) -> list[tuple[Claim, Judged, ClaimOutcome]]:
    """Return every claim under one way of looking, with what became of it."""
    evidence = context.evidence
    claims = evidence.claims
    comparisons = [
        compare(weighted_arms(claim, evidence, context.arms), evidence, view) for claim in claims
    ]
    judged = judge(comparisons, evidence.statistics)
    # Claims of one and the same test are one claim of the family.
    kinds = [kind_of(claim.says) for claim in claims]
    margin = evidence.statistics.smallest_effect_pp
    tests: dict[Hashable, float | None] = {}
    refuting: dict[Hashable, float | None] = {}
    keys = []
    for kind, judgement in zip(kinds, judged, strict=True):
        comparison = judgement.comparison
        key, against = kind.test_of(comparison), kind.refuting_test_of(comparison)
        estimate = comparison.estimate
        tests[key] = None if estimate is None else kind.p(estimate, margin)
        refuting[against] = None if estimate is None else kind.p_against(estimate, margin)
        keys.append((key, against))
    shown, refuted = (
        dict(zip(family, holm(list(family.values())), strict=True)) for family in (tests, refuting)
    )
    refuted |= {key: p for key, p in shown.items() if key in refuted}
    alpha, outcomes = context.settings.alpha, []
    for claim, judgement, (key, against) in zip(claims, judged, keys, strict=True):
        outcome = ClaimOutcome(
            p_claim=tests[key],
            p_claim_holm=shown[key],
            p_against_holm=refuted[against],
            claims_in_family=len(tests),
            outcome=_outcome(claim, judgement, shown[key], refuted[against], alpha),
            seeds_needed_claim=_own_seeds(
                claim, judgement, evidence.statistics, alpha / len(tests)
            ),
        )
        outcomes.append((claim, judgement, outcome))
    return outcomes


def _own_seeds(claim: Claim, judged: Judged, statistics: Statistics, level: float) -> int | None:
    """Return how many seeds an arm give the test of a claim its power."""
    comparison, margin, target = judged.comparison, statistics.smallest_effect_pp, statistics.power
    if comparison.point is None:  # more seeds are not what is missing
        return None
    return kind_of(claim.says).seeds_needed(margin, comparison.spread, target, level)


def _outcome(
    claim: Claim, judged: Judged, shown: float | None, refuted: float | None, alpha: float
) -> Outcome:
    """Return what became of a claim; only a corrected result establishes or contradicts it."""
    may_hold, may_fail = kind_of(claim.says).allows(judged.comparison.point or 0.0)
    holds, fails = (p is not None and p <= alpha for p in (shown, refuted))
    return (
        "established" if holds and may_hold
        else "contradicted" if fails and may_fail
        else "not established"
    )  # fmt: skip


def contrast_entries(context: Context) -> list[ClaimResult]:
    """Return `contrasts[]` of the analysis."""
    return [
        _entry(context, claim, judged, outcome)
        for claim, judged, outcome in judged_claims(context, context.primary)
    ]


def _entry(context: Context, claim: Claim, judged: Judged, outcome: ClaimOutcome) -> ClaimResult:
    comparison = judged.comparison
    if not kind_of(claim.says).tests_difference:
        kept = tuple(flag for flag in judged.flags if flag.code not in _OF_DIFFERENCE)
        judged = replace(judged, flags=kept)
    elif outcome.outcome == "established" and _is_small(judged, context):
        judged = with_flags(judged, [small_flag(context.evidence.statistics.smallest_effect_pp)])
    flags = [
        flag
        for term in comparison.terms
        if term.arm is not None and term.arm.slot.teacher is not None
        for flag in arm_flags(term.arm, context.evidence)
        if flag.code in _GRAVE
    ]
    return ClaimResult(
        name=claim.name,
        text=claim.text,
        says=claim.says,
        measure=claim.measure,
        estimate_pp=comparison.point,
        n=_fewest(comparison, 1),
        n_baseline=_fewest(comparison, -1),
        **context.numbers(with_flags(judged, flags)),
        **vars(outcome),
        post_hoc=_is_post_hoc(claim, context),
        terms=tuple(
            Term(slot=term.text, weight=term.weight, n=n, runs=ids(term.arm))
            for term, n in zip(comparison.terms, comparison.ns, strict=True)
        ),
    )


def _is_small(judged: Judged, context: Context) -> bool:
    p = judged.comparison.p_tost(context.evidence.statistics.smallest_effect_pp)
    return p is not None and p <= context.settings.alpha


def _fewest(comparison: Comparison, sign: int) -> int | None:
    """Return the seeds of the smallest arm on the plus or the minus side; None without an arm."""
    sides = zip(comparison.terms, comparison.ns, strict=True)
    return min((n for term, n in sides if term.weight * sign > 0), default=None)


def _is_post_hoc(claim: Claim, context: Context) -> bool:
    """Whether a claim, or how it is judged, was not locked before the first test."""
    locked = context.evidence.locked_claims
    if locked is None or claim.model_dump(mode="json") not in locked:
        return True
    otherwise = {judged_otherwise(what).code for what in ("statistics", "primary")}
    return not otherwise.isdisjoint(codes(context.evidence.notices))


def ablation_entries(context: Context) -> list[Ablation]:
    """Return `ablations[]` of the analysis: the changed arm minus what it was changed from."""
    arms: dict[str, dict[str, Arm]] = {}
    for arm in context.of("ablation"):
        arms.setdefault(arm.slot.ablation, {})[arm.slot.arm] = arm
    comparisons = {}
    for name, sides in arms.items():
        slot = next(iter(sides.values())).slot
        terms = [
            Weighted(sides.get(side), weight, replace(slot, arm=side), f"{name}: {side}")
            for side, weight in (("changed", 1.0), ("base", -1.0))
        ]
        comparisons[name] = compare(terms, context.evidence, context.primary)
    judged = judge(list(comparisons.values()), context.evidence.statistics)
    entries = []
    for name, judgement in zip(comparisons, judged, strict=True):
        sides, slot = arms[name], next(iter(arms[name].values())).slot
        flags = [flag for arm in sides.values() if slot.teacher is not None
                 for flag in arm_flags(arm, context.evidence) if flag.code in _GRAVE]  # fmt: skip
        entries.append(
            Ablation(
                name=name,
                slot=slot.whole.text,
                change=context.evidence.changes.get(name, ""),
                base=context.level(sides["base"]) if "base" in sides else None,
                changed=context.level(sides["changed"]) if "changed" in sides else None,
                n=judgement.comparison.ns[0],
                n_baseline=judgement.comparison.ns[1],
                effect_pp=judgement.comparison.point,
                **context.numbers(with_flags(judgement, flags)),
            )
        )
    return entries
