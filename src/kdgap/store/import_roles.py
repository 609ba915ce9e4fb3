"""What imported runs are for: roles from folders, ablations from settings, sizes of networks.

And what keeps runs apart that look as if they belonged together: a cell that one setting splits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

from kdgap.spec.identity import canonical_json
from kdgap.spec.study import Slot
from kdgap.store.foreign import ForeignFile, hyperparameters, model_text, recipe_of
from kdgap.store.reference import parameters_text

# Parameters and FLOPs of one image's forward pass (2 per multiply-add of convolutions and the
# classifier), 32x32 images and 10 classes: the reference's files have neither.
MODELS: dict[tuple[str, str], tuple[int, int]] = {
    ("resnet18", "cifar"): (11_173_962, 1_110_845_440),
    ("resnet18", "imagenet"): (11_181_642, 74_033_152),
    ("resnet34", "cifar"): (21_282_122, 2_318_804_992),
    ("resnet34", "imagenet"): (21_289_802, 149_530_624),
    ("resnet50", "cifar"): (23_520_842, 2_595_659_776),
    ("resnet50", "imagenet"): (23_528_522, 166_862_848),
    ("resnet101", "cifar"): (42_512_970, 5_019_967_488),
    ("resnet101", "imagenet"): (42_520_650, 318_382_080),
}
_ROLES = {
    "teachers": "teacher",
    "select": "selection",
    "selection": "selection",
    "final": "final",
    "bug_ablation": "ablation",
    "stem_ablation": "ablation",
    "ablation": "ablation",
}


@dataclass(frozen=True)
class Finding:
    """Something odd about the files, with the paths that it is seen in.

    `kind` is one of: unreadable, failed, duplicate, conflict, copy, split, overlap, contradiction,
    fidelity, role, ablation.
    """

    kind: str
    text: str
    paths: list[str]


@dataclass
class ImportedRun:
    """A run that several files may tell of.

    Attributes:
        files: the richest first.
        settings: what makes runs alike.
        cell: their digest.
        slots: what it is for.
        conflict: whether its files contradict each other.
        copied: why its history cannot be its own; empty for a run that counts.
    """

    files: list[ForeignFile]
    settings: dict[str, Any]
    cell: str
    slots: list[Slot] = field(default_factory=list)
    conflict: bool = False
    copied: str = ""

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


def _student(settings: dict[str, Any]) -> str:
    stem = settings.get("stem", "cifar")
    return model_text(settings) + ("" if stem == "cifar" else f"-{stem}")


def place(run: ImportedRun, file: ForeignFile, source: str, findings: list[Finding]) -> None:
    """Give a run the slot that a file's folder, or a file of our own export, names.

    Args:
        run: the run.
        file: one of its files.
        source: name of the imported folder itself, such as `select`.
        findings: where a guess is noted.
    """
    settings = run.settings
    folders = [part.lower() for part in (source, *PurePosixPath(file.path).parts[:-1])]
    role = next((_ROLES[part] for part in folders if part in _ROLES), None)
    if file.results.get("role") in {*_ROLES.values(), "baseline"}:
        role = file.results["role"]
    plain = settings["kd_type"] == "none"
    if role in (None, "final") and plain:
        role = "baseline"
    if role is None:
        role = "final"
        text = "stands in no folder of the reference's layout: taken as a final run"
        findings.append(Finding("role", text, [file.path]))
    if role == "ablation":
        return  # its arms are known when all runs are
    method, teacher = str(settings["kd_type"]), settings.get("teacher")
    variant = parameters_text(hyperparameters(settings)) if role == "selection" else ""
    run.add_slot(Slot(role, None if plain else teacher, _student(settings), method, variant))


def pair_ablations(runs: list[ImportedRun], findings: list[Finding]) -> None:
    """Give both arms of every ablation their slots: the changed one, and what it is compared with.

    An ablation changes one thing: the projections go unclipped, or the stem is ImageNet's.
    """
    by_settings: dict[str, list[ImportedRun]] = {}
    for run in runs:
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
            slot = Slot("ablation", teacher, student, str(settings["kd_type"]), f"{name}: {arm}")
            for run in members:
                run.add_slot(slot)
        if not other:
            paths = [run.paths[0] for run in by_settings[key]]
            findings.append(Finding("ablation", f"{name} has nothing to compare with", paths))


# What tells two configurations of one slot apart, where both say it; the last are digests of ours.
_OF_CONFIGURATION = {
    *("teacher", "kd_type", "alpha", "temperature", "feat_beta", "method_parameters"),
    *("teacher_weight_hash", "cell", "settings"),
}
_MOST_SCHEMES = 20
"""Sets of keys that are compared pair by pair; files of one study have two or three."""


def name_splits(runs: Iterable[ImportedRun], findings: list[Finding]) -> None:
    """Name cells of one slot that differ in one setting, or only in what one of them does not say.

    They are never averaged, so that an arm of three seeds may be shown as one of two and one of
    one. Where such a difference leaves a method without its baseline, that is named, too.
    """
    slots: dict[Slot, dict[str, ImportedRun]] = {}
    for run in runs:
        for slot in run.slots:
            if slot.role in ("final", "baseline"):
                slots.setdefault(slot, {}).setdefault(run.cell, run)
    for cells in slots.values():
        _name_unlike("cells that", [(run.settings, run) for run in cells.values()], findings)
    plain: dict[str, list[ImportedRun]] = {}
    for slot, cells in slots.items():
        if slot.role == "baseline":
            plain.setdefault(slot.student, []).extend(cells.values())
    for slot, cells in slots.items():
        for run in cells.values() if slot.role == "final" else ():
            recipe = recipe_of(run.settings)
            others = [(recipe_of(one.settings), one) for one in plain.get(slot.student, [])]
            if all(other != recipe for other, _ in others):
                text = "a method and its baseline that"
                _name_unlike(text, [(recipe, run), *others], findings, run)


def _name_unlike(
    what: str,
    members: Sequence[tuple[dict[str, Any], ImportedRun]],
    findings: list[Finding],
    concerned: ImportedRun | None = None,
) -> None:
    """Name members that differ in as few keys as can be; only groups with the one concerned."""
    told: list[set[str]] = []
    said = [{k: v for k, v in settings.items() if v is not None} for settings, _ in members]
    schemes = sorted({tuple(sorted(settings)) for settings in said})
    single = [(key,) for key in sorted(set().union(*schemes))]
    pairs = combinations(schemes[:_MOST_SCHEMES], 2)
    lacking = sorted({tuple(sorted(set(a) ^ set(b))) for a, b in pairs}, key=len)
    for names in (single + lacking) if len(members) > 1 else ():
        groups: dict[str, list[int]] = {}
        for index, settings in enumerate(said):
            rest = {key: value for key, value in settings.items() if key not in names}
            groups.setdefault(canonical_json(rest), []).append(index)
        for group in groups.values():
            paths = {members[index][1].paths[0] for index in group}
            unsaid = any(name not in said[index] for index in group for name in names)
            chosen = len(names) > 1 or names[0] in _OF_CONFIGURATION
            if len(group) < 2 or any(paths <= known for known in told) or (chosen and not unsaid):
                continue
            if concerned is None or concerned.paths[0] in paths:
                told.append(paths)
                text = f"{what} differ only in {', '.join(names)}"
                findings.append(Finding("split", text, sorted(paths)))


def models_of(runs: list[ImportedRun]) -> dict[str, dict[str, Any]]:
    """Return name → architecture, and parameters and FLOPs where they are known."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        settings = run.settings
        names = {_student(settings): (str(settings["model"]), str(settings.get("stem", "cifar")))}
        if settings.get("teacher"):
            names[settings["teacher"]] = (settings["teacher"], "cifar")
        for name, key in names.items():
            about: dict[str, Any] = {"name": key[0], "stem": key[1]}
            data = str(settings.get("data", "cifar10"))
            if key in MODELS and settings.get("width", 1) == 1 and data == "cifar10":
                about["parameters"], about["flops"] = MODELS[key]
            found.setdefault(name, about)
    return dict(sorted(found.items()))
