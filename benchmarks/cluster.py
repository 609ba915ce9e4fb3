#!/usr/bin/env python3
"""What Ray costs beside two workers on this machine: whole studies, in turn.

`digits` is the demo's study with a few epochs: many short runs, of which starting processes and
keeping records is a large part. `cifar` is one of CIFAR-10 (`--data-root`): few runs, bound by the
processor. Every study is run from nothing, by the command line,
with one thread a run and two runs at a time; the ratio is of the two that stand beside each other.
The start of Ray is timed apart: from nothing to the first job's answer.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
START = """
import os, time
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
begin = time.perf_counter()
import ray
ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
up = time.perf_counter()
ray.get(ray.remote(lambda: 0).remote())
print(up - begin, time.perf_counter() - begin)
"""
CIFAR = {
    "name": "cifar",
    "data": {"name": "cifar10", "limit": 5_000},
    "threads": 1,
    "models": {"big": {"name": "resnet14"}, "little": {"name": "resnet8"}},
    "recipe": {"epochs": 4, "batch_size": 64},
    "pairs": [{"teacher": "big", "student": "little"}],
    "methods": {"logit": {"alpha": 0.5, "temperature": 4}, "feature": {"alpha": 0.5}},
    "finals": {"seeds": [0, 1]},
}


def run(folder: Path, words: list[str]) -> float:
    """Run a study from nothing; return its seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kdgap", "run", *words, "--out", str(folder)]
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.stderr)
    return seconds


def main() -> None:
    """Run the rounds, and print a line for each study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="folder that holds CIFAR-10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="of the digits study; the demo: 30")
    parser.add_argument("--only", choices=("digits", "cifar"), help="one of the studies")
    options = parser.parse_args()
    digits = ROOT / "configs" / "studies" / "digits.yaml"
    studies = {"digits": [str(digits), "--set", f"recipe.epochs={options.epochs}"]}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        if options.data_root is not None:
            (place / "cifar.json").write_text(json.dumps(CIFAR))
            studies["cifar"] = [str(place / "cifar.json"), "--data-root", str(options.data_root)]
        starts = [
            [float(word) for word in subprocess.check_output([sys.executable, "-c", START]).split()]
            for _ in range(options.rounds)
        ]
        up, first = (statistics.median(column) for column in zip(*starts, strict=True))
        print(f"Ray: up after {up:.1f} s, first answer after {first:.1f} s")
        if options.only:
            studies = {options.only: studies[options.only]}
        for name, words in studies.items():
            alone, ray = [], []
            for _ in range(options.rounds):
                alone.append(run(place / "alone", [*words, "--workers", "2"]))
                ray.append(run(place / "ray", [*words, "--ray", "local"]))
            ratio = statistics.median(b / a for a, b in zip(alone, ray, strict=True))
            print(
                f"{name}: two workers {statistics.median(alone):.1f} s, Ray"
                f" {statistics.median(ray):.1f} s; Ray / workers {ratio:.2f}"
            )


if __name__ == "__main__":
    main()
