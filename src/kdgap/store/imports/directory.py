"""An import's folder, which `import` writes and `analyze` and `report` read.

| file | what it holds |
|---|---|
| `import.json` | where the runs come from, what was found odd, the hash of `runs.jsonl` |
| `runs.jsonl` | one line a run: settings, seed, roles, accuracies, fidelity, history, its files |

An import that is cut short leaves the one before it, or what the next one tidies.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, StoreDamagedError
from kdgap.files import (
    TEMPORARY_PREFIX,
    changes,
    json_text,
    make_folder,
    names_in,
    open_file,
    parse_json,
    read_bytes,
    remove,
    remove_tree,
    take_back,
)
from kdgap.staging import replace_together
from kdgap.store.imports.schema import ImportedLine, ImportFile
from kdgap.store.instead import IMPORT, is_import
from kdgap.store.schema.gate import checked
from kdgap.store.seal import read_sealed, sealed_bytes

RUNS = "runs.jsonl"
_LONGEST_LINE = 2**26


class ImportedDirectory:
    """One import's folder; see the module for its files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether an import is here."""
        return is_import(self.path)

    def refuse_other(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            BadInputError: naming what is there and how to go on.
        """
        if self.path.is_symlink():
            raise BadInputError(f"{self.path}: is a symbolic link; name a real folder")
        if self.path.exists() and not self.path.is_dir():
            raise BadInputError(f"{self.path}: is a file; give another --out")
        try:
            if self.path.is_dir() and not self.exists() and not self._was_cut_short():
                raise BadInputError(f"{self.path}: not empty and no import; give another --out")
        except OSError as error:
            raise BadInputError(f"{self.path}: {error.strerror}; give another --out") from None

    def _was_cut_short(self) -> bool:
        """Whether nothing is here but what an import leaves that was killed while writing."""
        left = [name for name in names_in(self.path) if not name.startswith(TEMPORARY_PREFIX)]
        if left != [RUNS]:
            return not left
        try:
            with open_file(self.path / RUNS) as stream:
                first = parse_json(stream.readline(_LONGEST_LINE).decode())
        except ValueError:
            return False
        return isinstance(first, dict) and {"cell", "slots", "sha256"} <= first.keys()

    def differs(self, about: Mapping[str, object]) -> bool:
        """Whether an import of other files is here, or by other options, or an unreadable one."""
        from kdgap.store.imports.bookkeeping import Choices

        try:
            known = self.read()[0] if self.exists() else about
            choices = known.get("choices", Choices().as_json())
            return bool(known["source"] != about["source"] or choices != about["choices"])
        except (StoreDamagedError, KeyError, ValueError):
            return True

    def judged(self) -> list[Path]:
        """Return what `analyze` and `report` left here."""
        return [path for name in ("report.html", "analysis") if (path := self.path / name).exists()]

    def write(self, about: Mapping[str, object], runs: Sequence[Mapping[str, object]]) -> None:
        """Write an import, and tidy what one that was cut short has left.

        Raises:
            OSError: it cannot be written; what was here before still is.
        """
        content = "".join(json_text(run, indent=None) + "\n" for run in runs).encode()
        head = {**about, "runs_sha256": hashlib.sha256(content).hexdigest()}
        new = {RUNS: content, IMPORT: sealed_bytes(head)}
        old = self._kept() if self.exists() else {}
        folders = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        before = changes()
        try:
            make_folder(self.path)
            replace_together({self.path / name: content for name, content in new.items()})
        except BaseException:
            with suppress(OSError):
                self._restore(old, new, folders)
                take_back(before)
            raise

    def _kept(self) -> dict[str, bytes]:
        """Return what is here and can be read; what cannot is lost already."""
        contents = {}
        for name in (RUNS, IMPORT):
            with suppress(OSError):
                contents[name] = read_bytes(self.path / name)
        return contents

    def _restore(
        self, old: dict[str, bytes], new: dict[str, bytes], new_folders: list[Path]
    ) -> None:
        """Bring back what was here; of a new import, leave neither files nor folders."""
        now = self._kept()
        if any(content not in (old.get(name), new[name]) for name, content in now.items()):
            return  # another import's, which was quicker: its work is not ours to undo
        for name in (IMPORT, RUNS):
            if name not in old:
                remove(self.path / name)
        if now != old:
            replace_together({self.path / name: content for name, content in old.items()})
        for folder in new_folders:
            if folder.is_dir() and not names_in(folder):
                remove_tree(folder)

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what `import.json` says, and the runs.

        Raises:
            BadInputError: there is no import here.
            StoreDamagedError: a file is damaged.
        """
        if not self.exists():
            raise BadInputError(f"{self.path}: nothing was imported here (it has no {IMPORT})")
        again = "; import the source again"
        try:
            about = read_sealed(self.path / IMPORT)
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{error}{again}") from None
        checked(ImportFile, about, self.path / IMPORT, again)
        try:
            content = read_bytes(self.path / RUNS)
        except OSError as error:
            raise StoreDamagedError(f"{self.path / RUNS}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != about.get("runs_sha256"):
            raise StoreDamagedError(
                f"{self.path / RUNS}: changed after the import; import the source again"
            )
        # `splitlines` would also split at the line separators of Unicode, which JSON may hold.
        runs = [parse_json(line) for line in content.decode().split("\n") if line]
        for run in runs:
            checked(ImportedLine, run, self.path / RUNS, again)
        return about, runs
