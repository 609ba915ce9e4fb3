"""Training a cohort of a study's runs into their directories, whose locks the caller holds."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from kdgap.errors import BadInputError, TeacherError, one_line
from kdgap.planning.plan import PlannedRun
from kdgap.planning.tasks import Machine
from kdgap.running.results import copied_images
from kdgap.running.training import Attempt, by_nature, note_failure, train_attempts
from kdgap.store.measured import keep_time
from kdgap.store.study import StudyDirectory
from kdgap.study.clock import LEAST, Clock
from kdgap.study.inputs import Inputs
from kdgap.study.live import Live

if TYPE_CHECKING:
    from kdgap.notice import Notice
    from kdgap.running.teacher import TeacherWeights


def lock_threads(directory: StudyDirectory, asked: int | None, otherwise: int) -> int:
    """Return the threads of every run of a study, which are fixed by its first use.

    Args:
        directory: the study's directory.
        asked: what the study's file says.
        otherwise: what is taken if neither the file nor an earlier use says anything.

    Raises:
        BadInputError: the file asks for others than the runs so far had.
    """
    threads = int(directory.lock_fact("threads", asked or otherwise))
    if asked is not None and asked != threads:
        raise BadInputError(
            f"{directory.path}: this study runs with threads: {threads} since its first use, which"
            f" {asked} would mix with; set it back, or use another --out"
        )
    return threads


class Trainer:
    """Trains cohorts of one study.

    Args:
        directory: the study's directory.
        inputs: its data and teachers.
        live: where this process says what it is doing.
        pause: raises `StoppedError` when it is time to stop.
        say: takes one-line remarks for the user.
        workers: how many train at once on this machine, itself included.
    """

    def __init__(
        self,
        directory: StudyDirectory,
        inputs: Inputs,
        live: Live,
        pause: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        workers: int = 1,
    ) -> None:
        self._workers = workers
        self._directory, self._inputs, self._live = directory, inputs, live
        self._pause, self._say = pause, say
        self._reported: set[Notice] = set()

    def train(
        self,
        group: Sequence[PlannedRun],
        weights: "TeacherWeights | None",
        ended: Callable[[PlannedRun], None],
    ) -> None:
        """Train runs as one cohort.

        Args:
            group: the runs, which share a teacher if they have one.
            weights: the teacher's.
            ended: told of each run as soon as nothing more will be written of it.

        Raises:
            StoppedError: after every run was saved.
        """
        clock = Clock(group, self._inputs.dataset(group[0]).shape, self._pause)
        held: dict[int, PlannedRun] = {}
        attempts: list[Attempt] = []
        for planned in group:
            attempt = self._attempt(planned, weights, attempts, clock)
            if attempt is None:
                ended(planned)
            else:
                attempts.append(attempt)
                held[id(attempt)] = planned

        def over(attempt: Attempt) -> None:
            planned = held[id(attempt)]
            if attempt.member.failure is not None:
                self._say(f"failed: {planned.path}: {attempt.member.failure}")
            ended(planned)

        if not attempts:
            return
        resumed = any(attempt.member.place != (0, 0) for attempt in attempts)
        machine = Machine(self._inputs.device, torch.get_num_threads(), self._workers)
        clock.share()
        clock.begin()
        train_attempts(attempts, pause=clock.pause, open_test=lambda *_: None, ended=over)
        failed = any(attempt.member.failure for attempt in attempts)
        if not (resumed or failed or len(attempts) < len(group)):
            for task, seconds in clock.means().items():
                keep_time(task.stem(machine, "runs"), task.images, max(seconds, LEAST))

    def _attempt(
        self,
        planned: PlannedRun,
        weights: "TeacherWeights | None",
        beside: Sequence[Attempt],
        clock: Clock,
    ) -> Attempt | None:
        """Return a run ready to train; None where it cannot be, which is noted as its failure.

        It shares the teacher in memory with those `beside` it.
        """
        directory = self._directory.run(planned.path)
        live = self._live.watch(planned.id, planned.run.recipe.epochs)
        try:
            taught = next((other.prepared for other in beside if other.prepared.teacher), None)
            prepared = self._inputs.prepare(
                planned, weights if planned.run.teacher else None, taught
            )
            for notice in set(copied_images(prepared.parts)) - self._reported:
                self._reported.add(notice)
                self._say(f"note: {notice.text}")
            return Attempt(prepared, directory, [live, clock.watch(planned.id)], self._say)
        except TeacherError:
            raise  # it would teach nobody
        except (BadInputError, RuntimeError, MemoryError) as error:
            # The run does not fit the data, or there is no memory for one more member.
            asked = isinstance(error, BadInputError)
            reason = str(error) if asked else f"{type(error).__name__}: {error}"
            note_failure(directory, reason, repeats=asked or by_nature(reason))
            self._say(f"failed: {planned.path}: {one_line(error)}")
            return None
