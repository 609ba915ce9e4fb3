"""Studies to look at: real ones, trained here within seconds, and one with hostile names."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, SHARED_DATA
from tests.store.foreign_files import FIDELITY, PLAIN, history, write

PUBLISHED = SHARED_DATA / "reference_runs" / "runs.zip"
CLAIMS = ROOT / "configs" / "claims" / "reference.yaml"
LONG_SECONDS = 3600
"""Many times what anything here takes."""
PAIR = {"teacher": "big", "student": "little"}
DIGITS: dict[str, Any] = {
    "name": "digits",
    "description": "Capacity gap on handwritten digits, in little",
    "data": {"name": "digits"},
    "threads": 1,
    "models": {
        "teacher": {"name": "resnet8", "width": 0.5},
        "2ch": {"name": "resnet8", "width": 0.125},
        "4ch": {"name": "resnet8", "width": 0.25},
    },
    "recipe": {"epochs": 10, "batch_size": 128},
    "pairs": [{"teacher": "teacher", "student": name} for name in ("2ch", "4ch")],
    "methods": {
        "logit": {"alpha": [0.5, 0.9], "temperature": 4.0},
        "feature": {"alpha": [0.3, 0.7]},
    },
    "selection": {"seeds": [1000]},
    "finals": {"seeds": [0, 1, 2]},
    "ablations": {
        "short": {
            "of": {"teacher": "teacher", "student": "2ch", "method": "logit"},
            "change": {"recipe.epochs": 5},
            "seeds": [0, 1, 2],
        }
    },
    "claims": [
        {
            "name": "capacity-logit",
            "text": "Larger students gain more from Logit-KD (4 against 2 channels)",
            "terms": [
                {"weight": 1, "teacher": "teacher", "student": "4ch", "method": "logit"},
                {"weight": -1, "teacher": "teacher", "student": "2ch", "method": "logit"},
            ],
        }
    ],
    "statistics": {"smallest_effect_pp": 2, "expected_std_pp": 1.5},
}
LITTLE: dict[str, Any] = {
    "data": {"name": "digits", "limit": 256},
    "threads": 1,
    "models": {
        "big": {"name": "resnet8", "width": 0.25},
        "little": {"name": "resnet8", "width": 0.125},
    },
    "recipe": {"epochs": 2, "batch_size": 16},
    "pairs": [PAIR],
    "methods": {"logit": {"alpha": 0.5, "temperature": 4.0}},
    "finals": {"seeds": [0, 1]},
}
FAILING = LITTLE | {
    "name": "failing",
    "ablations": {
        # The largest rate and decay that a recipe may have: weights overflow after a few steps.
        "hot": {
            "of": {**PAIR, "method": "logit"},
            "change": {"recipe.lr": 1000, "recipe.weight_decay": 10},
            "seeds": [0, 1],
        }
    },
    "budgets": {"attempts": 1},
}
EMPTY = LITTLE | {"name": "empty", "description": "Planned, and nothing run"}
# One teacher that is done soon, and students that train for as long as anybody looks.
LONG = LITTLE | {
    "name": "long",
    "teachers": {"recipe": {"epochs": 2}},
    "recipe": {"epochs": 5000, "batch_size": 16},
}
IMAGE, SCRIPT = "<img src=x onerror=alert(1)>", "<script>alert(2)</script>"
FORMULA = "=HYPERLINK(1)"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command, with a cache of its own."""
    return os.environ | {"KDGAP_CACHE": str(folder / "cache"), "COLUMNS": "120"}


def start(folder: Path, *words: object, politely: bool = False) -> "subprocess.Popen[str]":
    """Start `kdgap WORDS` in a folder, politely behind all others; it speaks over its stderr."""
    return subprocess.Popen(
        [sys.executable, "-m", "kdgap", *map(str, words)],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(os.nice, 5) if politely else None,
    )


def kdgap(folder: Path, *words: object, code: int = 0) -> None:
    """Run `kdgap WORDS` in a folder to its end."""
    process = start(folder, *words)
    with process:
        try:
            _, stderr = process.communicate(timeout=LONG_SECONDS)
        finally:
            process.kill()
    assert process.returncode == code, stderr


def ended(process: "subprocess.Popen[str]") -> str:
    """End a command as a terminal does; return what it said. None outlives its test."""
    with process:
        try:
            process.terminate()
            return process.communicate(timeout=LONG_SECONDS)[1]
        finally:
            process.kill()


def write_study(folder: Path, content: dict[str, Any]) -> Path:
    """Write a study's file."""
    file = folder / "study.yaml"
    file.write_text(json.dumps(content))
    return file


def trained(folder: Path, content: dict[str, Any], code: int = 0, workers: int = 2) -> Path:
    """Train a study; return its directory."""
    file = write_study(folder, content)
    kdgap(folder, "run", file, "--out", "study", "--workers", workers, code=code)
    return folder / "study"


def planned(folder: Path, content: dict[str, Any]) -> Path:
    """Begin a study as `kdgap run` does, and stop before its first run; return its directory."""
    from kdgap.study.workspace import open_study, start_study

    start_study(open_study(write_study(folder, content), {}, folder / "study"), lambda _: None)
    return folder / "study"


def imported(folder: Path, source: Path, name: str = "imported") -> Path:
    """Import result files; return the import's directory."""
    kdgap(folder, "import", source, "--out", name)
    return folder / name


def hostile_import(folder: Path, name: str = IMAGE) -> Path:
    """Import files of others in which the student, or every name that is free, is markup."""
    source = folder / FORMULA
    for number, (kind, plain) in enumerate((("plain", True), ("logit", False))):
        for seed in range(3):
            accuracy = 0.9 + 0.01 * seed + 0.005 * number
            fidelity = FIDELITY | {
                "student_arch": name,
                "teacher_arch": SCRIPT,
                "student_test_acc": accuracy,
                "per_class_acc": {name: 0.7, SCRIPT: 0.8},
            }
            write(
                source,
                f"runs/final/{kind}/seed{seed}",
                fidelity=None if plain else fidelity,
                **(PLAIN if plain else {"teacher": SCRIPT}),
                model=name,
                seed=seed,
                test_acc_best=accuracy,
                test_acc_final=accuracy,
                history=history(0.5 + seed / 10 + 0.05 * plain),
            )
    # A run of a third student, whose name a spreadsheet would take for a formula.
    write(source, "runs/final/formula/seed0", **PLAIN, model=FORMULA, history=history(0.3))
    return imported(folder, source, name[:200])


def hostile_study(folder: Path) -> Path:
    """Return a finished study in whose plan somebody wrote markup."""
    from tests.judge.test_study_evidence import BASELINE, METHOD, study

    directory = study(folder / "study", BASELINE, METHOD)
    plan = directory.plan()
    plan["study"]["description"] = IMAGE  # a name is letters and digits, or the plan is refused
    plan["study"]["claims"][0]["text"] = SCRIPT
    plan["notices"] = [{"code": SCRIPT, "text": SCRIPT, "short": SCRIPT}]
    directory.write("plan.json", plan)
    return directory.path
