"""Tables of what was measured: levels, fidelity, selection, and every run."""

from collections.abc import Mapping
from typing import Any

from kdgap.judge.analysis import Analysis, Level
from kdgap.judge.entries import Gain
from kdgap.judge.evidence import Candidate, Evidence, Run, Tuning, choosing_images
from kdgap.judge.fidelity import MEASURES
from kdgap.judge.measures import (
    Difference,
    Differences,
    Fidelity,
    Measure,
    Measures,
)
from kdgap.judge.recorded import UNTESTED
from kdgap.numbers import decimals, level, signed
from kdgap.report.tables import cells
from kdgap.report.tables.cells import Line
from kdgap.report.tables.forms import Table, Value
from kdgap.spec.slot import of_first_role
from kdgap.text import settings_text


def levels(analysis: Analysis) -> Table:
    """Return the accuracy of teachers and of plainly trained students."""
    settings = analysis.settings
    other = "last" if settings.primary == "best" else "best"

    def line(role: str, row: Level) -> Line:
        bounds, missing = row.ci95_pp, "; ".join(row.missing)
        others = row.mean_last_pp if other == "last" else row.mean_best_pp
        shown = [
            role,
            row.name,
            str(row.n),
            cells.level_text(row.mean_pp, row.std_pp),
            f"[{decimals(bounds[0])}, {decimals(bounds[1])}]" if bounds else None,
            _two_digits(others),
            None if row.epochs is None else str(row.epochs),
            missing or None,
        ]
        values = {
            "role": role,
            **cells.fields(row, ("name", "slot", "configuration", "n", "mean_pp", "std_pp")),
            **cells.bounds_of("ci95", bounds),
            f"mean_{other}_pp": others,
            "epochs": row.epochs,
            "missing": missing,
        }
        return shown, values

    lines = [
        line(role, row)
        for role, rows in (("teacher", analysis.teachers), ("baseline", analysis.baselines))
        for row in rows
    ]
    names = ["Role", "Network", "n", "Accuracy", f"{level(settings.confidence)} interval"]
    names += [f"{other.capitalize()} weights", "Epochs", "Missing"]
    caption = (
        f"Test accuracy in % of the {settings.primary} weights, mean ± std over n seeds, with a"
        f" t interval of the mean; beside it the mean of the {other} weights."
    )
    return cells.table("levels", "Teachers and baselines", names, lines, caption)


def _two_digits(value: float | None) -> str | None:
    return None if value is None else decimals(value)


def fidelity(analysis: Analysis) -> Table:
    """Return how closely each student follows its teacher, beside its baseline."""
    settings = analysis.settings

    def line(gain: Gain, fidelity: Fidelity) -> Line:
        base, between = fidelity.baseline, fidelity.difference
        ns = sorted({measurement.n for name in MEASURES if (measurement := fidelity.named(name))})
        shown = [
            cells.pair(gain),
            gain.label,
            cells.counts(ns),
            cells.measured(fidelity.top1_agreement, 100, 2),
            cells.measured(_measure(base, "top1_agreement"), 100, 2),
            difference(_difference(between, "top1_agreement"), 100, 2),
            cells.measured(fidelity.kl_t1, 1, 4),
            cells.measured(fidelity.kl_t4, 1, 4),
            difference(_difference(between, "kl_t4"), 1, 4),
            cells.measured(fidelity.ece, 100, 2),
            _two_digits(cells.percent(fidelity.teacher_accuracy)),
        ]
        values: dict[str, Value] = cells.fields(
            gain, ("teacher", "student", "method", "configuration")
        )
        values["teacher_accuracy"] = fidelity.teacher_accuracy
        for prefix, part in (("", fidelity), ("baseline_", base)):
            for name in MEASURES:
                measure, field = _measure(part, name), f"{prefix}{name}"
                values |= {f"{field}_{key}": getattr(measure, key, None)
                           for key in ("n", "mean", "std")}  # fmt: skip
                values |= _ends(field, measure)
        for name in MEASURES:
            own, field = _difference(between, name), f"difference_{name}"
            values[field] = None if own is None else own.difference
            values |= _ends(field, own)
        return shown, values

    names = ["Pair", "Method", "n", "Agreement", "of the baseline", "Difference in pp"]
    names += ["KL, T = 1", "KL, T = 4", "T = 4, difference", "ECE", "Teacher"]
    caption = (
        f"On the test images, {settings.primary} weights: top-1 agreement with the teacher in"
        " %, of the student and of the plainly trained one; KL(teacher‖student) in nats; expected"
        " calibration error and the teacher's accuracy in %. Means over n seeds with"
        f" {level(settings.confidence)} t intervals, differences with Welch's, none of them"
        " corrected for their number. Following the teacher is no accuracy."
    )
    lines = (line(gain, gain.fidelity) for gain in analysis.gains if gain.fidelity)
    return cells.table("fidelity", "Fidelity to the teacher", names, lines, caption)


def _measure(measures: Measures | None, name: str) -> Measure | None:
    return None if measures is None else measures.named(name)


