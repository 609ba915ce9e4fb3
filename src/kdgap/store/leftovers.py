"""What ended runners left in a study, and nobody owns: it is removed without asking, and counted.

A runner writes in a run's directory only while it holds the run's lock. So under that lock may go
the tensors of a state that no index commits, every state of a finished run, and a directory that
holds nothing but its lock. Temporary files and live files say whose they are, everywhere
(`kdgap.leftovers`): some are written under no lock. Nothing else is touched, and no link followed.
"""

from contextlib import suppress
from pathlib import Path

from kdgap import disk
from kdgap.errors import BadInputError
from kdgap.files import entries, names_in, remove, remove_tree
from kdgap.leftovers import remove_live, remove_temporaries
from kdgap.store.record import LOCK, MANIFEST, STATE, RunDirectory
from kdgap.store.study import StudyDirectory


def tidy_study(directory: StudyDirectory) -> int:
    """Remove what nobody owns; return how many files and folders that were.

    What cannot be looked at or removed stays, for tidying must not stop any work.
    """
    count = remove_live(directory.path / "live")
    for name in ("", "locked", "live", "analysis"):
        count += remove_temporaries(directory.path / name)
    for slot in _folders(directory.path / "runs"):
        count += remove_temporaries(slot)
        for run in _folders(slot):
            with suppress(OSError, BadInputError):
                count += remove_temporaries(run)
                count += _tidy_run(directory.run(f"runs/{slot.name}/{run.name}"))
        with suppress(OSError):  # it is not empty, or has just been made
            disk.call(disk.current.remove_folder, slot)
            count += 1
    return count


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in entries(path) if entry.is_dir() and not entry.is_symlink()]
    except OSError:
        return []


def _tidy_run(run: RunDirectory) -> int:
    names = names_in(run.path)
    if not _ownerless_states(names) and not _is_empty(names):
        return 0
    lock = run.try_lock()
    if lock is None:
        return 0
    with lock:
        names = names_in(run.path)
        states = _ownerless_states(names)
        for name in states:
            remove(run.path / name)
        if _is_empty(names):
            remove_tree(run.path)
            return 1
        return len(states)


def _is_empty(names: list[str]) -> bool:
    return set(names) <= {LOCK}


def _ownerless_states(names: list[str]) -> list[str]:
    """Return the files of states that nobody will read: those of a finished run, and loose ones."""
    states = [name for name in names if STATE.fullmatch(name)]
    if MANIFEST in names:
        return states
    return [name for name in states if name.rpartition(".")[0] + ".json" not in names]
