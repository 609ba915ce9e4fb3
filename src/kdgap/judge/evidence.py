"""What a judgement rests on: runs with their roles and arms, from a study of ours or an import.

Everything after this page (analysis, report, tables) works on `Evidence` and never asks where the
runs came from.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kdgap.judge.recorded import UNTESTED, History, Scores, Validation
from kdgap.notice import FileNotice, Notice, shorts
from kdgap.spec.claims import Claim, Statistics
from kdgap.spec.method_card import UNKNOWN, MethodCard
from kdgap.spec.slot import Slot

SHOWN = ("teacher", "baseline", "final", "ablation")
"""Roles whose test accuracy is judged."""


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        id: its id, or a digest of what an imported file says.
        configuration: its digest: what it may be averaged with (`docs/glossary.md`).
        seed: its seed.
        slots: the roles that it plays.
        state: `done`, or what it is instead (`failed`, `new`, `damaged`, …); never averaged then.
        remark: why it is not done.
        parameters: hyper-parameters of its method.
        teacher: id of the run that trained its teacher, where one of ours did.
        recipe: what it must share with the run that it is compared with.
        epochs: how long it was trained.
        validation: accuracy on the validation images of the best and the last epoch.
        test: what `test.json` says of the `best` and the `last` weights.
        baseline_test: the same of the plainly trained student of this seed, against the teacher.
        teacher_accuracy: the teacher's test accuracy.
        history: its epochs.
        paths: where its files are, relative to the study or the import.
        notices: what a reader must know before believing its numbers.
        environment: what hardware and libraries it was trained on, in one string.
    """

    id: str
    configuration: str
    seed: int
    slots: tuple[Slot, ...]
    state: str
    remark: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    teacher: str | None = None
    recipe: str = ""
    epochs: int | None = None
    validation: Validation = field(default_factory=Validation)
    test: Mapping[str, Scores] = field(default_factory=dict)
    baseline_test: Mapping[str, Scores] = field(default_factory=dict)
    teacher_accuracy: float | None = None
    history: History = field(default_factory=History)
    paths: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    environment: str = ""

    def accuracy(self, weights: str) -> float | None:
        """Return test accuracy in [0, 1] of the `best` or `last` weights; None while unknown."""
        if self.state != "done":
            return None
        value = self.test.get(weights, UNTESTED).accuracy
        return None if value is None else float(value)

    def has_role(self, role: str) -> bool:
        """Whether it plays a role."""
        return any(slot.role == role for slot in self.slots)


@dataclass(frozen=True)
class Arm:
    """The runs of one slot and one configuration: what a mean is taken over."""

    slot: Slot
    configuration: str
    runs: tuple[Run, ...]

    @property
    def parameters(self) -> Mapping[str, object]:
        """Its method's hyper-parameters."""
        return self.runs[0].parameters

    @property
    def epochs(self) -> int | None:
        """How long its runs were trained, by the first that says so: one that failed does not."""
        return next((run.epochs for run in self.runs if run.epochs is not None), None)

    def by_seed(self, weights: str, without: Iterable[int] = ()) -> dict[int, float]:
        """Return test accuracy in percent by seed, as the mean over its teachers.

        The runs of one seed share initialisation and batches, so a seed is what is independent. A
        seed that lacks a teacher is left out: its mean would be one of other teachers.

        Args:
            weights: `best` or `last`.
            without: seeds to leave out.
        """
        left_out, accuracies = set(without), dict[int, dict[str, float]]()
        for run in self.runs:
            value = run.accuracy(weights)
            if value is not None and run.seed not in left_out:
                accuracies.setdefault(run.seed, {})[run.teacher or ""] = 100 * value
        teachers = {teacher for values in accuracies.values() for teacher in values}
        return {
            seed: math.fsum(values.values()) / len(values)
            for seed, values in sorted(accuracies.items())
            if len(values) == len(teachers)
        }

    def counted(self, weights: str) -> list[Run]:
        """Return the runs that are in `by_seed`: the mean accuracy is of no others."""
        seeds = self.by_seed(weights)
        return [run for run in self.runs if run.seed in seeds and run.accuracy(weights) is not None]

    def table(self, weights: str) -> dict[str, dict[int, float]]:
        """Return test accuracy in percent by teacher and seed; empty with fewer than two."""
        accuracies: dict[str, dict[int, float]] = {}
        for run in self.runs:
            value = run.accuracy(weights)
            if value is not None and run.teacher is not None:
                accuracies.setdefault(run.teacher, {})[run.seed] = 100 * value
        return accuracies if len(accuracies) > 1 else {}

    def missing(self, weights: str) -> list[str]:
        """Return a line for each run that has no accuracy, and why."""
        return [
            f"seed {run.seed}: {run.state if run.state != 'done' else 'not tested'}"
            + (f" ({run.remark})" if run.remark else "")
            for run in self.runs
            if run.accuracy(weights) is None
        ]


