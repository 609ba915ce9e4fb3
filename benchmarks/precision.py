#!/usr/bin/env python3
"""Does bf16 train to the accuracy of fp32? One small study in both, cell by cell.

    python benchmarks/precision.py --seeds 20 --workers 2

Hyper-parameters are fixed, for a choice could fall out differently in the two precisions, and the
students of both learn from one and the same teacher, trained in fp32; the teacher's own network is
trained with every seed in both. Runs of one seed share initialisation and batches, so differences
are taken by seed: bf16 minus fp32, test accuracy at the best validation epoch, percentage points.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STUDY = Path(__file__).parents[1] / "configs" / "studies" / "digits.yaml"
FIXED = {"logit": {"alpha": 0.5, "temperature": 4}, "feature": {"alpha": 0.5}}
PRECISIONS = ("fp32", "bf16")
MARGIN_PP = 2.0  # the smallest effect of interest that the digits study declares

Values = dict[str, dict[int, float]]


def main() -> None:
    """Train what is missing, and print a line of JSON a cell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--study", type=Path, default=STUDY, help="a study with one teacher")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="keeps the runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as scratch:
        out = given.out or Path(scratch)
        by_precision = {precision: accuracies(given, out, precision) for precision in PRECISIONS}
    fp32, bf16 = by_precision["fp32"], by_precision["bf16"]
    for cell in [*fp32, *(bf16.keys() - fp32.keys())]:
        print(json.dumps(compared(cell, fp32.get(cell, {}), bf16.get(cell, {}), len(fp32))))


def accuracies(given: argparse.Namespace, out: Path, precision: str) -> Values:
    """Train a precision's share; return test accuracy in percent by cell and seed."""
    seeds = list(range(given.seeds))
    common = {"precision": precision, "claims": [], "methods": FIXED}
    teachers, students = out / precision / "teachers", out / precision / "students"
    run(given, teachers, {**common, "teachers.seeds": seeds, "teachers.teach": [0]}, "teachers")
    weights = weights_of_teacher(out / PRECISIONS[0] / "teachers")
    run(given, students, {**common, "teachers.weights": weights, "finals.seeds": seeds})
    return measured(teachers) | measured(students)


def run(given: argparse.Namespace, out: Path, changes: dict[str, Any], *only: str) -> None:
    """Run a study with changes, as a user would."""
    words = ["run", str(given.study), "--out", str(out), "--workers", str(given.workers)]
    for key, value in changes.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    for stage in only:
        words += ["--only", stage]
    subprocess.run([sys.executable, "-m", "kdgap", *words], check=True, stdout=sys.stderr)


def weights_of_teacher(directory: Path) -> dict[str, str]:
    """Return model name → the weights file of the teacher that teaches."""
    from kdgap.store.record import BEST
    from kdgap.store.study import StudyDirectory

    study = StudyDirectory(directory)
    return {
        slot["student"]: str(study.run(planned["path"]).path / BEST)
        for planned in study.plan()["runs"]
        for slot in planned["slots"]
        if slot["role"] == "teacher" and planned["seed"] == 0
    }


def measured(directory: Path) -> Values:
    """Return test accuracy in percent by cell and seed of the finished, tested runs."""
    from kdgap.store.study import StudyDirectory

    study, by_cell = StudyDirectory(directory), Values()
    for planned in study.plan()["runs"]:
        record = study.run(planned["path"])
        if not record.is_done():
            continue
        results = record.read().results
        if results["test_acc_best"] is None:
            continue
        for slot in planned["slots"]:
            cell = f"{slot['student']} {slot['method']}"
            by_cell.setdefault(cell, {})[results["seed"]] = 100 * results["test_acc_best"]
    return by_cell


def compared(
    cell: str, fp32: dict[int, float], bf16: dict[int, float], cells: int
) -> dict[str, Any]:
    """Return the paired difference of a cell, alone and among all cells (Bonferroni), and TOST."""
    from kdgap.stats.contrast import mean_and_std, paired
    from kdgap.stats.multiple import bonferroni_confidence

    seeds = sorted(fp32.keys() & bf16.keys())
    account = {"cell": cell, "seeds": len(seeds), "missing": len(fp32.keys() ^ bf16.keys())}
    if not seeds:
        return account
    narrow, wide = ([arm[seed] for seed in seeds] for arm in (bf16, fp32))
    difference = paired([narrow, wide], [1, -1])
    if difference is None:
        return account
    among_all = difference.interval(bonferroni_confidence(0.95, cells))
    return account | {
        "fp32": [round(x or 0, 3) for x in mean_and_std(wide)],
        "bf16": [round(x or 0, 3) for x in mean_and_std(narrow)],
        "difference": round(difference.value, 3),
        "interval_95": [round(x, 3) for x in difference.interval(0.95)],
        "interval_all_cells_95": [round(x, 3) for x in among_all],
        f"p_equivalent_within_{MARGIN_PP:g}_pp": float(f"{difference.p_equivalent(MARGIN_PP):.2g}"),
    }


if __name__ == "__main__":
    main()
