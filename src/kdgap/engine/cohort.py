"""Training, on one page.

    while a member has steps to go:
        the batch is addressed                     by (seed, epoch, step)
        the teacher answers, frozen                once, whatever the methods of the members ask for
        every member in turn takes its step        one member's activations are alive at a time
        now and then each member is saved          at a step boundary, if nothing has diverged
        at the end of an epoch                     the earliest best epoch on validation is kept

A cohort shares the teacher and nothing else: a member's weights, history and results are the same
bits alone, in any cohort, and after any interruption. Members may be at different places, because
one was resumed or has fewer epochs: those that lag behind go first, until all go in step. Nothing
here draws from a global random stream, reads a test image, or touches the disk.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from kdgap.addressing import address
from kdgap.data import BatchStream, Images, Preprocessing
from kdgap.engine.evaluate import accuracy, predict
from kdgap.engine.memory import kept_memory
from kdgap.engine.meter import DivergedError, Meter
from kdgap.engine.optimise import learning_rate
from kdgap.engine.ranks import ALONE, RankError, Ranks
from kdgap.engine.student import NO_TEACHER, State, Student
from kdgap.engine.teacher import Teacher
from kdgap.engine.tracker import Tracker
from kdgap.errors import KdgapError, RunFailedError, StoppedError
from kdgap.methods import Step
from kdgap.models.output import Output
from kdgap.models.taps import together
from kdgap.store.state import Snapshot

Labelled = tuple[Tensor, Tensor]
"""Labels and places in the training set, of a batch."""
SAVE_SECONDS = 120.0
SAVE_SHARE = 0.02
"""The share of the time that saving may take: where it takes long, it happens less often."""


class Member:
    """One run in training: a student, how far it is, and the best it has been.

    Attributes:
        epoch, step: the place it will go on from, counted from 0; at the end of an epoch, before
            validation, `step` is the number of steps.
        history: one entry for each epoch that was validated.
        best: weights after the earliest epoch with the highest validation accuracy.
        failure: why it was given up, if it was.
        watchers: told of every step and epoch; they cannot change the run.
    """

    def __init__(self, student: Student, watchers: Sequence[Tracker] = ()) -> None:
        self.student, self.watchers = student, watchers
        self.epoch = self.step = 0
        self.meter = Meter()
        self.norms: dict[str, float | Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.best: State = {}
        self.best_accuracy, self.best_epoch = -1.0, 0
        self.failure: RunFailedError | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and step to go on from, counted from 0."""
        return self.epoch, self.step

    @property
    def trained(self) -> bool:
        """Whether every epoch is done."""
        return self.epoch == self.student.run.recipe.epochs

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do, for good or ill."""
        return self.trained or self.failure is not None

    def take_step(
        self,
        seen: "Seen",
        batch: Labelled,
        target: Output,
        second: "tuple[Seen, Output] | None",
        *,
        probe: bool,
        whole: int,
    ) -> None:
        """Take one training step; see `Student.step`.

        `batch`: labels and indices of the images; `whole`: images of the batch of all ranks.
        """
        student, recipe = self.student, self.student.run.recipe
        if self.step == 0:
            student.network.train()
            student.set_learning_rate(learning_rate(recipe, self.epoch))
        drawn = address(student.run.seed, "method", self.epoch, self.step)
        step = Step(*batch, self.epoch, recipe.epochs, drawn)
        own, images, strong = target.only(student.teacher_taps), seen.by(student), None
        if second is not None and student.method.views > 1:
            strong = second[0].by(student), second[1].only(student.teacher_taps)
        probe = probe and self.step == 0
        share = len(images) / whole
        measured, norms = student.step(images, step, own, probe=probe, second=strong, share=share)
        self.meter.add(measured, whole)
        self.norms |= norms
        self.step += 1

    def end_epoch(self, stream: BatchStream, val: Images, pause: Callable[[], None]) -> None:
        """Validate, write the epoch into the history, and keep the weights if they are the best.

        Raises:
            DivergedError: naming the first bad step.
        """
        student, epoch = self.student, self.epoch
        means = self.meter.read(epoch)
        logits = predict(
            student.network,
            val,
            student.preprocessing,
            student.run.precision,
            student.device,
            pause,
        )
        entry: dict[str, Any] = {"epoch": epoch + 1, "val_acc": accuracy(logits, val.labels)}
        entry["val_loss"] = float(F.cross_entropy(logits.double(), val.labels.cpu()))
        if not math.isfinite(entry["val_loss"]):
            raise DivergedError(epoch + 1, stream.steps)
        entry |= means | {"lr": learning_rate(student.run.recipe, epoch)}
        if self.norms:
            entry["term_grad_norm"] = {name: float(norm) for name, norm in self.norms.items()}
        self.history.append(entry)
        if entry["val_acc"] > self.best_accuracy:  # a tie keeps the earlier epoch
            self.best_accuracy, self.best_epoch = entry["val_acc"], epoch + 1
            self.best = student.network_state()
        self.next_epoch()

    def next_epoch(self) -> None:
        """Go over to the next epoch: all that a rank other than 0 does at the end of one."""
        self.epoch, self.step, self.meter, self.norms = self.epoch + 1, 0, Meter(), {}

    def snapshot(self) -> Snapshot:
        """Return everything that is needed to go on from here, copied to the CPU.

        Raises:
            DivergedError: a bad state is never saved.
        """
        rows = self.meter.rows(self.epoch)
        names, sizes = self.meter.contents()
        tensors = self.student.state() | {f"best.{name}": t for name, t in self.best.items()}
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "meter": {"names": names, "sizes": sizes},
            "term_grad_norm": {name: float(norm) for name, norm in self.norms.items()},
            "history": list(self.history),
            "best_accuracy": self.best_accuracy,
            "best_epoch": self.best_epoch,
        }
        return Snapshot(tensors | {"meter": rows}, facts)

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of this very run."""
        tensors, facts = dict(snapshot.tensors), snapshot.facts
        rows, meter = tensors.pop("meter"), facts["meter"]
        self.best = {
            name.removeprefix("best."): tensors.pop(name)
            for name in list(tensors)
            if name.startswith("best.")
        }
        self.student.load(tensors)
        self.epoch, self.step = facts["epoch"], facts["step"]
        self.meter = Meter.resumed(meter["names"], rows, meter["sizes"], self.student.device)
        self.norms = dict(facts["term_grad_norm"])
        self.history = list(facts["history"])
        self.best_accuracy, self.best_epoch = facts["best_accuracy"], facts["best_epoch"]
        self.student.network.train()
        self.student.set_learning_rate(learning_rate(self.student.run.recipe, self.epoch))


