"""An import: runs of others, merged and named, in a folder that `analyze` and `report` read.

| file | what it holds |
|---|---|
| `import.json` | where the runs come from, what was found odd, the hash of `runs.jsonl` |
| `runs.jsonl` | one line a run: settings, seed, roles, accuracies, fidelity, history, its files |

A run under two paths is one run with two roles. Two different runs of one seed under the same
settings contradict each other, so neither counts.

No two seeds train through the same numbers. Of runs with one history under the seeds of one cell,
only the first by path counts, or a mean would rest on fewer runs than its n. Under other settings
nobody can tell whose history it is, so none of them counts. A file that says less of its settings
is no other run, though: an older file under another path is merged with the run it tells of.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import (
    json_text,
    make_folder,
    names_in,
    parse_json,
    read_bytes,
    read_json,
    write_atomic,
    write_json,
)
from kdgap.spec.identity import canonical_json
from kdgap.store.foreign import (
    ForeignFile,
    hyperparameters,
    read_foreign,
    same_history,
    settings_of,
    source_hash,
    text_of,
)
from kdgap.store.gate import OUTCOMES
from kdgap.store.import_roles import (
    Finding,
    ImportedRun,
    models_of,
    name_splits,
    pair_ablations,
    place,
)
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
        if self.path.is_dir() and not self.exists() and names_in(self.path):
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
        make_folder(self.path)
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
            content = read_bytes(self.path / RUNS)
        except OSError as error:
            raise StoreDamagedError(f"{self.path / RUNS}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != about.get("runs_sha256"):
            raise StoreDamagedError(
                f"{self.path / RUNS}: changed after the import; import the source again"
            )
        # `splitlines` would also split at the line separators of Unicode, which JSON may hold.
        return about, [parse_json(line) for line in content.decode().split("\n") if line]


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
    name_splits(runs, findings)
    _survey(runs, findings)
    about = {
        "format": 1,
        "name": text_of(name),
        "source": {"path": text_of(source), "sha256": source_hash(good, bad)},
        "files": len(good) + len(bad),
        "runs": len(runs),
        "findings": [asdict(finding) for finding in findings],
        "models": models_of(runs),
    }
    return about, [_line(run) for run in runs]


def _merged(files: Iterable[ForeignFile], findings: list[Finding]) -> list[ImportedRun]:
    """Return one entry a run; the same run under two paths is merged, the richer file leads."""
    runs: dict[tuple[str, int], ImportedRun] = {}
    by_curve: dict[tuple[int, str], list[ImportedRun]] = {}
    for file in files:
        settings, seed, curve = settings_of(file.results), file.results["seed"], _curve(file)
        key = (hashlib.sha256(canonical_json(settings).encode()).hexdigest(), seed)
        alike = by_curve.setdefault((seed, curve), []) if curve else []
        known = runs.get(key) or next((run for run in alike if _tells_of(file, run)), None)
        if known is None:
            runs[key] = ImportedRun([file], settings, key[0])
            alike.append(runs[key])
            continue
        _add(known, file, findings)
        if known.files[0] is file:  # it says more, or it is the one that ended well
            known.settings, known.cell = settings, key[0]
        runs[key] = known
    merged = list({id(run): run for run in runs.values()}.values())
    for run in merged:
        if run.conflict:
            text = f"different runs of seed {run.seed} under the same settings; none counts"
            findings.append(Finding("conflict", text, run.paths))
        elif len(run.files) > 1:
            findings.append(Finding("duplicate", "the same run; counted once", run.paths))
    return merged


def _add(run: ImportedRun, file: ForeignFile, findings: list[Finding]) -> None:
    """Give a run one more file of its seed and settings: of itself, its repetition, or another."""
    lead = run.files[0]
    if same_history(lead.history, file.history) and _same_outcomes(lead, file):
        richer = (not file.problem, len(file.results)) > (not lead.problem, len(lead.results))
        run.files = [file, *run.files] if richer else [*run.files, file]
    elif lead.problem and not file.problem:
        findings.append(Finding("failed", f"{lead.problem}; it was repeated", [lead.path]))
        run.files = [file]
    elif file.problem:
        findings.append(Finding("failed", f"{file.problem}; it was repeated", [file.path]))
    else:
        run.conflict = True
        run.files.append(file)


def _same_outcomes(one: ForeignFile, other: ForeignFile) -> bool:
    keys = ("best_val_acc", "best_val_epoch", "test_acc_best", "test_acc_final")
    pairs = ((one.results.get(key), other.results.get(key)) for key in keys)
    return all(a == b for a, b in pairs if a is not None and b is not None)


def _tells_of(file: ForeignFile, run: ImportedRun) -> bool:
    """Whether a file with a run's curve and seed has its settings, as far as both say them."""
    lead = run.files[0]
    said = [{k for k, v in one.results.items() if v is not None} - OUTCOMES for one in (file, lead)]
    one, other = (
        settings_of({key: f.results[key] for key in said[0] & said[1]}) for f in (file, lead)
    )
    same = same_history(lead.history, file.history) and _same_outcomes(lead, file)
    return one == other and same


