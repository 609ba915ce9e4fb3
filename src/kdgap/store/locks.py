"""Locks between processes and machines: the operating system's, never timed.

A lock is `flock` on a file. The system frees it when its holder ends, however that happens, so
nothing is ever stolen by the clock and nothing stays locked after a crash.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from kdgap import disk
from kdgap.errors import BadInputError
from kdgap.files import make_folder, read_bytes

LOOKS, LOOK_SECONDS, WAIT_SECONDS = 3, 0.01, 0.05
PROBE = ".lock-probe"


class Lock:
    """A lock that this process holds; free it with `release`."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def release(self) -> None:
        """Free the lock, once. Its file stays: deleting it could split it between two holders."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                disk.current.truncate(handle, 0)
            with suppress(OSError):
                disk.current.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def try_lock(path: Path) -> Lock | None:
    """Return the lock on `path`, whose folder exists, or None while another process holds it."""
    for _ in range(LOOKS):
        lock = _take(path)
        if lock is not None:
            return lock
        time.sleep(LOOK_SECONDS)  # `is_held` of another process may be looking this very moment
    return None


def wait_for_lock(path: Path, pause: Callable[[], None] = lambda: None) -> Lock:
    """Return the lock on `path`, whose folder exists, once it is free; for short work only.

    Args:
        path: the lock's file.
        pause: called between looks, and may raise to stop waiting.
    """
    while (lock := try_lock(path)) is None:
        pause()
        time.sleep(WAIT_SECONDS)
    return lock


def _take(path: Path) -> Lock | None:
    while True:
        handle = disk.call(disk.current.open, path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            disk.call(disk.current.lock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been removed and made again between opening and locking.
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        except BlockingIOError:
            disk.current.close(handle)
            return None
        except FileNotFoundError:
            make_folder(path.parent)
        except OSError as error:
            disk.current.close(handle)
            raise BadInputError(
                f"{path.parent}: this file system cannot lock files ({error.strerror}); use another"
            ) from None
        disk.current.close(handle)
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with suppress(OSError):  # a full disk must not keep anybody from the lock
        disk.current.truncate(handle, 0)
        disk.current.write(handle, memoryview(json.dumps(about).encode()))
    return Lock(handle)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock; looking shares it, which takers wait out."""
    try:
        handle = disk.call(disk.current.open, path, os.O_RDONLY)
    except OSError:
        return False
    try:
        disk.call(disk.current.lock, handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        disk.current.close(handle)
    return False


def holder(path: Path) -> str:
    """Return who holds a lock, in words."""
    try:
        about = json.loads(read_bytes(path))
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def probe_locks(folder: Path) -> None:
    """Refuse a file system whose locks do not exclude.

    Raises:
        BadInputError: two holders got one lock, or locking fails.
    """
    path = folder / PROBE
    first = try_lock(path)
    if first is None:  # another runner is probing at this very moment: its locks do exclude
        return
    with first:
        second = try_lock(path)
    if second is not None:
        second.release()
        raise BadInputError(
            f"{folder}: locks do not exclude each other on this file system; use another"
        )
