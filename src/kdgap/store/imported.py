"""An import: runs of others, merged and named, in a folder that `analyze` and `report` read.

| file | what it holds |
|---|---|
| `import.json` | where the runs come from, what was found odd, the hash of `runs.jsonl` |
| `runs.jsonl` | one line a run: settings, seed, roles, accuracies, fidelity, history, its files |

A run under two paths is one run with two roles. Two different runs of one seed under the same
settings contradict each other, so neither counts.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import json_text, parse_json, read_json, write_atomic, write_json
from kdgap.spec.identity import canonical_json
from kdgap.store.foreign import (
    ForeignFile,
    hyperparameters,
    read_foreign,
    same_history,
    settings_of,
    source_hash,
)
from kdgap.store.import_roles import Finding, ImportedRun, models_of, pair_ablations, place
from kdgap.store.record import MANIFEST
from kdgap.store.study import PLAN

IMPORT, RUNS = "import.json", "runs.jsonl"


class ImportedDirectory:
    """One import's folder; see the module for its files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether an import is here."""
        return (self.path / IMPORT).exists()

    def refuse_other(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            BadInputError: naming what is there and how to go on.
        """
        if self.path.is_symlink():
            raise BadInputError(f"{self.path}: is a symbolic link; name a real folder")
        if self.path.exists() and not self.path.is_dir():
            raise BadInputError(f"{self.path}: is a file; give another --out")
        if self.path.is_dir() and not self.exists() and any(self.path.iterdir()):
            raise BadInputError(f"{self.path}: not empty and no import; give another --out")

    def differs(self, about: dict[str, Any]) -> bool:
        """Whether an import of other files is here, or one that cannot be read."""
        try:
            return self.exists() and bool(self.read()[0]["source"] != about["source"])
        except (StoreDamagedError, KeyError, ValueError):
            return True

    def judged(self) -> list[Path]:
        """Return what `analyze` and `report` left here."""
        return [path for name in ("report.html", "analysis") if (path := self.path / name).exists()]

    def write(self, about: dict[str, Any], runs: list[dict[str, Any]]) -> None:
        """Write an import; `import.json` comes last and commits it."""
        content = "".join(json_text(run, indent=None) + "\n" for run in runs).encode()
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / RUNS, content)
        write_json(
            self.path / IMPORT, {**about, "runs_sha256": hashlib.sha256(content).hexdigest()}
        )

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what `import.json` says, and the runs.

        Raises:
            BadInputError: there is no import here.
            StoreDamagedError: a file is damaged.
        """
        if not self.exists():
            raise BadInputError(f"{self.path}: nothing was imported here (it has no {IMPORT})")
        about = read_json(self.path / IMPORT)
        if not isinstance(about, dict) or about.get("format") != 1:
            raise StoreDamagedError(f"{self.path / IMPORT}: not an import of this version")
        try:
            content = (self.path / RUNS).read_bytes()
        except OSError as error:
            raise StoreDamagedError(f"{self.path / RUNS}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != about.get("runs_sha256"):
            raise StoreDamagedError(
                f"{self.path / RUNS}: changed after the import; import the source again"
            )
        return about, [parse_json(line) for line in content.decode().splitlines()]


def import_runs(source: Path, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the result files of a folder or a zip; nothing is written.

    Returns:
        What `import.json` holds, and the runs of `runs.jsonl`.

    Raises:
        BadInputError: the source is none, or it is a study of ours.
    """
    if (source / PLAN).exists() or (source / MANIFEST).exists():
        raise BadInputError(
            f"{source}: is kdgap's own; no import is needed: kdgap analyze {source}"
        )
    good, bad = read_foreign(source)
    findings = [Finding("unreadable", file.why, [file.path]) for file in bad]
    runs = _merged(good, findings)
    _name_copies(runs, findings)
    for run in runs:
        for file in run.files:
            place(run, file, source.name if source.is_dir() else "", findings)
    pair_ablations(runs, findings)
    _survey(runs, findings)
    about = {
        "format": 1,
        "name": name,
        "source": {"path": str(source), "sha256": source_hash(good, bad)},
        "files": len(good) + len(bad),
        "runs": len(runs),
        "findings": [asdict(finding) for finding in findings],
        "models": models_of(runs),
    }
    return about, [_line(run) for run in runs]


def _merged(files: Iterable[ForeignFile], findings: list[Finding]) -> list[ImportedRun]:
    """Return one entry a run; the same run under two paths is merged, the richer file leads."""
    runs: dict[tuple[str, int], ImportedRun] = {}
    for file in files:
        settings = settings_of(file.results)
        cell = hashlib.sha256(canonical_json(settings).encode()).hexdigest()
        known = runs.get((cell, file.results["seed"]))
        if known is None:
            runs[cell, file.results["seed"]] = ImportedRun([file], settings, cell)
            continue
        lead = known.files[0]
        if same_history(lead.history, file.history) and _same_outcomes(lead, file):
            richer = len(file.results) > len(lead.results)
            known.files = [file, *known.files] if richer else [*known.files, file]
        elif lead.problem and not file.problem:
            findings.append(Finding("failed", f"{lead.problem}; it was repeated", [lead.path]))
            known.files = [file]
        elif file.problem:
            findings.append(Finding("failed", f"{file.problem}; it was repeated", [file.path]))
        else:
            known.conflict = True
            known.files.append(file)
    for run in runs.values():
        if run.conflict:
            findings.append(
                Finding(
                    "conflict",
                    f"different runs of seed {run.seed} under the same settings; none counts",
                    run.paths,
                )
            )
        elif len(run.files) > 1:
            findings.append(Finding("duplicate", "the same run; counted once", run.paths))
    return list(runs.values())


def _same_outcomes(one: ForeignFile, other: ForeignFile) -> bool:
    keys = ("best_val_acc", "best_val_epoch", "test_acc_best", "test_acc_final")
    pairs = ((one.results.get(key), other.results.get(key)) for key in keys)
    return all(a == b for a, b in pairs if a is not None and b is not None)


def _name_copies(runs: list[ImportedRun], findings: list[Finding]) -> None:
    """Name runs whose settings or seeds differ but whose histories are the same numbers."""
    seen: dict[str, ImportedRun] = {}
    for run in runs:
        file = run.files[0]
        curve = [[entry.get(key) for key in ("val_acc", "train_acc")] for entry in file.history]
        if file.problem or not any(value is not None for pair in curve for value in pair):
            continue
        first = seen.setdefault(canonical_json(curve), run)
        if first is not run:
            findings.append(
                Finding(
                    "copy",
                    "the same history under other settings or another seed: one of them is not"
                    " what it says",
                    [first.paths[0], run.paths[0]],
                )
            )


def _survey(runs: list[ImportedRun], findings: list[Finding]) -> None:
    """Name what else a reader of the runs has to know."""
    for run in runs:
        file, roles = run.files[0], {slot.role for slot in run.slots}
        if not run.slots:
            findings.append(Finding("role", "an ablation that changes nothing known", run.paths))
        if file.problem:
            findings.append(Finding("failed", file.problem, run.paths))
        findings += [Finding("contradiction", text, [file.path]) for text in file.remarks]
        if "selection" in roles and roles & {"final", "ablation"}:
            text = f"seed {run.seed} chose the hyper-parameters and is in the final mean"
            findings.append(Finding("overlap", text, run.paths))
    without = [
        run.paths[0]
        for run in runs
        if any(slot.role == "final" for slot in run.slots) and not _fidelity(run)
    ]
    if without:
        findings.append(Finding("fidelity", "final runs without fidelity", without))


def _fidelity(run: ImportedRun) -> dict[str, Any] | None:
    return next((file.fidelity for file in run.files if file.fidelity), None)


def _line(run: ImportedRun) -> dict[str, Any]:
    file = run.files[0]
    results, history = file.results, file.history
    state = "conflict" if run.conflict else "failed" if file.problem else "done"
    core = [run.cell, run.seed, [entry.get("val_acc") for entry in history]]
    projections = results.get("proj_grad_norm_max_overall")
    return {
        "id": str(results.get("run_id") or hashlib.sha256(json_text(core).encode()).hexdigest()),
        "cell": run.cell,
        "seed": run.seed,
        "slots": [vars(slot) for slot in run.slots],
        "settings": run.settings,
        "parameters": hyperparameters(run.settings),
        "epochs": results["epochs"],
        "state": state,
        "remark": "another run of this seed contradicts it" if run.conflict else file.problem,
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
        "flags": [flag for flag in results.get("flags") or [] if isinstance(flag, str)],
        "paths": run.paths,
        "sha256": [member.sha256 for member in run.files],
    }


def count_findings(findings: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return how many there are of each kind; what several files lack is counted by files."""
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding["kind"]] += len(finding["paths"]) if finding["kind"] == "fidelity" else 1
    return counts
