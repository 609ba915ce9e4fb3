"""Verdicts in plain English, one sentence a judgement."""

from collections.abc import Iterable
from dataclasses import dataclass

from kdgap.judge.analysis import ClaimResult, Settings
from kdgap.judge.entries import Gain, Numbers, ReferenceGain
from kdgap.judge.grids import Grid, Source
from kdgap.numbers import MOST_SEEDS, counted, decimals, interval, level, p_value, seeds, signed
from kdgap.spec.slot import pair_text

FAR = 5
"""Smallest effects of interest above which a difference is another question than finding one."""


@dataclass(frozen=True)
class Goal:
    """What a number of seeds is asked for, as the parts of sentences that say how many it takes.

    Attributes:
        shows: what seeds would do, such as `find 0.5 pp`.
        has_shown: what seeds that there are would have done, such as `have shown it`.
        is_true: what has to be true for that, such as `there truly is no difference`; None where
            `shows` says it.
        were_true: the same after "were".
    """

    shows: str
    has_shown: str
    is_true: str | None
    were_true: str | None


@dataclass(frozen=True)
class ClaimWords:
    """What is said of a kind of claim, as parts of sentences.

    Attributes:
        says, says_briefly: what it says.
        opposite: what is true where it is refuted.
        shown: what is true where it is shown.
        tested: what its test is of, after "p: of".
        test: what names its p.
        truly: stands before `event`; empty where `event` says it.
        event: what is found how often, of its power.
        truth: the same in the conditional.
        least: stands before the smallest margin.
        chart: what a chart of its power shows.
    """

    says: str
    says_briefly: str
    opposite: str
    shown: str
    tested: str
    test: str
    truly: str
    event: str
    truth: str
    least: str
    chart: str


def difference(settings: Settings) -> Goal:
    """Return the goal of a gain: to find the smallest effect of interest."""
    margin = f"{settings.smallest_effect_pp:g} pp"
    return Goal(f"find {margin}", f"have found {margin}", None, None)


def gain_sentence(gain: Gain, settings: Settings, *, named: bool = True) -> str:
    """Return a gain's verdict in one sentence; not `named` where the verdict stands beside it."""
    what = (
        f"{gain.label} from {gain.teacher} to {gain.student}"
        if gain.teacher
        else f"{gain.label} on {gain.student}"
    )
    return _sentence(what, gain, gain.gain_pp, settings, named=named)


def reference_sentence(entry: ReferenceGain, settings: Settings, *, named: bool = True) -> str:
    """Return the verdict of a gain over the reference in one sentence; `named` as above."""
    label = settings.reference.label if settings.reference else "the reference"
    pair = pair_text(entry.teacher, entry.student)
    what = f"{entry.label} over {label} in {pair}"
    return _sentence(what, entry, entry.gain_pp, settings, named=named)


def _sentence(
    what: str, numbers: Numbers, value: float | None, settings: Settings, *, named: bool
) -> str:
    if value is None:
        return f"{what}: nothing can be said, {lack_words(numbers)}."
    verdict = f"{numbers.verdict}: " if named else ""
    why = verdict_words(numbers, settings) + elsewhere(numbers)
    return f"{what}: {value_words(numbers, value)}; {verdict}{why}."


def elsewhere(numbers: Numbers) -> str:
    """Return under which other way of looking the verdict is another."""
    return "".join(f"; {f.text}" for f in numbers.flags if f.code == "sensitive")


def uncorrected_words(entries: Iterable[Numbers]) -> str:
    """Return how many equivalences rest on their own test alone; empty where none does."""
    count = sum(entry.uncorrected for entry in entries)
    return f"{count} of them before correction only" if count else ""


def without_result(entries: Iterable[Numbers]) -> str:
    """Return how many have no value, each in its family all the same; empty where none has none."""
    count = sum(entry.value_pp is None for entry in entries)
    return f"{count} of them without a result" if count else ""


def value_words(numbers: Numbers, value: float) -> str:
    """Return a number in points with its interval, where it has one."""
    bounds = f" {interval(numbers.ci95_pp)}" if numbers.ci95_pp else ""
    return f"{signed(value)} pp{bounds}"


def lack_words(numbers: Numbers) -> str:
    """Return why a number is missing, as its flags say."""
    first = [flag.text for flag in numbers.flags if flag.code in _REASONS]
    return first[0] if first else "runs are missing"


_REASONS = (
    *("no-baseline", "no-runs", "shared-runs", "missing-runs", "unpaired-seeds"),
    *("one-seed", "no-variance"),
)
"""Codes of flags that say why a number is missing."""


