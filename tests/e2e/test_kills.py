"""SIGKILL at random moments: nothing is lost, nothing is done twice, and no bit differs."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.study import contents, finish, kill, start, study_text, training, workers_of

KILLS = int(os.environ.get("KILLS", "100"))


def busy_study(save_seconds: float) -> str:
    """Enough epochs for many kills, saved so often that many of them fall into a write."""
    return study_text(
        data={"name": "digits"},
        recipe={"epochs": int(os.environ.get("KILL_EPOCHS", "120")), "batch_size": 64},
        save_seconds=save_seconds,
        budgets={"attempts": 1000},
        keep_selection_weights=True,
    )


def wait(chance: random.Random, folder: Path, process: Any) -> None:
    """Wait for a random moment: mostly in training, sometimes while everything is starting."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0.5, 5.0))
        return
    end = time.monotonic() + 60
    while process.poll() is None and not training(folder) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(chance.uniform(0.0, 2.5))


def forget_live(folder: Path) -> None:
    """Remove what killed runners said they were doing."""
    for path in folder.glob("runs/small/live/*.json"):
        path.unlink(missing_ok=True)


@pytest.mark.slow
def test_a_study_killed_a_hundred_times_is_the_uninterrupted_one(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    for folder in (calm, rough):
        folder.mkdir()
        (folder / "study.yaml").write_text(busy_study(0.02))
    kills: dict[str, int] = {"worker": 0, "supervisor": 0, "everybody": 0}
    while sum(kills.values()) < KILLS:
        process = start(rough, "study.yaml", "--workers", str(chance.choice([1, 2])))
        while sum(kills.values()) < KILLS:
            wait(chance, rough, process)
            workers = workers_of(process.pid)
            target = chance.choice(list(kills)) if workers else "supervisor"
            if process.poll() is not None:
                break
            kills[target] += 1
            if target == "worker":
                kill(chance.choice(workers))
                forget_live(rough)
                continue  # the supervisor starts another
            kill(process.pid)
            for worker in workers if target == "everybody" else ():
                kill(worker)
            break
        process.communicate()
        forget_live(rough)
        if process.returncode == 0:
            break
    done = finish(start(rough, "study.yaml"))
    assert done.returncode == 0, done.stderr
    total = sum(kills.values())
    assert total >= KILLS, f"the study was over after {total} kills; raise KILL_EPOCHS"
    assert finish(start(calm, "study.yaml", "--workers", "2")).returncode == 0
    expected, actual = contents(calm / "runs/small"), contents(rough / "runs/small")
    assert actual.keys() == expected.keys()
    assert len(actual) == 11
    for path, files in expected.items():
        assert actual[path] == files, path
    for attempts in (rough / "runs/small").glob("runs/*/*/attempts.jsonl"):
        lines = [json.loads(line) for line in attempts.read_text().splitlines() if line[-1:] == "}"]
        assert sum(line.get("ended") == "finished" for line in lines) <= 1, attempts
    print(f"kills survived: {kills}, runs equal: {len(actual)}")
