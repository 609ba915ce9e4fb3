"""Verdicts on a terminal: the gain table, the claims in sentences, what a reader has to know."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from kdgap.numbers import counted, interval, level, p_value, signed, spread
from kdgap.numbers import seeds as enough
from kdgap.text import settings_text

if TYPE_CHECKING:
    from kdgap.judge.analysis import Analysis, Reference, Settings
    from kdgap.judge.entries import Gain, ReferenceGain
    from kdgap.notice import Notice

LAYOUTS = (
    ("pair", "n", "accuracy", "gain", "p", "holm", "verdict", "needed"),
    ("pair", "n", "accuracy", "gain", "verdict"),
    ("pair", "accuracy", "gain", "verdict"),
    ("pair", "accuracy", "gain_below"),
    ("pair_below", "gain_below"),
)
"""Columns of the table; the first that fit the terminal are shown, the last at any width."""
WITH_REFERENCE = (
    ("pair", "n", "accuracy", "gain", "p", "holm", "verdict", "over", "over_verdict", "needed"),
    ("pair", "n", "accuracy", "gain", "verdict", "over", "over_verdict"),
    ("pair", "n", "accuracy", "gain_below", "over_below"),
    ("pair", "accuracy", "gain_below", "over_below"),
    ("pair_below", "gain_below", "over_below"),
)
"""The same of a study that names a reference; last with each verdict below its number."""


def print_verdicts(
    analysis: "Analysis",
    seconds: float | None = None,
    *,
    now: int | None = None,
    shown: Collection["Notice"] = (),
) -> None:
    """Print an analysis, the answer first.

    Args:
        analysis: what `analyse` returned.
        seconds: how long the study was worked on now, if it was.
        now: how many of its finished runs were finished in that time; None = all.
        shown: what was printed before.
    """
    from kdgap.cli.printing import answer, print_table, say, width
    from kdgap.judge.headline import headline

    settings = analysis.settings
    answer(headline(analysis).text)
    answer(_measured(analysis, seconds, now))
    if analysis.gains:
        columns, rows = _table(analysis, width())
        print_table("", columns, rows, _caption(analysis))
    late = [contrast for contrast in analysis.contrasts if contrast.post_hoc]
    every = len(late) == len(analysis.contrasts) > 1
    for contrast in analysis.contrasts:
        mark = " [post hoc]" if contrast.post_hoc and not every else ""
        answer(f"Claim {contrast.sentence}{mark}")
    if every:
        answer("Post hoc: all of these claims. None was locked before the first test.")
    if any(gain.verdict == "inconclusive" for gain in analysis.gains):
        answer(_inconclusive(analysis))
    if settings.reference is not None:
        answer(_over_words(analysis, settings.reference))
    for flag in analysis.flags:
        if flag not in shown:
            say(f"note: {flag.text}")
    for failure in analysis.failures:
        say(f"{failure.state}: {failure.path}: {failure.remark}")
    for code, notes in _notes(analysis).items():
        for note in notes[:MOST_NOTES]:
            say(f"note: {note}")
        if len(notes) > MOST_NOTES:
            more = counted(len(notes) - MOST_NOTES, "more note")
            say(f"note: {more} of the kind {code}: analysis.json has them all")


MOST_NOTES = 4
"""Notes of one kind that are printed; the rest are counted."""
# Said once for the whole study, in its own flags.
_EVERYWHERE = (
    *("one-teacher", "shared-selection-seed", "one-selection-seed", "run", "tied"),
    "unequal-tuning",
)


def _notes(analysis: "Analysis") -> dict[str, list[str]]:
    """Return what has to be known of single gains, by the code of the flag."""
    notes: dict[str, list[str]] = {}
    reference = analysis.settings.reference
    over = f" over {reference.label}" if reference else ""
    named: list[tuple[str, Gain | ReferenceGain]] = [
        *((gain.label, gain) for gain in analysis.gains),
        *((f"{entry.label}{over}", entry) for entry in analysis.reference_gains),
    ]
    for name, gain in named:
        for flag in gain.flags:
            if flag.code not in _EVERYWHERE:
                notes.setdefault(flag.code, []).append(f"{name}, {_pair(gain)}: {flag.text}")
    return notes


def _inconclusive(analysis: "Analysis") -> str:
    """Return how many gains are open, and which seeds would settle them."""
    from kdgap.judge.words import without_result

    settings = analysis.settings
    seeds = [gain for gain in analysis.gains if gain.verdict == "inconclusive"]
    phrase = f"would find {settings.smallest_effect_pp:g} pp"
    known = [(gain.seeds_needed, gain.n_smallest) for gain in seeds if gain.seeds_needed]
    needed = sorted({count for count, have in known if count > have})
    powerful = sum(count <= have for count, have in known)
    text = f"Inconclusive: {len(seeds)} of {counted(len(analysis.gains), 'gain')}"
    text += f", {lost}." if (lost := without_result(seeds)) else "."
    if needed:
        ends = dict.fromkeys([enough(needed[0]), enough(needed[-1])])
        count = " to ".join(ends).capitalize()
        text += f" {count} seeds a side {phrase} with {level(settings.power)} power."
    if powerful:
        text += (
            f" The seeds of {powerful} of them find {settings.smallest_effect_pp:g} pp with"
            f" {level(settings.power)} power, and did not here."
        )
    elif not needed and all(gain.gain_pp is not None for gain in seeds):
        text += f" No affordable number of seeds {phrase}."
    return text


def _over_words(analysis: "Analysis", reference: "Reference") -> str:
    """Return how many methods are better than the reference, worse, equivalent, and undecided."""
    from kdgap.judge.words import uncorrected_words

    verdicts = Counter(entry.verdict for entry in analysis.reference_gains)
    if not verdicts:
        return f"Over {reference.label}: no method could be compared with it."
    alone = uncorrected_words(analysis.reference_gains)
    counts = [
        f"{count} {verdict}" + (f" ({alone})" if alone and verdict == "equivalent" else "")
        for verdict, count in verdicts.most_common()
    ]
    return f"Over {reference.label}: {', '.join(counts)}."


def _measured(analysis: "Analysis", seconds: float | None, now: int | None) -> str:
    from kdgap.numbers import duration

    study, settings = analysis.study, analysis.settings
    took = f" in {duration(seconds)}" if seconds else ""
    if now == 0:  # then the time is none of training
        took = ", none of them now"
    elif took and now not in (None, study.done):
        took = f", {now} of them now,{took}"
    runs = (
        f"{study.done} runs" if study.done == study.runs else (f"{study.done} of {study.runs} runs")
    )
    teachers = ", ".join(f"{t.name} {spread(t.mean_pp, t.std_pp)}" for t in analysis.teachers)
    shown = f" · teachers {teachers} % (mean ± std over seeds)" if teachers else ""
    return f"{study.name}: {runs}{took} · test accuracy of the {settings.primary} weights{shown}"


def _pair(gain: "Gain | ReferenceGain") -> str:
    from kdgap.spec.slot import pair_text

    return pair_text(gain.teacher, gain.student)


def _gain_words(gain: "Gain | ReferenceGain") -> str | None:
    if gain.gain_pp is None:
        return None
    bounds = interval(gain.ci95_pp) if gain.ci95_pp else "(no interval)"
    return f"{signed(gain.gain_pp)} {bounds}"


def _verdict(gain: "Gain | ReferenceGain", settings: "Settings") -> str:
    """Return the verdict, with a star where it is a corrected gain or harm."""
    starred = gain.p_holm is not None and gain.p_holm <= settings.alpha
    text = gain.verdict_text.replace(", ", ",\n")
    return f"{text}{' *' if starred else ''}"


def _table(analysis: "Analysis", width: int) -> tuple[list[str], list[list[str | None]]]:
    """Return columns and lines: a pair with its baseline, and its methods below."""
    from kdgap.cli.printing import fitting
    from kdgap.judge.baselines import by_baseline
    from kdgap.judge.entries import by_method

    settings, reference = analysis.settings, analysis.settings.reference
    gain_head = f"gain in pp [{level(settings.confidence)}]"
    over = f"over {reference.label}" if reference else ""
    titles = {
        "pair": "",
        "pair_below": "accuracy (%)",
        "n": "n",
        "accuracy": "accuracy (%)",
        "gain": gain_head,
        "gain_below": gain_head,
        "over": over,
        "over_below": over,
        "over_verdict": "verdict",
        "p": "p",
        "holm": "Holm p",
        "verdict": "verdict",
        "needed": "seeds needed",
    }
    lines: list[dict[str, str | None]] = []
    entries = by_method(analysis.reference_gains)
    for group in by_baseline(analysis):
        base = group.first
        plain = spread(base.baseline_mean_pp, base.baseline_std_pp)
        lines.append({"pair": group.name, "n": str(base.n_baseline), "accuracy": plain})
        lines[-1]["pair_below"] = "\n  ".join(filter(None, (group.pair, group.apart, plain)))
        of_group = [gain for _, gain in group.gains]
        for gain in of_group:
            others = entries.get((gain.slot, gain.configuration), [])
            lines += _gain_lines(gain, settings, others, _settings_apart(gain, of_group))
    return fitting(WITH_REFERENCE if reference else LAYOUTS, titles, lines, width)


def _gain_lines(
    gain: "Gain", settings: "Settings", others: "Sequence[ReferenceGain]", apart: str
) -> list[dict[str, str | None]]:
    """Return the cells of a gain, with those over the reference: a line for each of `others`."""
    reference, beside = settings.reference, [_over_cells(gain, e, settings) for e in others]
    unsettled = gain.verdict == "inconclusive" and gain.seeds_needed is not None
    name = f"  {gain.label}" + (f"\n    {apart}" if apart else "")
    line: dict[str, str | None] = {
        "pair": name,
        "pair_below": f"{name}\n    {spread(gain.mean_pp, gain.std_pp)}",
        "n": str(gain.n),
        "accuracy": spread(gain.mean_pp, gain.std_pp),
        "gain": _gain_words(gain),
        "p": p_value(gain.p),
        "holm": p_value(gain.p_holm),
        "verdict": _verdict(gain, settings),
        "needed": enough(gain.seeds_needed) if unsettled else "",
        "gain_below": _below(_gain_words(gain), _verdict(gain, settings)),
    }
    if reference and gain.method == reference.method:
        line |= {"over": "the reference", "over_below": "the reference"}
    elif not beside:
        line |= {"over": None, "over_below": None}
    elif "pair" not in beside[0]:
        line |= beside.pop(0)
    return [line, *beside]


def _settings_apart(gain: "Gain", beside: "Sequence[Gain]") -> str:
    """Return the settings of a gain that others of its method over the same baseline have not."""
    twins = [other.parameters for other in beside if other.method == gain.method]
    unlike = {
        key: value
        for key, value in gain.parameters.items()
        if any(twin.get(key) != value for twin in twins)
    }
    return settings_text(unlike)


def _over_cells(
    gain: "Gain", entry: "ReferenceGain", settings: "Settings"
) -> dict[str, str | None]:
    """Return the cells of a gain over the reference; with its pair where it has a line of its own.

    A method without a teacher stands once, and is compared in each pair of its student.
    """
    words, verdict = _gain_words(entry), _verdict(entry, settings)
    cells = {"over": words, "over_verdict": verdict, "over_below": _below(words, verdict)}
    place = f"    in {_pair(entry)}"
    return cells if entry.teacher == gain.teacher else {"pair": place, "pair_below": place, **cells}


def _below(words: str | None, verdict: str) -> str:
    """Return a verdict below its number."""
    return f"{'–' if words is None else words}\n{verdict}"


_LISTED = 4
"""Methods of which each is said how many configurations were tried, where it is the same number."""


def _caption(analysis: "Analysis") -> str:
    settings = analysis.settings
    kind = "Welch" if settings.test == "welch" else "paired by seed"
    budget = {gain.label: gain.tried for gain in analysis.gains}
    tried = ", ".join(f"{label} {count}" for label, count in budget.items())
    if len(budget) > _LISTED and len(set(budget.values())) == 1:
        tried = f"{next(iter(budget.values()))} of each method"
    marks = analysis.study.marks
    mind = f"Mind: {'; '.join(marks)}. " if marks else ""
    family = counted(settings.gains_in_family, "gain")
    if settings.reference is not None:
        beside = f"{settings.reference.gains_in_family} over {settings.reference.label}"
        family = f"{family} over plain training, and over {beside}"
    ns = {n for gain in analysis.gains for n in (gain.n, gain.n_baseline)}
    seeds = str(min(ns)) if len(ns) == 1 else f"{min(ns)} to {max(ns)}"
    return (
        f"{mind}Gains over the baseline of the same student; n = {seeds}, {kind} intervals."
        f" Verdicts: Holm over {family}, equivalence within"
        f" ±{settings.smallest_effect_pp:g} pp. * = significant after correction."
        f" Configurations tried: {tried}."
    )
