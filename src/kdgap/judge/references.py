"""Every method against a named reference, such as KD: judged as gains are, as their own family."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdgap.judge.analysis import Reference
from kdgap.judge.claims import Weighted, weighted
from kdgap.judge.comparison import View, compare
from kdgap.judge.context import Context
from kdgap.judge.entries import ReferenceGain
from kdgap.judge.evidence import Arm, ids
from kdgap.judge.family import Judged, judge, with_flags
from kdgap.judge.flags import arm_flags, lost_flags, teachers_flags, tuning_of, unlike_flags
from kdgap.judge.gains import counted_values, paired_beside, several_teachers
from kdgap.notice import Notice
from kdgap.numbers import counted
from kdgap.spec.slot import pair_text
from kdgap.stats.contrast import mean_and_std


@dataclass(frozen=True)
class Match:
    """A method's arm and the reference's that it is compared with.

    Attributes:
        teacher: of the pair; a method without a teacher is compared in each pair of its student.
    """

    arm: Arm
    reference: Arm
    teacher: str | None

    @property
    def terms(self) -> list[Weighted]:
        """The arm minus the reference."""
        return [
            weighted(self.arm, 1.0),
            weighted(self.reference, -1.0),
        ]


@dataclass(frozen=True)
class Unmatched:
    """A method's arm that is not compared with the reference in a pair.

    Attributes:
        why: `none` where the reference has no runs of this data and recipe, `several` where these
            are of unlike configurations, which are never averaged over and not chosen from.
        count: configurations of the reference.
    """

    arm: Arm
    teacher: str | None
    why: Literal["none", "several"]
    count: int = 0


def judged_references(context: Context, view: View) -> list[tuple[Match, Judged]]:
    """Return every difference to the reference under one way of looking, judged as one family."""
    matches = [match for match in _matches(context) if isinstance(match, Match)]
    comparisons = [compare(match.terms, context.evidence, view) for match in matches]
    return list(zip(matches, judge(comparisons, context.evidence.statistics), strict=True))


def _matches(context: Context) -> list[Match | Unmatched]:
    """Return for every arm of another method the reference's arm of each of its pairs."""
    if context.reference is None:
        return []
    method = context.reference.method
    references = [arm for arm in context.finals if arm.slot.method == method]
    return [
        match
        for arm in context.finals
        if arm.slot.method != method
        for match in _matches_of(arm, references)
    ]


def _matches_of(arm: Arm, references: Sequence[Arm]) -> list[Match | Unmatched]:
    """Return what an arm is compared with: with a teacher in its own pair, without one in each."""
    slot, by_teacher = arm.slot, dict[str | None, list[Arm]]()
    for reference in references:
        taught = reference.slot.teacher
        if reference.slot.student == slot.student and (
            taught is None or slot.teacher is None or taught == slot.teacher
        ):
            by_teacher.setdefault(taught or slot.teacher, []).append(reference)
    matches: list[Match | Unmatched] = []
    for teacher, candidates in (by_teacher or {slot.teacher: []}).items():
        alike = [other for other in candidates if other.runs[0].recipe == arm.runs[0].recipe]
        if len(alike) == 1:
            matches.append(Match(arm, alike[0], teacher))
        else:
            why: Literal["none", "several"] = "several" if alike else "none"
            matches.append(Unmatched(arm, teacher, why, len(alike)))
    return matches


def reference_entries(context: Context) -> list[ReferenceGain]:
    """Return `reference_gains[]` of the analysis; none where no reference is named."""
    if context.reference is None:
        return []
    return [
        _entry(context, context.reference, match, judged)
        for match, judged in judged_references(context, context.primary)
    ]


def _entry(context: Context, reference: Reference, match: Match, judged: Judged) -> ReferenceGain:
    arm, other, evidence = match.arm, match.reference, context.evidence
    values, beside = counted_values(context, (arm, other), judged)
    several = several_teachers(context, arm, other)
    mean, std = mean_and_std(values) if values else (None, None)
    reference_mean, reference_std = mean_and_std(beside) if beside else (None, None)
    tried, tried_reference = (_tried(context, side) for side in (arm, other))
    flags = [
        *unlike_flags(arm, other),
        *_budget_flags(tried, tried_reference, reference.label),
        *_arm_flags(context, match, reference.label),
        *lost_flags((arm, other), evidence),
        *teachers_flags(several),
    ]
    return ReferenceGain(
        teacher=match.teacher,
        student=arm.slot.student,
        method=arm.slot.method,
        label=evidence.label(arm.slot.method),
        slot=arm.slot.text,
        configuration=arm.configuration,
        parameters=arm.parameters,
        reference_slot=other.slot.text,
        reference_configuration=other.configuration,
        tried=tried,
        tried_reference=tried_reference,
        n=judged.comparison.ns[0],
        n_reference=judged.comparison.ns[1],
        mean_pp=mean,
        std_pp=std,
        reference_mean_pp=reference_mean,
        reference_std_pp=reference_std,
        gain_pp=judged.comparison.point,
        **context.numbers(with_flags(judged, flags)),
        paired=paired_beside(context, match.terms),
        teachers=several,
        runs=ids(arm),
        reference_runs=ids(other),
    )


def _tried(context: Context, arm: Arm) -> int:
    tuning = tuning_of(arm, context.evidence)
    return 1 if tuning is None else len(tuning.candidates)


def _budget_flags(tried: int, tried_reference: int, label: str) -> list[Notice]:
    if tried == tried_reference:
        return []
    text = f"chosen out of {counted(tried, 'configuration')}, {label} out of {tried_reference}"
    return [Notice("unequal-tuning", text)]


def _arm_flags(context: Context, match: Match, label: str) -> list[Notice]:
    """Return what has to be known of either side; of the reference alone, under its name."""
    own = arm_flags(match.arm, context.evidence)
    others = [flag for flag in arm_flags(match.reference, context.evidence) if flag not in own]
    return [*own, *(replace(flag, text=f"{label}: {flag.text}") for flag in others)]


def unmatched_flags(context: Context) -> list[Notice]:
    """Return in which pairs methods are not compared with the reference, and why."""
    if context.reference is None:
        return []
    label, pairs = context.reference.label, dict[tuple[str, str, int], int]()
    for match in _matches(context):
        if isinstance(match, Unmatched):
            pair = pair_text(match.teacher, match.arm.slot.student)
            key = (pair, match.why, match.count)
            pairs[key] = pairs.get(key, 0) + 1
    flags = []
    for (pair, why, count), arms in pairs.items():
        left = f"{counted(arms, 'arm')} of {pair} {'is' if arms == 1 else 'are'} not compared"
        if why == "several":
            text = f"{left} with {label}: it has {count} unlike configurations there"
            flags.append(Notice("several-references", text))
        else:
            text = (
                f"{left} with {label}: it has no runs there with the same data, recipe and epochs"
            )
            flags.append(Notice("no-reference", text))
    return flags
