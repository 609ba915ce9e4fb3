"""A study on a Ray cluster of three machines, of which now and then something dies.

Behind the marker `cluster`: `make test-cluster`. Machines are raylets of this machine with a cache
each. `KDGAP_KILLS` says how many kills there are at least.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from kdgap.spec.study import STAGES
from kdgap.store.mirror import pulled
from kdgap.store.study import StudyDirectory
from kdgap.store.url import storage_at
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.cluster.test_driver import hashes
from tests.e2e.study import study_text

pytestmark = pytest.mark.cluster
KILLS = int(os.environ.get("KDGAP_KILLS", "6"))
LONG_SECONDS = 3600
"""Many times what anything here takes."""
STUDY = study_text(recipe={"epochs": 12, "batch_size": 32}, threads=1, save_seconds=1.0)


class Machines:
    """Raylets that share a head, each with a cache of its own."""

    def __init__(self, folder: Path, count: int) -> None:
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        self._folder, self._made = folder, 0
        self._cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
        )
        self.nodes = [self.add() for _ in range(count)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> Any:
        self._made += 1
        cache = str(self._folder / f"machine{self._made}")
        return self._cluster.add_node(num_cpus=1, env_vars={"KDGAP_CACHE": cache})

    def kill(self, index: int) -> None:
        """Kill a machine with all its processes, and add another."""
        self._cluster.remove_node(self.nodes[index], allow_graceful=False)
        self.nodes[index] = self.add()

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def machines(tmp_path: Path, bucket: str) -> Iterator[Machines]:
    cluster = Machines(tmp_path / "caches", 3)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The study on this machine, without Ray."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "study.yaml").write_text(STUDY)
    workspace = open_study(folder / "study.yaml", {}, folder / "study")
    directory = start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", tuple(STAGES)).work()
    return hashes(directory)


class Driver:
    """`kdgap run --ray` in a process, started again whenever it was killed."""

    def __init__(self, folder: Path, address: str, out: str, study: str = STUDY) -> None:
        self._folder, self._address, self._out = folder, address, out
        self.log = folder / "driver.log"
        (folder / "study.yaml").write_text(study)
        self.start()

    def start(self) -> None:
        words = ("run", "study.yaml", "--ray", self._address, "--out", self._out)
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kdgap", *words],
                cwd=self._folder,
                env={**os.environ, "KDGAP_CACHE": str(self._folder / "driver")},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LONG_SECONDS)
        self.start()


def kill_a_process(draw: random.Random) -> bool:
    """Kill a process that does a job; return whether there was any."""
    doing = [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [""])[0].startswith("ray::perform_job")
    ]
    if not doing:
        return False
    draw.choice(doing).kill()
    return True


@pytest.mark.parametrize("place", ["folder", "url", "bucket"])
def test_whatever_dies_nothing_is_lost_and_nothing_doubled(
    place: str, tmp_path: Path, bucket: str, machines: Machines, alone: dict[str, Any]
) -> None:
    folder = tmp_path / "there" / "study"
    out = {"folder": str(folder), "url": f"file://{folder}", "bucket": f"{bucket}/study"}[place]
    driver = Driver(tmp_path, machines.address, out)
    draw, killed = random.Random(place), Counter[str]()
    until, again = time.monotonic() + LONG_SECONDS, 0
    while driver.process.poll() != 0:
        assert time.monotonic() < until, driver.log.read_text()
        if driver.process.poll() is not None:  # it died with the machine that it was on
            assert again < killed["machine"], driver.log.read_text()
            again += 1
            driver.start()
        time.sleep(draw.uniform(3, 20))  # some while it starts, more while it trains
        if killed.total() >= KILLS or driver.process.poll() is not None:
            continue
        kind = draw.choice(("machine", "driver", "process"))
        if kind == "machine":
            machines.kill(draw.randrange(3))
        elif kind == "driver":
            driver.kill()
        elif not kill_a_process(draw):
            continue
        killed[kind] += 1
    print(json.dumps({"place": place, "killed": killed, "runs": len(alone)}))
    there = pulled(out) if place == "bucket" else folder
    assert hashes(StudyDirectory(there)) == alone
    assert not storage_at(out).listing("incoming")


def ports(process: psutil.Process) -> set[str]:
    """The addresses that a process and its descendants listen at."""
    addresses: set[str] = set()
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            addresses |= {
                connection.laddr.ip
                for connection in each.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return addresses


def test_ray_on_this_machine_alone_opens_no_port_to_others(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    driver = Driver(tmp_path, "local", str(tmp_path / "study"))
    addresses: set[str] = set()
    while driver.process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            addresses |= ports(psutil.Process(driver.process.pid))
        time.sleep(0.5)
    assert driver.process.returncode == 0, driver.log.read_text()
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert hashes(StudyDirectory(tmp_path / "study")) == alone


def test_runs_that_devices_share_are_those_of_a_study_without_ray(tmp_path: Path) -> None:
    study = study_text(selection=None, finals={"seeds": [0], "devices": 2}, threads=1)
    study = study.replace("[0.3, 0.7]", "0.3")
    driver = Driver(tmp_path, "local", str(tmp_path / "study"), study)
    assert driver.process.wait(LONG_SECONDS) == 0, driver.log.read_text()
    workspace = open_study(tmp_path / "study.yaml", {}, tmp_path / "alone")
    directory = start_study(workspace, lambda _: None)
    Worker(workspace, "cpu", tuple(STAGES)).work()
    assert hashes(StudyDirectory(tmp_path / "study")) == hashes(directory)
    shared = [run for run in directory.plan()["runs"] if run["roles"] != ["teacher"]]
    assert len(shared) == 3


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:x"])
def test_no_cluster_at_an_address_is_one_line(address: str, tmp_path: Path) -> None:
    driver = Driver(tmp_path, address, str(tmp_path / "study"))
    assert driver.process.wait(LONG_SECONDS) == 2
    error = driver.log.read_text()
    assert error.startswith(f"error: --ray {address}: no cluster there"), error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "study").exists()


def test_a_study_has_one_driver_at_a_time(tmp_path: Path, machines: Machines) -> None:
    out = str(tmp_path / "study")
    first = Driver(tmp_path, machines.address, out)
    while "of 11 runs" not in first.log.read_text():
        assert first.process.poll() is None, first.log.read_text()
        time.sleep(0.2)
    other = tmp_path / "other"
    other.mkdir()
    second = Driver(other, machines.address, out)
    assert second.process.wait(LONG_SECONDS) == 2
    assert "another `kdgap run --ray` is at work on this study" in second.log.read_text()
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(LONG_SECONDS) == 143, first.log.read_text()
