"""Runs into their directories: resumed where they were, trained as a cohort, recorded one by one.

The one way in which anything is trained: `kdgap train` brings one run, a study brings cohorts.
"""

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from os import getpid
from pathlib import Path
from typing import Any

from kdgap.data import BatchStream, Images
from kdgap.engine.cohort import Member, train_cohort
from kdgap.engine.device import environment_digest
from kdgap.engine.meter import DivergedError
from kdgap.engine.ranks import RankError
from kdgap.engine.student import Student
from kdgap.engine.tracker import NoTracker, TensorBoard, Tracker
from kdgap.errors import BadInputError, RunFailedError, StoppedError, one_line
from kdgap.running.door import Opened, validated
from kdgap.running.ranks import joined
from kdgap.running.results import Prepared, make_card, notices_of, results_of, run_header
from kdgap.running.stopwatch import Stopwatch
from kdgap.spec.identity import run_id
from kdgap.store.notices import ELSEWHERE, OTHER_DEVICES
from kdgap.store.record import BEST, LAST, PREDICTIONS_TEST, PREDICTIONS_VAL, RunDirectory
from kdgap.store.state import StateFiles
from kdgap.store.weights import weight_hash, write_weights

TestDoor = Callable[[Prepared, dict[str, Any]], Opened | None]


