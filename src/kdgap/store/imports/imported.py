"""An import in the making: runs of others, read, merged, placed and named."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError
from kdgap.files import (
    json_text,
)
from kdgap.methods.method import card_of
from kdgap.notice import FileNotice
from kdgap.store.imports.bookkeeping import (
    WHY,
    Choices,
    Sample,
    Why,
    leaves,
    set_aside,
)
from kdgap.store.imports.copies import name_copies
from kdgap.store.imports.findings import finding, write_findings
from kdgap.store.imports.foreign import (
    ForeignFile,
    read_foreign,
    source_hash,
)
from kdgap.store.imports.merging import merged
from kdgap.store.imports.own_names import called
from kdgap.store.imports.roles import ImportedRun, models_of, pair_ablations, place
from kdgap.store.imports.settling import settle_ablations, settle_methods
from kdgap.store.imports.source_files import PassedOver, text_of
from kdgap.store.imports.splits import name_splits
from kdgap.store.instead import is_study, named, own, studies_below
from kdgap.store.manifest import MANIFEST
from kdgap.store.notices import in_record, recorded, trusted

NO_CHOICES = Choices()
_SHOWN = 12
"""Keys that a finding lists; all are in `import.json`."""


def import_runs(
    source: Path, name: str, choices: Choices = NO_CHOICES
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the result files of a folder, a zip or a tar; nothing is written.

    Args:
        source: the folder or archive.
        name: the import's.
        choices: what the user said of keys and units.

    Returns:
        What `import.json` holds, and the runs of `runs.jsonl`.

    Raises:
        BadInputError: the source is none, or it is a study of ours or holds some; no file holds a
            result; a choice names a key that no file has.
    """
    if is_study(source) or (source / MANIFEST).exists():
        raise BadInputError(f"{source}: is kdgap's own; no import is needed{own(source)}")
    if studies := studies_below(source):
        # Their runs would be pooled, and what each study says of its statistics would be lost.
        raise BadInputError(
            f"{source}: is kdgap's own; no import is needed; it holds {named(studies)}; name one"
            " of them"
        )
    passed = PassedOver()
    good, bad = read_foreign(source, passed, percent=choices.percent)
    samples = [Sample(f.results["kd_type"], f.results["seed"], leaves(f.results)) for f in good]
    aside = set_aside(samples, choices)
    findings = [finding("unreadable", file.why, [file.path]) for file in bad]
    findings += _passed(passed)
    settle_methods(good, findings)
    runs = merged(good, findings, aside.__contains__)
    name_copies(runs, findings)
    keys = place(runs, source.name if source.is_dir() else "", findings)
    settle_ablations(runs, findings)
    pair_ablations(runs, findings)
    name_splits(runs, findings, aside.keys(), set().union(*keys.values()))
    findings += _set_aside(good, samples, aside)
    _survey(runs, findings)
    about = {
        "format": 1,
        "name": text_of(name),
        "source": {"path": text_of(source), "sha256": source_hash(good, bad)},
        "choices": choices.as_json(),
        "bookkeeping": {key: WHY[why] for key, why in aside.items()},
        "files": len(good) + len(bad),
        "other_files": dict(sorted(passed.others.items())),
        "runs": len(runs),
        "findings": write_findings(findings),
        "models": models_of(runs),
        "methods": _methods(runs),
        "hyperparameters": keys,
    }
    return about, [_line(run) for run in runs]


def _methods(runs: list[ImportedRun]) -> dict[str, Mapping[str, object]]:
    """Return what is known of each method, under what it is called."""
    methods = {called(f.results): str(run.settings["kd_type"]) for run in runs for f in run.files}
    return {name: card_of(name, method).written() for name, method in sorted(methods.items())}


def _passed(passed: PassedOver) -> list[FileNotice]:
    findings = []
    for reason, count in passed.counts.items():
        paths = passed.paths[reason]
        all_of = f" ({count:,} in all)" if count > len(paths) else ""
        findings.append(finding("passed", reason + all_of, paths))
    return findings


def _set_aside(
    files: list[ForeignFile], samples: list[Sample], aside: Mapping[str, Why]
) -> list[FileNotice]:
    """Name the keys that differ between runs but keep none apart, and two files of each."""
    first: dict[str, tuple[str, str]] = {}
    differ: dict[str, list[str]] = {}
    for file, sample in zip(files, samples, strict=True):
        for key in sample.settings.keys() & aside.keys():
            value, path = first.setdefault(key, (sample.settings[key], file.path))
            if value != sample.settings[key]:
                differ.setdefault(key, [path, file.path])
    findings = []
    for why in dict.fromkeys(aside.values()):
        keys = sorted(key for key in differ if aside[key] == why)
        if keys:
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            text = f"{WHY[why]}: {', '.join(keys[:_SHOWN])}{more}"
            if why != "told":
                text += "; if one is a setting, import with --setting KEY"
            findings.append(finding("aside", text, differ[keys[0]]))
    return findings


def _survey(runs: list[ImportedRun], findings: list[FileNotice]) -> None:
    """Name what else a reader of the runs has to know."""
    for run in runs:
        file, roles = run.files[0], {slot.role for slot in run.slots}
        if not run.slots:
            findings.append(finding("role", "an ablation that changes nothing known", run.paths))
        if file.problem:
            findings.append(finding("failed", file.problem, run.paths))
        findings += [
            finding("contradiction", text, [run_file.path])
            for run_file in run.files
            for text in run_file.remarks
        ]
        if "selection" in roles and roles & {"final", "ablation"}:
            text = f"seed {run.seed} chose the hyper-parameters and is in the final mean"
            findings.append(finding("overlap", text, run.paths))
    without = [
        run.paths[0]
        for run in runs
        if any(slot.role == "final" for slot in run.slots) and not _fidelity(run)
    ]
    if without:
        findings.append(finding("fidelity", "final runs without fidelity", without))


def _fidelity(run: ImportedRun) -> Mapping[str, Any] | None:
    return next((file.fidelity for file in run.files if file.fidelity), None)


def _line(run: ImportedRun) -> dict[str, Any]:
    file = run.files[0]
    results, history = file.results, file.history
    state, remark = ("failed", file.problem) if file.problem else ("done", "")
    if run.conflict or run.copied:
        state, remark = "conflict", run.copied or "another run of this seed contradicts it"
    core = [run.configuration, run.seed, [entry.get("val_acc") for entry in history]]
    projections = results.get("proj_grad_norm_max_overall")
    return {
        # Never the file's own word: equal ids in several files would make several runs one.
        "id": hashlib.sha256(json_text(core).encode()).hexdigest(),
        "run_id": results.get("run_id"),
        "cell": run.configuration,
        "seed": run.seed,
        "slots": [slot.written() for slot in run.slots],
        "settings": run.settings,
        "parameters": run.parameters,
        "epochs": results["epochs"],
        "state": state,
        "remark": remark,
        "validation": {
            "best": results["best_val_acc"],
            "best_epoch": results.get("best_val_epoch"),
            "last": history[-1].get("val_acc") if history else None,
        },
        "test": {"best": results["test_acc_best"], "last": results["test_acc_final"]},
        "fidelity": _fidelity(run),
        "grad_norm_max": results.get("grad_norm_max_overall"),
        # The reference writes 0.0 where it did not record the projections' norm.
        "proj_grad_norm_max": projections or None,
        "history": history,
        **in_record(trusted(recorded(results))),
        "paths": run.paths,
        "sha256": [member.sha256 for member in run.files],
    }
