"""An engine in this process: machines are folders, and what is lost is up to the test."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kdgap.cluster.engine import Ended, Node
from kdgap.cluster.job import Job, Needs
from kdgap.cluster.node import perform

LOSE_AFTER = "after"
"""The job is done and its answer is lost."""


class StopHere(BaseException):
    """A machine that dies in the middle of a job."""


class Machines:
    """Runs jobs one after the other on a few machines, in turn.

    Args:
        folder: where each machine has its cache.
        count: how many machines.
        fate: told of each job and how often something was asked of it; returns how it is lost, or
            after how many reports its machine dies.
    """

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        count: int = 3,
        fate: Callable[[Job], str | int | None] = lambda _: None,
    ) -> None:
        self._folder, self._patch, self._fate = folder, monkeypatch, fate
        self._nodes = [Node(f"node{i}", f"host{i}", 2.0, 0.0, 8e9) for i in range(count)]
        self._queue: deque[tuple[Job, Needs]] = deque()
        self._turn = 0
        self.jobs: list[Job] = []
        self.stopping = False
        self._now: dict[str, Mapping[str, Any]] = {}

    def nodes(self) -> Sequence[Node]:
        return self._nodes

    def submit(self, job: Job, needs: Needs) -> None:
        assert json.loads(json.dumps(job.as_dict())) == job.as_dict()
        self.jobs.append(job)
        self._queue.append((job, needs))

    def wait(self, seconds: float) -> Sequence[Ended]:
        if not self._queue:
            return []
        job, needs = self._queue.popleft()
        self._turn += 1
        node = needs.node or self._nodes[self._turn % len(self._nodes)].id
        cache = self._folder / node
        self._patch.setenv("KDGAP_CACHE", str(cache))
        fate = self._fate(job) if job.kind != "look" else None
        left = fate if isinstance(fate, int) else None

        def report(now: Mapping[str, Any]) -> bool:
            nonlocal left
            self._now[job.id] = now
            if left is not None:
                left -= 1
                if left < 0:
                    raise StopHere
            return self.stopping

        try:
            answer = perform(Job(**json.loads(json.dumps(job.as_dict()))), report)
        except StopHere:
            return [Ended(job.id, lost="machine", why="it died")]
        if fate == LOSE_AFTER:
            return [Ended(job.id, lost="machine", why="its answer was lost")]
        return [Ended(job.id, json.loads(json.dumps(answer)))]

    def going_on(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def stop(self) -> None:
        self.stopping = True

    def close(self) -> None:
        self._queue.clear()
