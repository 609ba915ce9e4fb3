"""Runners as processes: started, watched, restarted when they die, stopped together.

Nothing here trains. Each worker is a process group of its own, so that a Ctrl-C in the terminal
reaches this process alone, which passes it on once.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from kdgap import child, error_line
from kdgap.errors import StoppedError, StoreDamagedError
from kdgap.running.stop import CODES, STOPPED, handling
from kdgap.store.study import StudyDirectory
from kdgap.terminal import end_at_once

if TYPE_CHECKING:
    from kdgap.study.workspace import Workspace

POLL_SECONDS = 0.25
FRUITLESS = 3
"""How often in a row a worker may die before it has begun anything."""
_LONGEST_WORDS = 1 << 16
"""Bytes of a worker's error; the command line ends an error long before."""


class Supervisor:
    """Runs the workers of one study.

    Args:
        study: the study's directory, whose `plan.json` says what to do.
        devices: one a worker.
        places: options that tell a worker where data and teachers are on this machine.
        stages: what they are asked to do.
        tell: called several times a second while they run.
        say: takes the remarks of workers.
    """

    def __init__(
        self,
        study: Path,
        devices: Sequence[str],
        places: Sequence[str],
        stages: Sequence[str],
        tell: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._study, self._devices, self._stages = study, devices, stages
        self._places = places
        self._tell, self._say = tell, say
        self._workers: dict[int, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._pipes: dict[int, int] = {}
        self._silent = threading.Event()
        self._fruitless = 0
        self._began = 0
        self._stop: int | None = None
        self._ending = False

    def run(self) -> tuple[int, str]:
        """Run until every worker has ended; return the worst exit code and its worker's last words.

        A worker that met damage goes on with what does not need it, and says so by its exit code.

        Raises:
            StoppedError: a signal came, and the workers have saved and ended.
        """
        with handling(self._on_signal):
            code, words = self._watch()
        if self._stop is not None:
            raise StoppedError(STOPPED, CODES[signal.Signals(self._stop)])
        return code, words

    def _watch(self) -> tuple[int, str]:
        code, words = 0, ""
        try:
            for index in range(len(self._devices)):
                self._start(index)
            while self._workers:
                # A worker whose stderr has closed is about to end: no need to wait for the clock.
                if self._silent.wait(POLL_SECONDS):
                    self._silent.clear()
                self._tell()
                for index, worker in list(self._workers.items()):
                    ended = worker.poll()
                    if ended is None:
                        continue
                    del self._workers[index]
                    killed = ended < 0 or ended in CODES.values()
                    if killed and (self._stop or self._ending or self._restart(index, ended)):
                        continue
                    ended = 3 if killed else ended
                    if ended > code:
                        code, words = ended, self._words(index)
                    if ended not in (0, StoreDamagedError.exit_code):
                        self._ending = True
                        self._forward(signal.SIGTERM)  # its trouble is the others' as well
        finally:
            for worker in self._workers.values():
                worker.kill()
            for index in list(self._pipes):
                self._close(index)
        return code, words

    def _start(self, index: int) -> None:
        if self._is_stopping():
            return
        command = [
            *child.command("kdgap", "worker", str(self._study)),
            *("--device", self._devices[index], "--share", str(len(self._devices))),
            *("--parent", str(os.getpid()), *self._places),
            *(word for stage in self._stages for word in ("--only", stage)),
        ]
        self._close(index)
        self._pipes[index], given = os.pipe()
        own = {"PYTHONIOENCODING": "utf-8", error_line.VARIABLE: str(given)}
        try:
            worker = subprocess.Popen(
                command,
                # What a worker says must never end the one who listens: it could say no more.
                env=child.environment() | own,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                pass_fds=(given,),
                start_new_session=True,
            )
        finally:
            os.close(given)
        self._workers[index] = worker
        if self._is_stopping():
            # Asked before it was known here. It may have been told by now: SIGTERM twice is one.
            worker.send_signal(signal.SIGTERM)
        reader = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _restart(self, index: int, ended: int) -> bool:
        """Start a worker again that was killed; its runs go on where they were saved.

        A run that kills its worker is given up after its attempts. A worker that dies again and
        again without beginning any attempt is not started any more.
        """
        directory = StudyDirectory(self._study)
        lines = [line for path in directory.run_paths() for line in directory.run(path).attempts()]
        began = sum("began" in line for line in lines)
        self._fruitless = 0 if began > self._began else self._fruitless + 1
        self._began = began
        if self._fruitless > FRUITLESS:
            return False
        number = -ended if ended < 0 else ended - 128
        self._say(f"a worker was killed by signal {number}; its runs go on from their states")
        self._start(index)
        return True

    def _listen(self, worker: subprocess.Popen[str]) -> None:
        assert worker.stderr is not None
        with worker.stderr:
            for line in worker.stderr:
                if text := line.rstrip():
                    self._say(text)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(POLL_SECONDS)
        self._silent.set()

    def _words(self, index: int) -> str:
        """Return the error that a worker has ended with."""
        for reader in self._readers:
            reader.join(timeout=1)
        os.set_blocking(self._pipes[index], False)  # a process that it left may hold the other end
        with suppress(BlockingIOError):
            words, _, _ = os.read(self._pipes[index], _LONGEST_WORDS).partition(b"\n")
            if words:
                return words.decode("utf-8", "replace")
        return "a worker ended without a word"

    def _close(self, index: int) -> None:
        if index in self._pipes:
            os.close(self._pipes.pop(index))

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._stop is not None and number == signal.SIGINT:
            for worker in self._workers.values():
                worker.kill()
            end_at_once(CODES[signal.SIGINT])
        self._stop = number
        self._forward(signal.Signals(number))

    def _is_stopping(self) -> bool:
        return self._stop is not None

    def _forward(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.send_signal(number)


def crowding(workspace: "Workspace", workers: int) -> str:
    """Return a warning if the workers' CPU threads would be more than the machine has."""
    import psutil
    import torch

    threads = workspace.directory.locked("threads") or workspace.study.threads
    threads = threads or torch.get_num_threads()
    cores = psutil.cpu_count(logical=False) or 1
    if workers == 1 or workers * threads <= cores:
        return ""
    return (
        f"{workers} workers with {threads} threads each share {cores} cores, which is slower than"
        " fewer threads: set threads: 1 in the study before its first use"
    )