class Attempt:
    """One run being trained in its directory, whose lock the caller holds.

    Args:
        prepared: the run with its data and teacher.
        directory: where it is recorded.
        watchers: told of its progress.
        say: takes one-line remarks for the user.
    """

    def __init__(
        self,
        prepared: Prepared,
        directory: RunDirectory,
        watchers: Sequence[Tracker] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.prepared, self.directory = prepared, directory
        run = prepared.run
        self._clock, self.together = Stopwatch(), 1
        self._states = StateFiles(directory.path, run_id(run))
        everyone: list[Tracker] = [_History(directory), self._clock, *watchers]
        tensorboard = TensorBoard(directory.path / "tensorboard")
        if run.place.tracker == "tensorboard":
            everyone.append(tensorboard)
        labels = prepared.parts.train.labels
        student = Student(run, prepared.dataset, labels, prepared.teacher, prepared.device)
        self.member = Member(student, everyone)
        header = run_header(prepared)
        self._other_devices = run.ranks != run.devices
        self._elsewhere = self._resume(say)
        if problem := directory.start(header, self.member.history):
            say(f"{problem}; written anew from what is asked")
        directory.note_attempt(
            {
                "began": _now(),
                "host": socket.gethostname(),
                "pid": getpid(),
                "in": str(Path.cwd()),
                **({"devices": run.ranks} if self._other_devices or run.ranks > 1 else {}),
                "from": self._place(),
            }
        )
        for watcher in everyone:
            watcher.on_start(header)
        if run.place.tracker == "tensorboard":
            for entry in self.member.history:
                tensorboard.on_epoch(entry)

    def _place(self) -> list[int]:
        return list(self.member.place)

    def _resume(self, say: Callable[[str], None]) -> bool:
        """Go on from the newest whole state; return whether it comes from elsewhere."""
        snapshot = self._states.read()
        for problem in self._states.problems:
            say(f"state passed over: {problem}")
        if snapshot is None:
            if self._states.problems:
                say(f"{self.directory.path}: no state is whole; training starts from its beginning")
            self._states.clear()
            return False
        here = self.prepared.dataset.fingerprint
        if snapshot.facts["data"] != here:
            raise BadInputError(
                f"{self.directory.path}: was being trained on other data (fingerprint"
                f" {snapshot.facts['data'][:12]}, now {here[:12]}); bring back the data, or use"
                " another output directory"
            )
        self.prepared.refuse_other_view(snapshot.facts.get("teacher"), str(self.directory.path))
        self.member.resume(snapshot)
        self._other_devices |= bool(snapshot.facts.get("other_devices"))
        epoch, step = self.member.place
        say(f"{self.directory.path}: goes on from step {step} of epoch {epoch + 1}")
        here = environment_digest(self.prepared.device)
        return bool(snapshot.facts["elsewhere"]) or snapshot.facts["environment"] != here

    def save(self, _: Member) -> None:
        """Write a resumable state."""
        snapshot = self.member.snapshot()
        snapshot.facts["environment"] = environment_digest(self.prepared.device)
        snapshot.facts["data"] = self.prepared.dataset.fingerprint
        snapshot.facts["elsewhere"] = self._elsewhere
        if self._other_devices:
            snapshot.facts["other_devices"] = True
        card = self.prepared.card
        if card is not None:
            snapshot.facts["teacher"] = {
                "mean": card.mean,
                "std": card.std,
                "image_size": card.image_size,
                "classes": card.classes,
            }
        self._states.write(snapshot)

    def end(self, open_test: TestDoor) -> None:
        """Record how the run ended; a run that failed leaves no results."""
        member, results = self.member, None
        try:
            if member.failure is None:
                results = self._finish(open_test)
            else:
                self._fail(member.failure)
        finally:
            for watcher in member.watchers:
                watcher.on_finish(results)

    def _finish(self, open_test: TestDoor) -> dict[str, Any]:
        run, member, path = self.prepared.run, self.member, self.directory.path
        last = member.student.network_state()
        card = make_card(self.prepared, member.best, "best", member.best_epoch, member.history)
        write_weights(path / BEST, member.best, card)
        card = make_card(self.prepared, last, "last", run.recipe.epochs, member.history)
        write_weights(path / LAST, last, card)
        states = {"best": member.best, "last": last}
        predictions = {PREDICTIONS_VAL: validated(self.prepared, states)}
        opened = open_test(self.prepared, states)
        if opened is not None:
            predictions[PREDICTIONS_TEST] = opened.predictions
        test = None if opened is None else opened.record
        teacher = self.prepared.card
        hashes = {
            "best": weight_hash(member.best),
            "last": weight_hash(last),
            "teacher": None if teacher is None else teacher.weight_hash,
        }
        notices = notices_of(self.prepared)
        differs = ((ELSEWHERE, self._elsewhere), (OTHER_DEVICES, self._other_devices))
        for notice in (notice for notice, is_so in differs if is_so):
            self.directory.add_notice(notice)
            notices.append(notice)
        results = results_of(run, member.history, hashes, test, notices)
        # Before the manifest: a kill in between must not leave a finished run without its times.
        attempts = len(self.directory.attempts())
        self.directory.write_timing(
            self._clock.timing(attempts, self.together, opened=test is not None)
        )
        self.directory.finish(results, test, predictions)
        self._states.clear()
        self.directory.note_attempt({"ended": "finished", "when": _now()})
        return results

    def _fail(self, error: RunFailedError) -> None:
        failure: dict[str, Any] = {"reason": one_line(error)}
        if by_nature(str(error)):
            failure["repeats"] = True
        if isinstance(error, DivergedError):
            failure = {"reason": "diverged", "epoch": error.epoch, "step": error.step}
            self._states.clear()  # every attempt would diverge there again
        with suppress(OSError):  # a full disk must not hide why the run failed
            self.directory.note_attempt({"ended": "failed", "when": _now(), **failure})
            attempts = len(self.directory.attempts())
            self.directory.fail(failure, self._clock.timing(attempts, self.together))

    def stopped(self) -> None:
        """Note that the attempt was stopped politely, and take the displays away."""
        with suppress(OSError):
            self.directory.note_attempt({"ended": "stopped", "when": _now(), "at": self._place()})
        for watcher in self.member.watchers:
            watcher.on_finish(None)


_SHAPES = re.compile(
    r"(TypeError|AttributeError|NotImplementedError): "
    r"|(RuntimeError|ValueError): .*\b(shapes?|sizes?|dimensions?|channels?)\b",
    re.DOTALL,
)
"""Errors that lie in how networks, losses and images are made, and in nothing that may change."""


def by_nature(reason: str) -> bool:
    """Whether a run that failed so would do so again, from how its error reads (`Name: text`).

    Torch tells of shapes that do not fit by a `RuntimeError`, as it does of a device that failed.
    """
    return _SHAPES.match(reason) is not None


def note_failure(directory: RunDirectory, reason: str, *, repeats: bool) -> None:
    """Record an attempt that failed before it began; the caller holds the run's lock.

    Args:
        directory: the run's.
        reason: why.
        repeats: whether another attempt would fail as well, so that there is none.
    """
    failure: dict[str, Any] = {"reason": one_line(reason)}
    if repeats:
        failure["repeats"] = True
    here = {"host": socket.gethostname(), "pid": getpid(), "from": [0, 0]}
    directory.note_attempt({"began": _now(), **here})
    directory.note_attempt({"ended": "failed", "when": _now(), **failure})
    directory.fail(failure, {})


def train_attempts(
    attempts: Sequence[Attempt],
    *,
    pause: Callable[[], None],
    open_test: TestDoor,
    ended: Callable[[Attempt], None] = lambda _: None,
) -> None:
    """Train attempts that share data, seed, batch schedule, precision and teacher; record each.

    Args:
        attempts: at least one; one alone where several devices share it.
        pause: raises `StoppedError` when it is time to stop.
        open_test: returns what a finished run answers, or None to leave the door closed.
        ended: told of each attempt as soon as it is over.

    Raises:
        StoppedError: after every run was saved.
        RunFailedError: nothing more can be written; what was saved before is whole.
    """
    first = attempts[0].prepared
    by_member = {id(attempt.member): attempt for attempt in attempts}
    assert len(attempts) == 1 or {attempt.prepared.run.ranks for attempt in attempts} == {1}
    left = list(attempts)
    for attempt in attempts:
        attempt.together = len(attempts)

    def end(member: Member) -> None:
        attempt = by_member[id(member)]
        attempt.end(open_test)
        left.remove(attempt)
        ended(attempt)

    try:
        with joined(first, attempts[0].member, pause) as ranks:
            stream = BatchStream(
                _on(first, first.parts.train),
                first.run.recipe.batch_size,
                first.run.seed,
                first.run.data.augmentation,
                ranks.part,
            )
            train_cohort(
                [attempt.member for attempt in attempts],
                next((a.prepared.teacher for a in attempts if a.prepared.teacher), None),
                stream,
                _on(first, first.parts.val),
                pause=pause,
                save=lambda member: by_member[id(member)].save(member),
                end=end,
                save_seconds=first.run.place.save_seconds,
                ranks=ranks,
            )
    except RankError as error:  # before the first step; later ones are the member's failure
        for attempt in list(left):
            attempt.member.failure = error
            end(attempt.member)
    except StoppedError:
        for attempt in left:
            attempt.stopped()
        raise
    except OSError as error:
        for attempt in left:
            attempt.stopped()
        raise RunFailedError(f"{attempts[0].directory.path}: {error.strerror or error}") from None


def _on(prepared: Prepared, images: Images) -> Images:
    return images.to(prepared.device)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class _History(NoTracker):
    """Writes `history.jsonl`, which is always the truth."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def on_epoch(self, entry: Mapping[str, Any]) -> None:
        self._directory.append_history(entry)