def ids(arm: Arm | None) -> tuple[str, ...]:
    """Return the ids of an arm's runs; none without an arm."""
    return () if arm is None else tuple(run.id for run in arm.runs)


@dataclass(frozen=True)
class Candidate:
    """A configuration that selection tried.

    Attributes:
        parameters: its hyper-parameters.
        runs: ids.
        score: mean validation score in [0, 1]; None where a run failed.
    """

    parameters: Mapping[str, object]
    runs: tuple[str, ...] = ()
    score: float | None = None


@dataclass(frozen=True)
class Tuning:
    """How a pair's method was tuned.

    Attributes:
        teacher, student, method: the slot.
        candidates: each configuration that was tried.
        winner: the hyper-parameters that were chosen; None while open.
        seeds: run seeds of the selection runs.
        split: what was chosen on, `val` or `test`.
        metric: what was compared.
        label: what people call the method.
    """

    teacher: str
    student: str
    method: str
    candidates: tuple[Candidate, ...]
    winner: Mapping[str, object] | None
    seeds: tuple[int, ...]
    split: str
    metric: str
    label: str


def label_of(method: str, methods: Mapping[str, MethodCard]) -> str:
    """Return what people call a method, by what methods declare."""
    return str(methods.get(method, UNKNOWN).label or method)


def choosing_images(split: str) -> str:
    """Return which images chose, by `chosen_on` or `split`, as the word before "images"."""
    return "test" if split == "test" else "validation"


def choice_words(split: str) -> str:
    """Return what the accuracy is called that chose epochs and hyper-parameters, as `val_acc`."""
    return "accuracy on the test images" if split == "test" else "validation accuracy"


@dataclass(frozen=True)
class Evidence:
    """Everything known of a study or of an import.

    Attributes:
        name, path: of the study or import.
        origin: `study` or `import`.
        description: one line.
        title, paper, main_claim: as in `StudySpec`.
        data: what a file of claims says of the data; the records' own word goes before it.
        runs: every run, each once.
        models: name → architecture, parameters, FLOPs, citation.
        methods: name → what the method declares (`Method.about`), as it was written down.
        tunings: one a pair and method that was tuned.
        primary: `best` or `last`: which weights' test accuracy decides.
        statistics: how it is judged.
        paired: whether runs of one seed share initialisation and batches.
        claims: the declared claims; `locked_claims` are those registered before the first test.
        locked_claims: claims as they were locked; None if nothing was ever locked.
        notices: what the plan or the import says of the protocol.
        findings: what an import found odd.
        provenance: code, libraries and data that it comes from.
        slots: every slot that is planned, also of runs that are still open.
        changes: what each ablation changes, in words.
        chosen_on: the images that chose epochs and hyper-parameters.
        images: test images, for intervals of a single accuracy; None if unknown.
        train_images: what a run trains on, without validation images; None if unknown.
    """

    name: str
    path: str
    origin: str
    runs: tuple[Run, ...]
    models: Mapping[str, Mapping[str, Any]]
    primary: str
    statistics: Statistics
    paired: bool
    description: str = ""
    methods: Mapping[str, MethodCard] = field(default_factory=dict)
    tunings: tuple[Tuning, ...] = ()
    claims: tuple[Claim, ...] = ()
    locked_claims: tuple[Mapping[str, object], ...] | None = None
    notices: tuple[Notice, ...] = ()
    findings: tuple[FileNotice, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    slots: tuple[Slot, ...] = ()
    changes: dict[str, str] = field(default_factory=dict)
    chosen_on: Literal["val", "test"] = "val"
    images: int | None = None
    train_images: int | None = None
    open_runs: int = 0
    title: str | None = None
    paper: str | None = None
    data: str | None = None
    main_claim: str | None = None

    def arms(self, roles: Collection[str] = SHOWN) -> list[Arm]:
        """Return one arm a slot and configuration, by default of every role that is judged."""
        members: dict[tuple[Slot, str], list[Run]] = {}
        for run in self.runs:
            for slot in run.slots:
                if slot.role in roles:
                    members.setdefault((slot, run.configuration), []).append(run)
        return [
            Arm(
                slot,
                configuration,
                tuple(sorted(runs, key=lambda run: (run.seed, run.teacher or ""))),
            )
            for (slot, configuration), runs in members.items()
        ]

    @property
    def marks(self) -> tuple[str, ...]:
        """What stands under every table: the few words of its gravest notices."""
        return shorts(self.notices)

    def label(self, method: str) -> str:
        """Return what people call a method; its name where nothing is known of it."""
        return label_of(method, self.methods)

    def shared_seeds(self, arm: Arm) -> list[int]:
        """Return the seeds whose own runs chose the arm's hyper-parameters."""
        return sorted({run.seed for run in arm.runs if run.has_role("selection")})
