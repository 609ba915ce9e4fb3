"""Fixtures shared by all tests. Every test runs offline, on the CPU, with its own cache folder."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from kdgap.study import duration

settings.register_profile("kdgap", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("kdgap")

# Shells start what runs in the background with Ctrl-C ignored, and so would what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


def pytest_collection_finish() -> None:
    """Leave thousands of tests and libraries out of Python's search for cycles, which goes on."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths of new folders; pytest's own numbers are found by listing all earlier folders."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def _isolated(_caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of the tests, and terminals at one width."""
    cache = next(_caches)
    cache.mkdir()
    monkeypatch.setenv("KDGAP_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="session", autouse=True)
def _disk_is_not_waited_for() -> Iterator[None]:
    """What this process writes need not survive a loss of power, for which a disk takes long.

    Tests that are about it put a `sync` of their own in place; child processes wait as users' do.
    """

    def reached(handle: int) -> None:
        os.fstat(handle)  # one that is closed fails as it would

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", reached)
        yield


@pytest.fixture(autouse=True)
def _nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans time no steps unless a test asks for it: every test's cache is empty."""
    monkeypatch.setattr(duration, "SHORT_SECONDS", 0.0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run in parallel processes: one thread each, which also fixes the last bits.

    Threads of their child processes would wait for each other in loops that take a whole core.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps a line that is printed when all tests are over, whichever process ran them."""
    return lambda line: record_property("figures", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests came to."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, line in getattr(report, "user_properties", []):
                if key == "figures":
                    terminalreporter.write_line(str(line))


@pytest.fixture
def shared_cifar10() -> Path:
    """The real CIFAR-10 in parquet, where it is present."""
    folder = SHARED_DATA / "cifar10"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder
