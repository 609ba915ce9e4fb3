"""The site: `make site` builds it of the pages in docs/ and of README.md (ADR 31).

The Markdown is written for a reader of the repository. Only two things are changed for the site:
README.md becomes its front page, and links to Markdown outside docs/ become downloads.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "kdgap"
author = "The kdgap authors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
nitpicky = True
html_theme = "furo"
html_title = "kdgap"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_use_index = False


def _front(text: str) -> str:
    """Return README.md with its links as they are seen from docs/, and the contents behind it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = re.sub(r"\]\((?!\w+:|#)", "](../", readme).replace("](../docs/", "](")
    return f"{linked}\n{text}"


def _for_the_site(_: Sphinx, page: str, source: list[str]) -> None:
    text = _front(source[0]) if page == "index" else source[0]
    source[0] = re.sub(r"\]\(((?:\.\./)+[\w./-]+\.md)\)", r"](path:\1)", text)


def setup(app: Sphinx) -> None:
    """Let Sphinx change pages as they are read."""
    app.connect("source-read", _for_the_site)
