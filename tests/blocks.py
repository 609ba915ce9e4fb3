"""The blocks of code in README.md, CONTRIBUTING.md and docs/, and what is to be done with each."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted(path for path in (ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"sh", "console", "python", "yaml", "text"}
"""Of a block; `text` is nothing that could be run."""
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_COMMENT = re.compile(r"(?:^|\s+)# .*")


@dataclass(frozen=True)
class Block:
    """A block between fences.

    Attributes:
        page: the file.
        line: of its first fence, from 1.
        language: the word behind that fence.
        text: its lines.
        reason: why it is not run, if the comment before it says `not run: …`.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The command lines, joined where they go on, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [words for line in lines if (words := _COMMENT.sub("", line).strip())]

    @property
    def answer(self) -> list[str]:
        """The lines of a `console` that are no commands."""
        return [line for line in self.text.splitlines() if not line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, but those that only arrange the site."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["text"],
            match["reason"],
        )
        for match in _FENCE.finditer(text)
        if match["language"] != "{toctree}"
    ]
