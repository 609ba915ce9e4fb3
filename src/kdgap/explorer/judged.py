"""What the explorer computes beside the analysis: any two arms compared, and power by seeds."""

import math
from typing import Any

from kdgap.explorer.snapshot import Snapshot
from kdgap.judge.claims import Weighted
from kdgap.judge.comparison import compare, judge
from kdgap.judge.context import Context
from kdgap.judge.evidence import Arm
from kdgap.stats import power
from kdgap.stats.contrast import mean_and_std

SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50)
"""Seeds a side that power is shown for."""
MOST_POWER = 40
"""Gains whose power is shown."""


def compare_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return one arm minus every other that has results: each a family of one, and post hoc.

    Raises:
        IndexError: there is no such arm.
    """
    if number < 0:
        raise IndexError(number)
    own, context = snapshot.arms[number], snapshot.context
    others = [
        _difference(own, other, context) | {"arm": place}
        for place, other in enumerate(snapshot.arms)
        if place != number and context.values(other) and context.values(own)
    ]
    return {"version": snapshot.version, "arm": number, "others": others}


def _difference(own: Arm, other: Arm, context: Context) -> dict[str, Any]:
    terms = [Weighted(own, 1.0, own.slot.text), Weighted(other, -1.0, other.slot.text)]
    statistics = context.evidence.statistics
    (judged,) = judge([compare(terms, context.evidence, context.primary)], statistics)
    made = judged.comparison
    bounds = None if made.estimate is None else list(made.estimate.interval(statistics.confidence))
    return {
        "value": made.point,
        "ci95": bounds,
        "p": made.p,
        "p_tost": made.p_tost(statistics.smallest_effect_pp),
        "verdict": judged.verdict,
        "n": list(made.ns),
        "flags": [flag.text for flag in judged.flags],
    }


def power_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return for each gain what n seeds a side find, by the spread that was seen.

    `smallest` is the smallest gain that is found with the study's power, in points; it takes the
    same spread, the root mean square of both, on both sides.
    """
    if snapshot.analysis is None:
        return []
    context, statistics = snapshot.context, snapshot.evidence.statistics
    alpha = float(context.settings["alpha"])
    found: list[dict[str, Any]] = []
    for gain, arm in zip(snapshot.analysis["gains"], context.finals, strict=True):
        stds = [mean_and_std(values)[1] if (values := context.values(side)) else None
                for side in (arm, context.baseline(arm))]  # fmt: skip
        known = [std for std in stds if std is not None]
        if len(known) < 2 or not any(known) or len(found) == MOST_POWER:
            continue
        level, margin = alpha / max(gain["family"], 1), statistics.smallest_effect_pp
        common = math.hypot(*known) / math.sqrt(2)
        found.append(
            {
                **{key: gain[key] for key in ("teacher", "student", "method")},
                "seeds": list(SEEDS),
                "power": [
                    power.contrast_power(margin, (1.0, -1.0), known, n, level) for n in SEEDS
                ],
                "smallest": [
                    power.minimum_detectable_effect(common, n, n, statistics.power, level)
                    for n in SEEDS
                ],
                "needed": gain["seeds_needed"],
            }
        )
    return found
