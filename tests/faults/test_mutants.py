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
)  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_a_guard_that_is_gone_is_missed(
    mutant: Mutant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    copy = tmp_path / "copy"
    for part in ("src", "tests", "configs", "tools"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    file = copy / "src" / "kdgap" / mutant.file
    assert file.read_text().count(mutant.text) == 1, f"{mutant.file}: {mutant.text!r}"
    file.write_text(file.read_text().replace(mutant.text, mutant.without))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests],
        cwd=copy, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
    )  # fmt: skip
    failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    with capsys.disabled():
        print(f"\nmutant: without {mutant.guard}: {', '.join(failed) or 'nobody noticed'}"
              f" ({time.monotonic() - began:.0f} s)")  # fmt: skip
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert failed
