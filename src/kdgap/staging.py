"""Several files written as one: none is replaced before every new one is whole on the disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from kdgap import disk
from kdgap.files import (
    make_folder,
    note_change,
    remove_quietly,
    sync_directory,
    temporary_beside,
    write_new,
)
from kdgap.leftovers import remove_temporaries


class Staging:
    """Collects files beside their targets; leaving without an error puts all in their places.

    With an error, as on a full disk, or after a kill, every old file is still there. The renames
    at the end take no space. What a kill leaves is removed when the folder is next written to.
    """

    def __init__(self) -> None:
        self._files: dict[Path, Path] = {}
        self._folders: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def write(self, path: Path, content: bytes) -> None:
        """Write what `path` is to hold, in a folder that is made where it is missing."""
        if path.parent not in self._folders:
            make_folder(path.parent)
            remove_temporaries(path.parent)
            self._folders.add(path.parent)
        if path in self._files:
            remove_quietly(self._files[path])
        self._files[path] = temporary_beside(path)
        with disk.naming(path):
            write_new(self._files[path], content)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                for path in list(self._files):
                    with disk.naming(path):
                        disk.call(disk.current.rename, self._files[path], path)
                    note_change()
                    del self._files[path]
                for folder in sorted(self._folders):
                    sync_directory(folder)
        finally:
            for temporary in self._files.values():
                remove_quietly(temporary)


def replace_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, of which none is replaced before all are whole; see `Staging`."""
    with Staging() as staging:
        for path, content in contents.items():
            staging.write(path, content)
