"""One run on several devices beside the same run in one process with as many threads in all.

    python benchmarks/devices.py --devices 2 --rounds 3
    python benchmarks/devices.py --model resnet20 --data cifar10 --data-root data --batch-size 128

Both ways train the same number of epochs on the processor, in turn, each in processes of its own.
Counted is the fastest epoch from the second one on, so that starting counts for neither. Run it on
an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from kdgap.files import read_json

BATCH_NORMS = ("synchronised", "per_rank")


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    keys = {
        "model": given.model,
        "data": given.data,
        "data_root": os.path.abspath(given.data_root),  # noqa: PTH100  (it may lie anywhere)
        "batch_size": given.batch_size,
        "epochs": max(2, given.epochs),
        "device": "cpu",
        "tracker": "none",
        **({} if given.limit is None else {"limit": given.limit}),
    }
    ways: dict[str, dict[str, object]] = {"one process": {"threads": given.devices}}
    for name in BATCH_NORMS:
        ways[name] = {"devices": given.devices, "batch_norm": name, "threads": 1}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as scratch:
        for number in range(given.rounds):
            for at, (name, way) in enumerate(ways.items()):
                run = Path(scratch) / f"{number}-{at}"
                seconds[name].append(_epoch(run, keys | way))
    best = {name: min(times) for name, times in seconds.items()}
    answer = {
        "keys": keys,
        "devices": given.devices,
        "seconds_per_epoch": seconds,
        "times_as_fast": {name: best["one process"] / best[name] for name in BATCH_NORMS},
    }
    sys.stdout.write(f"{json.dumps(answer, indent=2)}\n")


def _epoch(run: Path, keys: dict[str, object]) -> float:
    """Train a run and return the seconds of its fastest epoch but the first."""
    config = run.with_suffix(".yaml")
    config.write_text(json.dumps(keys | {"output_dir": str(run)}))  # which is YAML, too
    command = [sys.executable, "-m", "kdgap", "train", str(config), "--no-test"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return float(min(read_json(run / "timing.json")["seconds_per_epoch"][1:]))


if __name__ == "__main__":
    main()
