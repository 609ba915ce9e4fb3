"""Data that is kept at a URL, brought to this machine once."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import make_folder, read_json, remove, write_json
from kdgap.leftovers import remove_temporaries
from kdgap.paths import cache_folder, is_url
from kdgap.store.locks import wait_for_lock
from kdgap.store.storage import Storage
from kdgap.store.url import Url

_looked: dict[tuple[str, Path], Path] = {}
"""What this process has looked at: it sees one state of the data, whatever becomes of the URL."""


def local_place(place: str, pause: Callable[[], None] = lambda: None) -> Path:
    """Return where on this machine a folder or file of data is.

    What is at a URL is fetched into the cache once for all processes of this machine: those that
    come meanwhile wait. Later only what has changed at the URL is fetched, and what is gone there
    goes here. Whether it is the right data is not asked here: that says its fingerprint.

    Args:
        place: a path, or a URL that fsspec knows.
        pause: called while waiting, and between files; may raise to stop.

    Raises:
        BadInputError: nothing is at the URL, or a name there is no path below it.
        StorageError: the storage does not answer.
    """
    if not is_url(place):
        return Path(place)
    key = (place, cache_folder())
    if key in _looked:
        return _looked[key]
    storage, file = Url(place), ""
    there = storage.listing()
    if set(there) == {""}:  # a file: what it names lies beside it
        parent, _, file = place.rstrip("/").rpartition("/")
        storage = Url(parent)
        there = storage.listing()
    if not there:
        raise BadInputError(f"{place}: nothing is there")
    for name in there:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BadInputError(f"{place}: {name} is no name below it")
    digest = hashlib.sha256(storage.where.encode()).hexdigest()[:16]
    folder = cache_folder() / "data" / digest
    make_folder(folder)
    with wait_for_lock(folder.parent / f".{digest}.lock", pause):
        _fetch(storage, there, folder, pause)
    _looked[key] = folder / file if file else folder
    return _looked[key]


def _fetch(
    storage: Storage, there: dict[str, str], folder: Path, pause: Callable[[], None]
) -> None:
    """Make a folder equal to what a storage holds; beside it is noted what was fetched of it."""
    note = folder.with_name(f".{folder.name}.json")
    known: dict[str, str] = {}
    with suppress(StoreDamagedError, FileNotFoundError):
        known = dict(read_json(note))
    for name in known.keys() - there.keys():
        remove(folder / name)
    for place in {(folder / name).parent for name in there}:
        remove_temporaries(place)  # a fetch that was killed may have left gigabytes
    here = {name for name in there if known.get(name) == there[name] and (folder / name).exists()}
    try:
        for names in storage.fetch_many([name for name in there if name not in here], folder):
            here.update(names)
            pause()
    finally:  # so that what was fetched is not fetched again
        write_json(note, {name: there[name] for name in sorted(here)})
