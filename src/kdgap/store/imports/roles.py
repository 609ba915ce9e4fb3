"""What imported runs are for: roles from folders, ablations from settings, sizes of networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from kdgap.models import MODELS
from kdgap.notice import FileNotice
from kdgap.spec.identity import canonical_json
from kdgap.spec.slot import PLAIN, Slot
from kdgap.store.imports.findings import finding
from kdgap.store.imports.foreign import (
    KEYS_OF_EVERY_FILE,
    ForeignFile,
    axes_of,
    declared_keys,
    hyperparameters,
    model_text,
)
from kdgap.store.imports.own_names import called
from kdgap.store.reference import ABLATION, ARM, parameters_text

_ROLES = {
    "teachers": "teacher",
    "select": "selection",
    "selection": "selection",
    "final": "final",
    "bug_ablation": "ablation",
    "stem_ablation": "ablation",
    "ablation": "ablation",
}


@dataclass
class ImportedRun:
    """A run that several files may tell of.

    Attributes:
        files: the richest first.
        settings: what makes runs alike.
        configuration: their digest.
        slots: what it is for.
        conflict: whether its files contradict each other.
        copied: why its history cannot be its own; empty for a run that counts.
        parameters: its method's hyper-parameters, once it is placed.
    """

    files: list[ForeignFile]
    settings: Mapping[str, Any]
    configuration: str
    slots: list[Slot] = field(default_factory=list)
    conflict: bool = False
    copied: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.files[0].results["seed"])

    @property
    def paths(self) -> list[str]:
        """Where its files are in the source."""
        return [file.path for file in self.files]

    def add_slot(self, slot: Slot) -> None:
        """Give it one more role, once."""
        if slot not in self.slots:
            self.slots.append(slot)


def _student(settings: Mapping[str, Any]) -> str:
    stem = settings.get("stem", "cifar")
    return model_text(settings) + ("" if stem == "cifar" else f"-{stem}")


def _role(settings: Mapping[str, Any], file: ForeignFile, source: str) -> str | None:
    """Return what a file's folder, or a file of our own export, says that a run is for."""
    folders = [part.lower() for part in (source, *PurePosixPath(file.path).parts[:-1])]
    role = next((_ROLES[part] for part in folders if part in _ROLES), None)
    if file.results.get("role") in {*_ROLES.values(), "baseline"}:
        role = file.results["role"]
    return "baseline" if role in (None, "final") and settings["kd_type"] == PLAIN else role


def place(runs: list[ImportedRun], source: str, findings: list[FileNotice]) -> dict[str, list[str]]:
    """Give each run the slots that its files' folders, or files of our own export, name.

    Args:
        runs: all of them; each gets its hyper-parameters, too.
        source: name of the imported folder itself, such as `select`.
        findings: where a guess is noted.

    Returns:
        Method → the keys that are no part of the recipe: those that a method of ours declares, and
        those in which the configurations differ that were tried of it, unless baselines say them.
    """
    roles = [(run, file, _role(run.settings, file, source)) for run in runs for file in run.files]
    grids: dict[tuple[Any, ...], list[tuple[int, Mapping[str, Any]]]] = {}
    for run, file, role in roles:
        if role == "selection":
            key = (run.settings.get("teacher"), _student(run.settings), called(file.results))
            grids.setdefault(key, []).append((run.seed, run.settings))
    axes: dict[str, set[str]] = {}
    for (*_, method), group in grids.items():
        axes.setdefault(method, set()).update(axes_of(group))
    for run in runs:
        own_axes = set[str]().union(*(axes.get(called(file.results), ()) for file in run.files))
        run.parameters = hyperparameters(run.settings, own_axes)
    for run, file, role in roles:
        if role is None:
            role = "final"
            text = "stands in no folder of the reference's layout: taken as a final run"
            findings.append(finding("role", text, [file.path]))
        method = str(run.settings["kd_type"])
        given = None if method == PLAIN else run.settings.get("teacher")
        if role == "ablation":
            if name := file.results.get(ABLATION):
                student, arm = model_text(run.settings), file.results[ARM]
                run.add_slot(Slot(role, given, student, called(file.results), "", name, arm))
            continue  # the arms of others' are known when all runs are
        # What a grid's other axes are stays out of a slot: `splits.py` compares what is in one.
        declared = hyperparameters(run.settings)
        candidate = parameters_text(declared, method) if role == "selection" else ""
        run.add_slot(Slot(role, given, _student(run.settings), called(file.results), candidate))
    plain = [run.settings for run in runs if run.settings["kd_type"] == PLAIN]
    plain_keys = {key for settings in plain for key, value in settings.items() if value is not None}
    plain_keys |= KEYS_OF_EVERY_FILE
    own: dict[str, dict[str, None]] = {}
    for run in runs:
        method = run.settings["kd_type"]
        tried = (key for key in run.parameters if key in run.settings and key not in plain_keys)
        kept = [key for key in run.parameters if key in declared_keys(method)]
        kept += [key for key in tried if key not in kept]
        own.setdefault(method, {}).update(dict.fromkeys(kept))
    return {method: list(keys) for method, keys in sorted(own.items())}


def pair_ablations(runs: list[ImportedRun], findings: list[FileNotice]) -> None:
    """Give both arms of every ablation their slots: the changed one, and what it is compared with.

    An ablation changes one thing: the projections go unclipped, or the stem is ImageNet's. Files of
    our own export name theirs.
    """
    by_settings: dict[str, list[ImportedRun]] = {}
    for run in (run for run in runs if not any(slot.ablation for slot in run.slots)):
        by_settings.setdefault(canonical_json(run.settings), []).append(run)
    for key, changed in by_settings.items():
        settings = changed[0].settings
        student, teacher = model_text(settings), settings.get("teacher")
        if settings.get("no_proj_clip"):
            base = {**settings, "no_proj_clip": False}
            name = f"projection_clipping_{teacher}_to_{student}"
        elif settings.get("stem") == "imagenet":
            base, name = {**settings, "stem": "cifar"}, f"stem_{student}"
        else:
            continue
        other = by_settings.get(canonical_json(base), [])
        for arm, members in (("changed", changed), ("base", other)):
            slot = Slot("ablation", teacher, student, str(settings["kd_type"]), "", name, arm)
            for run in members:
                run.add_slot(slot)
        if not other:
            paths = [run.paths[0] for run in by_settings[key]]
            findings.append(finding("ablation", f"{name} has nothing to compare with", paths))


def models_of(runs: list[ImportedRun]) -> dict[str, dict[str, Any]]:
    """Return name → architecture, and parameters and FLOPs where they are known."""
    models: dict[str, dict[str, Any]] = {}
    for run in runs:
        settings = run.settings
        names = {_student(settings): (str(settings["model"]), str(settings.get("stem", "cifar")))}
        if settings.get("teacher"):
            names[settings["teacher"]] = (settings["teacher"], "cifar")
        for name, key in names.items():
            about: dict[str, Any] = {"name": key[0], "stem": key[1]}
            data = str(settings.get("data", "cifar10"))
            known = MODELS[key[0]].cifar10_cost.get(key[1]) if key[0] in MODELS else None
            if known and settings.get("width", 1) == 1 and data == "cifar10":
                about["parameters"], about["flops"] = known
            models.setdefault(name, about)
    return dict(sorted(models.items()))
