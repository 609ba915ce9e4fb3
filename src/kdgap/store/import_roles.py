"""What imported runs are for: roles from folders, ablations from settings, sizes of networks."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from kdgap.spec.identity import canonical_json
from kdgap.spec.study import Slot
from kdgap.store.foreign import ForeignFile, hyperparameters, model_text
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

    `kind` is one of: unreadable, passed, failed, duplicate, conflict, copy, split, aside, overlap,
    contradiction, fidelity, role, ablation.
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
