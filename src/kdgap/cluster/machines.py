"""The machines of a cluster as far as a study knows them: what they are, have, and may be asked."""

from collections.abc import Mapping
from typing import Any

import kdgap
from kdgap.cluster.engine import Engine, Node
from kdgap.cluster.job import OTHER_CODE, Needs
from kdgap.errors import BadInputError, KdgapError, RunFailedError, StoreDamagedError
from kdgap.store.study import StudyDirectory

_LEAST_GPU = 0.05
"""The smallest part of a GPU that a job is given, and what it is given beyond its memory."""


class Machines:
    """What jobs may need and where they may go.

    Args:
        engine: runs jobs.
        directory: the study's, where the environment that it requires is locked.
        device: what to compute on.
        threads: of each job.
        one_environment: whether all runs must come from equal environments.

    Raises:
        BadInputError: no machine has so many processors.
    """

    def __init__(
        self,
        engine: Engine,
        directory: StudyDirectory,
        device: str,
        threads: int,
        *,
        one_environment: bool,
    ) -> None:
        self._engine, self._directory = engine, directory
        self._device, self.threads = device, threads
        self._one_environment = one_environment
        self._environments: dict[str, str] = {}
        self._gpu_memory: dict[str, float] = {}
        self._turn = 0

    def able(self) -> list[Node]:
        """Return the machines that can do a job at all.

        Raises:
            BadInputError: there is none.
        """
        nodes = self._engine.nodes()
        able = [node for node in nodes if node.cpus >= self.threads]
        if not able:
            most = max((node.cpus for node in nodes), default=0)
            raise BadInputError(
                f"no machine of the cluster has {self.threads} CPUs (threads: {self.threads}; the"
                f" largest has {most:g})"
            )
        return able

    def note(self, node: Node, answer: Mapping[str, Any]) -> None:
        """Note what a machine says of itself."""
        self._environments[node.id] = str(answer["environment"])
        if answer["device"] == "cuda":
            self._gpu_memory[node.id] = float(answer["device_memory"])

    def environments(self) -> list[str]:
        """Return the kinds of environments that there are."""
        return sorted(set(self._environments.values()))

    def required(self) -> str | None:
        """Return the environment that all runs must come from; None = any.

        The one that most machines are of, which stays locked.
        """
        if not self._one_environment or not self._environments:
            return None
        kinds = list(self._environments.values())
        return str(self._directory.lock_fact("environment", max(set(kinds), key=kinds.count)))

    def room(self) -> int:
        """Return how many jobs run at once."""
        nodes = self._engine.nodes()
        slots = sum(int(node.cpus // self.threads) for node in nodes)
        if self._gpu_memory:
            slots = min(slots, sum(int(node.gpus) for node in nodes))
        return max(1, slots)

    def needs(self, memory: int, devices: int = 1) -> Needs:
        """Return what a job needs.

        Args:
            memory: bytes.
            devices: how many share it, on one machine.

        Raises:
            BadInputError: no machine has it.
        """
        nodes = self._engine.nodes()
        largest = max((node.memory for node in nodes), default=0.0)
        if largest and memory > largest:
            raise BadInputError(
                f"a cohort needs {memory / 2**30:.1f} GB of memory, and the largest machine of the"
                f" cluster gives {largest / 2**30:.1f} GB"
            )
        gpus = 0.0
        if self._device.startswith("cuda") or (self._device == "auto" and self._gpu_memory):
            if not any(node.gpus for node in nodes):
                raise BadInputError("the cluster has no GPU; give --device cpu, or add one")
            # As much of a GPU as a cohort takes of its memory, where the smallest is known.
            least = min(self._gpu_memory.values(), default=0.0)
            part = round(memory / least, 2) + _LEAST_GPU if least else 1.0
            gpus = max(_LEAST_GPU, min(1.0, part))
            gpus = gpus if devices == 1 else float(devices)
        return Needs(devices * self.threads, gpus, memory, self._chosen())

    def _chosen(self) -> str | None:
        """Return a machine of the required environment, where there are others; in turn."""
        required = self.required()
        if required is None or len(self.environments()) < 2:
            return None
        fitting = [node for node, kind in self._environments.items() if kind == required]
        self._turn += 1
        return fitting[self._turn % len(fitting)]


def refused(where: str, answer: Mapping[str, Any], code: str) -> KdgapError:
    """Return what to raise for a machine that did not do its job.

    Args:
        where: the machine, or the job.
        answer: what it says.
        code: the source that the driver runs.
    """
    host = f"{answer.get('host')} ({where})"
    if answer["error"] == OTHER_CODE:
        return BadInputError(
            f"{host} runs other code of kdgap: {answer['version']}, source"
            f" {str(answer['code'])[:12]}; this machine {kdgap.__version__}, source {code[:12]}."
            " Install one version everywhere"
        )
    kinds: dict[int, type[KdgapError]] = {2: BadInputError, 4: StoreDamagedError}
    return kinds.get(answer["exit_code"], RunFailedError)(f"{host}: {answer['error']}")