def verdict_words(numbers: Numbers, settings: Settings, goal: Goal | None = None) -> str:
    """Return what stands behind a verdict: its p-value, or the seeds that would settle it.

    See `guessed_seeds` for `goal`.
    """
    verdict, margin = numbers.verdict, settings.smallest_effect_pp
    small = any(flag.code == "small" for flag in numbers.flags)
    if verdict in ("gain", "harm"):
        text = f"Holm p {equals(numbers.p_holm)}"
        return text + (f"; real, but smaller than {margin:g} pp" if small else "")
    if verdict == "equivalent":
        text = f"any effect is smaller than {margin:g} pp, TOST p {equals(numbers.p_tost)}"
        return text + (", uncorrected" if numbers.uncorrected else "")
    if numbers.ci95_pp:
        return seeds_words(numbers, settings)
    return f"{lack_words(numbers)}; {guessed_seeds(numbers, settings, goal)}"


def guessed_seeds(numbers: Numbers, settings: Settings, goal: Goal | None = None) -> str:
    """Return how many seeds would do, by the study's guess of the spread.

    Args:
        numbers: a gain's, or a claim's.
        settings: how it is judged.
        goal: what the seeds are for; a difference where it is left out.
    """
    goal = goal or difference(settings)
    if abs(numbers.value_pp or 0.0) > FAR * settings.smallest_effect_pp:
        # Seeds for the smallest effect are no advice to who saw a far larger one.
        return "two seeds a side or more would give it an interval"
    needed = (
        numbers.seeds_needed_claim if isinstance(numbers, ClaimResult) else numbers.seeds_needed
    )
    truth = f"{goal.were_true}, and " if goal.were_true else ""
    condition = f"were {truth}the spread {settings.expected_std_pp:g} pp"
    if needed is None:
        return f"no affordable number of seeds would {goal.shows}, {condition}"
    power = f"with {level(settings.power)} power"
    return f"{seeds(needed)} seeds a side would {goal.shows} {power}, {condition}"


def equals(p: float | None) -> str:
    """Return a p-value as what follows "p": `= 0.031` or `< 0.0001`."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def seeds_words(numbers: Numbers, settings: Settings) -> str:
    """Return how many more seeds a side would find the smallest effect of interest."""
    margin, power = settings.smallest_effect_pp, settings.power
    needed, have = numbers.seeds_needed, numbers.n_smallest
    if needed is None:
        return f"no affordable number of seeds would find {margin:g} pp"
    if needed <= have:
        settle = numbers.seeds_needed_equivalence
        rest = f"; {seeds(settle)} would show that any effect is smaller" if settle else ""
        return (
            f"the {have} seeds a side find {margin:g} pp with {level(power)} power, and did not"
            f" here{rest}"
        )
    return f"{_more(needed, have)} would find {margin:g} pp with {level(power)} power"


def _more(needed: int, have: int) -> str:
    if needed > MOST_SEEDS:
        return f"{seeds(needed)} seeds a side (now {have})"
    return f"{counted(needed - have, 'more seed')} a side ({needed} instead of {have})"


def own_seeds_words(contrast: ClaimResult, settings: Settings, goal: Goal) -> str:
    """Return how many more seeds would show a claim, by the spread that was seen."""
    needed, have = contrast.seeds_needed_claim, contrast.n_smallest
    if needed is None:
        return f"no affordable number of seeds would {goal.shows}"
    condition = f", if {goal.is_true}" if goal.is_true else ""
    power = f"with {level(settings.power)} power{condition}"
    if needed <= have:
        return f"the {have} seeds a side would {goal.has_shown} {power}"
    return f"{_more(needed, have)} would {goal.shows} {power}"


def grid_sentence(grid: Grid) -> str:
    """Return how many configurations of a grid may be the best, and by which noise of seeds."""
    if grid.noise_pp is None:
        return (
            "No noise of seeds is known: no configuration has two seeds with unlike results,"
            " so no difference can be called one."
        )
    if grid.scored < 2:
        which = "One alone has a score" if grid.scored else "None has a score"
    elif grid.tied == 1:
        which = "One is ahead of all others"
    else:
        which = (
            f"{grid.tied} of {grid.scored} may be the best: they are tied within the noise of seeds"
        )
    freedom = f"{grid.df} degree{'' if grid.df == 1 else 's'} of freedom"
    of = NOISE_OF[grid.source] if grid.source else "its seeds"
    return (
        f"{which} (for all at once, {level(grid.confidence)}). A seed's noise is"
        f" {decimals(grid.noise_pp)} pp, the standard deviation over {of} ({freedom})."
    )


NOISE_OF: dict[Source, str] = {
    "selection": "the selection seeds",
    "final": "the seeds of its final runs, as selection has one seed",
    "student": "the seeds of all final and plain runs of the student, as selection has one seed",
}
"""Of which runs the noise of a grid is."""
