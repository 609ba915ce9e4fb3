"""What a reader has to know of a number before believing it: selection, teachers, failures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from kdgap.judge.claims import baselines_of
from kdgap.judge.entries import SeveralTeachers
from kdgap.judge.evidence import Arm, Evidence, Run, Tuning
from kdgap.notice import Notice, by_severity, codes
from kdgap.numbers import counted, decimals, interval, signed
from kdgap.store.imports.findings import FINDINGS, count_findings


def tuning_of(arm: Arm, evidence: Evidence) -> Tuning | None:
    """Return how an arm's hyper-parameters were chosen; None if they were not tuned."""
    key = (arm.slot.teacher, arm.slot.student, arm.slot.method)
    return next((t for t in evidence.tunings if (t.teacher, t.student, t.method) == key), None)


def arm_flags(arm: Arm, evidence: Evidence) -> list[Notice]:
    """Return what a reader must know of one method's arm."""
    flags = []
    shared = evidence.shared_seeds(arm)
    if shared:
        listed = ", ".join(map(str, shared))
        flags.append(
            Notice(
                "shared-selection-seed",
                f"seed {listed} chose the hyper-parameters and is in the mean",
            )
        )
    tuning = tuning_of(arm, evidence)
    if tuning is not None:
        flags += _tuning_flags(arm, tuning)
    teachers = {run.teacher for run in arm.runs if run.teacher}
    if arm.slot.teacher is not None and len(teachers) < 2:
        flags.append(
            Notice(
                "one-teacher", "conditional on one teacher checkpoint, not on teachers of its kind"
            )
        )
    paths = {path for run in arm.runs for path in run.paths}
    splits = (finding for finding in evidence.findings if finding.code == "split")
    own = dict.fromkeys(finding.notice for finding in splits if not paths.isdisjoint(finding.paths))
    return flags + list(own)[:_SPLITS]


_SPLITS = 2
"""Splits that are said of one arm."""


def _tuning_flags(arm: Arm, tuning: Tuning) -> list[Notice]:
    flags = []
    on = "the test images" if tuning.split == "test" else "validation"
    scores = [c.score for c in tuning.candidates if c.score is not None]
    own = [c.score for c in tuning.candidates if c.parameters == arm.parameters]
    if scores and not own:
        flags.append(Notice("untried", "its hyper-parameters are not in the selection grid"))
    elif scores and own[0] is not None and own[0] < max(scores):
        flags.append(
            Notice(
                "not-the-winner",
                f"its hyper-parameters were not the best on {on} ({decimals(100 * own[0])} %"
                f" against {decimals(100 * max(scores))} %)",
            )
        )
    elif scores and own[0] is not None and scores.count(max(scores)) > 1:
        flags.append(Notice("tied", f"{scores.count(max(scores))} configurations tied on {on}"))
    if len(tuning.seeds) == 1:
        flags.append(Notice("one-selection-seed", f"tuned on a single seed ({tuning.seeds[0]})"))
    if tuning.split == "test":
        flags.append(Notice("chosen-on-test", "hyper-parameters were chosen on the test images"))
    return flags


def teachers_flags(several: SeveralTeachers | None) -> list[Notice]:
    """Return that a gain is one of these teachers, and what it is over teachers of their kind."""
    if several is None:
        return []
    text = f"conditional on these {several.teachers} teacher checkpoints"
    gain, bounds = several.gain_over_teachers_pp, several.ci95_over_teachers_pp
    if gain is not None and bounds is not None:
        text += f"; over teachers of their kind the gain is {signed(gain)} pp {interval(bounds)}"
    return [Notice("these-teachers", text)]


def pair_flags(arm: Arm, baseline: Arm | None, baselines: Iterable[Arm]) -> list[Notice]:
    """Return what is unlike between a method's arm and its baseline, out of all baselines."""
    if baseline is None:
        return [Notice("no-baseline", "no baseline with the same data, recipe and epochs")]
    flags = []
    others = [
        other
        for other in baselines_of(arm, baselines)
        if other.configuration != baseline.configuration
    ]
    if others:
        left = sum(len(other.runs) for other in others)
        text = f"{counted(left, 'run')} of plain training in other settings left out"
        flags.append(Notice("other-baselines", text))
    return [*flags, *unlike_flags(arm, baseline)]


def unlike_flags(arm: Arm, other: Arm) -> list[Notice]:
    """Return what is unlike between the two sides of a difference, and what their runs say."""
    epochs = [sorted({run.epochs for run in side.runs if run.epochs}) for side in (arm, other)]
    flags = []
    if epochs[0] and epochs[1] and epochs[0] != epochs[1]:
        flags.append(Notice("unequal-epochs", f"epochs {epochs[0]} against {epochs[1]}"))
    environments = {run.environment for side in (arm, other) for run in side.runs}
    if len(environments - {""}) > 1:
        flags.append(
            Notice("mixed-environments", f"runs of {len(environments - {''})} environments")
        )
    return flags + _run_flags([*arm.runs, *other.runs])


_MISSING = {
    "unreadable": "a file of one more seed could not be read",
    "passed": "what may be one more seed was passed over",
}