def train_cohort(
    members: Sequence[Member],
    teacher: Teacher | None,
    stream: BatchStream,
    val: Images,
    *,
    pause: Callable[[], None] = lambda: None,
    save: Callable[[Member], None] = lambda _: None,
    end: Callable[[Member], None] = lambda _: None,
    save_seconds: float = SAVE_SECONDS,
    probe: bool = True,
    ranks: Ranks = ALONE,
) -> None:
    """Train the members of a cohort until each is trained or has failed.

    Args:
        members: runs of one seed, data, batch schedule, precision and teacher.
        teacher: the frozen teacher, if any member's method needs one.
        stream: the training batches.
        val: the validation images that choose the best epoch.
        pause: called between two members of a step; raises `StoppedError` to stop, which passes
            through once the members are saved.
        save: keeps a member's snapshot; called every `save_seconds` and on a stop.
        end: called once for each member as soon as it is over.
        save_seconds: time between two saves; longer where saving took more than `SAVE_SHARE` of
            it. 0 saves after every step.
        probe: measure each loss term's gradient norm once an epoch; changes no result.
        ranks: processes that train the same members, each on its part of every batch of `stream`.
    """
    for member in members:
        member.student.ranks = ranks
    saved = {id(member): member.place for member in members}
    last_save, wait = time.monotonic(), save_seconds

    def save_all(active: Sequence[Member]) -> None:
        nonlocal last_save, wait
        begun = time.monotonic()
        for member in active:
            if member.place != saved[id(member)]:
                _guarded(member, partial(save, member))
                saved[id(member)] = member.place
        last_save = time.monotonic()
        if save_seconds > 0:
            wait = max(save_seconds, (last_save - begun) / SAVE_SHARE)

    active = list(members)
    with kept_memory():
        while active:
            try:
                for member in [member for member in active if member.over]:
                    end(member)
                    active.remove(member)
                if active:
                    _advance(active, teacher, stream, val, pause, ranks, probe=probe)
            except StoppedError:
                save_all([member for member in active if member.failure is None])
                raise
            if time.monotonic() - last_save >= wait:
                save_all([member for member in active if not member.over])


