"""Jobs on a Ray cluster: the one module that knows Ray.

Ray gives a job a process on a machine that has free what the job needs, and tells when process or
machine are gone. It is asked to do nothing twice (`max_retries=0`); the driver does that. A job may
run twice all the same, when a machine that was thought lost comes back: see `commit.py`.

One actor, the board, has the name of the study. Jobs tell it every half second what they are doing,
and hear whether to stop. It lives as long as its driver, so it also sees to it that a study has one
driver in a cluster at a time.
"""

import hashlib
import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kdgap.cluster.engine import Ended, Node
from kdgap.cluster.job import Job, Needs
from kdgap.errors import BadInputError, one_line

CONNECT_SECONDS = 8.0
NAMESPACE = "kdgap"
_STOP_SECONDS = 5.0
DOUBT_SECONDS = 30.0
"""How long after the death of a process its machine may turn out to be dead."""


def perform_job(given: Mapping[str, Any], board: Any) -> dict[str, Any]:
    """Do a job in a process of Ray's; see `node.perform`."""
    import ray

    from kdgap.cluster.node import perform

    job, node = Job(**given), ray.get_runtime_context().get_node_id()
    waiting: Any = None
    stopping = False

    def report(now: Mapping[str, Any]) -> bool:
        """Tell the board, and hear what it answered the last time."""
        nonlocal waiting, stopping
        if waiting is not None and waiting.done():
            try:
                stopping = bool(waiting.result())
            except ray.exceptions.RayError:
                stopping = True  # the driver is gone, and nobody waits for the answer
            waiting = None
        if waiting is None and not stopping:
            # A future, as Ray lends a job's processor to others while that waits in `ray.get`.
            waiting = board.report.remote(job.id, dict(now), node).future()
        return stopping

    return perform(job, report)


class Board:
    """What the running jobs of a study are doing, and whether they are to stop."""

    def __init__(self) -> None:
        self._now: dict[str, dict[str, Any]] = {}
        self._stopping = False

    def report(self, job: str, now: dict[str, Any], node: str) -> bool:
        """Note what a job is doing and where; return whether it is to stop."""
        self._now[job] = {**now, "node": node}
        return self._stopping

    def going_on(self) -> dict[str, dict[str, Any]]:
        """Return what the jobs said last."""
        return self._now

    def forget(self, job: str) -> None:
        """Take a job off the board."""
        self._now.pop(job, None)

    def stop(self) -> None:
        """Tell all jobs to stop."""
        self._stopping = True


