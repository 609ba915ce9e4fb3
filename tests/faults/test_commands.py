"""Every call to the disk fails once: commands end in one line, and go on as if nothing had been.

For each command the N-th call fails, N = 1, 2, … to its last one, with each fault of
`counting_disk.py`.
Then: an exit code of docs/commands.md and one line of error, nothing unsaid, and the same command
without faults ends in the bytes of a run that never failed, with nothing left over.

`make faults` tries all calls, of `run` every `KDGAP_FAULTS_EVERY`-th, and prints the figures;
`make test` tries a few of each.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.faults.commands import COMMANDS
from tests.faults.counting_disk import APPLIES, FULL
from tests.faults.trial import Server, Trials, server

FAULTS = [*APPLIES, FULL]
EVERY = int(os.environ.get("KDGAP_FAULTS_EVERY", "1"))
"""Of commands whose trials take long, only every n-th call is tried."""
FEW = ("ENOSPC", "EIO", "power")
"""What `make test` tries on those."""


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def trials(served: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trials]:
    """One for each command, so that no fault tries again what came of another."""

    @cache
    def make(name: str) -> Trials:
        command, folder = COMMANDS[name], tmp_path_factory.mktemp(name)
        start = folder / "start"
        start.mkdir()
        command.make(start, served)
        return Trials(served, folder / "trials", start, command.words, command.repair)

    return make


@pytest.mark.parametrize("name", COMMANDS)
def test_a_few_faults_of_each_kind(name: str, trials: Callable[[str], Trials]) -> None:
    tried, wrong = trials(name), []
    # Every second fault for each command, the others for the next.
    half = FAULTS[list(COMMANDS).index(name) % 2 :: 2]
    for number, fault in enumerate(FEW if COMMANDS[name].slow else half):
        points = tried.points(fault)
        # Another place for each fault, and never the same ones as the commands' first calls.
        at = points[len(points) * (number + 1) // (len(FAULTS) + 1)]
        wrong.append(tried.try_fault(fault, at))
    assert [text for text in wrong if text] == []


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_call_fails_once(
    name: str, fault: str, trials: Callable[[str], Trials], figures: Callable[[str], None]
) -> None:
    began = time.monotonic()
    every = EVERY if COMMANDS[name].slow else 1
    tried = trials(name).points(fault)[::every]
    wrong = [text for at in tried if (text := trials(name).try_fault(fault, at))]
    silent = sum("silent" in text for text in wrong)
    kinds = Counter(text.partition(": ")[2][:60] for text in wrong)
    figures(
        f"faults: {name:8} {fault:7} {len(tried):5} points, {len(tried) - len(wrong):5} survived,"
        f" {silent} silent, {time.monotonic() - began:.0f} s {dict(kinds) or ''}"
    )
    assert wrong == []
