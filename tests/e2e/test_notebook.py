"""The notebook runs from top to bottom, and what it shows is what the analysis says."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kdgap.judge.load import load
from kdgap.numbers import signed
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.report.result_files import write_finals

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "run_experiments.ipynb"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """An import of a small finished study."""
    write_finals(tmp_path / "files")
    directory = ImportedDirectory(tmp_path / "study")
    directory.write(*import_runs(tmp_path / "files", "study"))
    return directory.path


def executed(folder: Path) -> Any:
    """Run the notebook from its own folder's point of view and return it with its outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


def outputs(notebook: Any) -> tuple[str, list[str]]:
    """Return all text that was put out, and the types of all that was displayed."""
    text, types = [], []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            if output.output_type == "stream":
                assert output.name == "stdout", output.text
                text.append(output.text)
            else:
                types += list(output.data)
                text.append(output.data.get("text/plain", ""))
    return "\n".join(text), types


def test_it_says_what_the_analysis_says(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = analyse(load(study))
    monkeypatch.setenv("KDGAP_STUDY", str(study))
    monkeypatch.setenv("KDGAP_RESULTS", str(tmp_path / "files"))
    text, types = outputs(executed(tmp_path))

    assert len(analysis.gains) == 2
    for gain in analysis.gains:
        assert text.count(gain.sentence) == 2  # of the study, and of the files imported anew
        assert signed(gain.gain_pp) in text
        assert f"{gain.gain_pp:.3f}" in text  # the frame
        assert f"{gain.slot}: {gain.mean_pp:.2f} ± {gain.std_pp:.2f} %, n = 4" in text
    assert types.count("image/png") == 4
    assert types.count("text/html") == 3  # the frames of gains, fidelity and the own aggregation
    assert "12 runs, " in text


def test_a_study_that_is_not_there_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KDGAP_STUDY", raising=False)
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(CellExecutionError) as stopped:
        executed(tmp_path / "notebooks")
    missing = re.escape(str(tmp_path / "runs" / "demo"))
    assert re.search(f"{missing} is not there: run `make demo`", str(stopped.value))


def test_the_committed_file_holds_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
