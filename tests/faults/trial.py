"""Trials: what a command begins with, the command with one fault, and what came of it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.counting_disk import APPLIES, FULL, lose_power

CODES = {0, 2, 3, 4, 130, 143}
KILLED = -9
_OUTSIDE = re.compile(r".*(timing\.json|attempts\.jsonl|\.lock|\.lock-probe|\.plan-lock)|cache/.*")
"""Files that are outside the promise of equality; they must be there, or not, all the same."""
_PAGE = re.compile("page-[0-9]+")
_TEMPORARY = re.compile(r"/\.tmp-[^/]* is left over")
_CACHE = re.compile(r"(.*/)?cache/.*")
_NAMES = re.compile(r"\.tmp-[^/]*|page-[0-9]+|[0-9]+")
"""Parts of file names that are other ones each time."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


class Server:
    """A process that runs `kdgap` in forks of itself (`tests/faults/server.py`)."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
        root = str(Path(__file__).parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [root, environment.get("PYTHONPATH", "")])
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root,
        )  # fmt: skip

    def run(self, **asked: Any) -> Outcome:
        """Run one command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the server of trials ended"
        return Outcome(**json.loads(answer))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def server() -> Iterator[Server]:
    """A server for as long as it is needed."""
    running = Server()
    try:
        yield running
    finally:
        running.close()


class Trials:
    """Runs one command with faults, from the same beginning each time.

    Args:
        server: runs it.
        folder: scratch.
        start: the folder that the command begins with, copied for each trial.
        words: the command.
        repair: further commands that a user would give after exit code 3 or 4.
    """

    def __init__(
        self, server: Server, folder: Path, start: Path, words: list[str], repair: list[list[str]]
    ) -> None:
        self._server, self._folder, self._start = server, folder, start
        self._words, self._repair = words, repair
        self._ended_well: set[bytes] = set()
        self.expected = self._calm()

    def _calm(self) -> "Tree":
        place = self._place()
        ended = self._run(place, self._words, counted=True)
        assert ended.code == 0, ended.err
        self.calls = [line.split()[1] for line in (place / "trace").read_text().splitlines()]
        tree = Tree(place / "work")
        self._ended_well.add(state(place / "work"))
        # Once more on what is there, as after every fault.
        again = self._run(place, self._words)
        assert again.code == 0, again.err
        assert Tree(place / "work").differs(tree) == [], "the same command twice gives other bytes"
        shutil.rmtree(place)
        return tree

    def _place(self) -> Path:
        # The same for every trial: a study's plan says where it was begun.
        place = self._folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        shutil.copytree(self._start, place / "work", symlinks=True)
        return place

    def _run(
        self, place: Path, words: list[str], *, counted: bool = False, fault: str = "", at: int = 0
    ) -> Outcome:
        return self._server.run(
            folder=str(place), cwd=str(place / "work"), cache=str(place / "work" / "cache"),
            words=words, counted=counted, fault=fault, at=at,
        )  # fmt: skip

    def points(self, fault: str) -> list[int]:
        """Return the calls that a fault applies to, by number."""
        kinds = APPLIES["ENOSPC"] if fault == FULL else APPLIES[fault]
        return [number for number, call in enumerate(self.calls, 1) if call in kinds]

    def try_fault(self, fault: str, at: int) -> str | None:
        """Let one call go wrong, then run without faults; return what is wrong with that, if any.

        A trial in which the fault did not happen (another order of calls) is one without fault.
        """
        place = self._place()
        try:
            ended = self._run(place, self._words, counted=True, fault=fault, at=at)
            wrong = self._judge(ended, fault, fired=(place / "fired").exists())
            if (place / "cut").exists():
                lose_power(place)
            after = f"{fault} at call {at} ({self._call(place)})"
            if wrong:
                return f"{after}: {wrong}"
            lost = Tree(place / "work").differs(self.expected)
            if " unlink " in self._call(place):
                # What could not be removed stays, and may be said by nobody: below it must be gone.
                lost = [text for text in lost if not _TEMPORARY.search(text)]
            if ended.code == 0 and lost and not self._named(ended, place):
                return f"{after}: silent: ended with 0, but {'; '.join(lost[:3])}"
            if ended.code == 0 and fault in ("EINTR", "short"):
                return f"{after}: {lost[0]}" if lost else None  # `_calm` went on from these bytes
            left = state(place / "work")
            if left in self._ended_well:
                return None  # from files like these it went on before
            again = self._run(place, self._words)
            if again.code in (3, 4):
                for words in self._repair:
                    self._run(place, words)
                again = self._run(place, self._words)
            if again.code != 0:
                return f"{after}: afterwards {again.code}: {again.err[-300:]}"
            if differs := Tree(place / "work").differs(self.expected):
                return f"{after}: afterwards {'; '.join(differs[:3])}"
            self._ended_well.add(left)
            return None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _call(self, place: Path) -> str:
        fired = place / "fired"
        return fired.read_text() if fired.exists() else "not reached"

    def _named(self, ended: Outcome, place: Path) -> bool:
        """Whether the command said which file it did without."""
        name = self._call(place).split()[-1]
        return name in ended.err or name in ended.out

    def _judge(self, ended: Outcome, fault: str, *, fired: bool) -> str | None:
        if "Traceback" in ended.err:
            return f"a traceback: {ended.err[-800:]}"
        if fault in ("kill", "power") and ended.code == KILLED and fired:
            return None
        if ended.code not in CODES:
            return f"exit code {ended.code}: {ended.err[-300:]}"
        errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        if ended.code and len(errors) != 1:
            return f"exit code {ended.code} with {len(errors)} lines of error: {ended.err[-300:]}"
        if ended.code == 0 and errors:
            return f"exit code 0 with an error: {errors[0]}"
        if fault in ("EINTR", "short") and ended.code:
            return f"exit code {ended.code} after {fault}: {ended.err[-300:]}"
        return None


def state(folder: Path) -> bytes:
    """Return a hash of all that is below a folder, but for times, process numbers and the like.

    Those stand in the files that are outside the promise of equality, and in names. A command that
    begins with the same state ends alike, so that it need not be tried from it twice.
    """
    digest = hashlib.sha256()
    for name, path in sorted(
        (str(entry.relative_to(folder)), entry) for entry in folder.rglob("*")
    ):
        digest.update(f"\0{name if _CACHE.fullmatch(name) else _NAMES.sub('N', name)}\0".encode())
        if path.is_symlink() or path.is_dir():
            digest.update(bytes(path.readlink()) if path.is_symlink() else b"/")
            continue
        content = path.read_bytes()
        if _OUTSIDE.fullmatch(name) and not _CACHE.fullmatch(name):
            content = re.sub(rb"[0-9]+", b"N", content)
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()


class Tree:
    """The files below a folder; of those that are promised to be equal, what they hold."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, bytes | None] = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_dir() or _CACHE.fullmatch(name):
                continue
            outside = _OUTSIDE.fullmatch(name)
            # Each export of a page has a part of another number.
            name = _PAGE.sub("page-N", name)
            content = None if outside else path.read_bytes()
            self.files[name] = content and _PAGE.sub("page-N", content.decode("latin-1")).encode()

    def differs(self, other: "Tree") -> list[str]:
        """Return what is different, in words; nothing where both are equal."""
        mine, theirs = set(self.files), set(other.files)
        return [
            *(f"{name} is left over" for name in sorted(mine - theirs)),
            *(f"{name} is missing" for name in sorted(theirs - mine)),
            *(f"{name} has other bytes" for name in sorted(mine & theirs)
              if self.files[name] != other.files[name]),
        ]  # fmt: skip
