"""What a folder or a file is, where it is not what a command takes: said with the one that does."""

from pathlib import Path

from kdgap.advice import command
from kdgap.files import names_in
from kdgap.store.manifest import MANIFEST, RESULTS, RUN

FIDELITY = "fidelity.json"
WANTED = (RESULTS, FIDELITY)
"""What the reference study leaves of a run."""
IMPORT = "import.json"
PLAN, STUDY = "plan.json", "study.yaml"
MOST_LOOKED_AT = 10_000
"""Names that are looked at for a hint."""
_PACKED = (".zip", ".tar", ".tar.gz", ".tgz")


def is_study(path: Path) -> bool:
    """Whether a study was ever run in a folder; its plan may be lost."""
    return (path / PLAN).exists() or ((path / STUDY).exists() and (path / "runs").is_dir())


def is_import(path: Path) -> bool:
    """Whether an import is in a folder."""
    return (path / IMPORT).exists()


def own(path: Path) -> str:
    """Return the command for a study, a run or an import of ours; empty where there is none.

    It is the end of an error.
    """
    if is_study(path):
        return f"; it is a study: `{command('analyze', path)}` judges it"
    if (path / MANIFEST).exists():
        return f"; it is a run: `{command('show', path)}` shows it"
    if is_import(path):
        return f"; it is an import: `{command('analyze', path)}` judges it"
    return ""


def instead(path: Path) -> str:
    """Return what else can be done with a path, as the end of an error; empty if nothing can."""
    if ours := own(path):
        return ours
    if path.is_file() and path.name in WANTED:
        path = path.parent
        if ours := own(path):
            return f"; it is of {path}{ours}"
    if (path / RUN).exists():
        return ""  # of ours, and unfinished
    if path.name.endswith(_PACKED) or holds_results(path):
        return f"; bring somebody's result files in with: `{command('import', path)}`"
    return ""


def holds_results(folder: Path) -> bool:
    """Whether a result file stands in a folder, among the first names that a walk meets."""
    level, listed = [folder] if folder.is_dir() else [], 0
    while level and listed < MOST_LOOKED_AT:
        below: list[Path] = []
        for parent in level:
            try:
                names = names_in(parent)
            except OSError:
                continue
            if RESULTS in names:
                return True
            listed += len(names)
            below += [parent / name for name in names if not name.startswith(".")]
        level = [path for path in below if path.is_dir() and not path.is_symlink()]
    return False
