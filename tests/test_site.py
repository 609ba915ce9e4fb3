"""The site: built without a warning, with every page, and without a request to anybody else."""

import html.parser
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import ROOT

for name in ("sphinx", "myst_parser", "furo"):
    pytest.importorskip(name, reason="needs Sphinx and a theme: pip install -e '.[docs]'")
LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "srcset"), ("use", "href")}
"""What a browser fetches by itself; a link is followed by its reader alone."""
NO_LOAD = {"canonical", "alternate", "author", "license", "next", "prev", "index", "search"}
MOST = 300_000
"""Bytes of all pictures together."""


def build(source: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    """Build as `make site` does."""
    options = ["--quiet", "--fail-on-warning", "--keep-going"]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


class Page(html.parser.HTMLParser):
    """What a page loads, what it links to, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        for name in given:
            fetched = given.get("rel", "") not in NO_LOAD
            if (tag, name) in LOADS and fetched:
                self.loads.append(given[name])


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_is_there_and_leads_somewhere(site: Path) -> None:
    built = pages(site)
    for source in (ROOT / "docs").rglob("*.md"):
        assert site / source.relative_to(ROOT / "docs").with_suffix(".html") in built
    checked = 0
    for path, page in built.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), f"{path.name}: {link}"
            if target.fragment and file in built:
                assert unquote(target.fragment) in built[file].places, f"{path.name}: {link}"
            checked += 1
    assert checked > 500


def test_the_front_page_is_the_readme_with_its_pictures(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    assert "<h1>kdgap" in front
    for heading in re.findall(r"^## (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert f"<h2>{heading}" in front
    assert "_images/overview.webp" in front


def test_nothing_is_asked_of_anybody_else(site: Path) -> None:
    loads = {load for page in pages(site).values() for load in page.loads}
    assert len(loads) > 5
    assert {load for load in loads if urlsplit(load).netloc} == set()
    for file in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        text = file.read_text(encoding="utf-8")
        assert re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", text) == [], file
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert "@import" not in text
        assert re.findall(r"(?:fetch|importScripts)\(['\"]?(?:https?:)?//", text) == [], file


def test_pictures_are_small_and_each_is_shown() -> None:
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) <= MOST
    texts = [(ROOT / "README.md").read_text(), *(p.read_text() for p in ROOT.glob("docs/*.md"))]
    shown = set(re.findall(r"!\[[^\]]{20,}\]\((?:docs/)?images/([\w.]+)\)", "\n".join(texts)))
    assert shown == {picture.name for picture in pictures}


def test_broken_links_and_pictures_fail(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", source)
    broken = ("[no page](nowhere.md)", "[no place](index.md#elsewhere)", "![none](missing.webp)")
    (tmp_path / "README.md").write_text("\n\n".join(["# A page", *broken]))
    (source / "index.md").write_text("\n")
    done = build(source, tmp_path / "site")
    assert done.returncode != 0
    assert [name for name in ("nowhere", "elsewhere", "missing.webp") if name in done.stderr] == [
        *("nowhere", "elsewhere", "missing.webp")
    ]
