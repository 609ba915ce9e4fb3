"""The page's own files, and what a browser may do with them."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
PLOT_STYLE = "sha256-+TfQir1nvDucAdvE6XUQBt4ayUjpAWkbw2kCdSfekHM="
"""Of the one style element that the chart library puts into each of its figures."""
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' '{PLOT_STYLE}'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
