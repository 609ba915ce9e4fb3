"""A process of its own for a measurement, so that none suffers from what was done before it."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from kdgap.spec.run import Precision


def timed(case: str, rounds: int, precision: Precision, threads: int) -> dict[str, Any]:
    """Return `measure` of a case by its key."""
    found: dict[str, Any] = _child("time", case, rounds, precision, threads)
    return found


def peak_memory(case: str, arm: str, precision: Precision, threads: int) -> int:
    """Return the largest resident memory in bytes of a process that does one round of one arm.

    The reference holds one run at a time, and one of each method is enough; the engine holds all.
    """
    return int(_child("memory", case, arm, precision, threads))


def own_peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss counts what the parent held when it started this process
        words = status.read_text().partition("VmHWM:")[2].split()
        return int(words[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _child(*request: object) -> Any:
    command = [sys.executable, "-m", "kdgap.benchmark.child", json.dumps(request)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Do what is asked as a JSON list, and print the answer as JSON."""
    from kdgap.benchmark.cases import CASES
    from kdgap.benchmark.measure import ENGINE, build_arm, measure
    from kdgap.engine.device import make_deterministic

    what, key, detail, precision, threads = json.loads(sys.argv[1])
    make_deterministic(0, threads)
    if what == "time":
        print(json.dumps(measure(CASES[key], detail, precision)))
        return
    arm = build_arm(CASES[key], detail, precision)
    arm.round() if detail == ENGINE else arm.warm_up()
    print(own_peak())


if __name__ == "__main__":
    main()
