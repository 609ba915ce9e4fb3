"""Where a job tests runs: in a directory of its own, which no other job of its machine touches."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdgap.files import entries, make_folder, remove_tree
from kdgap.store.locks import try_lock, wait_for_lock
from kdgap.store.record import LOCK
from kdgap.store.study import StudyDirectory

ASIDE = "testing"


@contextmanager
def aside(study: Path) -> Iterator[StudyDirectory]:
    """Lend an empty directory in a machine's own of a study, and remove it afterwards.

    What jobs left that were killed goes, too: nobody holds its lock any more.
    """
    folder = study / ASIDE
    make_folder(folder)
    own = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
    with wait_for_lock(folder / LOCK):
        for other in entries(folder):
            if other.is_dir() and (left := try_lock(other / LOCK)) is not None:
                with left:
                    remove_tree(other)
        make_folder(own)
        lock = wait_for_lock(own / LOCK)
    with lock:
        try:
            yield StudyDirectory(own)
        finally:
            with wait_for_lock(folder / LOCK):  # or others take it for left behind, and remove it
                remove_tree(own)
