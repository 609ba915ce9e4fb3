"""What the explorer's page is made of: documents in plain types, with no number that is not finite.

| document | what it holds |
|---|---|
| `study` | the analysis, the arms, and how far the study is |
| `runs` | one row a run, in columns |
| `rank` | what was trained of each student, ranked |
| `arm/N` | one arm: its curves over seeds, its seeds, its accuracy by class |
| `compare/N` | one arm minus every other |
| `answers/N` | what the students of one arm answered, image by image |
| `images/N` | the test images that its students and their teachers dispute |
| `agreement/N` | one run's answers beside every other run's |
| `run/N` | one run: what was asked, every epoch, its files with their hashes |
| `power` | what n seeds can show |
| `live` | what the runners are doing right now |
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

from kdgap.advice import quoted
from kdgap.explorer.judged import (
    claim_entries,
    gain_entries,
    grid_entries,
    reference_entries,
)
from kdgap.explorer.snapshot import Snapshot
from kdgap.glossary import TERMS
from kdgap.judge.curves import COMPARABLE, Curve, over_plain, over_runs
from kdgap.judge.document import to_json
from kdgap.judge.evidence import Arm, Evidence, Run
from kdgap.judge.fidelity import classes_of
from kdgap.judge.flags import tuning_of
from kdgap.judge.headline import headline, trained
from kdgap.judge.quoting import citation
from kdgap.judge.ranking import rankings
from kdgap.judge.recorded import UNTESTED, Scores
from kdgap.notice import written
from kdgap.spec.method_card import UNKNOWN
from kdgap.spec.slot import Slot
from kdgap.spec.study import NO_DESCRIPTION
from kdgap.stats.contrast import mean_and_std
from kdgap.store.pace import Pace, work_of
from kdgap.store.progress import live, survey
from kdgap.store.study import StudyDirectory
from kdgap.text import settings_text

CURVES = (
    *("val_acc", "train_acc", "val_loss", "loss_total", "loss_ce", "loss_kd"),
    *("grad_norm_max", "proj_grad_norm_max"),
)
"""What histories record that is drawn; gradient norms by loss term come from the run itself."""
COLUMNS = (
    *("id", "roles", "teacher", "student", "method", "candidate", "ablation", "arm"),
    *("parameters", "seed", "state"),
    *("validation", "test_best", "test_last", "agreement", "epochs", "remark"),
)


def study_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return what every view needs: the judgement, the arms, the state of the runs."""
    evidence, analysis = snapshot.evidence, snapshot.analysis
    return {
        "version": snapshot.version,
        "name": evidence.name,
        "origin": evidence.origin,
        "command": quoted(snapshot.path),
        "description": evidence.description,
        "described": evidence.description not in ("", NO_DESCRIPTION),
        "title": evidence.title,
        "paper": evidence.paper,
        "headline": None if analysis is None else asdict(headline(analysis)),
        "citation": None if analysis is None else citation(analysis),
        "trained": [] if analysis is None else trained(evidence, analysis),
        "primary": evidence.primary,
        "chosen_on": evidence.chosen_on,
        "analysis": to_json(snapshot.analysis),
        "reason": snapshot.reason,
        "states": dict(Counter(run.state for run in evidence.runs)),
        "open_runs": evidence.open_runs,
        "roles": list(dict.fromkeys(slot.role for slot in evidence.slots)),
        "marks": list(evidence.marks),
        "notices": written(evidence.notices),
        "arms": [_arm(snapshot, number, arm) for number, arm in enumerate(snapshot.arms)],
        "claims": claim_entries(snapshot),
        "gains": gain_entries(snapshot),
        "reference_gains": reference_entries(snapshot),
        "grids": grid_entries(snapshot),
        "glossary": TERMS,
        "models": evidence.models,
        "methods": {
            name: {
                "label": evidence.label(name),
                "colour": evidence.methods.get(name, UNKNOWN).colour,
            }
            for name in _methods(snapshot)
        },
    }


def _methods(snapshot: Snapshot) -> list[str]:
    """Return every method, in the study's order."""
    used = [slot.method for run in snapshot.evidence.runs for slot in run.slots]
    return list(dict.fromkeys([*snapshot.evidence.methods, *used]))


