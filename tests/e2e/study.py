"""Small real studies on the digits, run as a user runs them: in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from kdgap.store.manifest import read_manifest

PROMISED = ("history.jsonl", "results.json", "test.json")


def study_text(**changes: Any) -> str:
    """A study with one pair, grids for both methods, and finals on two seeds, as JSON (so YAML)."""
    study: dict[str, Any] = {
        "name": "small",
        "data": {"name": "digits", "limit": 256},
        "threads": 1,
        "models": {
            "big": {"name": "resnet8", "width": 0.5},
            "little": {"name": "resnet8", "width": 0.125},
        },
        "recipe": {"epochs": 2, "batch_size": 64},
        "pairs": [{"teacher": "big", "student": "little"}],
        "methods": {
            "logit": {"alpha": [0.3, 0.7], "temperature": 4.0},
            "feature": {"alpha": [0.3, 0.7]},
        },
        "selection": {"seeds": [1000]},
        "finals": {"seeds": [0, 1]},
    }
    return json.dumps(study | changes)


def start(folder: Path, *words: str, command: str = "run") -> "subprocess.Popen[str]":
    """Start `kdgap run study.yaml` in a folder, as the leader of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "kdgap", command, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """Wait for a process and return what it said."""
    out, err = process.communicate(timeout=3000)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def contents(study: Path) -> dict[str, dict[str, Any]]:
    """Return what is promised to be equal of every finished run, by its path."""
    by_run: dict[str, dict[str, Any]] = {}
    for manifest in sorted(study.glob("runs/*/*/manifest.json")):
        run = manifest.parent
        by_run[str(run.relative_to(study))] = {
            **{name: (run / name).read_bytes() for name in PROMISED if (run / name).exists()},
            **{path.name: path.read_bytes() for path in sorted(run.glob("*.safetensors"))},
            "before": read_manifest(run).before,
        }
    return by_run


def training(folder: Path) -> bool:
    """Whether some worker is in the middle of an epoch."""
    for path in folder.glob("runs/small/live/*.json"):
        with suppress(OSError, ValueError):  # the runner may be replacing it right now
            runs = json.loads(path.read_text()).get("runs")
            if isinstance(runs, dict) and runs:
                return True
    return False


def workers_of(parent: int) -> list[int]:
    """Return the process ids of a supervisor's workers."""
    try:
        return [child.pid for child in psutil.Process(parent).children()]
    except psutil.NoSuchProcess:
        return []


def is_alive(process: int) -> bool:
    """Whether a process is running; one that has ended may wait for somebody to notice."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(process: int) -> None:
    """SIGKILL, to a process that may have ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
