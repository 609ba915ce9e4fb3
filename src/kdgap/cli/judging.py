"""`kdgap import`, `analyze` and `report`: from result files, ours or others', to verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgap.advice import command

if TYPE_CHECKING:
    from kdgap.judge.analysis import Analysis
    from kdgap.judge.answers import Thumbnails
    from kdgap.judge.evidence import Evidence
    from kdgap.staging import Staging

IMPORT_EXAMPLES = (
    "Examples: kdgap import runs.zip --out imported/published\nkdgap import ../their-study/runs"
)
ANALYZE_EXAMPLES = (
    "Examples: kdgap analyze runs/digits\nkdgap analyze imported/published --claims"
    " configs/claims/reference.yaml"
)
REPORT_EXAMPLES = (
    "Examples: kdgap report runs/digits\nkdgap report imported/published --claims"
    " configs/claims/reference.yaml --figures figures"
)
SHOWN = 3  # findings of a kind; all of them are in import.json
Source = Annotated[
    Path, typer.Argument(metavar="STUDY|IMPORT", help="A study's directory, or an import's.")
]
Claims = Annotated[
    Path | None, typer.Option(help="A file of claims to judge, in place of the study's own.")
]
Effect = Annotated[
    float | None,
    typer.Option(
        metavar="PP",
        help="Smallest effect of interest in percentage points, in place of the study's.",
    ),
]

Reference = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="A method that every other is compared with, beside plain training.",
    ),
]


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder, zip or tar of results.json files.")
    ],
    out: Annotated[Path | None, typer.Option(help="Default: imported/NAME.")] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key that is no setting: average over it. Repeatable."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A key that is a setting: never average. Repeatable."),
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent", help="Accuracies are in percent, not shares of one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import result files in the reference study's layout, and name what is odd about them."""
    from kdgap.cli.printing import print_json, say
    from kdgap.cli.progress import working
    from kdgap.store.imports.bookkeeping import Choices
    from kdgap.store.imports.directory import ImportedDirectory
    from kdgap.store.imports.imported import import_runs

    name = Path(source.resolve().name.removesuffix(".gz")).stem or "import"
    directory = ImportedDirectory(out or Path("imported") / name)
    directory.refuse_other()
    choices = Choices(tuple(ignore or ()), tuple(setting or ()), percent)
    with working(f"reading {source}"):
        about, runs = import_runs(source, directory.path.resolve().name, choices)
    stale = directory.judged() if directory.differs(about) else []
    directory.write(about, runs)
    if stale:
        names = ", ".join(str(path) for path in stale)
        say(f"note: other runs or options than before; still of the earlier import: {names}")
    if as_json:
        print_json(about)
        return
    print_import(about, runs)
    say(f"Next: {command('analyze', directory.path)}")


def print_import(about: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
    """Print how many runs there are of each role, and every finding with its files."""
    from collections import Counter

    from kdgap.cli.printing import print_table, say
    from kdgap.store.imports.findings import FINDINGS, count_findings, read_findings

    played = [(run["state"], dict.fromkeys(slot["role"] for slot in run["slots"])) for run in runs]
    roles = Counter(role for _, own in played for role in own)
    done = Counter(role for state, own in played if state == "done" for role in own)
    rows = [[role, str(roles[role]), str(done[role])] for role in roles]
    caption = f"{about['files']} result files, {about['runs']} runs; a run may play several roles"
    print_table(f"import: {about['source']['path']}", ["role", "runs", "usable"], rows, caption)
    findings = read_findings(about)
    for kind, count in count_findings(findings).items():
        matches = [finding for finding in findings if finding.code == kind]
        say(f"{kind}: {FINDINGS[kind]}: {count}")
        for finding in matches[:SHOWN]:
            more = f" and {len(finding.paths) - 2} more" if len(finding.paths) > 2 else ""
            say(f"  {finding.text}: {', '.join(finding.paths[:2])}{more}")
        if len(matches) > SHOWN:
            say(f"  … {len(matches) - SHOWN} more in import.json")
    if about["other_files"]:
        others = about["other_files"].items()
        listed = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in others)
        say(f"files that are no results: {listed}")


def evidence_of(
    source: Path, claims: Path | None, smallest_effect: float | None, reference: str | None = None
) -> "Evidence":
    """Read a study or an import, judged as the options ask.

    Raises:
        BadInputError: there is none, or an option does not fit it.
    """
    from kdgap.errors import BadInputError, placed
    from kdgap.judge.context import reference_of
    from kdgap.judge.judging import judged_by, with_claims
    from kdgap.judge.load import load, load_claims

    given = None if claims is None else load_claims(claims)
    evidence = load(source)
    if given is not None:
        evidence = with_claims(evidence, *given)
    changed: dict[str, object] = {}
    if smallest_effect is not None:
        if not 0 < smallest_effect <= 100:
            raise BadInputError(
                f"--smallest-effect {smallest_effect:g}: percentage points, above 0 and at most 100"
            )
        changed["smallest_effect_pp"] = smallest_effect
    if reference is not None:
        changed["reference"] = reference
    evidence = judged_by(evidence, evidence.statistics.model_copy(update=changed))
    if reference is not None:
        with placed("--reference"):
            reference_of(evidence)
    return evidence


