"""What a notebook or a script needs of kdgap, each under one name: `import kdgap` offers all of it.

>>> import kdgap
>>> kdgap.list_methods()["logit"]["label"]
'Logit-KD'
>>> "resnet8" in kdgap.list_models()
True
>>> record = kdgap.train(
...     model="resnet8", width=0.0625, data="digits", epochs=1, limit=64, val_size=16,
...     batch_size=32, threads=1, tracker="none", output_dir="runs/tiny",
... )
>>> record.results["epochs"]
1

Whatever is asked for loads what it needs and no more; torch is loaded by `train` alone. Errors that
a user can cause are `kdgap.errors.KdgapError`, one line each.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgap.judge.analysis import Analysis
from kdgap.judge.evidence import Evidence
from kdgap.registry import Registry
from kdgap.spec.claims import ClaimsFile

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame  # type: ignore[import-untyped]

    from kdgap.store.record import Record

__all__ = [
    "analyse",
    "fidelity_frame",
    "figure_bytes",
    "figures",
    "gains_frame",
    "import_results",
    "list_datasets",
    "list_methods",
    "list_models",
    "load",
    "runs_frame",
    "spread",
    "train",
]


def load(path: str | Path) -> Evidence:
    """Read a study's directory, or an import's; every record is verified.

    Raises:
        BadInputError: the folder holds neither.
        StoreDamagedError: a file that everything rests on is damaged.
    """
    from kdgap.judge.load import load as read

    return read(path)


def import_results(source: str | Path, out: str | Path) -> Evidence:
    """Bring in somebody's result files in the reference study's layout, as `kdgap import` does.

    Args:
        source: a folder, zip or tar of `results.json` files.
        out: the folder to keep them in; one that holds something else is refused.

    Returns:
        What can be judged; `findings` say what is odd about the files.

    Raises:
        BadInputError: nothing was found, or `out` is taken.
    """
    from kdgap.store.imports.directory import ImportedDirectory
    from kdgap.store.imports.imported import import_runs

    directory = ImportedDirectory(Path(out))
    directory.refuse_other()
    directory.write(*import_runs(Path(source), directory.path.resolve().name))
    return load(directory.path)


def analyse(
    evidence: Evidence,
    claims: str | Path | ClaimsFile | None = None,
    smallest_effect_pp: float | None = None,
    reference: str | None = None,
) -> Analysis:
    """Judge gains and claims; `docs/statistics.md` says what each field is.

    Args:
        evidence: what `load` returned.
        claims: a file of claims to judge in place of the study's own.
        smallest_effect_pp: the smallest gain of interest in percentage points, above 0, in place of
            the study's; as with `claims`, what was declared otherwise is then marked post hoc.
        reference: a method that every other is compared with, beside plain training; the results
            are `reference_gains` of what is returned.

    Raises:
        BadInputError: nothing can be judged yet, or a claim names what is not there.
    """
    from kdgap.judge.judging import analyse as judge
    from kdgap.judge.judging import judged_by, with_claims
    from kdgap.judge.load import load_claims

    if isinstance(claims, ClaimsFile):
        evidence = with_claims(evidence, claims)
    elif claims is not None:
        evidence = with_claims(evidence, *load_claims(Path(claims)))
    changed: dict[str, object] = {}
    if smallest_effect_pp is not None:
        changed["smallest_effect_pp"] = smallest_effect_pp
    if reference is not None:
        changed["reference"] = reference
    if changed:
        changed = {**evidence.statistics.model_dump(), **changed}
        evidence = judged_by(evidence, type(evidence.statistics).model_validate(changed))
    return judge(evidence)


def runs_frame(evidence: Evidence) -> "DataFrame":
    """Return one row a run, accuracies as shares of one; needs the extra `notebook`."""
    from kdgap.report.tables import frames

    return frames.runs_frame(evidence)


def gains_frame(analysis: Analysis) -> "DataFrame":
    """Return one row a gain, in percentage points; needs the extra `notebook`."""
    from kdgap.report.tables import frames

    return frames.gains_frame(analysis)


def fidelity_frame(analysis: Analysis) -> "DataFrame":
    """Return how closely students follow their teachers, one row a gain that recorded it."""
    from kdgap.report.tables.frames import frame_of
    from kdgap.report.tables.measured import fidelity

    return frame_of(fidelity(analysis))


def figures(evidence: Evidence, analysis: Analysis) -> "Iterator[tuple[str, Figure]]":
    """Yield name and figure of everything that the runs recorded, such as `gains` and `seeds`."""
    from kdgap.report.figures.files import all_figures

    return all_figures(evidence, analysis)


def figure_bytes(figure: "Figure", form: str = "png") -> bytes:
    """Return a figure as `png`, `svg` or `pdf`, whatever the reader's matplotlib settings are."""
    from kdgap.report.figures.files import figure_bytes as drawn

    return drawn(figure, form)


def spread(mean: float | None, std: float | None) -> str:
    """Return `mean ± standard deviation` as tables show it."""
    from kdgap.numbers import spread as text

    return text(mean, std)


def train(settings: str | Path | Mapping[str, Any] | None = None, **further: Any) -> "Record":
    """Train one run, or go on with it, and return its record.

    Args:
        settings: a flat YAML file, or a mapping with its keys. `docs/run-files.md` lists them;
            `kdgap methods` lists those of the methods.
        further: keys as arguments; they replace the same keys of `settings`.

    Raises:
        BadInputError: a key or a value is wrong; nothing was written.
        RunFailedError: the run diverged.
        StoppedError: it was told to stop; calling again goes on.
    """
    from kdgap import yamlio
    from kdgap.methods import hyperparameter_names
    from kdgap.planning.early import check_flat
    from kdgap.running.config import resolve
    from kdgap.running.single import train_single
    from kdgap.spec.flat import read_flat

    document = yamlio.load(Path(settings)) if isinstance(settings, str | Path) else None
    given = dict(settings) if isinstance(settings, Mapping) else {}
    config, places = read_flat(document, given | further, hyperparameter_names)
    check_flat(config, places)
    return train_single(*resolve(config, places))


def list_methods() -> dict[str, dict[str, Any]]:
    """Return name → what a distillation method declares: label, citation, hyper-parameters."""
    from kdgap.methods import METHODS

    return {name: dict(cls.about().written()) for name, cls in METHODS.items()}


def list_models() -> dict[str, dict[str, Any]]:
    """Return name → citation, stems and feature stages of an architecture."""
    from kdgap.models import MODELS

    return _fields(MODELS, ("citation", "stems", "stages"))


def list_datasets() -> dict[str, dict[str, Any]]:
    """Return name → summary and citation of a data set."""
    from kdgap.data import DATASETS

    return _fields(DATASETS, ("summary", "citation", "val_size"))


def _fields(registry: Registry[Any], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {
        name: {field: getattr(entry, field) for field in names} for name, entry in registry.items()
    }
