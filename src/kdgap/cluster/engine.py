"""What the driver asks of an engine that runs jobs on machines; `ray_engine.py` is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kdgap.cluster.job import Job, Needs


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, as the engine knows it."""

    id: str
    address: str
    cpus: float
    gpus: float
    memory: float


@dataclass(frozen=True)
class Ended:
    """A job that has ended.

    Attributes:
        job: its id.
        answer: what it says; None where it was lost.
        lost: how: with its `machine`, or its `process` alone, or it was `stopped`.
        why: in words.
    """

    job: str
    answer: Mapping[str, Any] | None = None
    lost: Literal["", "machine", "process", "stopped"] = ""
    why: str = ""


class Engine(Protocol):
    """Runs jobs, perhaps more than once each; see `docs/adr/0024`."""

    def nodes(self) -> Sequence[Node]:
        """Return the machines that are there now."""

    def submit(self, job: Job, needs: Needs) -> None:
        """Have a job done as soon as what it needs is free."""

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Return the jobs that have ended, as soon as one has, or the time is over."""

    def going_on(self) -> Mapping[str, Mapping[str, Any]]:
        """Return by job id what the running jobs say they are doing."""

    def stop(self) -> None:
        """Tell all jobs to save and end."""

    def close(self) -> None:
        """Leave the cluster; jobs that have not ended are ended."""
