"""A guard that is taken out must be missed: each mutant of the product fails a test.

A mutant is a copy of the repository in which one guard is gone. The tests that speak of the guard
are run on it, and have to fail; `make faults` prints which did.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """One guard taken out.

    Attributes:
        guard: what is taken out.
        file: where it stands, below `src/kdgap`.
        text: what stands there, once.
        without: what stands there in the mutant.
        tests: who must miss it.
    """

    guard: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant("fsync of files and folders", "disk.py", "os.fsync(handle)", "pass",
           ("tests/test_files.py",)),
    Mutant("fsync, seen by power cuts", "files.py",
           "        if durable:\n            disk.call(disk.current.sync, handle)\n", "",
           ("tests/faults/test_commands.py::test_a_few_faults_of_each_kind[train]",)),
    Mutant("the checksum of our own files", "store/seal.py",
           "return isinstance(content, dict) and content.get(CHECKSUM) == checksum(content)",
           "return isinstance(content, dict)",
           ("tests/store/test_seal.py", "tests/faults/test_believed.py")),
    Mutant("the hashes of the manifest", "store/manifest.py",
           "if digest not in (expected, manifest.before.get(name)):", "if not digest:",
           ("tests/store/test_record.py",)),
    Mutant("the lock", "disk.py", "fcntl.flock(handle, how)", "pass",
           ("tests/store/test_locks.py",)),
    Mutant("the Host check", "explorer/guard.py",
           "if len(hosts) != 1 or not (hosts[0] in self._hosts or is_loopback(hosts[0])):",
           "if len(hosts) != 1:", ("tests/explorer/test_server.py",)),
    Mutant("the isolation of child processes", "child.py",
           'return [sys.executable, "-P", os.path.abspath(__file__), module, *words]',
           'return [sys.executable, "-m", module, *words]', ("tests/cli/test_isolation.py",)),
    Mutant("the absolute search paths of children", "child.py",
           "if absolute := [entry for entry in entries if os.path.isabs(entry)]:",
           "if absolute := entries:", ("tests/cli/test_isolation.py", "tests/test_child.py")),
    Mutant("the escaping of what is printed", "text.py",
           "return HIDDEN.sub(lambda match: _escape(ord(match[0])), text)", "return text",
           ("tests/test_terminal.py", "tests/cli/test_hostile_text.py")),
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_each_guard_stands_where_its_mutant_looks(mutant: Mutant) -> None:
    """Seen by every `make test`, so that a renaming does not wait for the next `make faults`."""
    text = (ROOT / "src" / "kdgap" / mutant.file).read_text()
    assert text.count(mutant.text) == 1, f"{mutant.file}: {mutant.text!r}"


@pytest.mark.faults
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_a_guard_that_is_gone_is_missed(
    mutant: Mutant, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    began = time.monotonic()
    copy = tmp_path / "copy"
    for part in ("src", "tests", "configs", "tools"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    file = copy / "src" / "kdgap" / mutant.file
    file.write_text(file.read_text().replace(mutant.text, mutant.without))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests],
        cwd=copy, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
    )  # fmt: skip
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    figures(
        f"mutant: without {mutant.guard}: {', '.join(failed) or 'nobody noticed'}"
        f" ({time.monotonic() - began:.0f} s)"
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert failed
