"""Why a claim's outcome is what it is: what would have shown it, and what the runs say instead."""

from typing import TYPE_CHECKING, Any

from kdgap.judge.words import counted, equals, guessed_seeds, lack_words, signed

if TYPE_CHECKING:
    from collections.abc import Callable


def reasons(
    contrast: dict[str, Any], settings: dict[str, Any], power: float | None = None
) -> list[str]:
    """Return the steps from a claim's numbers to its outcome, one sentence each.

    Args:
        contrast: one of the analysis.
        settings: how the study is judged.
        power: how often so many seeds show the claim, were it true, in [0, 1]; None if unknown.
    """
    if contrast["estimate_pp"] is None:
        return [f"It cannot be judged: {lack_words(contrast)}."]
    if contrast["ci95_pp"] is None:
        guess = _sentence(guessed_seeds(contrast, settings))
        return [f"Nothing can be tested: {lack_words(contrast)}.", guess]
    says: dict[str, Callable[[dict[str, Any], dict[str, Any]], list[str]]] = {
        "above": _above,
        "not_below": _not_below,
        "nothing": _nothing,
    }
    found = says[contrast["says"]](contrast, settings)
    if contrast["outcome"] == "not established" and power is not None:
        found.append(_power_words(contrast, settings, power))
    elsewhere = [flag["text"] for flag in contrast["flags"] if flag["code"] == "sensitive"]
    return [*found, *map(_sentence, elsewhere)]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _above(contrast: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    (low, high), alpha = contrast["ci95_pp"], settings["alpha"]
    if contrast["outcome"] == "established":
        return [f"The difference is above zero, also {_corrected(contrast, 'p_claim_holm')}."]
    if contrast["outcome"] == "contradicted":
        return [f"The difference is below zero, also {_corrected(contrast, 'p_claim_holm')}."]
    if contrast["p_claim"] <= alpha:
        side = "above" if contrast["estimate_pp"] > 0 else "below"
        own = f"By itself the difference is {side} zero (p {equals(contrast['p_claim'])})"
        return [f"{own}, but not {_corrected(contrast, 'p_claim_holm')}."]
    first = (
        "To be shown, the difference would have to be above zero. Its interval reaches from"
        f" {signed(low)} to {signed(high)} pp: there may be no difference at all."
    )
    return [first, _absence(contrast, settings)]


def _absence(contrast: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return whether the runs show that there is nothing, which is more than not finding it."""
    (low, high), margin = contrast["ci95_pp"], settings["smallest_effect_pp"]
    if contrast["p_tost"] <= settings["alpha"]:
        own = f"any difference is smaller than {margin:g} pp in either direction"
        p, corrected = equals(contrast["p_tost"]), contrast["p_tost_holm"]
        if corrected <= settings["alpha"]:
            return _sentence(f"{own} (TOST p {p})")
        family = f"{counted(contrast['family'], 'comparison')} (Holm p {equals(corrected)})"
        return f"By itself {own} (TOST p {p}), but not when corrected for {family}."
    return (
        f"Nor is it shown that there is none: it may be as much as"
        f" {signed(high if high >= -low else low)} pp, and {margin:g} pp is the smallest effect of"
        " interest."
    )


def _not_below(contrast: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    margin = f"{settings['smallest_effect_pp']:g} pp"
    return _one_sided(
        contrast,
        settings,
        shown=f"That it is worse by {margin} or more is ruled out",
        refuted=f"It is worse by {margin} or more",
        wanted=f"To be shown, a loss of {margin} or more would have to be ruled out",
    )


def _nothing(contrast: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    margin = f"{settings['smallest_effect_pp']:g} pp"
    return _one_sided(
        contrast,
        settings,
        shown=f"That the effect is {margin} or more in either direction is ruled out",
        refuted=f"The effect is {margin} or more",
        wanted=f"To be shown, {margin} or more would have to be ruled out in both directions",
    )


def _one_sided(
    contrast: dict[str, Any], settings: dict[str, Any], *, shown: str, refuted: str, wanted: str
) -> list[str]:
    if contrast["outcome"] == "established":
        return [f"{shown}, also {_corrected(contrast, 'p_claim_holm')}."]
    if contrast["outcome"] == "contradicted":
        return [f"{refuted}, also {_corrected(contrast, 'p_against_holm')}."]
    own = f"p {equals(contrast['p_claim'])}"
    if contrast["p_claim"] <= settings["alpha"]:
        corrected = _corrected(contrast, "p_claim_holm")
        return [f"{wanted}. By itself it is ({own}), but not {corrected}."]
    low, high = (signed(end) for end in contrast["ci95_pp"])
    return [f"{wanted}. It is not ({own}): the interval reaches from {low} to {high} pp."]


def _corrected(contrast: dict[str, Any], key: str) -> str:
    family = counted(contrast["claims_in_family"], "claim")
    return f"when corrected for {family} (Holm p {equals(contrast[key])})"


def _power_words(contrast: dict[str, Any], settings: dict[str, Any], power: float) -> str:
    have, needed = contrast["n_smallest"], contrast["seeds_needed_claim"]
    truth = (
        f"a true difference of {settings['smallest_effect_pp']:g} pp would be found"
        if contrast["says"] == "above"
        else "the claim would be shown, were there truly no difference,"
    )
    unequal = len({len(seeds) for seeds in contrast["seeds"]}) > 1
    seeds = f"{counted(have, 'seed')} a side{', as in the smallest arm,' if unequal else ''}"
    family = counted(contrast["claims_in_family"], "claim")
    often = f"in about {round(100 * power)} of 100 such studies, corrected for {family}"
    words = f"With {seeds} and this spread, {truth} {often}"
    if needed is None or needed <= have:
        return f"{words}."
    return f"{words}; with {needed} seeds a side in {100 * settings['power']:g}."