def _arm(snapshot: Snapshot, number: int, arm: Arm) -> dict[str, Any]:
    """Return one arm; `gain` is its place among the gains, `baseline` and `teachers` are arms."""
    context, finals = snapshot.context, snapshot.context.finals
    mean, std = mean_and_std(values) if (values := context.values(arm)) else (None, None)
    epoch = _epoch(arm, snapshot.evidence)
    done = [run.validation for run in arm.runs if run.state == "done"]
    validated = [own.last if epoch == "last" else own.best for own in done]
    known = [value for value in validated if value is not None]
    role = arm.slot.role
    return {
        "number": number,
        **asdict(arm.slot),
        "configuration": arm.configuration,
        "parameters": arm.parameters,
        "runs": snapshot.run_numbers(arm.runs),
        "n": len(values),
        "mean": mean,
        "std": std,
        "validation": fmean(known) if known else None,
        "validated": len(known),
        "validation_epoch": epoch,
        "epochs": sorted({run.epochs for run in arm.runs if run.epochs is not None}),
        "change": _change(arm, snapshot.evidence),
        "chosen": _chosen(arm, snapshot) if role == "selection" else None,
        "gain": next((place for place, final in enumerate(finals) if final is arm), None),
        "baseline": snapshot.arm_number(context.baseline(arm)) if role == "final" else None,
        "teachers": [
            snapshot.arm_number(teacher)
            for teacher in context.of("teacher")
            if _teaches(teacher, arm)
        ],
    }


def _epoch(arm: Arm, evidence: Evidence) -> str:
    """Return the epoch whose validation accuracy counts: `best`, or `last` where that chooses."""
    tuning = tuning_of(arm, evidence) if arm.slot.role == "selection" else None
    return "last" if tuning is not None and tuning.metric == "last_val_acc" else "best"


def _change(arm: Arm, evidence: Evidence) -> str:
    """Return what the ablation of an arm changes; nothing for other arms."""
    name = arm.slot.ablation
    return evidence.changes.get(name, "")


def _chosen(arm: Arm, snapshot: Snapshot) -> bool | None:
    """Whether what selection tried became a final; None while nothing was chosen."""
    tuning, slot = tuning_of(arm, snapshot.evidence), arm.slot
    pair = (slot.teacher, slot.student, slot.method)
    finals = [
        final
        for final in snapshot.context.finals
        if (final.slot.teacher, final.slot.student, final.slot.method) == pair
    ]
    winners = [final.parameters for final in finals]
    if tuning is not None and tuning.winner is not None:
        winners.append(tuning.winner)
    return arm.parameters in winners if winners else None


def _teaches(teacher: Arm, arm: Arm) -> bool:
    """Whether an arm's teachers are of another; imports tell it by the name alone."""
    asked = {run.teacher for run in arm.runs} - {None}
    named = teacher.slot.student == arm.slot.teacher
    return named and (not asked or not asked.isdisjoint(run.id for run in teacher.runs))


def rank_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the ranking of each student; `key` tells students apart, `arm` is a place's arm."""
    numbers = {
        (arm.slot.student, arm.slot.teacher, arm.slot.method, arm.configuration): number
        for number, arm in enumerate(snapshot.arms)
        if arm.slot.role in ("final", "baseline")
    }
    ranked = rankings(snapshot.context) if snapshot.analysis is not None else []
    students = []
    for ranking in ranked:
        document = to_json(ranking)
        document["key"] = ranking.name
        for place in document["places"]:
            own = place["teacher"], place["method"], place["configuration"]
            place["arm"] = numbers.get((ranking.student, *own))
        students.append(document)
    return {"version": snapshot.version, "students": students}


def runs_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return every run as a row; a run that plays several roles is shown in its first."""
    primary = snapshot.evidence.primary
    rows = [_row(run, primary) for run in snapshot.evidence.runs]
    return {"version": snapshot.version, "columns": list(COLUMNS), "rows": rows}


def _row(run: Run, primary: str) -> list[Any]:
    slot = run.slots[0] if run.slots else Slot("single", None, "", "")
    test = run.test if run.state == "done" else {}
    return [
        run.id,
        list(dict.fromkeys(run_slot.role for run_slot in run.slots)),
        slot.teacher,
        slot.student,
        slot.method,
        slot.candidate,
        slot.ablation,
        slot.arm,
        settings_text(run.parameters),
        run.seed,
        run.state,
        run.validation.best,
        test.get("best", UNTESTED).accuracy,
        test.get("last", UNTESTED).accuracy,
        test.get(primary, UNTESTED).top1_agreement,
        run.epochs,
        run.remark,
    ]


def arm_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return one arm with its curves: mean, lowest and highest over runs, epoch by epoch.

    `over_plain` has those that can be compared with plain training, minus it. `seeds` has every
    run. `means` has every seed that is counted, in percent: the mean over its teachers, which the
    judgement rests on; seeds that lack a teacher's run are `left_out`.

    Raises:
        IndexError: there is no such arm.
    """
    if number < 0:
        raise IndexError(number)
    arm = snapshot.arms[number]
    curves: dict[str, dict[str, Any]] = {}
    for key in CURVES:
        curve = over_runs(arm.runs, key)
        if curve is not None:
            curves[key] = _drawn(curve)
    return {
        "version": snapshot.version,
        **_arm(snapshot, number, arm),
        "curves": curves,
        "over_plain": _over_plain(snapshot, arm),
        "classes": to_json(classes_of(arm, snapshot.evidence)),
        "seeds": [_seed(snapshot, run) for run in arm.runs],
        **_means(arm, snapshot.evidence.primary),
    }


