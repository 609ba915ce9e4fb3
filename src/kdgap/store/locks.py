"""Locks between processes and machines: the operating system's, never timed.

A lock is `flock` on a file. The system frees it when its holder ends, however that happens, so
nothing is ever stolen by the clock and nothing stays locked after a crash.
"""

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from kdgap.errors import BadInputError


class Lock:
    """A lock that this process holds; free it with `release`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def release(self) -> None:
        """Free the lock, once. Its file stays: deleting it could split it between two holders."""
        if not self._stream.closed:
            with suppress(OSError):
                self._stream.truncate(0)
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def try_lock(path: Path) -> Lock | None:
    """Return the lock on `path`, whose folder exists, or None while another process holds it."""
    while True:
        stream = path.open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been removed and made again between opening and locking.
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                break
        except BlockingIOError:
            stream.close()
            return None
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            stream.close()
            raise BadInputError(
                f"{path.parent}: this file system cannot lock files ({error.strerror}); use another"
            ) from None
        stream.close()
    stream.truncate(0)
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with suppress(OSError):  # a full disk must not keep anybody from the lock
        stream.write(json.dumps(about).encode())
        stream.flush()
    return Lock(stream)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock, found out without taking it for longer than a moment."""
    try:
        with path.open("rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                return False  # its last holder has let go
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def holder(path: Path) -> str:
    """Return who holds a lock, in words."""
    try:
        about = json.loads(path.read_bytes())
        return f"process {about['pid']} on {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def probe_locks(folder: Path) -> None:
    """Refuse a file system whose locks do not exclude.

    Raises:
        BadInputError: two holders got one lock, or locking fails.
    """
    path = folder / ".lock-probe"
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