def lost_flags(arms: Iterable[Arm | None], evidence: Evidence) -> list[Notice]:
    """Return a flag for each file or folder that was not read beside an arm's other seeds."""
    folders = {
        PurePosixPath(path).parent.parent
        for arm in arms
        if arm is not None
        for run in arm.runs
        for path in run.paths
    }
    return [
        Notice("missing-runs", f"{_MISSING[finding.code]}: {path}")
        for finding in evidence.findings
        if finding.code in _MISSING
        for path in finding.paths
        if {PurePosixPath(path).parent, PurePosixPath(path).parent.parent} & folders
    ]


def _run_flags(runs: Sequence[Run]) -> list[Notice]:
    counts = Counter(notice for run in runs for notice in run.notices)
    return [
        Notice("run", f"{counts[notice]} of {len(runs)} runs: {notice.text}")
        for notice in sorted(counts, key=lambda notice: notice.text)
    ]


UNSETTLED = ("inconclusive", "not established")


def sensitive(settled: str, elsewhere: Iterable[tuple[str, str]]) -> tuple[Notice, ...]:
    """Return a flag where a settled verdict or outcome is another one under another way of looking.

    Args:
        settled: the verdict of a gain, or the outcome of a claim.
        elsewhere: each way of looking, as it is said after "but", and the same there.
    """
    ways: dict[str, list[str]] = {}
    for view, other in elsewhere:
        if other != settled and settled not in UNSETTLED:
            ways.setdefault(other, []).append(view)
    clauses = [f"{' or '.join(views)}: {other}" for other, views in ways.items()]
    return (Notice("sensitive", f"but {'; '.join(clauses)}"),) if clauses else ()


def study_flags(evidence: Evidence, arms: Iterable[Arm]) -> list[Notice]:
    """Return what holds for the whole study or import; what weighs most comes first."""
    judged = [arm for arm in arms if arm.slot.role == "final"]
    unequal = [] if "unequal-tuning" in codes(evidence.notices) else _budget_flags(evidence, judged)
    flags = [
        *evidence.notices,
        *unequal,
        *(_import_flags(evidence, judged) if evidence.origin == "import" else []),
        *_state_flags(evidence),
        *_finding_flags(evidence),
    ]
    return by_severity(flags)


def _budget_flags(evidence: Evidence, judged: Iterable[Arm]) -> list[Notice]:
    """Return that methods were tuned over unlike numbers of configurations, a baseline over one."""
    tried: dict[str, set[int]] = {}
    for tuning in evidence.tunings:
        tried.setdefault(tuning.method, set()).add(len(tuning.candidates))
    for arm in judged:
        if tuning_of(arm, evidence) is None:
            tried.setdefault(arm.slot.method, set()).add(1)
    if not {count for counts in tried.values() for count in counts} - {1}:
        return []
    listed = ", ".join(
        f"{evidence.label(name)} {'/'.join(map(str, sorted(n)))}"
        for name, n in sorted(tried.items())
    )
    text = f"unequal tuning budgets, in configurations: {listed}; baselines 1"
    return [Notice("unequal-tuning", text)]


def _import_flags(evidence: Evidence, judged: list[Arm]) -> list[Notice]:
    """Return what a plan would say of the protocol."""
    flags = []
    shared = sorted({seed for arm in judged for seed in evidence.shared_seeds(arm)})
    if shared:
        text = (
            f"selection and finals share seed {', '.join(map(str, shared))}: final means contain"
            " the runs that they were selected by"
        )
        flags.append(Notice("shared-selection-seed", text))
    if any(len({run.teacher for run in arm.runs if run.teacher}) < 2 for arm in judged):
        text = (
            "one teacher checkpoint a pair: conclusions hold for it, not for teachers of its kind"
        )
        flags.append(Notice("one-teacher", text))
    return flags


def _state_flags(evidence: Evidence) -> list[Notice]:
    """Return where the runs come from, and which are in no mean."""
    flags = []
    environments = {run.environment for run in evidence.runs} - {""}
    if len(environments) > 1:
        text = f"the runs come from {len(environments)} environments"
        flags.append(Notice("mixed-environments", text))
    states = Counter(run.state for run in evidence.runs)
    for state in dict.fromkeys(run.state for run in evidence.runs):
        if state in ("failed", "damaged"):
            text = f"runs that are {state}, left out of every mean: {states[state]}"
            flags.append(Notice("failures", text))
    if evidence.open_runs:
        text = f"runs that are open until selection has ended: {evidence.open_runs}"
        flags.append(Notice("open", text))
    if undone := sum(states[state] for state in ("new", "running", "interrupted")):
        flags.append(Notice("open", f"runs that are not finished yet: {undone}"))
    return flags


def _finding_flags(evidence: Evidence) -> list[Notice]:
    counts = count_findings(evidence.findings)
    return [
        Notice(f"import-{kind}", f"{text}: {counts[kind]}{_first_two(kind, evidence)}")
        for kind, text in FINDINGS.items()
        if counts[kind] and kind not in ("failed", "overlap")  # flagged on their own
    ]


def _first_two(kind: str, evidence: Evidence) -> str:
    """Return which keys split configurations or are averaged over: the first two of them."""
    if kind not in ("split", "aside"):
        return ""
    own = list(dict.fromkeys(each.notice for each in evidence.findings if each.code == kind))
    more = f" … {len(own) - 2} more" if len(own) > 2 else ""
    return f" ({'; '.join(notice.text for notice in own[:2])}{more})"
