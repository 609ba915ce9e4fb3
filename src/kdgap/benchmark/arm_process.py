"""One arm of a comparison in a process of its own, so that none suffers from another's memory.

Parent and child speak in lines: "warm_up" is answered when it is done, each "round" with its
seconds, "account" with everything else, in JSON. The child ends when its parent does, or is killed.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from kdgap import child
from kdgap.benchmark.case import Case
from kdgap.errors import RunFailedError
from kdgap.spec.run import Precision

REFERENCE, VARIANT, ENGINE = "reference", "reference, bf16 channels_last", "engine"
ARMS = (REFERENCE, VARIANT, ENGINE)


class ArmProcess:
    """A process that does a case in one way. It starts while its parent goes on.

    Args:
        case: one of `CASES`, possibly with another number of steps.
        arm: one of `ARMS`.
        precision: the engine's.
        threads: CPU threads.
    """

    def __init__(self, case: Case, arm: str, precision: Precision, threads: int) -> None:
        self._what = f"case {case.key}, {arm}"
        request = json.dumps([case.key, case.steps, arm, precision, threads])
        self._process = subprocess.Popen(
            child.command("kdgap.benchmark.arm_process", request),
            env=child.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # with the processes of its loader, which would outlive it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            self._process.communicate()

    def warm_up(self) -> None:
        """Build what is timed, and do once what is done once."""
        self._ask("warm_up")

    def round(self) -> float:
        """Do one round and return its seconds."""
        return float(self._ask("round"))

    def account(self) -> dict[str, Any]:
        """Return the largest resident memory so far, and what else the arm knows of itself."""
        answer: dict[str, Any] = self._ask("account")
        return answer

    def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead, as `_hear` will say
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RunFailedError(f"{self._what}: its process ended with {self._process.wait()}")
        return json.loads(line)


def own_peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts what the parent held when it started this process
        words = status.read_text().partition("VmHWM:")[2].split()
        return int(words[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Be an arm: answer line by line until asked for the account, or until nobody asks."""
    import torch

    from kdgap.benchmark.cases import CASES
    from kdgap.benchmark.engine_arm import EngineArm
    from kdgap.benchmark.reference_loop import ReferenceLoop
    from kdgap.engine.device import make_deterministic

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what else is printed is no answer
    key, steps, name, precision, threads = json.loads(sys.argv[1])
    case = replace(CASES[key], steps=steps)
    torch.set_num_threads(threads)
    arm: EngineArm | ReferenceLoop
    if name == ENGINE:
        make_deterministic(0, threads)
        arm = EngineArm(case, precision)
    else:
        arm = ReferenceLoop(case, narrow=name == VARIANT)
    for line in sys.stdin:
        answer: object
        if line.strip() == "warm_up":
            answer = arm.warm_up()
        elif line.strip() == "round":
            answer = arm.round()
        else:
            peak = {"peak_memory_bytes": own_peak()}  # before the account adds to it
            answer = peak | (arm.account() if isinstance(arm, EngineArm) else {})
        answers.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
