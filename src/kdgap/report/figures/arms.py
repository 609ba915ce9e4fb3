"""What is drawn of one student: its baselines and its methods' arms, each with its runs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kdgap.judge.analysis import Ablation, Analysis, Level
from kdgap.judge.entries import Gain
from kdgap.judge.evidence import Arm, Evidence, Run, Tuning
from kdgap.report.figures.style import DASHES, INK, Look, looks, shorten
from kdgap.report.tables.cells import slot_of
from kdgap.spec.slot import PLAIN
from kdgap.stats.proportion import mean_interval
from kdgap.text import settings_text


@dataclass(frozen=True)
class Drawn:
    """One arm as figures show it.

    Attributes:
        label: method, with its teacher where a student has several.
        look: its method's colour and marker.
        dash: line style, one a teacher.
        teacher: None for a baseline.
        runs: those that are done.
        n: seeds with a test accuracy.
        mean: test accuracy in percent over seeds; None without any.
        interval: of the mean; None without a spread.
        side: of an ablation, `base` or `changed`.
    """

    label: str
    look: Look
    dash: str
    teacher: str | None
    runs: tuple[Run, ...]
    n: int
    mean: float | None
    interval: tuple[float, float] | None
    side: str = ""

    @property
    def counted(self) -> str:
        """The label with the seeds behind it."""
        return f"{self.label}, n = {self.n}"


def value_of(gain: Gain) -> float:
    """Return a gain in percentage points.

    Raises:
        ValueError: it has no value.
    """
    if gain.gain_pp is None:
        raise ValueError(f"{gain.slot}: no gain")
    return gain.gain_pp


def students(analysis: Analysis) -> list[str]:
    """Return every student that has a baseline or a gain, in the analysis's order."""
    named = [level.name for level in analysis.baselines]
    return list(dict.fromkeys([*named, *(gain.student for gain in analysis.gains)]))


def pairs(analysis: Analysis) -> list[tuple[str | None, str]]:
    """Return every pair of teacher and student, in the analysis's order."""
    return list(dict.fromkeys((gain.teacher, gain.student) for gain in analysis.gains))


def tunings(analysis: Analysis) -> list[Tuning]:
    """Return every selection, in the order of the gains that it was for."""
    place = {slot_of(gain): number for number, gain in enumerate(analysis.gains)}
    return sorted(analysis.selection, key=lambda tuning: place.get(slot_of(tuning), len(place)))


def drawn_arms(
    evidence: Evidence, analysis: Analysis, student: str, teacher: str | None = None
) -> list[Drawn]:
    """Return a student's baselines and then its methods, of one teacher or of all."""
    by_id = {run.id: run for run in evidence.runs}
    look, shown = looks(analysis), analysis.gains
    plain = [level for level in analysis.baselines if level.name == student]
    arms = []
    for level in plain:
        label = "baseline" if len(plain) == 1 else f"baseline, {level.epochs} epochs"
        arms.append(_drawn(by_id, level.runs, level, (label, look[PLAIN], "-"), None))
    gains = [g for g in shown if g.student == student and teacher in (None, g.teacher)]
    teachers = list(dict.fromkeys(gain.teacher for gain in gains))
    alike = Counter((gain.teacher, gain.method) for gain in gains)
    for gain in gains:
        own = look[gain.method]
        label = own.name
        if len(teachers) > 1:
            label += f" from {gain.teacher}"
        if alike[gain.teacher, gain.method] > 1:
            label += f" ({settings_text(gain.parameters)})"
        dash = DASHES[teachers.index(gain.teacher) % len(DASHES)]
        arms.append(_drawn(by_id, gain.runs, gain, (label, own, dash), gain.teacher,
                            evidence))  # fmt: skip
    return arms


def ablation_sides(evidence: Evidence, analysis: Analysis, ablation: Ablation) -> list[Drawn]:
    """Return the two arms of an entry of `analysis.ablations`; one without runs is left out.

    Before the change an arm has its method's colour. After it is black and dashed: where a change
    does nothing, the two lie on each other, and both must be seen.
    """
    by_id, look = {run.id: run for run in evidence.runs}, looks(analysis)
    arms = []
    for side, dash in (("base", "-"), ("changed", "--")):
        level = ablation.base if side == "base" else ablation.changed
        if level is None:
            continue
        slots = [slot for identifier in level.runs for slot in by_id[identifier].slots]
        slot = next(slot for slot in slots if (slot.ablation, slot.arm) == (ablation.name, side))
        own = look.get(slot.method, look[PLAIN])
        shown = own if side == "base" else Look(own.name, INK, own.marker)
        words = (f"{shorten(ablation.name, 26)}: {side}", shown, dash)
        arm = _drawn(by_id, level.runs, level, words, slot.teacher)
        arms.append(replace(arm, side=side))
    return arms


def _drawn(
    by_id: dict[str, Run],
    ids: Iterable[str],
    numbers: Level | Gain,
    looks_like: tuple[str, Look, str],
    teacher: str | None,
    evidence: Evidence | None = None,
) -> Drawn:
    """Return an arm; where the analysis has no interval of its mean, compute it from the runs."""
    runs = tuple(
        by_id[identifier]
        for identifier in ids
        if identifier in by_id and by_id[identifier].state == "done"
    )
    interval = numbers.ci95_pp if evidence is None else _interval(runs, evidence)
    return Drawn(
        *looks_like,
        teacher=teacher,
        runs=runs,
        n=numbers.n,
        mean=numbers.mean_pp,
        interval=interval,
    )


def _interval(runs: tuple[Run, ...], evidence: Evidence) -> tuple[float, float] | None:
    """Return the interval of a mean over the seeds that are in it."""
    if not runs:
        return None
    values = list(
        Arm(runs[0].slots[0], runs[0].configuration, runs).by_seed(evidence.primary).values()
    )
    return mean_interval(values, evidence.statistics.confidence) if values else None
