"""Odd files of others, from the import to the report: named, and never a traceback."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdgap.errors import KdgapError
from kdgap.files import json_text
from kdgap.judge.document import to_json
from kdgap.judge.imported_evidence import imported_evidence
from kdgap.report.figures.published import convergence_figure, gain_figure
from kdgap.report.page.document import report_html
from kdgap.report.tables.files import write_tables
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse
from tests.store.foreign_files import ACCURACIES, FINAL, history, write, write_pair

ODD = [
    *(None, True, False, 0, -1, 4, 1, 0.5, 2.0, 95.2, 1e30, -1e200, 1e308, 10**19, 10**400),
    *(float("inf"), float("nan"), "", "x", "0.5", "none", "logit", "feature", "imagenet"),
    *("\ud800", "a\u2028b", "\x85", "\x00", "$x_{", "<b>", "resnet18", "teacher", "ablation"),
    *([], [1, 2], [[1]], {}, {"a": 1}, {"ce": "x", "kd": None}, {"ce": 1.0, "kd": 2.0}),
]
KEYS = [
    *("width", "data", "flags", "role", "run_id", "lr", "no_proj_clip", "cell", "settings"),
    *("grad_norm_max_overall", "proj_grad_norm_max_overall", "method_parameters", "smoke"),
    *("term_grad_norm", "teacher_entropy", "grad_norm_max", "proj_grad_norm_max", "ece", "new"),
]
FILES = [f"runs/final/{name}/seed{seed}/results.json" for name in ACCURACIES for seed in (0, 1)]
FILES += [f"{FINAL}/fidelity.json"]
odd_values = st.sampled_from(ODD) | st.floats() | st.integers() | st.text(max_size=4)


def places(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value within a value."""
    if not isinstance(value, dict | list):
        return []
    trails = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        trails += [(*trail, key), *places(inner, (*trail, key))]
    return trails


def mutate(path: Path, data: st.DataObject) -> None:
    """Change, drop or add one value anywhere in a JSON file."""
    content = json.loads(path.read_text())
    *trail, last = data.draw(st.sampled_from(places(content)), label=path.parent.name)
    at = content
    for key in trail:
        at = at[key]
    how = data.draw(st.sampled_from(["set", "set", "drop", "add"]))
    if how == "drop":
        del at[last]
    elif how == "set":
        at[last] = data.draw(odd_values)
    elif isinstance(at, dict):
        at[data.draw(st.sampled_from(KEYS))] = data.draw(odd_values)
    else:
        at.append(data.draw(odd_values))
    path.write_text(json.dumps(content))


def shown(folder: Path) -> tuple[ImportedDirectory, Any, str]:
    """Import, judge and show what is in a folder, by way of the disk."""
    out = ImportedDirectory(folder / "out")
    about, lines = import_runs(folder / "theirs", "x")
    out.write(about, lines)
    assert len({line["id"] for line in lines}) == len(lines)
    evidence = imported_evidence(out)
    analysis = analyse(evidence)
    json_text(to_json(analysis)).encode()
    page = report_html(evidence, analysis)
    write_tables(evidence, analysis, folder / "tables")
    missing = ("", "no gain has a value", "no history has validation accuracies")
    assert refusal(lambda: gain_figure(evidence, analysis)) in missing
    assert refusal(lambda: convergence_figure(evidence, analysis)) in missing
    return out, analysis, page


def refusal(draw: Callable[[], object]) -> str:
    """Return what a figure says where nothing of it was recorded; empty where it was drawn."""
    try:
        draw()
    except ValueError as error:
        return str(error)
    return ""


def odd_everywhere(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_pair(folder / "theirs")
        for _ in range(data.draw(st.integers(1, 4))):
            mutate(folder / "theirs" / data.draw(st.sampled_from(FILES)), data)
        try:
            out, _, _ = shown(folder)
        except KdgapError:
            return
        about, lines = out.read()
        denied = [path for f in about["findings"] if f["code"] == "conflict" for path in f["paths"]]
        # Nobody touched these two files, so they count, unless another file now claims their seed.
        for path in (f"runs/final/{name}/seed2/results.json" for name in ACCURACIES):
            (line,) = (line for line in lines if path in line["paths"])
            assert line["state"] == "done" or path in denied


quietly = settings(
    max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@quietly
@given(st.data())
def test_no_value_anywhere_ends_in_a_traceback(data: st.DataObject) -> None:
    odd_everywhere(data)


@pytest.mark.slow
@settings(quietly, max_examples=3000)
@given(st.data())
def test_no_value_anywhere_ends_in_a_traceback_at_length(data: st.DataObject) -> None:
    odd_everywhere(data)


def test_every_odd_value_at_once_leaves_the_good_files_alone(tmp_path: Path) -> None:
    """Each odd value stands in a seed of its own, beside three good ones."""
    write_pair(tmp_path / "theirs")
    keys = ["alpha", "epochs", "flags", "model", "role", "width", "new", "val_acc"]
    for seed, (key, value) in enumerate(product(keys, ODD), 100):
        epochs = history(0.1 + seed / 1000)
        changes: dict[str, Any] = {"seed": seed, "history": epochs, "best_val_acc": 0.5}
        (epochs[0] if key == "val_acc" else changes)[key] = value
        write(tmp_path / "theirs", f"runs/final/odd/seed{seed}", **changes)
    out, analysis, page = shown(tmp_path)
    assert any({0, 1, 2} <= set(gain.seeds[0]) for gain in analysis.gains)
    kinds = {finding["code"] for finding in out.read()[0]["findings"]}
    assert {"unreadable", "failed", "contradiction", "split"} <= kinds
    assert "final/odd/seed" in page
