#!/usr/bin/env python3
"""How time and memory grow: with the size of a cohort, of the images, and of a study.

    python benchmarks/growth.py cohort          # 1, 2, 4, 8, 13 students of one teacher
    python benchmarks/growth.py images          # 32 and 64 pixels
    python benchmarks/growth.py runs            # what reads a study, at 10, 1,000 and 10,000 runs

Each line is a process of its own, so that peak memory is its own too.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdgap.spec.run import RunSpec

COHORTS = (1, 2, 4, 8, 13)
SIZES = (32, 64)
RUNS = (10, 1_000, 10_000)
ENVIRONMENT = {"device": "cpu", "threads": 1}
FINGERPRINT = "of images that nobody looks at"
SHAPE = {"train": 1297, "test": 500, "classes": 10, "channels": 1, "image_size": [8, 8]}


def main() -> None:
    """Print one line of JSON a measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("cohort", "images", "runs", "one"))
    parser.add_argument("--case", default="e", help="which case of `kdgap bench` grows")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--members", type=int, default=13)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "one":
        print(json.dumps(grown_case(given)), flush=True)
    elif given.what == "runs":
        for count in RUNS:
            print(json.dumps(study_of(count)), flush=True)
    else:
        options = [("--members", n) for n in COHORTS]
        if given.what == "images":
            options = [("--image-size", size) for size in SIZES]
        for name, value in options:
            words = [name, str(value), "--case", given.case, "--precision", given.precision]
            subprocess.run([sys.executable, __file__, "one", *words], check=True)


def grown_case(given: argparse.Namespace) -> dict[str, Any]:
    """Time the first members of the published grid, on a case's networks."""
    from kdgap.benchmark.arm_process import own_peak
    from kdgap.benchmark.case import GRID
    from kdgap.benchmark.cases import CASES
    from kdgap.benchmark.engine_arm import EngineArm
    from kdgap.engine.device import make_deterministic

    make_deterministic(0, None)
    # Nine Logit-KD runs stand first in the grid: one kind of member, until there are none left.
    case = replace(
        CASES[given.case], students=GRID[: given.members], image_size=given.image_size, steps=8
    )
    arm = EngineArm(case, given.precision)
    arm.warm_up()
    seconds = statistics.median(arm.round() for _ in range(given.rounds)) / case.steps
    return {
        "case": case.key,
        "precision": given.precision,
        "members": given.members,
        "image_size": given.image_size,
        "seconds_per_step": round(seconds, 4),
        "seconds_per_member": round(seconds / given.members, 4),
        "peak_memory_bytes": own_peak(),
    }


def write_growing(file: Path, seeds: int, alphas: int) -> None:
    """Write a study of one pair: so many seeds for each of so many alphas, and as final seeds."""
    content = {
        "name": "growing",
        "data": {"name": "digits"},
        "models": {"big": {"name": "resnet20"}, "little": {"name": "resnet8"}},
        "pairs": [{"teacher": "big", "student": "little"}],
        "methods": {"logit": {"alpha": [round(0.1 + 0.1 * i, 1) for i in range(alphas)]}},
        "selection": {"seeds": [100_000 + seed for seed in range(seeds)]},
        "finals": {"seeds": list(range(seeds))},
    }
    file.write_text(json.dumps(content))


def study_of(count: int) -> dict[str, Any]:
    """Time `kdgap plan` on a study of about so many runs; when all are done, what reads them."""
    with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as folder:
        file, directory = Path(folder) / "study.yaml", Path(folder) / "study"
        seeds = count // 2 - 1 if count < 100 else count // 10
        alphas = 1 if count < 100 else 8
        write_growing(file, seeds, alphas)
        planning, size = command("plan", str(file), "--out", str(directory))
        runs = finish_all(file, directory)
        surveying, _ = command("status", str(directory))
        analyzing, _ = command("analyze", str(directory))
        reporting, _ = command("report", str(directory))
    return {
        "runs": runs,
        "plan_seconds": planning,
        "status_seconds": surveying,
        "analyze_seconds": analyzing,
        "report_seconds": reporting,
        "plan_peak_memory_bytes": size,
    }


def command(*words: str) -> tuple[float, int]:
    """Run `kdgap WORDS`; return its seconds and the largest memory of any child so far."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "kdgap", *words], check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    return round(seconds, 3), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def finish_all(file: Path, out: Path) -> int:
    """Write a record for every planned run, as training leaves it.

    Weights and predictions alone are a few bytes.
    """
    from kdgap.study.workspace import open_study, start_study

    done: set[str] = set()
    while True:
        workspace = open_study(file, {}, out)
        directory = start_study(workspace, lambda _: None)
        plan, _ = workspace.plan()
        todo = [planned for planned in plan.runs.values() if planned.id not in done]
        if not todo:
            return len(plan.runs)
        directory.lock_fact("threads", ENVIRONMENT["threads"])
        directory.lock_fact("data", {"name": "digits", "fingerprint": FINGERPRINT, "shape": SHAPE})
        if any("final" in planned.roles for planned in todo):
            directory.lock_fact("preregistration", workspace.preregistration(plan))
        for planned in todo:
            done.add(planned.id)
            finish(out / planned.path, planned.run, tested=planned.roles != ["selection"])


def finish(folder: Path, run: "RunSpec", *, tested: bool) -> None:
    """Write the record of one run."""
    from kdgap.spec.identity import run_id
    from kdgap.store.manifest import PREDICTIONS_TEST, PREDICTIONS_VAL
    from kdgap.store.record import BEST, LAST, RunDirectory

    directory = RunDirectory(folder)
    identifier = run_id(run)
    about = {
        "id": identifier,
        "spec": run.model_dump(mode="json"),
        "environment": ENVIRONMENT,
        "data": {"fingerprint": FINGERPRINT},
        "provenance": {},
        "flags": [],
    }
    history = [
        {"epoch": epoch + 1, "val_acc": 0.9, "train_acc": 0.95, "grad_norm_max": 2.0}
        for epoch in range(30)
    ]
    directory.start(about, history)  # all epochs in one write
    for name in (BEST, LAST):
        (folder / name).write_bytes(b"weights")
    part = {"accuracy": 0.9 + (run.seed % 7) / 1000, "top1_agreement": 0.5}
    results = {
        "seed": run.seed,
        "best_val_acc": 0.9,
        "last_val_acc": 0.9,
        "flags": [],
        "history": history,
        "weight_hash_best": identifier,
        "weight_hash_last": identifier,
        "test_acc_best": part["accuracy"] if tested else None,
    }
    test = {"images": SHAPE["test"], "best": part, "last": part} if tested else None
    predictions = {PREDICTIONS_VAL: b"answers"}
    if tested:
        predictions[PREDICTIONS_TEST] = b"answers"
    directory.write_timing({"seconds": 60.0, "attempts": 1, "together": 1})
    directory.finish(results, test, predictions)
    directory.note_attempt({"ended": "finished"})


if __name__ == "__main__":
    main()
