"""`make pictures`: three pictures of a study, and its verdicts as the example in README.md."""

import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.conftest import ROOT

pytestmark = pytest.mark.browser
TOOL = ROOT / "tools" / "make_pictures.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """`tools/make_pictures.py`, which is a script."""
    spec = importlib.util.spec_from_file_location("pictures", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("chromium")
def test_the_pictures_are_made_of_a_study(digits_study: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_bytes()
    command = [sys.executable, str(TOOL), str(digits_study), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    assert (ROOT / "README.md").read_bytes() == readme
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in (ROOT / "docs" / "images").iterdir()
    }
    for name in ("overview.webp", "report.webp"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (1440, 900)
            colours = picture.convert("RGB").getcolors(1 << 24)
            assert colours is not None
            assert len(colours) > 100, "an empty page"
    drawing = ET.parse(tmp_path / "terminal.svg").getroot()
    words = " ".join("".join(drawing.itertext()).replace("\xa0", " ").split())
    assert f"$ kdgap show runs/{digits_study.name}" in words
    assert "Logit-KD" in words


def test_the_example_is_replaced_and_nothing_else(tool: ModuleType) -> None:
    text = "# A\n\n```console\n$ kdgap show runs/old\n1\n2\n```\n\n```sh\nmake demo\n```\n"
    changed = tool.with_example(text, tool.Text("new"), "digits")
    assert changed == text.replace("runs/old\n1\n2\n", "runs/digits\nnew\n")
    with pytest.raises(SystemExit, match="expected one block"):
        tool.with_example("# A\n", tool.Text("new"), "digits")
