"""The reference's shell scripts: what they ask of kdgap, whatever environment and folder."""

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from kdgap import yamlio
from kdgap.spec.study_file import read_study
from kdgap.yamlio import parse_assignments

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "configs" / "studies" / "reference.yaml"
STUDY_SCRIPTS = ("run_ablation.sh", "run_final.sh", "run_bug_ablation.sh", "run_stem_ablation.sh")


@pytest.fixture
def asked(tmp_path: Path) -> "Script":
    return Script(tmp_path)


class Script:
    """Runs a copy of a script, away from real results; its python notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "asked.txt"
        self._python = folder / "python"
        self._python.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {self._log}\n')
        self._python.chmod(0o755)
        self._tools = folder / "repository" / "tools"
        self._tools.mkdir(parents=True)
        for script in (ROOT / "tools").glob("*.sh"):
            shutil.copy(script, self._tools)

    def __call__(self, script: str, **environment: str) -> list[list[str]]:
        self._log.unlink(missing_ok=True)
        kept = {"PATH": os.environ["PATH"], "PYTHON": str(self._python)}
        subprocess.run(
            ["bash", str(self._tools / script)],
            env=kept | environment,
            cwd=self._folder,
            check=True,
            capture_output=True,
        )
        return [line.split() for line in self._log.read_text().splitlines()]


def overrides(words: list[str]) -> dict[str, object]:
    """The `--set` words of a `kdgap run`, checked by reading the study with them."""
    given = [value for flag, value in pairwise(words) if flag == "--set"]
    changes = parse_assignments(given, nested=True)
    read_study(yamlio.load(REFERENCE), changes)
    return changes


@pytest.mark.parametrize(
    ("script", "stages"),
    [
        ("run_ablation.sh", ["selection"]),
        ("run_final.sh", ["finals"]),
        ("run_bug_ablation.sh", ["projection_clipping"]),
        ("run_stem_ablation.sh", ["stem_r18", "stem_r34", "stem_r50"]),
    ],
)
def test_a_script_runs_its_stages_and_exports(
    asked: Script, script: str, stages: list[str]
) -> None:
    run, export = asked(script)
    assert run[:4] == ["-m", "kdgap", "run", "configs/studies/reference.yaml"]
    assert [b for a, b in pairwise(run) if a == "--only"] == stages
    assert export[:3] == ["-m", "kdgap", "export"]
    assert export[3] == run[run.index("--out") + 1]
    changes = overrides(run)
    assert {key for key in changes if key.startswith("teachers.weights.")} == {
        f"teachers.weights.{name}" for name in ("r34", "r50", "r101")
    }


def test_the_environment_becomes_overrides(asked: Script) -> None:
    run, _ = asked(
        "run_ablation.sh",
        EPOCHS="3",
        BS="64",
        LR="0.05",
        DEVICE="cpu",
        WORKERS="2",
        SEEDS="7 8",
        SELECT_SEEDS="5",
        STEM_SEEDS="9",
        DATA_ROOT="elsewhere",
        SET="methods.logit.alpha=[0.5] precision=bf16",
    )
    changes = overrides(run)
    expected = {
        "recipe.epochs": 3,
        "recipe.batch_size": 64,
        "recipe.lr": 0.05,
        "data.root": "elsewhere",
        "finals.seeds": [7, 8],
        "ablations.projection_clipping.seeds": [7, 8],
        "ablations.stem_r18.seeds": [9],
        "selection.seeds": [5],
        "methods.logit.alpha": [0.5],
        "precision": "bf16",
    }
    assert {key: changes[key] for key in expected} == expected
    assert run[run.index("--device") + 1] == "cpu"
    assert run[run.index("--workers") + 1] == "2"
    assert "data.limit" not in changes


@pytest.mark.parametrize("script", STUDY_SCRIPTS)
def test_a_smoke_run_keeps_to_a_folder_of_its_own(asked: Script, script: str) -> None:
    run, export = asked(script, LIMIT="64")
    changes = overrides(run)
    assert changes["data.limit"] == 64
    assert changes["teachers.weights.r34"] == "runs-smoke/checkpoints/teacher_r34.safetensors"
    assert run[run.index("--out") + 1] == "runs-smoke/reference_commands"
    assert export[-1] == "runs-smoke"


def test_a_study_that_was_begun_under_the_old_name_goes_on(asked: Script, tmp_path: Path) -> None:
    (run, _), repository = asked("run_final.sh"), tmp_path / "repository"
    assert run[run.index("--out") + 1] == "runs/reference_commands"
    (repository / "runs" / "reference_doors").mkdir(parents=True)
    run, _ = asked("run_final.sh")
    assert run[run.index("--out") + 1] == "runs/reference_doors"
    (repository / "runs" / "reference_commands").mkdir()
    run, _ = asked("run_final.sh")
    assert run[run.index("--out") + 1] == "runs/reference_commands"


def test_everything_as_a_smoke_run_keeps_to_the_same_folder(asked: Script) -> None:
    lines = asked("run_all.sh", LIMIT="64")
    flags = [dict(pairwise(words)) for words in lines]
    trained = {f["--output-dir"] for f in flags if "--output-dir" in f}
    assert len(trained) == 9
    assert {Path(folder).parts[0] for folder in trained} == {"runs-smoke"}
    outs = {f["--out"] for f in flags if "--out" in f}
    assert outs == {"runs-smoke/reference_commands", "runs-smoke/figures"}
    assert {f["--to"] for f in flags if "--to" in f} == {"runs-smoke"}
    weights = {str(overrides(w)["teachers.weights.r50"]) for w in lines if "run" in w}
    assert weights == {"runs-smoke/checkpoints/teacher_r50.safetensors"}
    assert [f["--write-best"] for f in flags if "--write-best" in f] == [
        "runs-smoke/best_configs.json"
    ]


def test_the_finals_refuse_a_best_file_that_selection_does_not_say(asked: Script) -> None:
    best = asked._folder / "best.json"
    best.write_text("{}")
    check, run, _ = asked("run_final.sh", BEST=str(best))
    assert check[0] == "tools/collect_results.py"
    assert check[-2:] == ["--check-best", str(best)]
    assert run[2] == "run"


def test_everything_in_order(asked: Script) -> None:
    lines = asked("run_all.sh", TEACHER_SEEDS="0")
    done = [
        " ".join(b for a, b in pairwise(words) if a == "--only")
        if "run" in words
        else Path(words[0]).name.removesuffix(".py")
        if words[0] != "-m"
        else words[2]
        for words in lines
    ]
    assert done == [
        *["train"] * 3,
        *("selection", "export", "collect_results", "finals", "export"),
        *("projection_clipping", "export", "stem_r18 stem_r34 stem_r50", "export"),
        *("collect_results", "make_figures"),
    ]
