#!/usr/bin/env python3
"""The pictures of README.md and docs/, and the README's example, made from a finished study.

    python tools/make_pictures.py runs/digits
    python tools/make_pictures.py runs/digits --out elsewhere   # pictures alone, README.md stays

`make pictures` trains the demo and does the first. Needs Chromium and Playwright. What the terminal
shows is drawn by rich, without a font that would have to be fetched.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
EXAMPLE = re.compile(
    r"(?<=^```console\n)\$ kdgap show [^\n]*\n.*?(?=^```$)", re.DOTALL | re.MULTILINE
)
BINARIES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
WIDTH, HEIGHT, COLUMNS = 1440, 900, 80
TERMINAL = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, monospace; font-size: {char_height}px;
  line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich draws a terminal, with a font of the reader's machine."""


def main() -> None:
    """Write the pictures, and the example unless they go elsewhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", type=Path, help="the directory of a finished study")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: docs/images")
    given = parser.parse_args()
    study, folder = given.study.resolve(), given.out or ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    shown = show(study)
    (folder / "terminal.svg").write_text(drawn(shown, study.name), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="kdgap-pictures-") as scratch, chromium() as browser:
        page = Path(scratch) / "report.html"
        kdgap("report", study, "--out", page)
        photograph(browser, page.as_uri(), folder / "report.webp")
        with served(study) as address:
            photograph(browser, f"{address}#overview", folder / "overview.webp", "main[data-ready]")
    if given.out is None:
        README.write_text(with_example(README.read_text("utf-8"), shown, study.name), "utf-8")
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size / 1000:7.1f} kB  {path}")


def kdgap(*words: object) -> str:
    """Return what a command prints, in colours."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "kdgap", *map(str, words)]
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def show(study: Path) -> Text:
    """Return the verdicts of a study as a terminal of 80 columns shows them."""
    return Text.from_ansi(kdgap("show", study).strip("\n"))


def plain(text: Text) -> str:
    """Return the lines of a terminal without colours."""
    console = Console(width=COLUMNS, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(text)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def drawn(text: Text, name: str) -> str:
    """Return a terminal with a command and its answer as SVG."""
    console = Console(width=COLUMNS, file=io.StringIO(), record=True, highlight=False)
    console.print(f"$ kdgap show runs/{name}", markup=False)
    console.print(text)
    return console.export_svg(title="kdgap", code_format=TERMINAL, unique_id="kdgap")


def with_example(readme: str, text: Text, name: str) -> str:
    """Return the README with this study's verdicts in place of those that it has."""
    example = f"$ kdgap show runs/{name}\n{plain(text)}"
    changed, count = EXAMPLE.subn(lambda _: example, readme)
    if count != 1:
        sys.exit(f"{README}: expected one block that begins with `$ kdgap show`, found {count}")
    return changed


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Start Chromium of this machine, without a window."""
    from playwright.sync_api import sync_playwright

    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        sys.exit(f"none of {', '.join(BINARIES)} is here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def served(study: Path) -> Iterator[str]:
    """Serve a study; give the page's address."""
    words = ["-m", "kdgap", "explore", str(study), "--port", "0"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            address = re.search(r"http://\S+", line)
            if address is None:
                sys.exit(line + server.stderr.read())
            yield address[0]
        finally:
            server.terminate()


def photograph(browser: "Browser", address: str, path: Path, ready: str = "body") -> None:
    """Write the first screen of a page as WebP."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    page.goto(address)
    page.wait_for_selector(ready, timeout=120_000)
    page.evaluate("document.fonts.ready")
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    picture.save(path, "WEBP", quality=80, method=6)
    page.close()


if __name__ == "__main__":
    main()
