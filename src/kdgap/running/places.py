"""Where data and given teachers are: as the user says now, or as a record of earlier says.

A record keeps paths as they were written, relative ones too. They are looked for from where the
record lies, so that a folder with its records, data and teachers can be moved as a whole; then from
the directory in which the work was started; then from the current one. What is found is checked
against the record (fingerprints, hashes), so that a wrong find is refused, never used.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, nearest, one_line
from kdgap.paths import is_url, user_path
from kdgap.spec.study import StudySpec
from kdgap.store.record import RunDirectory


@dataclass(frozen=True)
class Places:
    """What the user says of this machine.

    Attributes:
        data_root: path or URL of the folder that holds the data; None = where the study says.
        teachers: `NAME=FILE` for teachers that are given as files; `FILE` where it is the only one.
    """

    data_root: str | None = None
    teachers: Sequence[str] = ()

    def applied(self, study: StudySpec) -> StudySpec:
        """Return the study with what was said.

        Raises:
            BadInputError: a teacher is none that is given as a file, or its path is none.
        """
        files: dict[str, str] = {}
        given = study.teachers.weights
        for words in self.teachers:
            name, sign, file = words.partition("=")
            if not sign or (name not in given and len(given) == 1 and user_path(words).exists()):
                name, file = (next(iter(given)) if len(given) == 1 else ""), words
            if name not in given or name in files:
                known = ", ".join(given) or "none: it trains its own"
                raise BadInputError(
                    f"--teacher-weights {one_line(words, 120)}: expected NAME=FILE, each NAME once;"
                    f" the study's given teachers are {known}{nearest(name, given)}"
                )
            try:
                files[name] = str(user_path(file))
            except BadInputError as error:
                raise BadInputError(f"--teacher-weights {name}: {error}") from None
        root = study.data.root if self.data_root is None else self.data_root
        return moved(study, root, given | files)

    def overrides(self, asked: StudySpec, applied: StudySpec) -> dict[str, str]:
        """Return what was said as overrides of the study's file: `key.path` → value.

        Args:
            asked: the study as its file has it.
            applied: what `applied` made of it.
        """
        overrides = {} if self.data_root is None else {"data.root": applied.data.root}
        for name, file in applied.teachers.weights.items():
            if asked.teachers.weights[name] != file:
                overrides[f"teachers.weights.{name}"] = file
        return overrides


def origin_of(directory: RunDirectory, output_dir: str) -> "Origin":
    """Return where a run's paths are looked for: where it is, and where it was begun.

    Args:
        directory: the run's.
        output_dir: what it was called when it was begun.
    """
    attempts = reversed(directory.attempts())
    began: dict[str, Any] = next((line for line in attempts if "began" in line), {})
    return Origin(directory.path, output_dir, began.get("in"))


def moved(study: StudySpec, root: str, weights: Mapping[str, str]) -> StudySpec:
    """Return a study with its data and its given teachers elsewhere; nothing hashed changes."""
    data = study.data.model_copy(update={"root": root})
    teachers = study.teachers.model_copy(update={"weights": dict(weights)})
    return study.model_copy(update={"data": data, "teachers": teachers})


def options(study: StudySpec) -> list[str]:
    """Return the options that tell another process where a study's data and teachers are."""
    words = ["--data-root", study.data.root]
    for name, file in study.teachers.weights.items():
        words += ["--teacher-weights", f"{name}={file}"]
    return words


class Origin:
    """Where a record lies and where it was begun: what its relative paths are looked for from.

    Args:
        record: the directory of a run or a study.
        named: how it was named when it was begun, such as `runs/one`.
        begun_in: the directory it was begun in; anything, for it is outside every checksum.
    """

    def __init__(self, record: Path, named: str, begun_in: Any = None) -> None:
        base = Path(begun_in) if isinstance(begun_in, str) and begun_in.startswith("/") else None
        name, own = Path(named), record.resolve().parts
        if base is not None and name.is_relative_to(base):
            name = name.relative_to(base)
        parts = name.parts
        self._folders: list[Path] = []
        if not name.is_absolute() and parts and own[-len(parts) :] == parts:
            self._folders.append(Path(*own[: -len(parts)]))
        if base is not None:
            self._folders.append(base)

    def find(self, path: str) -> str:
        """Return where a recorded path is now; as it was written where nothing is found."""
        for folder in self._folders if not is_url(path) else ():
            with suppress(OSError):  # somebody else's folder, which may not be looked into
                if (folder / path).exists():  # an absolute path stands for itself
                    return str(folder / path)
        return path
