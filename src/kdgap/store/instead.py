"""What a folder or a file is, where it is not what a command takes: said with the one that does."""

from collections.abc import Sequence
from pathlib import Path

from kdgap import yamlio
from kdgap.advice import command
from kdgap.errors import BadInputError
from kdgap.files import names_in
from kdgap.store.manifest import MANIFEST, RESULTS, RUN
from kdgap.text import shown

FIDELITY = "fidelity.json"
WANTED = (RESULTS, FIDELITY)
"""What the reference study leaves of a run."""
IMPORT = "import.json"
PLAN, STUDY = "plan.json", "study.yaml"
MOST_LOOKED_AT = 10_000
"""Names that are looked at for a hint."""
MOST_NAMED = 4
"""Studies that a hint names; the rest are counted."""
_OF_STUDY = {"name", "data", "models", "pairs", "methods"}
"""What every study file says."""
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
    if ours := own(path) or _study_file(path):
        return ours
    if path.is_file() and path.name in WANTED:
        path = path.parent
        if ours := own(path):
            return f"; it is of {path}{ours}"
    if (path / RUN).exists():
        return ""  # of ours, and unfinished
    studies, results = _below(path)
    if studies:
        return f"; it holds {named(studies)}; name one of them"
    if path.name.endswith(_PACKED) or results:
        return f"; bring somebody's result files in with: `{command('import', path)}`"
    return ""


def named(studies: Sequence[Path]) -> str:
    """Return how many studies these are, and a few of them by their paths."""
    more = len(studies) - MOST_NAMED
    listed = ", ".join(shown(study) for study in studies[:MOST_NAMED])
    count = f"{len(studies)} studies" if len(studies) > 1 else "a study"
    return f"{count}: {listed}" + (f" and {more} more" if more > 0 else "")


def studies_below(folder: Path) -> list[Path]:
    """Return the studies of ours in a folder, among the first names that a walk meets."""
    return _below(folder)[0]


def _study_file(path: Path) -> str:
    """Return what can be done with a study file where a directory is meant; empty for another."""
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return ""
    try:
        study = yamlio.load(path).value
    except BadInputError:
        return ""
    if not isinstance(study, dict) or not study.keys() >= _OF_STUDY:
        return ""
    name = str(study["name"])
    folder = Path("runs") / name
    if Path(name).name == name and is_study(folder):
        return f"; it is a study file, and was run: `{command('analyze', folder)}` judges it"
    return f"; it is a study file that was not run here: `{command('run', path)}` runs it"


def _below(folder: Path) -> tuple[list[Path], bool]:
    """Return the studies in a folder, and whether a result file stands outside of them.

    A plan alone is no study here: other people's folders may hold a file of that name.
    """
    level, listed = [folder] if folder.is_dir() else [], 0
    studies: list[Path] = []
    results = False
    while level and listed < MOST_LOOKED_AT:
        below: list[Path] = []
        for parent in level:
            try:
                names = names_in(parent)
            except OSError:
                continue
            if STUDY in names and is_study(parent):
                studies.append(parent)
                continue
            results = results or RESULTS in names
            listed += len(names)
            below += [parent / name for name in names if not name.startswith(".")]
        level = [path for path in below if path.is_dir() and not path.is_symlink()]
    return studies, results
