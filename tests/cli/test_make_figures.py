"""`tools/make_figures.py`: the reference study's two figures, from whatever runs there are."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from PIL import Image

from kdgap.cli.figures import figures_app, read_runs, refuse_missing
from kdgap.errors import BadInputError
from kdgap.judge.evidence import Evidence
from kdgap.report.figures.published import arms_of, gain_figure, seed_gains
from kdgap.spec.claims import Statistics
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from tests.judge.builders import analyse, evidence, final, pair_of, plain, runs_of
from tests.report.result_files import SEEDS, write_finals, write_run

Command = Callable[..., "CompletedProcess[str]"]
ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    f"{name}.{ending}"
    for name in ("figure1_gains", "figure2_convergence")
    for ending in ("pdf", "png", "svg")
]
BASELINE = [94.9, 95.1, 94.8, 95.0, 94.7]
METHOD = [95.2, 95.4, 95.0, 95.3, 95.1]


@pytest.fixture
def figures_script(_run: Callable[..., "CompletedProcess[str]"]) -> Command:
    """`python tools/make_figures.py WORDS...` in this process."""
    return lambda *words: _run(figures_app, "make_figures.py", words)


@pytest.fixture
def runs(workdir: Path) -> Path:
    """What the reference's commands leave by default, `runs` in the current folder."""
    write_finals(workdir / "runs")
    return workdir / "runs"


def drawn(command: Command, *words: object, out: str = "figures") -> dict[str, bytes]:
    done = command(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in Path(out).iterdir()}


def test_both_figures_come_in_three_formats_from_the_references_runs(
    runs: Path, figures_script: Command
) -> None:
    done = figures_script()
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in Path("figures").iterdir()) == NAMES
    for name in ("figure1_gains.png", "figure2_convergence.png"):
        with Image.open(Path("figures") / name) as image:
            assert [round(dpi) for dpi in image.info["dpi"]] == [300, 300]
    svg = Path("figures/figure1_gains.svg").read_text()
    assert "95 % Welch interval" in svg
    assert svg.count(f"n = {len(SEEDS)}") == 3  # two methods and the baseline


def test_it_says_which_runs_went_in(runs: Path, figures_script: Command) -> None:
    shutil.rmtree(runs / "final/resnet50_to_resnet18_logit/seed3")
    lines = [
        re.sub(r"[^\w →,-]+", " ", line).split() for line in figures_script().stdout.splitlines()
    ]
    rows = [" ".join(line) for line in lines]
    assert "resnet18 baseline 4 0, 1, 2, 3" in rows
    assert "resnet50 → resnet18 Logit-KD 3 0, 1, 2" in rows
    assert "resnet50 → resnet18 Feature-KD 4 0, 1, 2, 3" in rows


def test_the_same_runs_give_the_same_bytes_without_a_date(
    runs: Path, figures_script: Command
) -> None:
    first = drawn(figures_script, out="one")
    assert first == drawn(figures_script, out="two")
    for name, content in first.items():
        assert not re.search(rb"CreationDate|<dc:date>|20\d\d-\d\d-\d\d", content), name


def test_an_import_and_a_zip_give_the_same_figures(
    runs: Path, figures_script: Command, tmp_path: Path
) -> None:
    expected = drawn(figures_script)
    directory = ImportedDirectory(tmp_path / "imported")
    directory.write(*import_runs(runs, "runs"))
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", runs.parent, "runs")
    for source in (directory.path, archive, runs / "final"):
        assert drawn(figures_script, "--runs", source, out="again") == expected


def test_a_study_beside_the_references_files_does_not_count(
    runs: Path, figures_script: Command
) -> None:
    expected = drawn(figures_script)
    write_run(runs, "reference_commands/runs/baseline-resnet18", 9, 0.5)
    (runs / "digits").mkdir()
    (runs / "digits" / "plan.json").write_text("{}")
    assert drawn(figures_script, out="again") == expected


def test_selection_runs_are_in_no_figure(runs: Path, figures_script: Command) -> None:
    expected = drawn(figures_script)
    settings = {"teacher": "resnet50", "kd_type": "logit", "alpha": 0.3, "temperature": 2.0}
    write_run(runs, "select/resnet50_to_resnet18/logit/a0.3_t2", 1000, 0.9, **settings)
    assert drawn(figures_script, out="again") == expected


def test_no_runs_are_one_line_with_what_to_run(
    workdir: Path, figures_script: Command, refused: Callable[..., str]
) -> None:
    assert (
        refused(figures_script) == "runs: no such folder; runs come from: bash tools/run_final.sh"
    )
    (workdir / "runs").mkdir()
    error = refused(figures_script)
    assert error == (
        "runs: holds no results.json (each run's stands in a folder of its own, at any depth);"
        " runs come from: bash tools/run_final.sh"
    )