def analyze(
    source: Source,
    claims: Claims = None,
    smallest_effect: Effect = None,
    reference: Reference = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for analysis.json and tables; default: analysis/.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print analysis.json.")] = False,
) -> None:
    """Judge every gain and every claim; write analysis.json and tables."""
    from kdgap.cli.printing import print_json, say
    from kdgap.cli.progress import working
    from kdgap.cli.verdicts import print_verdicts
    from kdgap.judge.document import to_json
    from kdgap.judge.judging import analyse

    evidence = evidence_of(source, claims, smallest_effect, reference)
    with _naming(claims), working(f"judging {source}"):
        analysis = analyse(evidence)
    folder = out or source / "analysis"
    write_analysis(evidence, analysis, folder)
    if as_json:
        print_json(to_json(analysis))
        refuse_damaged(evidence)
        return
    print_verdicts(analysis)
    say(f"Analysis: {folder}/analysis.json, with tables as Markdown, LaTeX and CSV beside it")
    more = [*(["--claims", claims] if claims else []),
            *(["--reference", reference] if reference else [])]  # fmt: skip
    say(f"Next: {command('report', source, *more)}")
    refuse_damaged(evidence)


@contextmanager
def _naming(claims: Path | None) -> Iterator[None]:
    """Name the file that stands for a claim or a reference, where it does not fit the runs."""
    from kdgap.errors import ClaimError

    try:
        yield
    except ClaimError as error:
        if claims is None:
            raise
        raise ClaimError(f"{claims}: {error}") from None


def refuse_damaged(evidence: "Evidence") -> None:
    """End with the exit code of a damaged store, after all else was shown.

    Raises:
        StoreDamagedError: a run is damaged and was left out, or the pre-registration is.
    """
    from kdgap.errors import StoreDamagedError
    from kdgap.store.preregistration import CHANGED_BY_HAND, LOST

    damaged = [", ".join(run.paths) for run in evidence.runs if run.state == "damaged"]
    if damaged:
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        raise StoreDamagedError(
            f"{evidence.path}: {len(damaged)} damaged, left out of every number:"
            f" {', '.join(damaged[:3])}{more}"
        )
    grave = {CHANGED_BY_HAND.code, LOST.code}
    for notice in (candidate for candidate in evidence.notices if candidate.code in grave):
        raise StoreDamagedError(
            f"{evidence.path}/locked/preregistration.json: {notice.short}, so that no claim is"
            " confirmatory; bring it back from a copy"
        )


def write_analysis(evidence: "Evidence", analysis: "Analysis", folder: Path) -> None:
    """Write `analysis.json` and the tables, all or none of them.

    Raises:
        OSError: they cannot be written.
    """
    from kdgap.staging import Staging

    with Staging() as staging:
        _stage_analysis(evidence, analysis, folder, staging)


def _stage_analysis(
    evidence: "Evidence", analysis: "Analysis", folder: Path, staging: "Staging"
) -> None:
    from kdgap.files import json_text
    from kdgap.judge.document import to_json
    from kdgap.report.tables.files import write_tables

    write_tables(evidence, analysis, folder, staging.write)
    staging.write(folder / "analysis.json", (json_text(to_json(analysis)) + "\n").encode())


def thumbnails_of(run: Path, indices: "Sequence[int]") -> bytes:
    """Draw test images of a run; only then data is loaded, and torch."""
    from kdgap.judge.answers import COLUMNS, TILE
    from kdgap.running.thumbnails import thumbnails

    return thumbnails(run, indices, tile=TILE, columns=COLUMNS)


def write_report(
    evidence: "Evidence",
    analysis: "Analysis",
    target: Path,
    thumbnails: "Thumbnails | None" = None,
) -> None:
    """Write the page, and the analysis with its tables in `analysis/` beside it, all or none.

    Args:
        evidence: the runs.
        analysis: what `analyse` made of them.
        target: the page.
        thumbnails: draws test images, which then are part of the page.

    Raises:
        OSError: something cannot be written.
    """
    from kdgap.report.page.document import report_html
    from kdgap.staging import Staging

    page = report_html(evidence, analysis, thumbnails).encode()
    with Staging() as staging:
        staging.write(target, page)
        _stage_analysis(evidence, analysis, target.parent / "analysis", staging)


def report(
    source: Source,
    claims: Claims = None,
    smallest_effect: Effect = None,
    reference: Reference = None,
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; default: report.html in the study.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Also write the figures here, as PNG, SVG and PDF.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Also show test images that students dispute, small.")
    ] = False,
) -> None:
    """Write a report: one HTML file without any script, to read, print and send."""
    from kdgap.cli.printing import say
    from kdgap.cli.progress import working
    from kdgap.judge.judging import analyse

    evidence = evidence_of(source, claims, smallest_effect, reference)
    with _naming(claims), working(f"judging {source}"):
        analysis = analyse(evidence)
    target = out or source / "report.html"
    if figures is not None:  # before the page, so that bad input leaves nothing behind
        from kdgap.report.figures.files import all_figures, save_figures

        with working("drawing figures"):
            paths = save_figures(all_figures(evidence, analysis), figures)
        say(f"Figures: {len(paths)} files in {figures}")
    with working("writing the report"):
        write_report(evidence, analysis, target, thumbnails_of if images else None)
    say(f"Report: {target}")
    refuse_damaged(evidence)
