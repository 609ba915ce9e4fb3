"""Ranks as threads of one process: a process each would spend its time on importing torch."""

import threading
from collections.abc import Callable
from typing import TypeVar

import torch
from torch._C._distributed_c10d import HashStore

from kdgap.engine.ranks import Group

T = TypeVar("T")


def by_ranks(size: int, work: Callable[[Group], T]) -> list[T]:
    """Do the same work as each of some ranks; return what came of it, or raise what did."""
    store = HashStore()
    answers: dict[int, T] = {}
    errors: dict[int, Exception] = {}

    def be(rank: int) -> None:
        try:
            answers[rank] = work(Group(store, rank, size, torch.device("cpu")))
        except Exception as error:  # noqa: BLE001  (raised again below)
            errors[rank] = error

    threads = [threading.Thread(target=be, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for rank in sorted(errors):
        raise errors[rank]
    return [answers[rank] for rank in range(size)]
