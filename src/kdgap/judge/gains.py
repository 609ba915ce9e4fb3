"""Every method against the plainly trained student, by configuration: judged as one family."""

from collections.abc import Sequence
from dataclasses import replace

from kdgap.judge.causes import capacity_fact, seed_fact, with_changes
from kdgap.judge.claims import Weighted
from kdgap.judge.comparison import View, compare
from kdgap.judge.context import Context
from kdgap.judge.diagnosis import diagnose
from kdgap.judge.entries import Gain, PairedGain, SeveralTeachers
from kdgap.judge.evidence import Arm, ids
from kdgap.judge.family import Judged, judge, with_flags
from kdgap.judge.fidelity import fidelity_of
from kdgap.judge.flags import arm_flags, lost_flags, pair_flags, teachers_flags, tuning_of
from kdgap.stats.components import crossed, over_teachers
from kdgap.stats.contrast import mean_and_std, plus, welch


def judged_gains(context: Context, view: View) -> list[tuple[Arm, Judged]]:
    """Return every gain under one way of looking."""
    comparisons = [
        compare(context.gain_terms(arm), context.evidence, view) for arm in context.finals
    ]
    return list(zip(context.finals, judge(comparisons, context.evidence.statistics), strict=True))


def gain_entries(context: Context) -> list[Gain]:
    """Return `gains[]` of the analysis."""
    return [_entry(context, arm, judged) for arm, judged in judged_gains(context, context.primary)]


def _entry(context: Context, arm: Arm, judged: Judged) -> Gain:
    evidence, plain, slot = context.evidence, context.baseline(arm), arm.slot
    tuning = tuning_of(arm, evidence)
    lost = lost_flags((arm, plain), evidence)
    # Of a paired test, those of the seeds that both sides have: what the gain is the difference of.
    values, control = counted_values(context, (arm, plain), judged)
    several = several_teachers(context, arm, plain)
    flags = [*pair_flags(arm, plain, context.baselines), *arm_flags(arm, evidence), *lost]
    judged = with_flags(judged, [*flags, *teachers_flags(several)])
    mean, std = mean_and_std(values) if values else (None, None)
    gain = Gain(
        teacher=slot.teacher,
        student=slot.student,
        method=slot.method,
        label=evidence.label(slot.method),
        slot=slot.text,
        configuration=arm.configuration,
        parameters=arm.parameters,
        tried=1 if tuning is None else len(tuning.candidates),
        n=judged.comparison.ns[0],
        n_baseline=judged.comparison.ns[1],
        mean_pp=mean,
        std_pp=std,
        baseline_mean_pp=mean_and_std(control)[0] if control else None,
        baseline_std_pp=mean_and_std(control)[1] if control else None,
        gain_pp=judged.comparison.point,
        **context.numbers(judged),
        paired=paired_beside(context, context.gain_terms(arm)),
        teachers=several,
        fidelity=fidelity_of(arm, plain, evidence, context.primary.weights),
        runs=ids(arm),
        baseline_runs=ids(plain),
    )
    if gain.verdict == "gain":
        return gain
    by_seed = [
        dict(zip(*side, strict=True)) for side in zip(gain.seeds, (values, control), strict=True)
    ]
    seed = seed_fact(by_seed, (gain.label, "plain training"), gain, evidence)
    facts = [
        *diagnose(arm, plain, evidence, gain, context.settings),
        *filter(None, (capacity_fact(gain, evidence), seed)),
    ]
    return replace(gain, diagnosis=tuple(with_changes(facts, arm, gain, evidence)))


def counted_values(
    context: Context, sides: Sequence[Arm | None], judged: Judged
) -> list[list[float]]:
    """Return the accuracies in percent that a comparison of two arms counts, of each side."""
    by_seed = [{} if arm is None else arm.by_seed(context.primary.weights) for arm in sides]
    return [
        [values[seed] for seed in seeds]
        for values, seeds in zip(by_seed, judged.comparison.seeds, strict=True)
    ]


def paired_beside(context: Context, terms: Sequence[Weighted]) -> PairedGain | None:
    """Return the comparison by seed beside the primary one, where seeds are shared."""
    if not context.evidence.paired or context.primary.test == "paired":
        return None
    view = replace(context.primary, test="paired")
    comparison = compare(terms, context.evidence, view)
    if comparison.estimate is None:
        return None
    return PairedGain(
        n=comparison.ns[0],
        gain_pp=comparison.point,
        se_pp=comparison.estimate.se,
        df=comparison.estimate.df,
        ci95_pp=comparison.estimate.interval(context.evidence.statistics.confidence),
        p=comparison.p,
        p_permutation=comparison.p_permutation,
        p_permutation_exact=comparison.exact,
    )


def several_teachers(context: Context, arm: Arm, other: Arm | None) -> SeveralTeachers | None:
    """Return the teacher's share of the variance, and the gain over teachers of its kind.

    Of two arms that the same teachers taught, both are of the differences of the runs of one
    teacher and seed: what a teacher gives to both is no error of their difference.
    """
    weights, control = context.primary.weights, context.values(other)
    table = arm.table(weights)
    taught = {} if other is None else other.table(weights)
    if taught:
        table = _differences(table, taught)
    if not table:
        return None
    seeds = sorted(set.intersection(*(set(row) for row in table.values())))
    rows = [[row[seed] for seed in seeds] for row in table.values()]
    parts, over = crossed(rows), over_teachers(rows)
    if parts is None or over is None:
        return None
    gain = over if taught else None
    own = welch([control], [1.0]) if control and not taught else None
    if own is not None:
        gain = plus(over, own, -1)
    elif len(control) > 1 and not taught:  # a baseline that does not vary adds no error
        gain = replace(over, value=over.value - control[0])
    confidence = context.evidence.statistics.confidence
    return SeveralTeachers(
        teachers=parts.teachers,
        seeds=parts.seeds,
        teacher_std_pp=parts.teacher**0.5,
        seed_std_pp=parts.seed**0.5,
        residual_std_pp=parts.residual**0.5,
        teacher_share=parts.teacher_share,
        gain_over_teachers_pp=None if gain is None else gain.value,
        ci95_over_teachers_pp=None if gain is None else gain.interval(confidence),
    )


def _differences(
    table: dict[str, dict[int, float]], other: dict[str, dict[int, float]]
) -> dict[str, dict[int, float]]:
    """Return by teacher and seed the difference of two arms, where both have a run."""
    return {
        teacher: {seed: row[seed] - other[teacher][seed] for seed in row if seed in other[teacher]}
        for teacher, row in table.items()
        if teacher in other
    }
