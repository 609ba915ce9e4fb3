"""Cases measured one after the other into one account, with the machine that it holds for."""

import platform
from collections.abc import Callable, Sequence
from typing import Any

import psutil
import torch

from kdgap.benchmark.case import Case
from kdgap.benchmark.measure import matrix_rate, measure
from kdgap.engine.device import environment, make_deterministic, native_bf16, pick_device
from kdgap.spec.run import Precision


def run_cases(
    cases: Sequence[Case],
    rounds: int,
    precision: Precision | None,
    threads: int | None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure cases; return everything in plain types.

    Args:
        cases: what to measure.
        rounds: rounds that are timed, after one that is not.
        precision: the engine's; None = bf16 where it is in hardware.
        threads: CPU threads of every arm; None = torch's choice.
        say: takes one-line remarks for the user.
    """
    device = pick_device("cpu")
    make_deterministic(0, threads)
    used = torch.get_num_threads()
    chosen: Precision = precision or ("bf16" if native_bf16(device) else "fp32")
    timings: dict[str, Any] = {
        "format": 1,
        "precision": chosen,
        "environment": {
            **environment(device),
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": psutil.cpu_count(logical=False),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "matrix_flops_per_second": {},
        "cases": [],
    }
    timings["matrix_flops_per_second"] = {p: matrix_rate(p) for p in ("fp32", chosen)}
    for case in cases:
        say(f"{case.key}: {case.title}")
        timings["cases"].append(measure(case, rounds, chosen, used))
    return timings
