"""Was a method tuned far enough, and what grid would be next?"""

from kdgap.judge.entries import Fact
from kdgap.judge.evidence import Arm, Evidence, choosing_images
from kdgap.judge.flags import tuning_of
from kdgap.numbers import counted, decimals
from kdgap.spec.method_card import UNKNOWN, MethodCard

BOUTHILLIER = "Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks"


def tuning_fact(arm: Arm, evidence: Evidence) -> Fact:
    """Return whether an arm was tuned, and whether its grid ended too early."""
    tuning = tuning_of(arm, evidence)
    if tuning is None:
        return Fact(
            topic="tuning",
            fact="one configuration, not tuned",
            remedy="a small grid on validation images",
            source=BOUTHILLIER,
            change=_small_grid(arm, evidence),
        )
    count, seeds = len(tuning.candidates), len(tuning.seeds)
    text = f"tuned over {counted(count, 'configuration')} on {counted(seeds, 'selection seed')}"
    edges, changes = [], []
    for name, value in arm.parameters.items():
        tried = {c.parameters.get(name) for c in tuning.candidates}
        values = sorted(v for v in tried if isinstance(v, int | float))
        # Of two values each is at an edge, which says nothing.
        if len(values) == len(tried) > 2 and value in (values[0], values[-1]):
            end = "largest" if value == values[-1] else "smallest"
            edges.append(f"{name} {value:g} is the {end} tried")
            changes += _extended(f"methods.{arm.slot.method}.{name}", values, end)
    if not edges:
        return Fact(topic="tuning", fact=text)
    return Fact(
        topic="tuning",
        fact=f"{text}; {', '.join(edges)}",
        remedy="extend the grid beyond its edge",
        source=BOUTHILLIER,
        change=next(iter(changes), None),
    )


def lost_beyond(arm: Arm, evidence: Evidence, name: str, *, larger: bool) -> str | None:
    """Return how larger (or smaller) values of a hyper-parameter lost in selection; None if not.

    Nobody should be told to raise what was raised already, to no avail.
    """
    tuning, own = tuning_of(arm, evidence), arm.parameters.get(name)
    if tuning is None or not isinstance(own, int | float):
        return None
    tried, scores, chosen = set[float](), list[float](), None
    for candidate in tuning.candidates:
        value, score = candidate.parameters.get(name), candidate.score
        if candidate.parameters == arm.parameters:
            chosen = score
        elif isinstance(value, int | float) and (value > own if larger else value < own):
            tried.add(value)
            scores += [] if score is None else [score]
    if not tried or chosen is None or max(scores, default=0.0) >= chosen:
        return None
    words = f"{'larger' if larger else 'smaller'} {name}s were tried"
    listed = ", ".join(f"{value:g}" for value in sorted(tried))
    if not scores:
        return f"{words}, and no run of them has a score ({listed})"
    return (
        f"{words} and scored lower on {choosing_images(tuning.split)} images ({listed}:"
        f" {decimals(100 * max(scores))} % at best,"
        f" against {decimals(100 * chosen)} %)"
    )


def _small_grid(arm: Arm, evidence: Evidence) -> str | None:
    """Return a grid around what was not tuned, as `KEY=VALUE` for `--set`; None if nothing is.

    It is of what weighs distillation against the labels, and only otherwise of the temperature.
    """
    card = card_of(arm, evidence)
    for field in (card.mixed_by, "weight", card.softened_by):
        name = called(arm, evidence, field)
        value = arm.parameters.get(name or "")
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            continue
        if field == card.mixed_by and value > 1:  # no share
            continue
        above = (value + 1) / 2 if field == card.mixed_by else 2 * value
        values = sorted({value / 2, value, above})
        return f"methods.{arm.slot.method}.{name}=[{','.join(f'{v:g}' for v in values)}]"
    return None


def _extended(key: str, values: list[float], end: str) -> list[str]:
    """Return a grid with one more value beyond its edge, as `KEY=VALUE` for `--set`; or nothing.

    Values up to 1 are taken for shares, which have nothing beyond 1.
    """
    if end == "smallest":
        values = [values[0] / 2, *values]
    else:
        values = [*values, (values[-1] + 1) / 2 if values[-1] <= 1 else 2 * values[-1]]
    if len(set(values)) < len(values):  # at 0 or 1
        return []
    return [f"{key}=[{','.join(f'{value:g}' for value in values)}]"]


def card_of(arm: Arm, evidence: Evidence) -> MethodCard:
    """Return what an arm's method says of itself."""
    return evidence.methods.get(arm.slot.method, UNKNOWN)


def called(arm: Arm, evidence: Evidence, field: str | None) -> str | None:
    """Return a hyper-parameter by the name that an arm's runs call it."""
    flat = (card_of(arm, evidence).flat or {}).get(field or "", field)
    return flat if field not in arm.parameters and flat in arm.parameters else field
