"""What the explorer's page is made of: documents in plain types, with no number that is not finite.

| document | what it holds |
|---|---|
| `study` | the analysis, the arms, and how far the study is |
| `runs` | one row a run, in columns |
| `arm/N` | one arm: its curves over seeds, its seeds, its accuracy by class |
| `compare/N` | one arm minus every other |
| `run/N` | one run: what was asked, every epoch, its files with their hashes |
| `live` | what the runners are doing right now |
"""

from collections import Counter
from typing import Any

from kdgap.errors import KdgapError
from kdgap.explorer.judged import power_entries
from kdgap.explorer.snapshot import Snapshot
from kdgap.files import read_json
from kdgap.judge.curves import over_runs
from kdgap.judge.evidence import Arm, Run
from kdgap.judge.fidelity import class_means
from kdgap.spec.study import Slot
from kdgap.store.progress import live
from kdgap.store.record import ATTEMPTS, FAILURE, MANIFEST, RUN, TIMING
from kdgap.store.study import StudyDirectory

CURVES = (
    *("val_acc", "train_acc", "val_loss", "loss_total", "loss_ce", "loss_kd"),
    *("grad_norm_max", "proj_grad_norm_max"),
)
"""What histories record that is drawn; gradient norms by loss term come from the run itself."""
COLUMNS = (
    *("id", "role", "teacher", "student", "method", "variant", "parameters", "seed", "state"),
    *("validation", "test_best", "test_last", "agreement", "epochs", "arm", "remark"),
)
SHARED = 4000
"""Letters of a log that a page shows."""


def study_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return what every view needs: the judgement, the arms, the state of the runs."""
    evidence = snapshot.evidence
    return {
        "version": snapshot.version,
        "name": evidence.name,
        "origin": evidence.origin,
        "description": evidence.description,
        "primary": evidence.primary,
        "images": evidence.images,
        "analysis": snapshot.analysis,
        "reason": snapshot.reason,
        "states": dict(Counter(run.state for run in evidence.runs)),
        "open_runs": evidence.open_runs,
        "marks": list(evidence.marks),
        "warnings": list(evidence.warnings),
        "arms": [_arm(snapshot, number, arm) for number, arm in enumerate(snapshot.arms)],
        "power": power_entries(snapshot),
        "models": evidence.models,
        "methods": evidence.methods,
    }


def _arm(snapshot: Snapshot, number: int, arm: Arm) -> dict[str, Any]:
    values = arm.by_seed(snapshot.evidence.primary)
    return {
        "number": number,
        **_slot(arm.slot),
        "cell": arm.cell,
        "parameters": arm.parameters,
        "runs": snapshot.run_numbers(arm.runs),
        "n": len(values),
        "mean": sum(values.values()) / len(values) if values else None,
    }


def _slot(slot: Slot) -> dict[str, Any]:
    return {"slot": slot.text, **{key: getattr(slot, key) for key in
            ("role", "teacher", "student", "method", "variant")}}  # fmt: skip


def runs_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return every run as a row; a run that plays several roles is shown in its first."""
    arm_of: dict[str, int] = {}
    for number, arm in enumerate(snapshot.arms):
        for run in arm.runs:
            arm_of.setdefault(run.id, number)
    rows = [_row(run, arm_of.get(run.id)) for run in snapshot.evidence.runs]
    return {"version": snapshot.version, "columns": list(COLUMNS), "rows": rows}


def _row(run: Run, arm: int | None) -> list[Any]:
    slot = run.slots[0] if run.slots else Slot("single", None, "", "")
    best = run.test.get("best", {}) if run.state == "done" else {}
    last = run.test.get("last", {}) if run.state == "done" else {}
    parameters = ", ".join(f"{name} {value}" for name, value in run.parameters.items())
    return [
        run.id,
        " ".join(dict.fromkeys(one.role for one in run.slots)),
        slot.teacher,
        slot.student,
        slot.method,
        slot.variant,
        parameters,
        run.seed,
        run.state,
        run.validation.get("best"),
        best.get("accuracy"),
        last.get("accuracy"),
        best.get("top1_agreement"),
        run.epochs,
        arm,
        run.remark,
    ]


