"""Verdicts on a terminal: the gain table, the claims in sentences, what a reader has to know."""

from collections.abc import Collection
from typing import Any

from kdgap.judge.words import interval, level, method_name, p_value, signed, spread

WIDE = 110


def print_verdicts(
    analysis: dict[str, Any], seconds: float | None = None, *, said: Collection[str] = ()
) -> None:
    """Print an analysis, the answer first.

    Args:
        analysis: what `analyse` returned.
        seconds: how long the study was worked on, if it was.
        said: warnings that were printed before.
    """
    from kdgap.cli.printing import out, print_table, say

    settings = analysis["settings"]
    out.print(_headline(analysis, seconds), soft_wrap=True, markup=False)
    if analysis["gains"]:
        columns, rows = (_wide if out.width >= WIDE else _narrow)(analysis)
        print_table("", columns, rows, _caption(analysis))
    else:
        say("no method was compared with a baseline yet")
    for contrast in analysis["contrasts"]:
        mark = " [post hoc]" if contrast["post_hoc"] else ""
        out.print(f"Claim {contrast['sentence']}{mark}", soft_wrap=True, markup=False)
    seeds = [gain for gain in analysis["gains"] if gain["verdict"] == "inconclusive"]
    if seeds:
        needed = sorted({gain["seeds_needed"] or 0 for gain in seeds})
        span = str(needed[-1]) if len(needed) == 1 else f"{needed[0]} to {needed[-1]}"
        out.print(
            f"Inconclusive: {len(seeds)} of {len(analysis['gains'])} gains. {span} seeds an arm"
            f" would find {settings['smallest_effect_pp']:g} pp with {level(settings['power'])}"
            " power.",
            soft_wrap=True,
            markup=False,
        )
    for flag in analysis["flags"]:
        if flag["text"] not in said:
            say(f"note: {flag['text']}")
    for failure in analysis["failures"]:
        say(f"{failure['state']}: {failure['path']}: {failure['remark']}")
    for gain in analysis["gains"]:
        for flag in gain["flags"]:
            if flag["code"] not in _EVERYWHERE:
                say(f"note: {method_name(gain['method'])}, {_pair(gain)}: {flag['text']}")


# Said once for the whole study, in its own flags.
_EVERYWHERE = ("one-teacher", "shared-selection-seed", "one-selection-seed", "run", "tied")


def _headline(analysis: dict[str, Any], seconds: float | None) -> str:
    from kdgap.cli.printing import duration

    study, settings = analysis["study"], analysis["settings"]
    took = f" in {duration(seconds)}" if seconds else ""
    runs = (
        f"{study['done']} runs"
        if study["done"] == study["runs"]
        else (f"{study['done']} of {study['runs']} runs")
    )
    teachers = ", ".join(
        f"{t['name']} {spread(t['mean_pp'], t['std_pp'])}" for t in analysis["teachers"]
    )
    shown = f" · teachers {teachers}" if teachers else ""
    return (
        f"{study['name']}: {runs}{took} · test accuracy in %, {settings['primary']} weights, mean"
        f" ± std over seeds{shown}"
    )


def _pair(gain: dict[str, Any]) -> str:
    return f"{gain['teacher']} → {gain['student']}" if gain["teacher"] else str(gain["student"])


def _found(gain: dict[str, Any]) -> str | None:
    if gain["gain_pp"] is None:
        return None
    bounds = interval(gain["ci95_pp"]) if gain["ci95_pp"] else "(no interval)"
    return f"{signed(gain['gain_pp'])} {bounds}"


def _verdict(gain: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the verdict, with a star where it is a corrected gain or harm."""
    starred = gain["p_holm"] is not None and gain["p_holm"] <= settings["alpha"]
    return f"{gain['verdict']}{' *' if starred else ''}"


def _wide(analysis: dict[str, Any]) -> tuple[list[str], list[list[str | None]]]:
    settings = analysis["settings"]
    columns = ["pair", "", "n", "accuracy", f"gain in pp [{level(settings['confidence'])}]", "p"]
    columns += ["Holm p", "verdict", "seeds needed"]
    lines: list[list[str | None]] = []
    pair = ""
    for gain in analysis["gains"]:
        if _pair(gain) != pair:
            pair = _pair(gain)
            lines.append([pair, "baseline", *_baseline(gain), "", "", "", "", ""])
        needed = None if gain["seeds_needed"] is None else str(gain["seeds_needed"])
        lines.append(
            [
                "",
                method_name(gain["method"]),
                str(gain["n"]),
                spread(gain["mean_pp"], gain["std_pp"]),
                _found(gain),
                p_value(gain["p"]),
                p_value(gain["p_holm"]),
                _verdict(gain, settings),
                needed if gain["verdict"] == "inconclusive" else "",
            ]
        )
    return columns, lines


def _baseline(gain: dict[str, Any]) -> list[str]:
    return [str(gain["n_baseline"]), spread(gain["baseline_mean_pp"], gain["baseline_std_pp"])]


def _narrow(analysis: dict[str, Any]) -> tuple[list[str], list[list[str | None]]]:
    settings = analysis["settings"]
    columns = ["pair", "", f"gain in pp [{level(settings['confidence'])}]", "verdict"]
    lines: list[list[str | None]] = []
    pair = ""
    for gain in analysis["gains"]:
        shown = "" if _pair(gain) == pair else _pair(gain)
        pair = _pair(gain)
        name = method_name(gain["method"])
        lines.append([shown, name, _found(gain), _verdict(gain, settings)])
    return columns, lines


def _caption(analysis: dict[str, Any]) -> str:
    settings = analysis["settings"]
    kind = "Welch" if settings["test"] == "welch" else "paired by seed"
    budget = {gain["method"]: gain["tried"] for gain in analysis["gains"]}
    tried = ", ".join(f"{method_name(name)} {count}" for name, count in budget.items())
    marks = analysis["study"]["marks"]
    mind = f"Mind: {'; '.join(marks)}. " if marks else ""
    return (
        f"{mind}Gains over the baseline of the same student; {kind} intervals. Verdicts: Holm over"
        f" {settings['gains_in_family']} gains, equivalence within"
        f" ±{settings['smallest_effect_pp']:g} pp. * = significant after correction."
        f" Configurations tried: {tried}."
    )
