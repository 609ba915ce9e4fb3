"""The page's own files, and what a browser may do with them."""

import re
from collections.abc import Iterator
from pathlib import Path

from kdgap.files import entries, read_bytes, read_text

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
PLOT_STYLE = "sha256-+TfQir1nvDucAdvE6XUQBt4ayUjpAWkbw2kCdSfekHM="
"""Of the one style element that the chart library puts into each of its figures."""
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' '{PLOT_STYLE}'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_SCRIPT = re.compile(r'<script defer src="static/(\w+\.js)"></script>\n')
"""Names a script of ours; those of others are below `vendor/`."""


def page_files() -> dict[str, bytes]:
    """Return what the page is made of, by the names a browser asks for: its index and the rest.

    Our scripts are one, in the order of the index: forty requests take longer than what they bring.
    """
    index = read_text(STATIC / INDEX)
    ours = _SCRIPT.findall(index)
    files = {
        f"static/{name}": read_bytes(path)
        for path in _below(STATIC)
        if (name := path.relative_to(STATIC).as_posix()) not in (*ours, INDEX)
    }
    *_, last = _SCRIPT.finditer(index)
    whole = '<script defer src="static/page.js"></script>\n'
    page = _SCRIPT.sub(lambda match: whole if match.start() == last.start() else "", index)
    scripts = b"\n".join(read_bytes(STATIC / name) for name in ours)
    return {INDEX: page.encode(), "static/page.js": scripts, **files}


def _below(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        if path.is_dir():
            yield from _below(path)
        else:
            yield path