def _drawn(curve: Curve) -> dict[str, Any]:
    """Return a curve in plain types; `runs` is how many it is the mean of: of runs, or of seeds."""
    epochs, mean, low, high, runs = curve
    parts = {"epoch": epochs, "mean": mean, "low": low, "high": high}
    return {name: part.tolist() for name, part in parts.items()} | {"runs": runs}


def _over_plain(snapshot: Snapshot, arm: Arm) -> dict[str, dict[str, Any]]:
    """Return the curves of a student minus those of its plain training; empty of other arms."""
    baseline = snapshot.context.baseline(arm) if arm.slot.role in ("final", "selection") else None
    if baseline is None:
        return {}
    apart = {key: over_plain(arm.runs, baseline.runs, key) for key in COMPARABLE}
    return {
        key: _drawn(difference.curve) | {"paired": difference.paired}
        for key, difference in apart.items()
        if difference is not None
    }


def _means(arm: Arm, primary: str) -> dict[str, Any]:
    """Return accuracy by seed as the judgement has it, and the seeds that it leaves out."""
    best, last = arm.by_seed("best"), arm.by_seed("last")
    tested = {run.seed for run in arm.runs if run.accuracy(primary) is not None}
    counted = best if primary == "best" else last
    return {
        "means": [
            {"seed": seed, "best": best.get(seed), "last": last.get(seed)}
            for seed in sorted({*best, *last})
        ],
        "left_out": sorted(tested.difference(counted)),
    }


def _seed(snapshot: Snapshot, run: Run) -> dict[str, Any]:
    test = run.test if run.state == "done" else {}
    number = snapshot.numbers.get(run.teacher or "")
    teacher = None if number is None else snapshot.evidence.runs[number]
    return {
        "run": snapshot.numbers[run.id],
        "id": run.id,
        "seed": run.seed,
        "state": run.state,
        "teacher": teacher and {"id": teacher.id, "seed": teacher.seed},
        "validation": run.validation.best,
        **{weights: _shown(test.get(weights, UNTESTED)) for weights in ("best", "last")},
    }


def _shown(scores: Scores) -> dict[str, float | None]:
    return {
        "accuracy": scores.accuracy,
        "top1_agreement": scores.top1_agreement,
        "kl_t4": scores.kl_t4,
        "ece": scores.ece,
    }


def live_document(snapshot: Snapshot, pace: Pace | None = None) -> dict[str, Any]:
    """Return what is being trained right now, by the number of the run.

    `share` is how much of the work is done, in [0, 1]; `left` the seconds that the rest takes.

    Args:
        snapshot: the study.
        pace: what this reader saw of it before.
    """
    document: dict[str, Any] = {"version": snapshot.version, "runners": []}
    if snapshot.evidence.origin != "study":
        return document
    runners = live(snapshot.path)
    done = [run.id for run in snapshot.evidence.runs if run.state == "done"]
    seen = survey(StudyDirectory(snapshot.path), done, verify=False)
    document["share"] = (work := work_of(seen, runners)).share
    document["left"] = None if pace is None else pace.left(time.monotonic(), seen, work)
    document["runners"] = [_runner(snapshot, about) for about in runners]
    return document


def _runner(snapshot: Snapshot, about: Mapping[str, Any]) -> dict[str, Any]:
    runs = about.get("runs")
    return {
        "host": str(about.get("host", "")),
        "phase": str(about.get("phase", "")),
        "when": about.get("when"),
        "runs": [
            {**value, "run": snapshot.numbers[key]}
            for key, value in (runs.items() if isinstance(runs, dict) else ())
            if key in snapshot.numbers and isinstance(value, dict)
        ],
    }
