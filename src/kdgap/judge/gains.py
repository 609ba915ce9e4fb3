"""Every method against the plainly trained student, by configuration: judged as one family."""

from dataclasses import replace

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
    values, control = (
        _values(context, side, seeds)
        for side, seeds in zip((arm, plain), judged.comparison.seeds, strict=True)
    )
    several = _several_teachers(context, arm, context.values(plain))
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
        paired=_paired(context, arm),
        teachers=several,
        fidelity=fidelity_of(arm, plain, evidence, context.primary.weights),
        runs=ids(arm),
        baseline_runs=ids(plain),
    )
    if gain.verdict == "gain":
        return gain
    return replace(gain, diagnosis=diagnose(arm, plain, evidence, gain, context.settings))


def _values(context: Context, arm: Arm | None, seeds: tuple[int, ...]) -> list[float]:
    by_seed = {} if arm is None else arm.by_seed(context.primary.weights)
    return [by_seed[seed] for seed in seeds]


def _paired(context: Context, arm: Arm) -> PairedGain | None:
    """Return the comparison by seed beside the primary one, where seeds are shared."""
    if not context.evidence.paired or context.primary.test == "paired":
        return None
    view = replace(context.primary, test="paired")
    comparison = compare(context.gain_terms(arm), context.evidence, view)
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


def _several_teachers(context: Context, arm: Arm, control: list[float]) -> SeveralTeachers | None:
    """Return the teacher's share of the variance, and the gain over teachers of its kind."""
    table = arm.table(context.primary.weights)
    if not table:
        return None
    seeds = sorted(set.intersection(*(set(row) for row in table.values())))
    rows = [[row[seed] for seed in seeds] for row in table.values()]
    parts, over = crossed(rows), over_teachers(rows)
    if parts is None or over is None:
        return None
    gain = None
    own = welch([control], [1.0]) if control else None
    if own is not None:
        gain = plus(over, own, -1)
    elif len(control) > 1:  # a baseline that does not vary adds no error
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
