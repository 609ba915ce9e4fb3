"""Timing several ways of doing one thing side by side, and what the machine could do at best."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch

from kdgap.benchmark.arm_process import ARMS, ENGINE, REFERENCE, VARIANT, ArmProcess
from kdgap.benchmark.case import Case
from kdgap.engine.cohort import SAVE_SECONDS, SAVE_SHARE
from kdgap.spec.run import Precision


def measure(
    case: Case,
    rounds: int,
    precision: Precision,
    threads: int,
    start: Callable[[Case, str, Precision, int], ArmProcess] = ArmProcess,
) -> dict[str, Any]:
    """Time all arms of a case, taking turns; the order turns too."""
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    with ExitStack() as stack:
        arms = {name: stack.enter_context(start(case, name, precision, threads)) for name in ARMS}
        for arm in arms.values():
            arm.warm_up()
        for number in range(rounds):
            for turn in range(len(ARMS)):
                name = ARMS[(number + turn) % len(ARMS)]
                seconds[name].append(arms[name].round())
        accounts = {name: arm.account() for name, arm in arms.items()}
    engine = accounts[ENGINE]
    return {
        "case": case.key,
        "title": case.title,
        "runs": len(case.students),
        "steps": case.steps,
        "rounds": rounds,
        "seconds_per_step": {
            name: statistics.median(taken) / case.steps for name, taken in seconds.items()
        },
        "ratio": {name: spread(seconds, name) for name in (REFERENCE, VARIANT)},
        "batch_share": engine["batch_share"],
        "saving_seconds": engine["saving_seconds"],
        "saving_share": min(SAVE_SHARE, engine["saving_seconds"] / SAVE_SECONDS),
        "flops_per_second": engine["flops"] / statistics.median(seconds[ENGINE]),
        "peak_memory_bytes": {
            name: account["peak_memory_bytes"] for name, account in accounts.items()
        },
        "seconds": seconds,
    }


def spread(seconds: Mapping[str, list[float]], name: str) -> dict[str, float]:
    """Return median and range over rounds of one arm's time as a multiple of the engine's."""
    ratios = [a / b for a, b in zip(seconds[name], seconds[ENGINE], strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def matrix_rate(precision: Precision, size: int = 2048, repeats: int = 5) -> float:
    """Return the FLOP/s of a square matrix product, the best of a few."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best
