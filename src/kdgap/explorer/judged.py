"""What the explorer has beside the analysis: two arms compared, sentences, why claims end so."""

from dataclasses import asdict
from typing import Any

from kdgap.explorer.power import claim_questions
from kdgap.explorer.snapshot import Snapshot
from kdgap.judge.baselines import by_baseline
from kdgap.judge.causes import causes
from kdgap.judge.claims import weighted, weighted_arms
from kdgap.judge.comparison import Comparison, compare
from kdgap.judge.context import Context
from kdgap.judge.document import to_json
from kdgap.judge.evidence import Arm
from kdgap.judge.family import judge
from kdgap.judge.fidelity import class_differences
from kdgap.judge.grids import grid
from kdgap.judge.kinds import kind_of
from kdgap.judge.quoting import claim_quote, gain_quote, reference_quote
from kdgap.judge.reasons import claim_words, reasons
from kdgap.judge.words import gain_sentence, grid_sentence, reference_sentence

_ELSEWHERE = ("one-seed", "no-variance", "spread-guessed")
"""Flags that say why there is no interval, or speak of seeds needed, which are not shown here."""


def compare_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return one arm minus every other that has results: each a family of one, and post hoc.

    Raises:
        IndexError: there is no such arm.
    """
    if number < 0:
        raise IndexError(number)
    own, context = snapshot.arms[number], snapshot.context
    if own.slot.role == "selection":
        return {"version": snapshot.version, "arm": number, "others": []}
    others = [
        _difference(own, other, context) | {"arm": place}
        for place, other in enumerate(context.arms)
        if place != number and context.values(other) and context.values(own)
    ]
    return {"version": snapshot.version, "arm": number, "others": others}


def _difference(own: Arm, other: Arm, context: Context) -> dict[str, Any]:
    shared = {run.id for run in own.runs} & {run.id for run in other.runs}
    if shared:  # no test of independent arms applies
        return {"value": None, "shared": len(shared)}
    terms = [weighted(own, 1.0), weighted(other, -1.0)]
    statistics = context.evidence.statistics
    (judged,) = judge([compare(terms, context.evidence, context.unpermuted)], statistics)
    comparison = judged.comparison
    bounds = (
        None
        if comparison.estimate is None
        else list(comparison.estimate.interval(statistics.confidence))
    )
    return {
        "value": comparison.point,
        "ci95": bounds,
        "no_interval": _no_interval(comparison),
        "p": comparison.p,
        "p_tost": comparison.p_tost(statistics.smallest_effect_pp),
        "verdict": judged.verdict,
        "n": list(comparison.ns),
        "flags": [flag.text for flag in judged.flags if flag.code not in _ELSEWHERE],
        "classes": to_json(class_differences(own, other, context.evidence)),
    }


def _no_interval(comparison: Comparison) -> str | None:
    """Return why a difference of two arms has no interval; None where it has one."""
    if comparison.estimate is not None:
        return None
    if comparison.point is None:
        return "they have no seed in common"
    if min(comparison.ns) > 1:
        return "nothing varies over the seeds"
    if comparison.paired:
        return "they have one seed in common"
    few = [name for name, n in zip(("first", "second"), comparison.ns, strict=True) if n < 2]
    return "both have one seed" if len(few) == 2 else f"the {few[0]} has one seed"


def gain_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return for each gain its sentence, to stand beside its verdict, and why it is none.

    `apart` tells its baseline from others of the pair; empty where it has one.
    """
    if snapshot.analysis is None:
        return []
    gains, settings = snapshot.analysis.gains, snapshot.analysis.settings
    groups = by_baseline(snapshot.analysis)
    apart = {number: group.apart for group in groups for number, _ in group.gains}
    return [
        {
            "apart": apart[number],
            "sentence": gain_sentence(gain, settings, named=False),
            "quote": gain_quote(gain, settings),
            "causes": [to_json(fact) for fact in causes(gain)],
        }
        for number, gain in enumerate(gains, 1)
    ]


def reference_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the same for each gain over the reference, in the analysis's order."""
    if snapshot.analysis is None:
        return []
    entries, settings = snapshot.analysis.reference_gains, snapshot.analysis.settings
    return [
        {
            "sentence": reference_sentence(entry, settings, named=False),
            "quote": reference_quote(entry, settings),
        }
        for entry in entries
    ]


def grid_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return each grid beside the noise of seeds, in the order of the analysis's `selection`."""
    if snapshot.analysis is None:
        return []
    grids = [grid(tuning, snapshot.evidence) for tuning in snapshot.analysis.selection]
    return [to_json(measured) | {"sentence": grid_sentence(measured)} for measured in grids]


def claim_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return for each claim the numbers of its arms, its power now, and why it ends as it does."""
    if snapshot.analysis is None:
        return []
    context, evidence = snapshot.context, snapshot.evidence
    margin, entries = evidence.statistics.smallest_effect_pp, []
    settings = snapshot.analysis.settings
    parts = zip(snapshot.analysis.contrasts, evidence.claims, claim_questions(context), strict=True)
    for contrast, claim, question in parts:
        seeds = contrast.n_smallest
        power = question.power(margin, seeds) if question is not None and seeds > 1 else None
        terms = weighted_arms(claim, evidence, context.arms)
        entries.append(
            {
                "arms": [snapshot.arm_number(term.arm) for term in terms],
                "power": power,
                "words": asdict(kind_of(claim.says).words(margin)),
                "tests_difference": kind_of(claim.says).tests_difference,
                "summary": claim_words(contrast, settings),
                "quote": claim_quote(contrast, settings),
                "reasons": reasons(contrast, settings, power),
            }
        )
    return entries
