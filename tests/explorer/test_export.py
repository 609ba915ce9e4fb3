"""An exported page touches nothing outside its folder, and is headed by YAML whatever a name is."""

import errno
import os
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdgap import disk
from kdgap.disk import Disk
from kdgap.errors import BadInputError
from kdgap.explorer.export import export_page
from kdgap.explorer.page import page_files
from kdgap.explorer.snapshot import take
from tests.judge.test_study_evidence import BASELINE, METHOD, study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return study(tmp_path / "study", BASELINE, METHOD).path


@pytest.mark.parametrize(
    "name",
    ["digits", 'a "quoted" \\ name', "a\n---\nb: c", "\x7f\x9b\u2028", "[x](http://evil) <img>",
     "x" * 300, 7, "🙂 é", "\ud800"],
)  # fmt: skip
def test_the_header_of_its_readme_is_yaml_with_the_name_and_the_body_has_no_name(
    path: Path, tmp_path: Path, name: Any
) -> None:
    snapshot = take(path)
    named = replace(snapshot, evidence=replace(snapshot.evidence, name=name))
    named.settle()
    export_page(named, tmp_path / "page")
    _, header, body = (tmp_path / "page" / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(header)
    assert fields["sdk"] == "static"
    assert fields["title"].startswith("kdgap: ")
    assert len(fields["title"]) <= 60
    assert "evil" not in body


def shown(page: Path) -> dict[str, bytes]:
    """What a browser gets of an exported page: its index, and every file of the part it names."""
    index = (page / "index.html").read_text()
    parts = set(re.findall(r'="(page-[0-9]+)/', index))
    assert len(parts) == 1
    part = page / parts.pop()
    assert f'content="{part.name}/data"' in index
    asked = re.findall(r'="(page-[0-9]+/static/[^"]+)"', index)
    assert all((page / name).is_file() for name in asked)
    files = {str(p.relative_to(part)): p.read_bytes() for p in part.rglob("*") if p.is_file()}
    return files | {"index.html": index.replace(part.name, "page").encode()}


@pytest.mark.parametrize("name", ["page-1", "data", "static"])
def test_a_page_is_not_written_through_a_link(path: Path, tmp_path: Path, name: str) -> None:
    page, others = tmp_path / "page", tmp_path / "others"
    export_page(take(path), page)
    if name != "page-1":  # as an older version left it
        index = (page / "index.html").read_text().replace('="page-1/', '="')
        (page / "index.html").write_text(index)
    (page / "page-1").rename(others)
    before = sorted(others.rglob("*"))
    (page / name).symlink_to(others)
    with pytest.raises(BadInputError, match=f"{name}: is a symbolic link"):
        export_page(take(path), page)
    assert sorted(others.rglob("*")) == before


def test_a_page_that_is_written_again_keeps_nothing_of_before(path: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    count = export_page(take(path), page).files
    assert count == sum(file.is_file() for file in page.rglob("*"))
    first = shown(page)
    (page / "page-1" / "data" / "run" / "999.js").write_text("old")
    for name in ("data", "static"):  # of an older version
        (page / name).mkdir()
        (page / name / "old.js").write_text("old")
    index = (page / "index.html").read_text()
    (page / "index.html").write_text(index.replace('="page-1/static', '="static'))
    export_page(take(path), page)
    assert shown(page) == first
    assert sorted(p.name for p in page.iterdir()) == [
        *("README.md", "index.html", "kdgap-explorer.json", "page-2"),
    ]


def test_what_a_user_keeps_beside_the_page_stays(path: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    export_page(take(path), page)
    kept = (".git/config", "data/mine.csv", "page-x/mine", ".tmp-mine", "static/mine")
    for name in kept:
        (page / name).parent.mkdir(exist_ok=True)
        (page / name).write_text("mine")
    export_page(take(path), page)
    assert [name for name in kept if (page / name).read_text() != "mine"] == []


class Broken(Disk):
    """Lets the n-th change fail, and where it stands for a kill, every later one."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.left, self._error = at, error

    def _due(self) -> None:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and not isinstance(self._error, OSError)):
            raise self._error

    def open(self, path: Path, flags: int) -> int:
        if flags & os.O_WRONLY:
            self._due()
        return super().open(path, flags)

    def write(self, handle: int, content: memoryview) -> int:
        self._due()
        return super().write(handle, content)

    def rename(self, source: Path, target: Path) -> None:
        self._due()
        super().rename(source, target)

    def make_folder(self, path: Path) -> None:
        self._due()
        super().make_folder(path)

    def unlink(self, path: Path) -> None:
        self._due()
        super().unlink(path)

    def remove_folder(self, path: Path) -> None:
        self._due()
        super().remove_folder(path)


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_an_export_that_fails_leaves_the_old_page_whole(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool, new: bool
) -> None:
    of_page = {"static/page.js", "static/explorer.css", "static/icon.svg"}
    files = [*sorted(of_page), "data/study.js", "data/run/0.js"]
    monkeypatch.setattr("kdgap.explorer.export._files", lambda *_: ((n, n.encode()) for n in files))
    snapshot, page = take(path), tmp_path / "page"
    index = only_known(page_files()["index.html"].decode(), of_page)
    monkeypatch.setattr("kdgap.explorer.export.page_files", lambda: {"index.html": index.encode()})
    export_page(snapshot, page)
    after = shown(page)
    for at in count(1):
        shutil.rmtree(page)
        if not new:
            export_page(snapshot, page)
        error = KeyboardInterrupt() if kill else OSError(errno.ENOSPC, "No space left on device")
        broken = Broken(at, error)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "current", broken)
            with suppress(KeyboardInterrupt, OSError):
                export_page(snapshot, page)
        if not new:
            assert shown(page) == after
        with monkeypatch.context() as patch:
            # Whoever was killed is gone; here it is this very process.
            patch.setattr("kdgap.leftovers.has_ended", lambda *_: kill)
            export_page(snapshot, page)
        assert shown(page) == after
        assert len([p for p in page.iterdir() if not p.name.startswith("page-")]) == 3
        assert len(list(page.glob("page-*"))) == 1
        if broken.left > 0:
            break
    assert at > 20


def only_known(index: str, names: set[str]) -> str:
    """The page's index with no other files than those that are there."""
    lines = index.split("\n")
    return "\n".join(
        line
        for line in lines
        if '="static/' not in line or any(f'="{name}"' in line for name in names)
    )