def test_a_missing_baseline_is_named_and_nothing_is_drawn(
    runs: Path, figures_script: Command, refused: Callable[..., str]
) -> None:
    shutil.rmtree(runs / "final/baseline")
    error = refused(figures_script)
    assert error.startswith("runs: no finished runs of baseline of resnet18; they come from: bash")


def test_a_baseline_of_other_epochs_is_none(
    runs: Path, figures_script: Command, refused: Callable[..., str]
) -> None:
    for path in (runs / "final/baseline").rglob("results.json"):
        run = json.loads(path.read_text())
        path.write_text(json.dumps(run | {"epochs": 4, "history": run["history"][:4]}))
    error = refused(figures_script)
    assert "baseline of resnet18 with the recipe of resnet50 → resnet18" in error


def test_methods_without_finals_are_named(
    runs: Path, figures_script: Command, refused: Callable[..., str]
) -> None:
    for method in ("logit", "feature"):
        shutil.rmtree(runs / f"final/resnet50_to_resnet18_{method}")
    assert "no finished runs of finals" in refused(figures_script)


def unfinished(state: str) -> Evidence:
    runs = runs_of(plain("little"), BASELINE)
    runs += runs_of(final("big", "little", "logit"), METHOD)
    open_runs = runs_of(final("big", "little", "feature"), [None, None])
    return evidence([*runs, *(replace(run, state=state) for run in open_runs)])


def test_a_study_that_is_not_finished_is_refused_and_told_how_to_go_on() -> None:
    with pytest.raises(BadInputError) as refusal:
        refuse_missing(unfinished("new"), Path("runs/x"), "kdgap run runs/x")
    assert str(refusal.value) == (
        "runs/x: no finished runs of big → little feature; they come from: kdgap run runs/x"
    )


def test_an_arm_whose_runs_all_failed_does_not_keep_the_others_from_being_drawn() -> None:
    study = unfinished("failed")
    refuse_missing(study, Path("runs/x"), "kdgap run runs/x")
    gain_figure(study, analyse(study))


def test_a_failed_seed_is_named(runs: Path, figures_script: Command) -> None:
    path = runs / "final/resnet50_to_resnet18_logit/seed1/results.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"history": run["history"][:2]}))
    done = figures_script()
    assert done.returncode == 0
    assert "not in the figures: seed 1: failed (unfinished: 2 of 5 epochs)" in done.stderr


@pytest.mark.parametrize("test", ["welch", "paired"])
def test_the_points_average_to_the_gain(test: Any) -> None:
    pair = pair_of(BASELINE, [95.2, None, 95.0, 95.3, 95.1], statistics=Statistics(test=test))
    analysis = analyse(pair)
    (gain,) = analysis.gains
    seeds = seed_gains(gain, pair, analysis)
    assert list(seeds) == [0, 2, 3, 4]
    assert sum(seeds.values()) / 4 == pytest.approx(gain.gain_pp)
    assert arms_of(pair, analysis)[-1] == ("big → little", "Logit-KD", 4, "0, 2, 3, 4")


@pytest.mark.parametrize("p_holm", [0.04, 0.06])
def test_only_a_corrected_result_gets_a_star(p_holm: float) -> None:
    pair = pair_of(BASELINE, METHOD)
    analysis = analyse(pair)
    gain = replace(analysis.gains[0], p=0.001, p_holm=p_holm)
    analysis = replace(analysis, gains=(gain,))
    figure = gain_figure(pair, analysis)
    (axes,) = figure.axes
    marks = [text for text in axes.texts if text.get_text() == "*"]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(marks) == (p_holm <= 0.05)
    assert ("Holm p ≤ 0.05 over 1 gains" in words) == (p_holm <= 0.05)


def test_reading_leaves_nothing_behind_and_names_the_folder_it_was_given(runs: Path) -> None:
    before = sorted(runs.rglob("*"))
    study, remedy = read_runs(runs)
    assert (study.path, study.name) == (str(runs), "runs")
    assert remedy == "bash tools/run_final.sh"
    assert sorted(runs.rglob("*")) == before


def test_the_script_itself_works_and_never_needs_torch(runs: Path) -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['make_figures.py', '--out', 'drawn']\n"
        f"try: runpy.run_path({str(ROOT / 'tools' / 'make_figures.py')!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=runs.parent)
    assert sorted(path.name for path in (runs.parent / "drawn").iterdir()) == NAMES