def _difference(differences: Differences | None, name: str) -> Difference | None:
    return None if differences is None else differences.named(name)


def _ends(field: str, measured: Measure | Difference | None) -> dict[str, Value]:
    low, high = (measured.ci95 if measured else None) or (None, None)
    return {f"{field}_ci95_low": low, f"{field}_ci95_high": high}


def difference(measure: Difference | None, scale: float, digits: int) -> str | None:
    """Return a measure's difference to the baseline with its interval, all signed."""
    if not measure:
        return None
    numbers = [signed(scale * end, digits) for end in measure.ci95 or ()]
    text = signed(scale * measure.difference, digits)
    return f"{text} [{', '.join(numbers)}]" if numbers else text


def selection(analysis: Analysis) -> Table:
    """Return every configuration that was tried, one line each."""

    def line(tuning: Tuning, candidate: Candidate) -> Line:
        parameters, score = candidate.parameters, candidate.score
        chosen = parameters == tuning.winner
        seeds = ", ".join(map(str, tuning.seeds))
        shown = [
            cells.pair(tuning),
            tuning.label,
            settings_text(parameters),
            _two_digits(cells.percent(score)),
            "yes" if chosen else "",
            seeds,
            tuning.split,
        ]
        values = {
            **cells.fields(tuning, ("teacher", "student", "method")),
            "parameters": settings_text(parameters),
            **_parameters(parameters),
            "metric": tuning.metric,
            "score": score,
            "chosen": chosen,
            "seeds": seeds,
            "split": tuning.split,
            "runs": " ".join(candidate.runs),
        }
        return shown, values

    # In the order of the gains; what has none yet comes last.
    order = {cells.slot_of(gain): number for number, gain in enumerate(analysis.gains)}
    tunings = sorted(
        analysis.selection, key=lambda tuning: order.get(cells.slot_of(tuning), len(order))
    )
    lines = (line(tuning, candidate) for tuning in tunings for candidate in tuning.candidates)
    names = ["Pair", "Method", "Settings", "Score", "Chosen", "Seeds", "Split"]
    caption = (
        "Every configuration that was tried, with its mean accuracy in % over the selection seeds"
        " on the images of the split; a dash: a run of it failed. Chosen: what the final runs use."
        " Baselines were not tuned."
    )
    return cells.table("selection", "Selection", names, lines, caption)


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Value]:
    return {f"parameter_{key}": value for key, value in parameters.items()}


def runs(evidence: Evidence) -> Table:
    """Return every run, one line each, with everything that is known of it in single values.

    Accuracies, agreement and calibration error are shares of one here, KL is in nats.
    """
    chosen = "On the test images" if evidence.chosen_on == "test" else "Validation"
    names = ["Role", "Pair", "Method", "Settings", "Seed", "Epochs", chosen, "Test, best"]
    names += ["Test, last", "State"]
    caption = (
        f"Accuracy in %: of the best epoch on {choosing_images(evidence.chosen_on)} images, and on"
        " test images of the best and of the last weights; a dash: not measured. A run that is not"
        " done is in no mean."
    )
    lines = (_run_line(run, evidence) for run in evidence.runs)
    return cells.table("runs", "Runs", names, lines, caption)


def _run_line(run: Run, evidence: Evidence) -> Line:
    slot = run.slots[0] if run.slots else None
    roles = ", ".join(dict.fromkeys(slot.role for slot in run.slots))
    pair = None if slot is None else cells.pair(slot)
    shown = [
        roles or None,
        pair,
        ", ".join(evidence.label(slot.method) for slot in of_first_role(run.slots)) or None,
        settings_text(run.parameters),
        str(run.seed),
        None if run.epochs is None else str(run.epochs),
        _two_digits(cells.percent(run.validation.best)),
        _two_digits(cells.percent(run.accuracy("best"))),
        _two_digits(cells.percent(run.accuracy("last"))),
        run.state,
    ]
    values: dict[str, Value] = {
        "id": run.id,
        "configuration": run.configuration,
        "roles": roles,
        "teacher": slot.teacher if slot else None,
        "student": slot.student if slot else None,
        "method": slot.method if slot else None,
        "slots": "; ".join(slot.text for slot in run.slots),
        "seed": run.seed,
        "teacher_run": run.teacher,
        **_parameters(run.parameters),
        "epochs": run.epochs,
        "state": run.state,
        "remark": run.remark,
        "best_val_acc": run.validation.best,
        "best_val_epoch": run.validation.best_epoch,
        "last_val_acc": run.validation.last,
        "teacher_accuracy": run.teacher_accuracy,
    }
    for weights in ("best", "last"):
        values[f"test_accuracy_{weights}"] = run.accuracy(weights)
        for prefix, tests in (("", run.test), ("baseline_", run.baseline_test)):
            measures = tests.get(weights, UNTESTED).measures
            values |= {f"{prefix}{name}_{weights}": value for name, value in measures.items()}
    values |= {
        "flags": "; ".join(notice.text for notice in run.notices),
        "environment": run.environment,
        "recipe": run.recipe,
        "paths": "; ".join(run.paths),
    }
    return shown, values
