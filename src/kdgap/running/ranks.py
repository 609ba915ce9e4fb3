"""The ranks of a run: this process is rank 0, and starts the others beside it.

They meet at this machine's loopback address, at a port that is free. Each gets the run's spec
through its standard input, loads the data as rank 0 did, and receives the teacher and the run as it
stands from rank 0. Its standard input stays open as long as rank 0 trains; when it closes, it ends.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import torch
from safetensors.torch import save
from torch import distributed

from kdgap import child, error_line
from kdgap.engine.ranks import ALONE, FOREVER, Group, RankError, Ranks
from kdgap.errors import BadInputError
from kdgap.running.results import Prepared
from kdgap.store.weights import copy_state
from kdgap.terminal import tell

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

    from kdgap.engine.cohort import Member

POLL_SECONDS = 0.05
GRACE_SECONDS = 60.0
"""How long rank 0 may wait on a GPU for a rank that is gone, before it is ended."""
_LONGEST_WORDS = 1 << 16


def check_devices(device: torch.device, count: int) -> None:
    """Refuse more devices than there are.

    Raises:
        BadInputError: with how many there are.
    """
    if count == 1:
        return
    if not (device.type in ("cpu", "cuda") and distributed.is_available()):
        raise BadInputError(
            f"devices: {count}, and one run can share cpu or cuda devices, not {device.type};"
            " leave devices out",
            "devices",
        )
    if device.type == "cuda":
        if ":" in str(device):
            raise BadInputError(
                f"devices: {count}, and device names one of them, {device}; give device: cuda",
                "devices",
            )
        if count > (there := torch.cuda.device_count()):
            raise BadInputError(f"devices: {count}, and this machine has {there}", "devices")


def crowding(device: torch.device, count: int, threads: int) -> str:
    """Return a note where ranks on the processor have more threads than it has cores."""
    cores = psutil.cpu_count(logical=False) or 1
    if device.type != "cpu" or count == 1 or count * threads <= cores:
        return ""
    return (
        f"{count} ranks with {threads} threads each share {cores} cores, which is slower than fewer"
        " threads"
    )


@contextmanager
def joined(prepared: Prepared, member: "Member", pause: Callable[[], None]) -> Iterator[Ranks]:
    """Start the other ranks of a run, and yield all of them; they end with this context.

    Args:
        prepared: the run as rank 0 has it.
        member: what it trains, resumed where it was.
        pause: raises `StoppedError` when it is time to stop.

    Raises:
        RankError: they could not be brought together, or one was lost on the way.
        StoppedError: it was time to stop before they were.
    """
    size = prepared.run.ranks
    if size == 1:
        yield ALONE
        return
    store, port = _meeting_place(size)
    others = _Others(prepared, port)
    try:
        others.wait_for(store, pause)
        ranks = Group(store, 0, size, prepared.device, others.explain)
        others.watch()
        teacher = prepared.teacher
        ranks.broadcast(b"" if teacher is None else save(copy_state(teacher.network)))
        snapshot = member.snapshot()
        ranks.broadcast(json.dumps(snapshot.facts).encode())
        ranks.broadcast(save(snapshot.tensors))
        yield ranks
    finally:
        others.end()


def _meeting_place(size: int) -> "tuple[Store, int]":
    """Return a store that listens on the loopback address alone, which it does not by itself."""
    from torch._C._distributed_c10d import TCPStore

    # Until the store has it, and closes it at its end.
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = listening.getsockname()[1]
    store = TCPStore(
        *("127.0.0.1", port, size, True, FOREVER),
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )
    return store, port


class _Others:
    """The processes of the ranks but 0.

    Args:
        prepared: the run.
        port: where they are waited for.
    """

    def __init__(self, prepared: Prepared, port: int) -> None:
        run, card = prepared.run, prepared.card
        place = run.place.model_copy(update={"threads": torch.get_num_threads()})
        asked = {
            "run": run.model_copy(update={"place": place}).model_dump(mode="json"),
            "device": prepared.device.type,
            "port": port,
            "fingerprint": prepared.dataset.fingerprint,
            "teacher": None if card is None else card.model_dump(mode="json"),
        }
        self._device = prepared.device
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._pipes: dict[int, int] = {}
        self._last: dict[int, str] = {}
        self._ending = threading.Event()
        try:
            for rank in range(1, run.ranks):
                self._start(rank, {**asked, "rank": rank})
        except BaseException:
            self.end()
            raise

    def _start(self, rank: int, asked: dict[str, object]) -> None:
        self._pipes[rank], given = os.pipe()
        own = {"PYTHONIOENCODING": "utf-8", error_line.VARIABLE: str(given)}
        try:
            process = subprocess.Popen(
                child.command("kdgap.running.rank"),
                env=child.environment() | own,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                pass_fds=(given,),
                start_new_session=True,  # a Ctrl-C reaches rank 0 alone, which stops all
            )
        finally:
            os.close(given)
        self._processes[rank] = process
        threading.Thread(target=self._listen, args=(rank, process), daemon=True).start()
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead, as will be seen
            process.stdin.write(f"{json.dumps(asked)}\n")
            process.stdin.flush()

    def _listen(self, rank: int, process: "subprocess.Popen[str]") -> None:
        """Keep what a rank says last: rank 0 has said the same, unless something is wrong."""
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self._last[rank] = line.strip() or self._last.get(rank, "")

    def wait_for(self, store: "Store", pause: Callable[[], None]) -> None:
        """Wait until all of them have come as far as to meet."""
        ready = [f"ready/{rank}" for rank in self._processes]
        while not store.check(ready):
            pause()
            if reason := self.lost():
                raise RankError(reason)
            time.sleep(POLL_SECONDS)

    def lost(self) -> str:
        """Return which rank has ended and why; empty while none has."""
        for rank, process in self._processes.items():
            code = process.poll()
            if code is None:
                continue
            if code < 0:
                return f"rank {rank} was killed by signal {-code}"
            words = self._words(rank) or self._last.get(rank) or "without a word"
            return f"rank {rank} ended: {words}"
        return ""

    def explain(self) -> str:
        """Return `lost`, shortly after something failed that all do together."""
        for _ in range(40):  # a connection may be gone a moment before its process
            if reason := self.lost():
                return reason
            time.sleep(POLL_SECONDS)
        return ""

    def _words(self, rank: int) -> str:
        os.set_blocking(self._pipes[rank], False)
        with suppress(BlockingIOError):
            words, _, _ = os.read(self._pipes[rank], _LONGEST_WORDS).partition(b"\n")
            return words.decode("utf-8", "replace")
        return ""

    def watch(self) -> None:
        """Have this process ended where it waits on a GPU for a rank that is gone.

        On the processor a lost connection is seen at once; NCCL waits for ever.
        """
        if self._device.type == "cuda":
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not (reason := self.lost()):
            if self._ending.wait(1.0):
                return
        if not self._ending.wait(GRACE_SECONDS):
            words = f"{reason}; the last saved state is kept"
            if not error_line.hand_over(words):
                tell(f"error: {words}")
            os._exit(RankError.exit_code)

    def end(self) -> None:
        """End all of them: they hold nothing that rank 0 has not."""
        self._ending.set()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(BrokenPipeError):
                assert process.stdin is not None
                process.stdin.close()
            process.wait()
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes.clear()
