"""What ended processes left behind, and who may remove it.

A temporary file or folder says in its name which process of which machine made it, and may go when
that process has ended, at once. Whether it has is known on its own machine alone, and only since
that was started: a shared folder also holds what others are writing this very moment, on their
machines or in their containers. Of those, and of names that say nothing, goes what was not written
to for `LONG_SECONDS`.

A process number may be given again. Its new owner is younger than what the old one wrote, so it is
told apart by its start, unless that is within `CLOCK_SECONDS`, as clocks of file servers differ.
"""

import os
import re
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from kdgap.files import TEMPORARY_PREFIX, machine, names_in, remove, remove_tree

LONG_SECONDS = 24 * 3600.0
CLOCK_SECONDS = 600.0
SCRATCH_PREFIX = "kdgap-"
_TEMPORARY = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?:([0-9a-f]+)-([0-9]+)-)?[0-9a-f]{{16}}")
_SCRATCH = re.compile(rf"{SCRATCH_PREFIX}[a-z]+-([0-9a-f]+)-([0-9]+)-[a-z0-9_]{{8}}")
_OLD_SCRATCH = re.compile(rf"{SCRATCH_PREFIX}(?:rerun|bench)-()()[a-z0-9_]{{8}}")
_LIVE = re.compile(r"(.+)-([0-9]+)\.(?:json|left|new)")


def remove_temporaries(folder: Path) -> int:
    """Remove the temporary files that nobody owns from a folder; return how many there were."""
    temporaries = _matching(folder, _TEMPORARY)
    return sum(_gone(path, is_here=owner == machine(), pid=pid) for path, owner, pid in temporaries)


def remove_live(folder: Path) -> int:
    """Remove what runners and displays said that have ended.

    `HOST-PID.json` and `.new` are an older version's: a host's name alone says nothing of where.
    """
    entries = _matching(folder, _LIVE)
    return sum(_gone(path, is_here=owner == machine(), pid=pid) for path, owner, pid in entries)


def scratch_prefix(purpose: str) -> str:
    """Return how the name of a temporary folder begins, which tells whose it is.

    Args:
        purpose: a word in small letters.
    """
    return f"{SCRATCH_PREFIX}{purpose}-{machine()}-{os.getpid()}-"


def remove_scratch() -> int:
    """Remove this user's temporary folders that nobody owns; return how many there were."""
    parent = Path(tempfile.gettempdir())
    folders = [*_matching(parent, _SCRATCH), *_matching(parent, _OLD_SCRATCH)]
    return sum(
        _gone(path, is_here=owner == machine(), pid=pid)
        for path, owner, pid in folders
        if _is_private(path)
    )


def _is_private(path: Path) -> bool:
    """Whether it is a folder of this user that nobody else can change while it is removed."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o022


def _matching(folder: Path, names: re.Pattern[str]) -> list[tuple[Path, str, str]]:
    """Return what bears such names in a folder that can be read, each with its owner's parts."""
    try:
        matches = [(folder / name, names.fullmatch(name)) for name in names_in(folder)]
    except OSError:
        return []
    return [(path, match[1] or "", match[2] or "") for path, match in matches if match]


def _gone(path: Path, *, is_here: bool, pid: str) -> bool:
    """Remove something unless it is somebody's; return whether it is gone now."""
    with suppress(OSError):
        written = path.lstat().st_mtime
        if has_ended(int(pid), written) if is_here else time.time() - written > LONG_SECONDS:
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                remove(path)
            return True
    return False


def has_ended(pid: int, written: float) -> bool:
    """Whether the process of this machine is gone that wrote something at a time of the epoch."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return process.create_time() > written + CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False  # it is there, and nothing more is told
