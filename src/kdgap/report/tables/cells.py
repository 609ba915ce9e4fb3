"""Cells of tables: how an entry of an analysis is shown, and which of its values a table keeps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kdgap.judge.analysis import ClaimResult, Outcome, Reference, Settings
from kdgap.judge.entries import Gain, Numbers, OfMethod, ReferenceGain
from kdgap.judge.flags import UNSETTLED
from kdgap.judge.measures import Interval, Measure
from kdgap.numbers import counted, interval, level, seeds, signed
from kdgap.numbers import spread as mean_and_std
from kdgap.report.tables.forms import STAR, Table, Value
from kdgap.spec.slot import pair_text

if TYPE_CHECKING:
    from kdgap.stats.verdict import Verdict

Line = tuple[Sequence[str | None], Mapping[str, Value]]
"""What is shown of an entry, and its values by field."""


def table(
    name: str, title: str, columns: Sequence[str], lines: Iterable[Line], caption: str
) -> Table:
    """Return a table; its fields are those of all lines, each after the one that it follows."""
    rows, fields = list(lines), list[str]()
    for _, values in rows:
        at = 0
        for field in values if values.keys() - set(fields) else ():
            if field not in fields:
                fields.insert(at, field)
            at = fields.index(field) + 1
    return Table(
        name=name,
        title=title,
        columns=tuple(columns),
        rows=tuple(tuple(shown) for shown, _ in rows),
        caption=caption,
        fields=tuple(fields),
        values=tuple(tuple(values.get(field) for field in fields) for _, values in rows),
    )


# What is shown ----------------------------------------------------------------------------------


class OfPair(Protocol):
    """A gain, a tuning, a slot: something of a method that a teacher teaches a student by."""

    @property
    def teacher(self) -> str | None:
        """The teacher; None of plain training."""

    @property
    def student(self) -> str:
        """The student."""

    @property
    def method(self) -> str:
        """The method."""


def pair(entry: OfPair) -> str:
    """Return `teacher → student`."""
    return pair_text(entry.teacher, entry.student)


def slot_of(entry: OfPair) -> tuple[str | None, str, str]:
    """Return what a gain or a tuning is of, its configuration apart."""
    return entry.teacher, entry.student, entry.method


def level_text(mean: float | None, std: float | None) -> str | None:
    """Return the mean of an arm with its standard deviation; None where there is no mean."""
    return None if mean is None else mean_and_std(mean, std)


def difference(value: float | None, bounds: Interval | None, star: str = "") -> str | None:
    """Return a difference in points with its interval, and with a star where it has one."""
    if value is None:
        return None
    return f"{signed(value)}{star} {interval(bounds) if bounds else '(no interval)'}"


def over_reference(
    gain: Gain,
    reference: Reference,
    over: Mapping[OfMethod, Sequence[ReferenceGain]],
    settings: Settings,
) -> str | None:
    """Return a method's differences to the reference with their verdicts; None without any."""
    if gain.method == reference.method:
        return "the reference"
    entries = over.get((gain.slot, gain.configuration), ())
    return "; ".join(_over_one(gain, entry, settings) for entry in entries) or None


def _over_one(gain: Gain, entry: ReferenceGain, settings: Settings) -> str:
    own_pair = entry.teacher == gain.teacher
    where = "" if own_pair else f"{pair(entry)}: "
    text = difference(entry.gain_pp, entry.ci95_pp, star(entry.p_holm, settings)) or "no result"
    return f"{where}{text} {entry.verdict_text}"


def star(p_holm: float | None, settings: Settings) -> str:
    """Return a star for what holds after correction, and nothing for anything else."""
    return STAR if p_holm is not None and p_holm <= settings.alpha else ""


def counts(ns: Sequence[int]) -> str:
    """Return seeds an arm: once where all arms have as many."""
    return str(ns[0]) if len(set(ns)) == 1 else " / ".join(map(str, ns))


def needed(entry: Numbers) -> str | None:
    """Return the seeds an arm that an open gain or claim needs; None where seeds are no answer."""
    settled: Verdict | Outcome = entry.verdict
    count = entry.seeds_needed
    if isinstance(entry, ClaimResult):
        settled, count = entry.outcome, entry.seeds_needed_claim
    if settled not in UNSETTLED or not entry.ci95_pp:
        return None
    return seeds(count)


def percent(share: float | None) -> float | None:
    """Return a share of one in percent."""
    return None if share is None else 100 * share


def measured(measure: Measure | None, scale: float, digits: int) -> str | None:
    """Return the mean of a measure over seeds with its interval."""
    if not measure:
        return None
    bounds = measure.ci95
    text = f"{scale * measure.mean:.{digits}f}"
    if not bounds:
        return text
    return f"{text} [{', '.join(f'{scale * bound:.{digits}f}' for bound in bounds)}]"


# What a caption says ----------------------------------------------------------------------------


def interval_head(what: str, settings: Settings) -> str:
    """Return the head of a column of differences."""
    return f"{what} in pp [{level(settings.confidence)}]"


def test_name(settings: Settings) -> str:
    """Return how arms are compared."""
    return "Welch" if settings.test == "welch" else "paired"


def star_note(settings: Settings, family: int, what: str) -> str:
    """Return what Holm p and a star mean in a table."""
    return (
        f"Holm p: corrected for {counted(family, what)}; the interval and p are not. {STAR}"
        f" Holm p ≤ {settings.alpha:g}."
    )


def seeds_note(settings: Settings) -> str:
    """Return what the seeds needed are for."""
    return (
        f"Seeds needed: in each arm, to find {settings.smallest_effect_pp:g} pp with"
        f" {level(settings.power)} power after correction."
    )


# Values -----------------------------------------------------------------------------------------

_BEFORE = ("se_pp", "df")
_TESTS = (
    *("p", "p_holm", "family", "p_permutation", "p_permutation_exact", "p_tost", "p_tost_holm"),
    *("verdict", "seeds_needed", "seeds_needed_uncorrected", "seeds_needed_equivalence"),
    "spread_guessed",
)


def bounds_of(name: str, bounds: Sequence[float] | None) -> dict[str, Value]:
    """Return the ends of an interval in points as two fields."""
    low, high = bounds or (None, None)
    return {f"{name}_low_pp": low, f"{name}_high_pp": high}


def fields(entry: object, names: Iterable[str]) -> dict[str, Any]:
    """Return some fields of an entry, by name."""
    return {name: getattr(entry, name) for name in names}


def numbers(entry: Numbers) -> dict[str, Value]:
    """Return the fields that gains, claims and ablations share."""
    return {
        **fields(entry, _BEFORE),
        **bounds_of("ci95", entry.ci95_pp),
        **bounds_of("ci95_simultaneous", entry.ci95_simultaneous_pp),
        **fields(entry, _TESTS),
        "flags": "; ".join(dict.fromkeys(flag.code for flag in entry.flags)),
    }
