"""An import: runs of others, merged and named, in a folder that `analyze` and `report` read.

| file | what it holds |
|---|---|
| `import.json` | where the runs come from, what was found odd, the hash of `runs.jsonl` |
| `runs.jsonl` | one line a run: settings, seed, roles, accuracies, fidelity, history, its files |

An import that is cut short leaves the one before it, or what the next one tidies.
"""

import hashlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import (
    TEMPORARY_PREFIX,
    changes,
    json_text,
    make_folder,
    names_in,
    open_file,
    parse_json,
    read_bytes,
    remove,
    remove_tree,
    take_back,
)
from kdgap.methods import METHODS
from kdgap.staging import replace_together
from kdgap.store.imports.bookkeeping import (
    AS_TOLD,
    Choices,
    Sample,
    leaves,
    set_aside,
)
from kdgap.store.imports.copies import name_copies
from kdgap.store.imports.foreign import (
    ForeignFile,
    read_foreign,
    source_hash,
)
from kdgap.store.imports.found import PassedOver, text_of
from kdgap.store.imports.merging import merged
from kdgap.store.imports.roles import Finding, ImportedRun, models_of, pair_ablations, place
from kdgap.store.imports.splits import name_splits
from kdgap.store.instead import IMPORT, is_study, own
from kdgap.store.manifest import MANIFEST
from kdgap.store.schema import ImportedLine, ImportFile, checked
from kdgap.store.seal import read_sealed, sealed_bytes

