"""What `import kdgap` offers: its examples run, and the notebook uses nothing else."""

import ast
import doctest
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kdgap
from kdgap import library
from tests.report.result_files import write_finals

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "run_experiments.ipynb"


@pytest.mark.parametrize("what", ["docs/library.md", "kdgap/library.py"])
def test_the_examples_run(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_finals(tmp_path / "theirs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDGAP_CACHE", str(tmp_path / "cache"))
    if what.endswith(".md"):
        failed, tried = doctest.testfile(str(ROOT / what), module_relative=False)
    else:
        failed, tried = doctest.testmod(library)
    assert tried > 3
    assert failed == 0


def test_every_name_is_offered_and_described() -> None:
    assert set(library.__all__) <= set(dir(kdgap))
    stub = (Path(inspect.getfile(kdgap)).with_name("__init__.pyi")).read_text()
    text = (ROOT / "docs" / "library.md").read_text()
    for name in library.__all__:
        assert getattr(kdgap, name) is getattr(library, name)
        assert f"import {name} as {name}" in stub
        assert getattr(library, name).__doc__
        assert f"kdgap.{name}" in text


def test_what_is_not_offered_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'analyze'"):
        _ = kdgap.analyze  # type: ignore[attr-defined]


def test_listings_and_judging_load_no_torch_and_the_package_nothing() -> None:
    code = (
        "import sys, json, kdgap\n"
        "before = sorted(m for m in sys.modules if m.startswith('kdgap'))\n"
        "kdgap.list_methods(), kdgap.list_models(), kdgap.list_datasets()\n"
        "kdgap.load, kdgap.analyse\n"
        "print(json.dumps([before, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    assert json.loads(done.stdout) == [["kdgap"], False]


def test_the_notebook_uses_nothing_else() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    used = set()
    for node in ast.walk(ast.parse(code)):
        assert not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("kdgap"))
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("kdgap.") for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used |= {node.attr} if node.value.id == "kdgap" else set()
    assert used <= set(library.__all__)
    assert len(used) > 6
