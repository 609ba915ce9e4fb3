"""One cohort against the same runs one by one: time, memory, and whether the bits are equal.

    python benchmarks/cohort.py configs/studies/cifar10_micro.yaml --pair r20 r8 --epochs 2 \\
        --data-root data

Trains the pair's teacher if it is not there, then the grid of every method and the baseline of one
seed: together on one teacher pass, and then each alone. Both ways run in this process, one after
the other; the ratio is what to look at.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from kdgap.engine.device import environment, make_deterministic, pick_device
from kdgap.errors import StoppedError
from kdgap.planning.plan import PlannedRun
from kdgap.running.training import Attempt, train_attempts
from kdgap.store.record import Record, RunDirectory
from kdgap.study.inputs import Inputs
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--pair", nargs=2, required=True, metavar=("TEACHER", "STUDENT"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--out", type=Path, default=None, help="keeps the teacher")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    teacher, student = given.pair
    changes: dict[str, object] = {
        "pairs": [{"teacher": teacher, "student": student}],
        "claims": [],
        "recipe.epochs": given.epochs,
        "teachers.recipe": {},
        "selection": {"seeds": [0], "allow_overlap": True},
        "finals.seeds": [0],
        "data.root": given.data_root,
        "data.limit": given.limit,
        "precision": given.precision,
        "threads": given.threads,
    }
    with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as scratch:
        out = given.out or Path(scratch) / "study"
        workspace = open_study(given.study, changes, out)
        start_study(workspace, print)
        Worker(workspace, "auto", ["teachers"], say=print).work()
        plan, _ = workspace.plan()
        runs = [p for p in plan.runs.values() if {"selection", "baseline"} & set(p.roles)]
        device = pick_device("auto")
        bench = Inputs(workspace.directory, device)
        make_deterministic(0, given.threads)
        together, seconds = train(bench, runs, Path(scratch) / "together")
        alone: list[Record] = []
        each: list[float] = []
        for run in runs:
            records, took = train(bench, [run], Path(scratch) / "alone")
            alone += records
            each.append(took)
        equal = [hashes(a) == hashes(b) for a, b in zip(together, alone, strict=True)]
        account: dict[str, Any] = {
            "members": len(runs),
            "cohort_seconds": round(seconds, 1),
            "one_by_one_seconds": round(sum(each), 1),
            "ratio": round(sum(each) / seconds, 3),
            "equal_weights_and_histories": f"{sum(equal)} of {len(equal)}",
            "environment": environment(device),
            "runs": [
                {
                    "run": planned.slots[0].text,
                    "alone_seconds": round(took, 1),
                    "weight_hash_last": record.results["weight_hash_last"][:16],
                    "best_val_acc": record.results["best_val_acc"],
                    "equal": same,
                }
                for planned, took, record, same in zip(runs, each, together, equal, strict=True)
            ],
        }
    if given.json:
        print(json.dumps(account, indent=2))
        return
    for row in account["runs"]:
        print(
            "{run:42} alone {alone_seconds:8.1f} s  {weight_hash_last}  equal {equal}".format(**row)
        )
    print(
        f"{account['members']} runs: cohort {seconds:.1f} s, one by one {sum(each):.1f} s, ratio"
        f" {account['ratio']}; equal: {account['equal_weights_and_histories']}"
    )


def train(bench: Inputs, runs: list[PlannedRun], folder: Path) -> tuple[list[Record], float]:
    """Train runs together into fresh directories; return their records and the seconds."""
    begun = time.perf_counter()
    owner = next((p for p in runs if p.run.teacher), None)
    weights = None if owner is None else bench.teacher(owner)
    attempts = [
        Attempt(
            bench.prepare(planned, weights if planned.run.teacher else None),
            RunDirectory(folder / planned.id[:12]),
        )
        for planned in runs
    ]
    train_attempts(attempts, pause=lambda: None, open_test=lambda *_: None)
    seconds = time.perf_counter() - begun
    failed = [a.member.failure for a in attempts if a.member.failure]
    if failed:
        raise StoppedError(str(failed[0]), 3)
    return [attempt.directory.read() for attempt in attempts], seconds


def hashes(record: Record) -> tuple[Any, ...]:
    """Return what must be equal."""
    kept = ("weight_hash_best", "weight_hash_last", "history")
    return tuple(record.results[key] for key in kept)


if __name__ == "__main__":
    main()
