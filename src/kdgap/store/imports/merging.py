"""Which files of an import tell of one run.

A run under two paths is one run with two roles. Two different runs of one seed under the same
settings contradict each other, so neither counts. A file that says less of its settings is no other
run, though: an older file under another path is merged with the run it tells of.
"""

import hashlib
from collections.abc import Callable, Iterable

from kdgap.notice import FileNotice
from kdgap.spec.identity import canonical_json
from kdgap.store.imports.copies import curve_of
from kdgap.store.imports.findings import finding
from kdgap.store.imports.foreign import ForeignFile, same_history, settings_of
from kdgap.store.imports.gate import OUTCOMES
from kdgap.store.imports.roles import ImportedRun

_MOST_ALIKE = 10
"""Runs of one seed and one course of accuracies that a file of other settings may tell of; beyond
them it is one of several runs with one history, of which none counts."""


def merged(
    files: Iterable[ForeignFile], findings: list[FileNotice], is_aside: Callable[[str], bool]
) -> list[ImportedRun]:
    """Return one entry a run; the same run under two paths is merged, the richer file leads."""
    runs: dict[tuple[str, int], ImportedRun] = {}
    by_curve: dict[tuple[int, str], list[ImportedRun]] = {}
    for file in files:
        settings, seed = settings_of(file.results, is_aside), file.results["seed"]
        curve = curve_of(file)
        key = (hashlib.sha256(canonical_json(settings).encode()).hexdigest(), seed)
        alike = by_curve.setdefault((seed, curve), []) if curve else []
        known = runs.get(key) or next(
            (run for run in alike[:_MOST_ALIKE] if _tells_of(file, run, is_aside)), None
        )
        if known is None:
            runs[key] = ImportedRun([file], settings, key[0])
            alike.append(runs[key])
            continue
        _add(known, file, findings)
        if known.files[0] is file:  # it says more, or it is the one that ended well
            known.settings, known.configuration = settings, key[0]
        runs[key] = known
    merged = list({id(run): run for run in runs.values()}.values())
    for run in merged:
        if run.conflict:
            text = f"different runs of seed {run.seed} under the same settings; none counts"
            findings.append(finding("conflict", text, run.paths))
        elif len(run.files) > 1:
            findings.append(finding("duplicate", "the same run; counted once", run.paths))
    return merged


def _add(run: ImportedRun, file: ForeignFile, findings: list[FileNotice]) -> None:
    """Give a run one more file of its seed and settings: of itself, its repetition, or another."""
    lead = run.files[0]
    if same_history(lead.history, file.history) and _same_outcomes(lead, file):
        richer = (not file.problem, len(file.results)) > (not lead.problem, len(lead.results))
        run.files = [file, *run.files] if richer else [*run.files, file]
    elif lead.problem and not file.problem:
        findings.append(finding("failed", f"{lead.problem}; it was repeated", [lead.path]))
        run.files = [file]
    elif file.problem:
        findings.append(finding("failed", f"{file.problem}; it was repeated", [file.path]))
    else:
        run.conflict = True
        run.files.append(file)


def _same_outcomes(first: ForeignFile, second: ForeignFile) -> bool:
    keys = ("best_val_acc", "best_val_epoch", "test_acc_best", "test_acc_final")
    pairs = ((first.results.get(key), second.results.get(key)) for key in keys)
    return all(a == b for a, b in pairs if a is not None and b is not None)


def _tells_of(file: ForeignFile, run: ImportedRun, is_aside: Callable[[str], bool]) -> bool:
    """Whether a file with a run's curve and seed has its settings, as far as both say them."""
    lead = run.files[0]
    keys = [
        {k for k, v in foreign.results.items() if v is not None} - OUTCOMES
        for foreign in (file, lead)
    ]
    if not (same_history(lead.history, file.history) and _same_outcomes(lead, file)):
        return False
    settings, other = (
        settings_of({key: f.results[key] for key in keys[0] & keys[1]}, is_aside)
        for f in (file, lead)
    )
    return settings == other
