"""Verdicts in plain English, one sentence a judgement."""

from kdgap.judge.analysis import ClaimResult, Gain, Numbers, Settings
from kdgap.numbers import counted, interval, level, p_value, signed


def gain_sentence(gain: Gain, settings: Settings, *, named: bool = True) -> str:
    """Return a gain's verdict in one sentence; not `named` where the verdict stands beside it."""
    what = (
        f"{gain.label} from {gain.teacher} to {gain.student}"
        if gain.teacher
        else f"{gain.label} on {gain.student}"
    )
    if gain.gain_pp is None:
        return f"{what}: nothing can be said, {lack_words(gain)}."
    verdict = f"{gain.verdict}: " if named else ""
    why = verdict_words(gain, settings) + elsewhere(gain)
    return f"{what}: {value_words(gain, gain.gain_pp)}; {verdict}{why}."


def elsewhere(numbers: Numbers) -> str:
    """Return under which other way of looking the verdict is another."""
    return "".join(f"; {f.text}" for f in numbers.flags if f.code == "sensitive")


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


def verdict_words(numbers: Numbers, settings: Settings, *, finds: bool = True) -> str:
    """Return what stands behind a verdict: its p-value, or the seeds that would settle it.

    See `guessed_seeds` for `finds`.
    """
    verdict, margin = numbers.verdict, settings.smallest_effect_pp
    small = any(flag.code == "small" for flag in numbers.flags)
    if verdict in ("gain", "harm"):
        text = f"Holm p {equals(numbers.p_holm)}"
        return text + (f"; real, but smaller than {margin:g} pp" if small else "")
    if verdict == "equivalent":
        alone = any(flag.code == "equivalence-uncorrected" for flag in numbers.flags)
        text = f"any effect is smaller than {margin:g} pp, TOST p {equals(numbers.p_tost)}"
        return text + (", uncorrected" if alone else "")
    if numbers.ci95_pp:
        return seeds_words(numbers, settings)
    return f"{lack_words(numbers)}; {guessed_seeds(numbers, settings, finds=finds)}"


def guessed_seeds(numbers: Numbers, settings: Settings, *, finds: bool = True) -> str:
    """Return how many seeds would do, by the study's guess of the spread.

    Args:
        numbers: a gain's, or a claim's.
        settings: how it is judged.
        finds: whether it is asked for a difference; if not, for there being none.
    """
    needed = (
        numbers.seeds_needed_claim if isinstance(numbers, ClaimResult) else numbers.seeds_needed
    )
    what, spread = "show it", f"the spread {settings.expected_std_pp:g} pp"
    condition = f"were there truly no difference, and {spread}"
    if finds:
        what, condition = f"find {settings.smallest_effect_pp:g} pp", f"were {spread}"
    if needed is None:
        return f"no affordable number of seeds would {what}, {condition}"
    return f"{needed} seeds a side would {what} with {level(settings.power)} power, {condition}"


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
        rest = f"; {settle} would show that any effect is smaller" if settle else ""
        return (
            f"the {have} seeds a side find {margin:g} pp with {level(power)} power, and did not"
            f" here{rest}"
        )
    return f"{_more(needed, have)} would find {margin:g} pp with {level(power)} power"


def _more(needed: int, have: int) -> str:
    return f"{counted(needed - have, 'more seed')} a side ({needed} instead of {have})"


def own_seeds_words(contrast: ClaimResult, settings: Settings) -> str:
    """Return how many more seeds would show a claim that there is no difference, or no loss."""
    needed, have = contrast.seeds_needed_claim, contrast.n_smallest
    if needed is None:
        return "no affordable number of seeds would show it"
    power = f"with {level(settings.power)} power, if there truly is no difference"
    if needed <= have:
        return f"the {have} seeds a side would have shown it {power}"
    return f"{_more(needed, have)} would show it {power}"
