"""How long one image takes, on this machine, with its spread."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import psutil
import torch

WARM_UP = 10
CALLS = 200
SECONDS = 2.0
"""No further call is begun after that."""


@dataclass(frozen=True)
class Latency:
    """Times of one image in milliseconds: quartiles over calls, and by how many threads."""

    median: float
    quartiles: tuple[float, float]
    calls: int
    threads: int
    cores: int


def latency(call: Callable[[], object], calls: int = CALLS) -> Latency:
    """Time a call, after `WARM_UP` calls that do not count.

    Args:
        call: answers one image.
        calls: how often at most; at least one is timed, however long it takes.
    """
    began = perf_counter()
    for _ in range(min(WARM_UP, calls)):
        call()
        if perf_counter() - began > SECONDS:
            break
    times: list[float] = []
    began = perf_counter()
    while not times or (len(times) < calls and perf_counter() - began < SECONDS):
        start = perf_counter()
        call()
        times.append(1000 * (perf_counter() - start))
    low, median, high = (float(value) for value in np.quantile(times, [0.25, 0.5, 0.75]))
    cores = psutil.cpu_count() or 1
    return Latency(median, (low, high), len(times), torch.get_num_threads(), cores)