def _advance(
    active: Sequence[Member],
    teacher: Teacher | None,
    stream: BatchStream,
    val: Images,
    pause: Callable[[], None],
    ranks: Ranks,
    *,
    probe: bool,
) -> None:
    """Take the members that are furthest behind one step on, or over the end of their epoch."""
    epoch, step = min(member.place for member in active)
    due = [member for member in active if member.place == (epoch, step)]
    if step < stream.steps:
        try:
            pixels, labels = stream.pixels(epoch, step)
            batch = labels, stream.indices(epoch, step)
            seen, second = Seen(pixels), None
            target = _answer(teacher, due, seen)
            if twice := [member for member in due if member.student.method.views > 1]:
                stronger = Seen(stream.stronger(pixels, epoch, step))
                second = stronger, _answer(teacher, twice, stronger)
            for member in due:  # before anything is trained on what all of them share
                seen.by(member.student)
        except (RuntimeError, MemoryError) as error:  # what all members share cannot be computed
            for member in due:
                member.failure = RunFailedError(f"{type(error).__name__}: {error}")
            return
        whole = stream.size(step)
        for member in due:
            ranks.together(pause)
            act = partial(member.take_step, seen, batch, target, second, probe=probe, whole=whole)
            _guarded(member, act)
            for watcher in member.watchers if member.failure is None else ():
                watcher.on_step(epoch + 1, step + 1, stream.steps)
        due = [member for member in due if member.failure is None]
    for member in due:
        if member.step == stream.steps:
            _guarded(member, partial(_end_epoch, member, stream, val, pause, ranks))
            for watcher in member.watchers if member.failure is None else ():
                watcher.on_epoch(member.history[-1])


def _end_epoch(
    member: Member, stream: BatchStream, val: Images, pause: Callable[[], None], ranks: Ranks
) -> None:
    """Validate on rank 0, as one process does; the others wait at their next step."""
    student = member.student
    ranks.check_equal([*student.network_parameters, *student.projection_parameters])
    if ranks.rank == 0:
        member.end_epoch(stream, val, pause)
    else:
        member.next_epoch()


class Seen:
    """A batch as networks see it: prepared once for all that see it alike.

    Args:
        pixels: uint8 `[B, C, H, W]`.
    """

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels
        self._prepared: dict[Preprocessing, Tensor] = {}

    def by(self, network: Student | Teacher) -> Tensor:
        """Return the batch as a network sees it."""
        if network.preprocessing not in self._prepared:
            self._prepared[network.preprocessing] = network.preprocessing(self._pixels)
        return self._prepared[network.preprocessing]


def _answer(teacher: Teacher | None, due: Sequence[Member], seen: Seen) -> Output:
    taught = [member for member in due if member.student.run.teacher is not None]
    if teacher is None or not taught:
        return NO_TEACHER
    asked = (member.student.teacher_taps for member in taught)
    return teacher(seen.by(teacher), together(asked, teacher.network.stages))


def _guarded(member: Member, act: Callable[[], None]) -> None:
    """Act; what fails is this member alone, its siblings go on."""
    try:
        act()
    except (DivergedError, RankError) as error:
        member.failure = error
    except (KdgapError, OSError):
        raise  # a stop, or a disk that is full for everybody
    except Exception as error:  # noqa: BLE001  (out of memory, or a defect of one method)
        member.failure = RunFailedError(f"{type(error).__name__}: {error}")
