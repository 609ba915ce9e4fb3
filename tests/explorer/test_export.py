"""An exported page touches nothing outside its folder, and is headed by YAML whatever a name is."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdgap.errors import BadInputError
from kdgap.explorer.export import export_page
from kdgap.explorer.snapshot import take
from kdgap.store.study import PLAN
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
    plan = json.loads((path / PLAN).read_text())
    plan["study"]["name"] = name
    (path / PLAN).write_text(json.dumps(plan))
    export_page(take(path), tmp_path / "page")
    _, header, body = (tmp_path / "page" / "README.md").read_text().split("---\n", 2)
    found = yaml.safe_load(header)
    assert found["sdk"] == "static"
    assert found["title"].startswith("kdgap: ")
    assert len(found["title"]) <= 60
    assert "evil" not in body


@pytest.mark.parametrize("name", ["data", "static"])
def test_a_page_is_not_written_through_a_link(path: Path, tmp_path: Path, name: str) -> None:
    page, others = tmp_path / "page", tmp_path / "others"
    export_page(take(path), page)
    (page / name).rename(others)
    before = sorted(others.rglob("*"))
    (page / name).symlink_to(others)
    with pytest.raises(BadInputError, match=f"{name}: is a symbolic link"):
        export_page(take(path), page)
    assert sorted(others.rglob("*")) == before


def test_a_page_that_is_written_again_keeps_nothing_of_before(path: Path, tmp_path: Path) -> None:
    export_page(take(path), tmp_path / "page")
    (tmp_path / "page" / "data" / "run" / "999.js").write_text("old")
    export_page(take(path), tmp_path / "page")
    assert not (tmp_path / "page" / "data" / "run" / "999.js").exists()