class RayEngine:
    """A connection to a Ray cluster; see `engine.py` for what it does.

    Attributes:
        address: where the cluster is.

    Args:
        address: `local` starts Ray on this machine, `auto` finds the one that runs here, and
            `HOST:PORT` or `ray://HOST:PORT` one elsewhere.
        study: where the study is kept, which names the board.

    Raises:
        BadInputError: Ray is not installed, no cluster answers, or another driver is at work.
    """

    def __init__(self, address: str, study: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # errors are told in a line of ours
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine takes long
        if address == "local":
            # Ray takes 127.0.0.1 for what it is, and opens no port to others, only where it takes
            # itself to be unable to form a cluster; read when it is imported.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError:
            raise BadInputError("--ray needs Ray: pip install 'kdgap[ray]'") from None
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        self._board: Any = None
        self._connect(address)
        name = "study-" + hashlib.sha256(study.encode()).hexdigest()[:16]
        try:
            # Where the driver is: the board is to die with it, and with nobody else.
            here = NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            board = ray.remote(Board).options(name=name, num_cpus=0, scheduling_strategy=here)
            self._board = board.remote()
            ray.get(self._board.going_on.remote(), timeout=CONNECT_SECONDS * 4)
        except ValueError:
            self.close()
            raise BadInputError(
                f"{study}: another `kdgap run --ray` is at work on this study in this cluster"
            ) from None
        except ray.exceptions.RayError as error:
            self.close()
            raise BadInputError(f"--ray {address}: {one_line(error, 160)}") from None
        self.address = str(ray.get_runtime_context().gcs_address)
        self._perform = ray.remote(perform_job)
        self._going: dict[Any, str] = {}
        self._where: dict[str, str] = {}
        self._doubtful: dict[str, tuple[float, str]] = {}
        self._nodes: tuple[float, list[Node]] = (-1e9, [])

    def _connect(self, address: str) -> None:
        ray = self._ray
        options: dict[str, Any] = {
            "namespace": NAMESPACE,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if address == "local":
            ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **options)
            return
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if address != "auto":
            try:
                socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "expected HOST:PORT"
                raise BadInputError(f"--ray {address}: no cluster there ({why or error})") from None
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, OSError, TimeoutError, ValueError) as error:
            text = one_line(error, 160)
            if address == "auto":
                text = "no cluster runs here; start it with `ray start --head`, or say --ray local"
            elif "RAY_AUTH_MODE" not in os.environ:  # Ray sends its token to no address by itself
                text += "; if it asks for a token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN"
            raise BadInputError(f"--ray {address}: {text}") from None

    def nodes(self) -> Sequence[Node]:
        """Return the machines that are there now."""
        now = time.monotonic()
        if now - self._nodes[0] > 1.0:
            nodes = [
                Node(
                    about["NodeID"],
                    str(about.get("NodeManagerHostname") or about.get("NodeManagerAddress")),
                    float(about["Resources"].get("CPU", 0)),
                    float(about["Resources"].get("GPU", 0)),
                    float(about["Resources"].get("memory", 0)),
                )
                for about in self._ray.nodes()
                if about["Alive"]
            ]
            self._nodes = now, nodes
        return self._nodes[1]

    def submit(self, job: Job, needs: Needs) -> None:
        """Have a job done as soon as what it needs is free."""
        options: dict[str, Any] = {
            "num_cpus": needs.cpus,
            "num_gpus": needs.gpus,
            "memory": needs.memory,
            "max_retries": 0,
        }
        if needs.node is not None:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            there = NodeAffinitySchedulingStrategy(needs.node, soft=False)
            options["scheduling_strategy"] = there
        reference = self._perform.options(**options).remote(job.as_dict(), self._board)
        self._going[reference] = job.id

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Return the jobs that have ended."""
        if not self._going:
            time.sleep(seconds)
            return self._settled()
        ready, _ = self._ray.wait(list(self._going), num_returns=1, timeout=seconds)
        if ready:  # and whatever else has ended by now
            ready, _ = self._ray.wait(list(self._going), num_returns=len(self._going), timeout=0)
        ended = [self._ended(reference) for reference in ready]
        return [*(each for each in ended if each is not None), *self._settled()]

    def _settled(self) -> list[Ended]:
        """Return the jobs whose process died, once it is known whether its machine did."""
        settled = []
        alive = {node.id for node in self.nodes()}
        for job, (until, why) in list(self._doubtful.items()):
            gone = job in self._where and self._where[job] not in alive
            if gone or time.monotonic() > until:
                del self._doubtful[job]
                settled.append(Ended(job, lost="machine" if gone else "process", why=why))
        return settled

    def _ended(self, reference: Any) -> Ended | None:
        job, errors = self._going.pop(reference), self._ray.exceptions
        with suppress(errors.RayError):
            self._board.forget.remote(job)
        try:
            return Ended(job, self._ray.get(reference))
        except errors.TaskCancelledError:
            return Ended(job, lost="stopped", why="stopped")
        except errors.OutOfMemoryError as error:
            return Ended(job, lost="process", why=f"out of memory: {one_line(error, 120)}")
        except errors.NodeDiedError as error:
            return Ended(job, lost="machine", why=one_line(error, 120))
        except (errors.WorkerCrashedError, errors.LocalRayletDiedError) as error:
            # Its machine may have died with it, which Ray learns a little later.
            self._doubtful[job] = time.monotonic() + DOUBT_SECONDS, one_line(error, 120)
            return None
        except errors.RayTaskError as error:
            cause = error.cause if error.cause is not None else error
            why = one_line(f"{type(cause).__name__}: {cause}", 300)
            if isinstance(cause, ImportError):
                why = f"kdgap, or what it needs, is not installed there ({why})"
            return Ended(job, {"error": why, "exit_code": 2, "host": "a machine"})
        except errors.RayError as error:
            return Ended(job, lost="machine", why=one_line(error, 120))

    def going_on(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the running jobs say."""
        try:
            now: dict[str, dict[str, Any]] = self._ray.get(
                self._board.going_on.remote(), timeout=CONNECT_SECONDS
            )
        except self._ray.exceptions.RayError:
            return {}
        self._where |= {job: str(about["node"]) for job, about in now.items()}
        going = set(self._going.values())
        return {job: about for job, about in now.items() if job in going}

    def stop(self) -> None:
        """Tell all jobs to save and end; those that have not begun do not begin."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.get(self._board.stop.remote(), timeout=_STOP_SECONDS)
        begun = set(self.going_on())
        for reference, job in self._going.items():
            if job not in begun:
                with suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.cancel(reference, force=False)

    def close(self) -> None:
        """Leave the cluster."""
        if self._board is not None:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(self._board)
        self._ray.shutdown()
