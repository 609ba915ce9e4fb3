"""The page's own files, and what a browser may do with them."""

from collections.abc import Iterator
from pathlib import Path

from kdgap.files import entries

STATIC = Path(__file__).parent / "static"
PLOT_STYLE = "sha256-+TfQir1nvDucAdvE6XUQBt4ayUjpAWkbw2kCdSfekHM="
"""Of the one style element that the chart library puts into each of its figures."""
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' '{PLOT_STYLE}'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def static_files() -> dict[str, Path]:
    """Return the page's own files by their names below `STATIC`, with slashes."""
    return {path.relative_to(STATIC).as_posix(): path for path in _below(STATIC)}


def _below(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        if path.is_dir():
            yield from _below(path)
        else:
            yield path
