"""What an analysis holds of a gain: over plain training, and over the reference of a study.

The numbers that gains share with claims and ablations are `Numbers`; `docs/statistics.md` says what
each is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from kdgap.judge.measures import Fidelity, Interval
from kdgap.notice import Notice
from kdgap.stats.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What gains, claims and ablations share: one comparison, judged in its family."""

    se_pp: float | None
    df: float | None
    ci95_pp: Interval | None
    p: float | None
    p_holm: float | None
    family: int
    ci95_simultaneous_pp: Interval | None
    p_permutation: float | None
    p_permutation_exact: bool
    p_tost: float | None
    p_tost_holm: float | None
    verdict: Verdict
    seeds_needed: int | None
    seeds_needed_uncorrected: int | None
    seeds_needed_equivalence: int | None
    spread_guessed: bool
    flags: tuple[Notice, ...]
    n_smallest: int
    seeds: tuple[tuple[int, ...], ...]

    @property
    def value_pp(self) -> float | None:
        """The gain, the claim's sum, or the effect, whichever it is."""
        names = ("gain_pp", "estimate_pp", "effect_pp")
        return next((getattr(self, name) for name in names if hasattr(self, name)), None)

    @property
    def uncorrected(self) -> bool:
        """Whether an equivalence rests on its own test alone: corrected, it is not shown."""
        return any(flag.code == "equivalence-uncorrected" for flag in self.flags)

    @property
    def open(self) -> bool:
        """Whether more seeds could tell: drawn as an open point everywhere."""
        return self.verdict == "inconclusive" or self.uncorrected

    @property
    def verdict_text(self) -> str:
        """The verdict as it is shown everywhere, without its numbers."""
        return f"{self.verdict}, uncorrected" if self.uncorrected else self.verdict


@dataclass(frozen=True, kw_only=True)
class PairedGain:
    """The same gain compared by seed, beside a primary test of independent arms."""

    n: int
    gain_pp: float | None
    se_pp: float
    df: float
    ci95_pp: Interval
    p: float | None
    p_permutation: float | None
    p_permutation_exact: bool


@dataclass(frozen=True, kw_only=True)
class SeveralTeachers:
    """The teacher's share of the variance, and the gain over teachers of its kind."""

    teachers: int
    seeds: int
    teacher_std_pp: float
    seed_std_pp: float
    residual_std_pp: float
    teacher_share: float
    gain_over_teachers_pp: float | None
    ci95_over_teachers_pp: Interval | None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What the records show of a method that gained nothing, what it may mean, and the remedy.

    Attributes:
        change: what to put in the study's file for that, as `KEY=VALUE` of `--set`; where it takes
            two, with ` --set ` between them.
    """

    later: ClassVar[Mapping[str, object]] = {"change": None}

    topic: str
    fact: str
    reading: str | None = None
    remedy: str | None = None
    source: str | None = None
    change: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gain(Numbers):
    """A method against the plainly trained student of the same data and recipe.

    Attributes:
        slot: the pair and the method, in words.
        configuration: its digest; see `docs/glossary.md`.
        tried: configurations that selection tried.
        n, n_baseline: seeds of each side.
    """

    inherited_after: ClassVar[str] = "gain_pp"

    teacher: str | None
    student: str
    method: str
    label: str
    slot: str
    configuration: str
    parameters: Mapping[str, object]
    tried: int
    n: int
    n_baseline: int
    mean_pp: float | None
    std_pp: float | None
    baseline_mean_pp: float | None
    baseline_std_pp: float | None
    gain_pp: float | None
    paired: PairedGain | None
    teachers: SeveralTeachers | None
    fidelity: Fidelity | None
    runs: tuple[str, ...]
    baseline_runs: tuple[str, ...]
    diagnosis: tuple[Fact, ...] = ()
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class ReferenceGain(Numbers):
    """A method against the reference: the same teacher, student, data and recipe.

    Of a method without a teacher there is one for every teacher that the reference has with the
    same student, and `teacher` is that one.

    Attributes:
        slot, configuration: the method's, as in its `Gain`.
        reference_slot, reference_configuration: the same of the reference.
        tried, tried_reference: configurations that selection tried of each.
        n, n_reference: seeds of each side.
        gain_pp: the method minus the reference.
        teachers: where both were taught, of the difference of the runs of one teacher and seed.
    """

    inherited_after: ClassVar[str] = "gain_pp"

    teacher: str | None
    student: str
    method: str
    label: str
    slot: str
    configuration: str
    parameters: Mapping[str, object]
    reference_slot: str
    reference_configuration: str
    tried: int
    tried_reference: int
    n: int
    n_reference: int
    mean_pp: float | None
    std_pp: float | None
    reference_mean_pp: float | None
    reference_std_pp: float | None
    gain_pp: float | None
    paired: PairedGain | None
    teachers: SeveralTeachers | None
    runs: tuple[str, ...]
    reference_runs: tuple[str, ...]
    sentence: str = ""


OfMethod = tuple[str, str]
"""What the gains of one arm have in common: slot and configuration."""


def by_method(entries: Iterable[ReferenceGain]) -> dict[OfMethod, list[ReferenceGain]]:
    """Return the gains over the reference of each arm, to stand beside its gain."""
    gains: dict[OfMethod, list[ReferenceGain]] = {}
    for entry in entries:
        gains.setdefault((entry.slot, entry.configuration), []).append(entry)
    return gains
