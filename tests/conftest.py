"""Fixtures shared by all tests. Every test runs offline, on the CPU, with its own cache folder."""

import signal
from collections.abc import Callable
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


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of the tests, and terminals at one width."""
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(autouse=True)
def _nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans time no steps unless a test asks for it: every test's cache is empty."""
    monkeypatch.setattr(duration, "SHORT_SECONDS", 0.0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run in parallel processes: one thread each, which also fixes the last bits."""
    torch.set_num_threads(1)
    return


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
