"""SIGKILL at random moments: nothing is lost, nothing is done twice, and no bit differs."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.e2e.study import contents, finish, kill, start, study_text, workers_of

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


@pytest.mark.slow
def test_a_study_killed_a_hundred_times_is_the_uninterrupted_one(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    for folder in (calm, rough):
        folder.mkdir()
        (folder / "study.yaml").write_text(busy_study(0.02))
    kills: dict[str, int] = {"worker": 0, "supervisor": 0, "everybody": 0}
    said = []
    while sum(kills.values()) < KILLS:
        process = start(rough, "study.yaml", "--workers", str(chance.choice([1, 2])))
        time.sleep(chance.uniform(3.0, 9.0))
        while process.poll() is None and sum(kills.values()) < KILLS:
            target = chance.choice(list(kills))
            workers = workers_of(process.pid)
            if target != "supervisor" and not workers:
                target = "supervisor"
            if target == "worker":
                kill(chance.choice(workers))
                kills[target] += 1
                time.sleep(chance.uniform(3.0, 8.0))  # the supervisor starts another
                continue
            kill(process.pid)
            if target == "everybody":
                for worker in workers:
                    kill(worker)
            kills[target] += 1
        process.communicate()
        said.append(process.returncode)
        if process.returncode == 0:
            break
    done = finish(start(rough, "study.yaml"))
    assert done.returncode == 0, done.stderr
    total = sum(kills.values())
    assert total >= KILLS, f"the study was over after {total} kills; raise KILL_EPOCHS"
    assert finish(start(calm, "study.yaml", "--workers", "2")).returncode == 0
    expected, found = contents(calm / "runs/small"), contents(rough / "runs/small")
    assert found.keys() == expected.keys()
    assert len(found) == 11
    for path, files in expected.items():
        assert found[path] == files, path
    for attempts in (rough / "runs/small").glob("runs/*/*/attempts.jsonl"):
        lines = [json.loads(line) for line in attempts.read_text().splitlines() if line[-1:] == "}"]
        assert sum(line.get("ended") == "finished" for line in lines) <= 1, attempts
    print(f"kills survived: {kills}, runs equal: {len(found)}")
