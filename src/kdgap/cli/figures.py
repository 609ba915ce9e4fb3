"""The reference study's figure command, `tools/make_figures.py`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kdgap.judge.evidence import Evidence

DPI = 300
"""What journals ask of a raster figure."""

figures_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@figures_app.command(
    epilog="Examples: python tools/make_figures.py\npython tools/make_figures.py --runs"
    " runs/digits --out figures/digits"
)
def make_figures(
    runs: Annotated[
        Path,
        typer.Option(help="A folder or zip of results.json files, a study, or an import."),
    ] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder that gets the figures.")] = Path("figures"),
) -> None:
    """Draw the gains with every seed, and convergence per student, as PNG, SVG and PDF."""
    from kdgap.cli.printing import print_table, say
    from kdgap.judge.judging import analyse
    from kdgap.report.figures.files import save_figures
    from kdgap.report.figures.published import arms_of, convergence_figure, gain_figure

    evidence, remedy = read_runs(runs)
    refuse_missing(evidence, runs, remedy)
    analysis = analyse(evidence)
    figures = {
        "figure1_gains": gain_figure(evidence, analysis),
        "figure2_convergence": convergence_figure(evidence, analysis),
    }
    paths = save_figures(figures.items(), out, DPI)
    caption = f"Runs in the figures of {runs}; n: seeds with a test accuracy."
    rows = [[name, method, str(n), seeds] for name, method, n, seeds in arms_of(evidence, analysis)]
    print_table("", ["", "method", "n", "seeds"], rows, caption)
    for arm in evidence.arms():
        for missing in arm.missing(evidence.primary) if arm.slot.role in _NEEDED else ():
            say(f"note: {arm.slot.text}: not in the figures: {missing}")
    for finding in evidence.findings:
        if finding.code in ("unreadable", "conflict", "copy"):
            say(f"note: {finding.text}: {', '.join(finding.paths)}")
    for path in paths:
        say(f"Figure: {path}")


_NEEDED = ("baseline", "final")


def read_runs(path: Path) -> tuple["Evidence", str]:
    """Return the runs of a study, an import, a folder or zip of result files, and what makes more.

    In a folder with the reference's own layout only that layout counts: the studies beside it hold
    the same runs once more, or others.

    Raises:
        BadInputError: there is nothing to read.
    """
    from tempfile import TemporaryDirectory

    from kdgap.advice import command
    from kdgap.errors import BadInputError
    from kdgap.judge.imported_evidence import evidence_of
    from kdgap.judge.load import load
    from kdgap.leftovers import scratch_prefix
    from kdgap.store.imports.directory import ImportedDirectory
    from kdgap.store.imports.imported import import_runs
    from kdgap.store.study import StudyDirectory

    remedy = "bash tools/run_final.sh"
    if StudyDirectory(path).exists():
        return load(path), command("run", path)
    if ImportedDirectory(path).exists():
        return load(path), "kdgap import, with the files of these runs as well"
    if not path.exists():
        raise BadInputError(f"{path}: no such folder; runs come from: {remedy}")
    with TemporaryDirectory(prefix=scratch_prefix("figures")) as temporary:
        source = _reference_files(path, Path(temporary) / "source")
        try:
            about, lines = import_runs(source or path, path.resolve().name)
        except BadInputError as error:
            reason = str(error).replace(str(source), str(path))
            raise BadInputError(f"{reason}; runs come from: {remedy}") from None
        return evidence_of(about, lines, str(path)), remedy


def _reference_files(path: Path, copy: Path) -> Path | None:
    """Copy the result files of the reference's layout; None where a folder has another layout.

    Raises:
        BadInputError: a file there cannot be read.
    """
    from kdgap.errors import BadInputError
    from kdgap.files import make_folder, write_volatile
    from kdgap.store.imports.source_files import PassedOver, Unreadable
    from kdgap.store.imports.sources import members
    from kdgap.store.reference import TOP

    tops = [path / top for top in TOP if (path / top).is_dir()]
    for top in tops:
        for name, content in members(top, PassedOver()):
            if isinstance(content, Unreadable):
                raise BadInputError(f"{top / name}: {content.why}")
            target = copy / top.name / name
            make_folder(target.parent)
            write_volatile(target, content)
    return copy if tops and copy.exists() else None


def refuse_missing(evidence: "Evidence", path: Path, remedy: str) -> None:
    """Refuse to draw while an arm of the figures has no run at all; one that failed is named later.

    Raises:
        BadInputError: naming the arms, and what to run.
    """
    from kdgap.errors import BadInputError
    from kdgap.judge.claims import baseline_of

    arms = evidence.arms()
    finals = [arm for arm in arms if arm.slot.role == "final"]
    missing = [slot.text for slot in evidence.slots if slot.role == "final" and not any(
        arm.slot == slot for arm in finals)]  # fmt: skip
    for arm in finals:
        plain = baseline_of(arm, arms)
        if plain is None:
            like = (candidate.slot for candidate in arms if candidate.slot.role == "baseline")
            other = any(slot.student == arm.slot.student for slot in like)
            same = f" with the recipe of {arm.slot.text}" if other else ""
            missing.append(f"baseline of {arm.slot.student}{same}")
        missing += [
            f"baseline of {side.slot.student}" if side.slot.role == "baseline" else side.slot.text
            for side in (arm, plain)
            if side is not None and _unfinished(side.runs, evidence.primary)
        ]
    if not finals and not missing:
        missing = ["finals"]
    if missing:
        named = list(dict.fromkeys(missing))
        more = f" and {len(named) - 6} more" if len(named) > 6 else ""
        raise BadInputError(
            f"{path}: no finished runs of {', '.join(named[:6])}{more}; they come from: {remedy}"
        )


def _unfinished(runs: Any, weights: str) -> bool:
    """Whether an arm has no accuracy yet, but may get one."""
    known = [run for run in runs if run.accuracy(weights) is not None]
    return not known and any(run.state not in ("failed", "damaged", "conflict") for run in runs)