def _curve(file: ForeignFile) -> str:
    """Return a run's accuracies by epoch as one text; empty where none was recorded."""
    curve = [[entry.get(key) for key in ("val_acc", "train_acc")] for entry in file.history]
    recorded = any(value is not None for pair in curve for value in pair)
    return canonical_json(curve) if recorded else ""


def _name_copies(runs: Iterable[ImportedRun], findings: list[Finding]) -> None:
    """Name runs whose settings or seeds differ but whose histories are the same numbers.

    All numbers that two files have must agree: a few epochs of a small data set may well end in the
    same accuracies, but no two seeds have one loss.
    """
    by_curve: dict[str, list[list[tuple[ImportedRun, ForeignFile]]]] = {}
    each = [(run, file) for run in runs for file in run.files if not file.problem]
    for run, file in sorted(each, key=lambda one: one[1].path):
        groups = by_curve.setdefault(curve, []) if (curve := _curve(file)) else []
        for group in groups:
            if same_history(group[0][1].history, file.history):
                group.append((run, file))
                break
        else:
            groups.append([(run, file)])
    for group in (group for groups in by_curve.values() for group in groups):
        members = {id(run): (run, file) for run, file in reversed(group)}
        if len(members) > 1:
            _name_group(list(members.values())[::-1], findings)


def _name_group(members: list[tuple[ImportedRun, ForeignFile]], findings: list[Finding]) -> None:
    """Name runs of one history, in the order of their paths, and say which of them count."""
    first, others = members[0], members[1:]
    unlike = sorted(
        key
        for key in set().union(*(run.settings for run, _ in members))
        if any(run.settings.get(key) != first[0].settings.get(key) for run, _ in others)
    )
    for run, file in others:
        paths = [first[1].path, file.path]
        if unlike:
            where = f"under other settings ({', '.join(unlike[:3])})"
            text = f"the same history {where}: one of them is not what it says; neither counts"
            run.copied = f"has the history of {first[1].path} {where}"
            first[0].copied = first[0].copied or f"has the history of {file.path} {where}"
        else:
            text = f"the history of seed {first[0].seed} under seed {run.seed}; counted once"
            run.copied = f"a copy: has the history of {first[1].path}, seed {first[0].seed}"
        findings.append(Finding("copy", text, paths))


def _survey(runs: list[ImportedRun], findings: list[Finding]) -> None:
    """Name what else a reader of the runs has to know."""
    for run in runs:
        file, roles = run.files[0], {slot.role for slot in run.slots}
        if not run.slots:
            findings.append(Finding("role", "an ablation that changes nothing known", run.paths))
        if file.problem:
            findings.append(Finding("failed", file.problem, run.paths))
        findings += [
            Finding("contradiction", text, [one.path]) for one in run.files for text in one.remarks
        ]
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
    state, remark = ("failed", file.problem) if file.problem else ("done", "")
    if run.conflict or run.copied:
        state, remark = "conflict", run.copied or "another run of this seed contradicts it"
    core = [run.cell, run.seed, [entry.get("val_acc") for entry in history]]
    projections = results.get("proj_grad_norm_max_overall")
    return {
        # Never the file's own word: equal ids in several files would make several runs one.
        "id": hashlib.sha256(json_text(core).encode()).hexdigest(),
        "run_id": results.get("run_id"),
        "cell": run.cell,
        "seed": run.seed,
        "slots": [vars(slot) for slot in run.slots],
        "settings": run.settings,
        "parameters": hyperparameters(run.settings),
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
        "flags": results.get("flags") or [],
        "paths": run.paths,
        "sha256": [member.sha256 for member in run.files],
    }


def count_findings(findings: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return how many there are of each kind; what several files lack is counted by files."""
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding["kind"]] += len(finding["paths"]) if finding["kind"] == "fidelity" else 1
    return counts
