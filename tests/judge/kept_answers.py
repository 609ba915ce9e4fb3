"""Hand-made studies whose runs keep what their networks answered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kdgap.files import file_hash, make_folder
from kdgap.judge.evidence import Evidence, Run
from kdgap.spec.slot import Slot
from kdgap.store.manifest import PREDICTIONS_TEST, REQUIRED, write_manifest
from kdgap.store.predictions import predictions_bytes
from tests.judge.builders import but, evidence, final, plain, runs_of

CLASSES = ("cat", "dog", "owl")
LABELS = (0, 0, 1, 1, 2, 2)
TEACHER = (0, 0, 1, 1, 2, 1)
PLAIN = ((0, 1, 1, 1, 2, 0), (0, 1, 1, 2, 2, 2))
DISTILLED = ((0, 0, 1, 1, 2, 1), (0, 1, 1, 1, 2, 2))


def logits_of(answers: Sequence[int], sureness: float = 2.0, classes: int = 3) -> Any:
    """Logits `[N, C]` whose largest is the answer, with equal others."""
    return np.eye(classes, dtype=np.float32)[list(answers)] * np.float32(sureness)


def keep(
    folder: Path, logits: Mapping[str, Any], hashes: Mapping[str, str], labels: Sequence[int]
) -> None:
    """Let a folder look like a finished run that keeps these test predictions."""
    make_folder(folder)
    path = folder / PREDICTIONS_TEST
    path.write_bytes(predictions_bytes("id", np.array(labels), logits, hashes))
    known = dict.fromkeys(REQUIRED, "0" * 64)
    write_manifest(folder, known | {PREDICTIONS_TEST: file_hash(path)}, {})


def with_answers(
    root: Path, run: Run, answers: Sequence[int], labels: Sequence[int] = LABELS, **others: Any
) -> Run:
    """Keep what a run answered with both weights; return it with the accuracies that follow."""
    right = np.array(answers) == np.array(labels)
    by_class = {
        name: float(right[np.array(labels) == place].mean()) for place, name in enumerate(CLASSES)
    }
    scores = {"accuracy": float(right.mean()), "per_class_acc": by_class}
    logits = {"best": logits_of(answers), "last": logits_of(answers)}
    hashes = {"best": f"{run.id} best", "last": f"{run.id} last"}
    for name, value in others.items():
        if isinstance(value, str):
            hashes[name] = value
        else:
            logits[name], hashes[name] = logits_of(value), f"given {name}"
    keep(root / run.paths[0], logits, hashes, labels)
    return but(run, test={"best": scores, "last": scores})


def forget(root: Path, run: Run) -> None:
    """Let a run look as if it was tested before runs kept their predictions."""
    make_folder(root / run.paths[0])
    write_manifest(root / run.paths[0], dict.fromkeys(REQUIRED, "0" * 64), {})


def failed(known: Evidence, role: str, seed: int) -> Evidence:
    """Return a study in which the run of a role and seed failed."""
    runs = [
        but(run, state="failed", test={}, epochs=None)
        if run.has_role(role) and run.seed == seed
        else run
        for run in known.runs
    ]
    return replace(known, runs=tuple(runs))


def given_a_teacher(root: Path, distilled: Sequence[Sequence[int]] = DISTILLED) -> Evidence:
    """A study of one pair, whose teacher was given as a file: each student keeps its answers."""
    known = study_of(root, distilled)
    finals = [run for run in known.runs if run.has_role("final")]
    taught = [
        with_answers(root, replace(run, teacher=None), answers, teacher=TEACHER)
        for run, answers in zip(finals, distilled, strict=True)
    ]
    plains = [run for run in known.runs if run.has_role("baseline")]
    return replace(known, runs=(*plains, *taught))


def of_two_teachers(root: Path) -> Evidence:
    """A study of one pair with teachers of seeds 0 and 1, each with a student of seeds 0 and 1."""
    slot = Slot("teacher", None, "big", "none")
    runs = []
    for seed, answers in enumerate((TEACHER, DISTILLED[1])):
        (teacher,) = runs_of(slot, [90.0], first_seed=seed, id=f"big {seed}")
        runs.append(with_answers(root, teacher, answers))
        for student in runs_of(final("big", "little", "logit"), [50.0] * 2):
            path = f"{student.paths[0]} of {seed}"
            named = replace(
                student, id=f"{student.id} of {seed}", teacher=teacher.id, paths=(path,)
            )
            runs.append(with_answers(root, named, answers, teacher=f"big {seed} best"))
    return evidence(runs, path=str(root))


def study_of(
    root: Path,
    distilled: Sequence[Sequence[int]] = DISTILLED,
    beside: Sequence[Sequence[int]] = PLAIN,
    **changes: Any,
) -> Evidence:
    """A study of one pair, whose teacher is a run of it."""
    (teacher,) = runs_of(Slot("teacher", None, "big", "none"), [90.0], id="teacher")
    runs = [with_answers(root, teacher, TEACHER)]
    known = runs_of(plain("little"), [50.0] * len(beside))
    runs += [with_answers(root, run, answers) for run, answers in zip(known, beside, strict=True)]
    known = runs_of(final("big", "little", "logit"), [50.0] * len(distilled), teacher="teacher")
    runs += [
        with_answers(root, replace(run, teacher="teacher"), answers, teacher="teacher best")
        for run, answers in zip(known, distilled, strict=True)
    ]
    return evidence(runs, path=str(root), **changes)