def arm_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return one arm with its curves: mean, lowest and highest over runs, epoch by epoch.

    Raises:
        IndexError: there is no such arm.
    """
    if number < 0:
        raise IndexError(number)
    arm = snapshot.arms[number]
    curves: dict[str, dict[str, Any]] = {}
    for key in CURVES:
        found = over_runs(arm.runs, key)
        if found is not None:
            epochs, mean, low, high, runs = found
            parts = {"epoch": epochs, "mean": mean, "low": low, "high": high}
            curves[key] = {name: part.tolist() for name, part in parts.items()} | {"runs": runs}
    return {
        "version": snapshot.version,
        **_arm(snapshot, number, arm),
        "curves": curves,
        "classes": class_means(arm, snapshot.evidence.primary),
        "seeds": [_seed(snapshot, run) for run in arm.runs],
    }


def _seed(snapshot: Snapshot, run: Run) -> dict[str, Any]:
    kept = ("accuracy", "top1_agreement", "kl_t1", "kl_t4", "ece")
    return {
        "run": snapshot.numbers[run.id],
        "seed": run.seed,
        "state": run.state,
        "validation": run.validation.get("best"),
        **{weights: {key: run.test.get(weights, {}).get(key) for key in kept}
           for weights in ("best", "last")},
    }  # fmt: skip


def run_document(snapshot: Snapshot, number: int) -> dict[str, Any]:
    """Return one run with every epoch, and what its directory says of where it comes from.

    Raises:
        IndexError: there is no such run.
    """
    if number < 0:
        raise IndexError(number)
    run = snapshot.evidence.runs[number]
    found = {
        "version": snapshot.version,
        "number": number,
        "id": run.id,
        "seed": run.seed,
        "cell": run.cell,
        "slots": [_slot(slot) for slot in run.slots],
        "state": run.state,
        "remark": run.remark,
        "parameters": run.parameters,
        "epochs": run.epochs,
        "validation": run.validation,
        "test": run.test,
        "baseline_test": run.baseline_test,
        "teacher_accuracy": run.teacher_accuracy,
        "history": run.history,
        "flags": list(run.flags),
        "environment": run.environment,
        "paths": list(run.paths),
    }
    if snapshot.evidence.origin == "study" and run.paths:
        found |= _on_disk(snapshot, run)
    return found


def _on_disk(snapshot: Snapshot, run: Run) -> dict[str, Any]:
    """Return what the run's directory holds beside its numbers."""
    directory = StudyDirectory(snapshot.path)
    place = directory.run(run.paths[0])
    found: dict[str, Any] = {"files": [], "history": run.history or place.history()}
    for key, name in (("asked", RUN), ("timing", TIMING), ("failure", FAILURE)):
        found[key] = _json(place.path / name)
    found["hashes"] = (_json(place.path / MANIFEST) or {}).get("files", {})
    attempts = place.path / ATTEMPTS
    if attempts.is_file():
        found["attempts"] = attempts.read_text(encoding="utf-8", errors="replace")[-SHARED:]
    if place.path.is_dir() and not place.link():
        found["files"] = [
            {"name": entry.name, "bytes": entry.stat().st_size}
            for entry in sorted(place.path.iterdir())
            if entry.is_file() and not entry.is_symlink() and not entry.name.startswith(".")
        ]
    return found


def _json(path: Any) -> Any | None:
    try:
        return read_json(path) if path.is_file() else None
    except KdgapError:
        return None


def live_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return what is being trained right now, by the number of the run."""
    if snapshot.evidence.origin != "study":
        return {"version": snapshot.version, "runners": []}
    runners = []
    for about in live(snapshot.path):
        runs = about.get("runs")
        runners.append(
            {
                "host": str(about.get("host", "")),
                "pid": about.get("pid"),
                "phase": str(about.get("phase", "")),
                "when": about.get("when"),
                "runs": [
                    {"run": snapshot.numbers[key], **value}
                    for key, value in (runs.items() if isinstance(runs, dict) else ())
                    if key in snapshot.numbers and isinstance(value, dict)
                ],
            }
        )
    return {"version": snapshot.version, "runners": runners}