RUNS = "runs.jsonl"
NO_CHOICES = Choices()
_LONGEST_LINE = 2**26
_SHOWN = 12
"""Keys that a finding lists; all are in `import.json`."""


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
        try:
            if self.path.is_dir() and not self.exists() and not self._was_cut_short():
                raise BadInputError(f"{self.path}: not empty and no import; give another --out")
        except OSError as error:
            raise BadInputError(f"{self.path}: {error.strerror}; give another --out") from None

    def _was_cut_short(self) -> bool:
        """Whether nothing is here but what an import leaves that was killed while writing."""
        left = [name for name in names_in(self.path) if not name.startswith(TEMPORARY_PREFIX)]
        if left != [RUNS]:
            return not left
        try:
            with open_file(self.path / RUNS) as stream:
                first = parse_json(stream.readline(_LONGEST_LINE).decode())
        except ValueError:
            return False
        return isinstance(first, dict) and {"cell", "slots", "sha256"} <= first.keys()

    def differs(self, about: dict[str, Any]) -> bool:
        """Whether an import of other files is here, or by other options, or an unreadable one."""
        try:
            known = self.read()[0] if self.exists() else about
            told = known.get("choices", Choices().as_json())
            return bool(known["source"] != about["source"] or told != about["choices"])
        except (StoreDamagedError, KeyError, ValueError):
            return True

    def judged(self) -> list[Path]:
        """Return what `analyze` and `report` left here."""
        return [path for name in ("report.html", "analysis") if (path := self.path / name).exists()]

    def write(self, about: dict[str, Any], runs: list[dict[str, Any]]) -> None:
        """Write an import, and tidy what one that was cut short has left.

        Raises:
            OSError: it cannot be written; what was here before still is.
        """
        content = "".join(json_text(run, indent=None) + "\n" for run in runs).encode()
        head = {**about, "runs_sha256": hashlib.sha256(content).hexdigest()}
        new = {RUNS: content, IMPORT: sealed_bytes(head)}
        old = self._kept() if self.exists() else {}
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        before = changes()
        try:
            make_folder(self.path)
            replace_together({self.path / name: content for name, content in new.items()})
        except BaseException:
            with suppress(OSError):
                self._restore(old, new, made)
                take_back(before)
            raise

    def _kept(self) -> dict[str, bytes]:
        """Return what is here and can be read; what cannot is lost already."""
        found = {}
        for name in (RUNS, IMPORT):
            with suppress(OSError):
                found[name] = read_bytes(self.path / name)
        return found

    def _restore(self, old: dict[str, bytes], new: dict[str, bytes], made: list[Path]) -> None:
        """Bring back what was here; of a new import, leave neither files nor folders."""
        now = self._kept()
        if any(content not in (old.get(name), new[name]) for name, content in now.items()):
            return  # another import's, which was quicker: its work is not ours to undo
        for name in (IMPORT, RUNS):
            if name not in old:
                remove(self.path / name)
        if now != old:
            replace_together({self.path / name: content for name, content in old.items()})
        for folder in made:
            if folder.is_dir() and not names_in(folder):
                remove_tree(folder)

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what `import.json` says, and the runs.

        Raises:
            BadInputError: there is no import here.
            StoreDamagedError: a file is damaged.
        """
        if not self.exists():
            raise BadInputError(f"{self.path}: nothing was imported here (it has no {IMPORT})")
        again = "; import the source again"
        try:
            about = read_sealed(self.path / IMPORT)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{error}{again}") from None
        checked(ImportFile, about, self.path / IMPORT, again)
        try:
            content = read_bytes(self.path / RUNS)
        except OSError as error:
            raise StoreDamagedError(f"{self.path / RUNS}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != about.get("runs_sha256"):
            raise StoreDamagedError(
                f"{self.path / RUNS}: changed after the import; import the source again"
            )
        # `splitlines` would also split at the line separators of Unicode, which JSON may hold.
        runs = [parse_json(line) for line in content.decode().split("\n") if line]
        for run in runs:
            checked(ImportedLine, run, self.path / RUNS, again)
        return about, runs


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
        BadInputError: the source is none, or it is a study of ours; no file holds a result; a
            choice names a key that no file has.
    """
    if is_study(source) or (source / MANIFEST).exists():
        raise BadInputError(f"{source}: is kdgap's own; no import is needed{own(source)}")
    passed = PassedOver()
    good, bad = read_foreign(source, passed, percent=choices.percent)
    samples = [Sample(f.results["kd_type"], f.results["seed"], leaves(f.results)) for f in good]
    aside = set_aside(samples, choices)
    findings = [Finding("unreadable", file.why, [file.path]) for file in bad]
    findings += _passed(passed)
    runs = merged(good, findings, aside.__contains__)
    name_copies(runs, findings)
    keys = place(runs, source.name if source.is_dir() else "", findings)
    pair_ablations(runs, findings)
    name_splits(runs, findings, aside.keys(), set().union(*keys.values()))
    findings += _set_aside(good, samples, aside)
    _survey(runs, findings)
    about = {
        "format": 1,
        "name": text_of(name),
        "source": {"path": text_of(source), "sha256": source_hash(good, bad)},
        "choices": choices.as_json(),
        "bookkeeping": aside,
        "files": len(good) + len(bad),
        "other_files": dict(sorted(passed.others.items())),
        "runs": len(runs),
        "findings": [asdict(finding) for finding in findings],
        "models": models_of(runs),
        "methods": {
            name: METHODS[name].about() if name in METHODS else {}
            for name in sorted({run.settings["kd_type"] for run in runs})
        },
        "hyperparameters": keys,
    }
    return about, [_line(run) for run in runs]


def _passed(passed: PassedOver) -> list[Finding]:
    found = []
    for reason, count in passed.counts.items():
        paths = passed.paths[reason]
        all_of = f" ({count:,} in all)" if count > len(paths) else ""
        found.append(Finding("passed", reason + all_of, paths))
    return found


def _set_aside(
    files: list[ForeignFile], samples: list[Sample], aside: dict[str, str]
) -> list[Finding]:
    """Name the keys that differ between runs but keep none apart, and two files of each."""
    first: dict[str, tuple[str, str]] = {}
    differ: dict[str, list[str]] = {}
    for file, sample in zip(files, samples, strict=True):
        for key in sample.said.keys() & aside.keys():
            value, path = first.setdefault(key, (sample.said[key], file.path))
            if value != sample.said[key]:
                differ.setdefault(key, [path, file.path])
    found = []
    for why in dict.fromkeys(aside.values()):
        keys = sorted(key for key in differ if aside[key] == why)
        if keys:
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            text = f"{why}: {', '.join(keys[:_SHOWN])}{more}"
            if why != AS_TOLD:
                text += "; if one is a setting, import with --setting KEY"
            found.append(Finding("aside", text, differ[keys[0]]))
    return found


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
        "flags": results.get("flags") or [],
        "paths": run.paths,
        "sha256": [member.sha256 for member in run.files],
    }
