#!/usr/bin/env python3
"""What the bookkeeping of a study asks of where it is kept, and how that grows with its runs.

    python benchmarks/bookkeeping.py                            # 10, 1,000 and 10,000 runs
    python benchmarks/bookkeeping.py --runs 10 100 --latency 0.02
    python benchmarks/bookkeeping.py --keep FOLDER              # the studies are made once
    python benchmarks/bookkeeping.py --profile driver --runs 1000

The studies are finished ones. Their plan is the planner's, and selection, locks and registration
are made by the functions that make those of trained studies; each record is written through
`RunDirectory.start` and `finish`, so its seals, hashes and manifest verify, and no command can
tell. Only the numbers in it are made up, and its weights are a few bytes (`growth.py`). A study
stands in a folder or in a bucket in memory that counts what it is asked (`bucket.py`).

`pull` is what every command does first with a study at a URL: first, nothing of it is on this
machine; again, nothing has changed since. The other steps follow on it. `commit` is of ten jobs
that have ended, each with one run.
"""

import argparse
import cProfile
import json
import os
import pstats
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

RUNS = (10, 1_000, 10_000)
JOBS = 10
URL = "bucket://studies/study"
ROOT_NAME = "studies/study"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a script finds what stands beside it, but not by its full name

from benchmarks.bucket import KINDS, Bucket, start_bucket  # noqa: E402
from benchmarks.growth import finish_all, write_growing  # noqa: E402

Step = Callable[[], object]


def main() -> None:
    """Print a table; write JSON if asked."""
    from kdgap.cli.app import app
    from kdgap.cli.given import expand_paths

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a request")
    parser.add_argument("--only", nargs="+", choices=[*STEPS], default=[*STEPS])
    parser.add_argument("--place", nargs="+", choices=("folder", "bucket"), default=["bucket"])
    parser.add_argument("--keep", type=Path, help="where studies are, or are made to stay")
    parser.add_argument("--profile", choices=[*STEPS], help="where the time of a step goes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements there")
    given = parser.parse_args()
    start_bucket()
    expand_paths(app)
    with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as scratch:
        kept = given.keep or Path(scratch)
        rows: list[dict[str, Any]] = []
        for count in given.runs:
            study = study_of(kept, count)
            for place in given.place:
                names = [given.profile] if given.profile else given.only
                rows += measured(study, place, names, Path(scratch), given)
    if given.profile:
        return
    print_table(rows)
    if given.json:
        about = {"cores": os.cpu_count(), "latency_seconds": given.latency}
        given.json.write_text(json.dumps({**about, "measurements": rows}, indent=2) + "\n")


def study_of(kept: Path, count: int) -> Path:
    """Return the directory of a finished study of about so many runs, made unless it is there."""
    folder = kept / str(count)
    if not (folder / "study" / "plan.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        few = count < 100
        seeds = count // 2 - 1 if few else count // 10
        write_growing(folder / "study.yaml", seeds, 1 if few else 8)
        finish_all(folder / "study.yaml", folder / "study")
    return folder / "study"


def measured(
    study: Path, place: str, names: Iterable[str], scratch: Path, given: argparse.Namespace
) -> list[dict[str, Any]]:
    """Take each step with a study, twice; the first one finds nothing of it on this machine."""
    folder, rows = scratch / "folder", []
    for old in (folder, scratch / "cache"):
        shutil.rmtree(old, ignore_errors=True)
    os.environ["KDGAP_CACHE"] = str(scratch / "cache")
    if place == "folder":
        shutil.copytree(study, folder)
    else:
        Bucket.fill(ROOT_NAME, study)
    count = len(json.loads((study / "plan.json").read_text())["runs"])
    for name in names:
        Bucket.latency = 0.0
        step = STEPS[name](str(folder) if place == "folder" else URL)
        Bucket.latency = given.latency
        row: dict[str, Any] = {"runs": count, "place": place, "step": name}
        for when in ("first", "again"):
            Bucket.asked.clear()
            profile = cProfile.Profile()
            begun = time.perf_counter()
            if given.profile:
                profile.enable()
            step()
            profile.disable()
            row[f"{when}_seconds"] = round(time.perf_counter() - begun, 3)
            row[when] = {kind: Bucket.asked[kind] for kind in KINDS}
            if given.profile:
                print(f"{count:,} runs, {name}, {when}: {row[when]}")
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    return rows


# What is done with a study. Each returns what is measured.


def command(*words: str) -> Callable[[str], Step]:
    """Return a step that is a command of kdgap."""

    def prepared(place: str) -> Step:
        from kdgap.cli.app import app

        def run() -> None:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                app([words[0], place, *words[1:]], standalone_mode=False)

        return run

    return prepared


def brought(place: str) -> Step:
    """Return what every command does first with a study at a URL."""
    from kdgap.store.mirror import pulled

    return (lambda: pulled(place)) if "://" in place else lambda: None


def explored(place: str) -> Step:
    """Return what makes the explorer's first page; again is a look when nothing has changed."""
    from kdgap.explorer import watch as watching
    from kdgap.explorer.watch import Watch
    from kdgap.store.mirror import pulled

    watches: list[Watch] = []

    def look() -> None:
        if not watches:
            watches.append(Watch(pulled(place) if "://" in place else Path(place)))
        else:
            watching.LOOK_SECONDS = watching.REST = 0.0
            watches[0].look()
            watching.LOOK_SECONDS = 3600.0
        for name in ("study", "runs"):
            watches[0].document(name)

    watching.LOOK_SECONDS = 3600.0
    return look


def driven(place: str) -> Step:
    """Return what a driver does when a job has ended; first: it begins."""
    known: list[Driven] = []

    def refresh() -> None:
        if not known:
            known.append(Driven(place))
        known[0].refresh()

    return refresh


def committed(place: str) -> Step:
    """Return what a driver does when so many jobs of one run each have ended; again: of none."""
    start = ROOT_NAME
    plan = json.loads(Bucket.objects[f"{start}/plan.json"])
    came = {run["path"]: run["id"] for run in plan["runs"][-JOBS:]}
    for name in list(Bucket.objects):
        path, _, file = name.removeprefix(f"{start}/").rpartition("/")
        if path in came:
            Bucket.keep(f"{start}/incoming/{came[path]}/one/{file}", Bucket.objects.pop(name))
    driver = Driven(place)
    runs = [driver.workspace.plan()[0].runs[identifier] for identifier in came.values()]

    def commit() -> None:
        for run in runs:
            driver.commits.all([run])
            driver.refresh()

    return commit


class Driven:
    """A study as its driver has it, without machines."""

    def __init__(self, place: str) -> None:
        from kdgap.cluster.commit import Commits
        from kdgap.store.mirror import Mirror, mirror_folder
        from kdgap.store.url import storage_at
        from kdgap.study.kept_plan import KeptPlan
        from kdgap.study.workspace import open_study

        storage, path, self.mirror = storage_at(place), Path(place), None
        if "://" in place:
            path = mirror_folder(place)
            self.mirror = Mirror(storage, path)
            self.mirror.pull()
        self.workspace = open_study(path)
        self.kept = KeptPlan(self.workspace, lambda: None)
        self.commits = Commits(storage, self.workspace.directory, self.mirror)

    def refresh(self) -> None:
        """Plan with what is there, and keep the plan true here and where the study is kept."""
        from kdgap.store.mirror import shared_facts

        self.kept.refresh()
        if self.mirror is not None:
            self.mirror.push(shared_facts(self.workspace.directory.path))


STEPS: dict[str, Callable[[str], Step]] = {
    "pull": brought,
    "plan": command("plan"),
    "status": command("status"),
    "analyze": command("analyze"),
    "report": command("report"),
    "explore": explored,
    "driver": driven,
    "commit": committed,
}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print requests and seconds, and by how much they grow from one size to the next."""
    print(f"{'place':7} {'step':8} {'runs':>7} {'':6}" + "".join(f"{k:>8}" for k in KINDS), end="")
    print(f" {'all':>8} {'a run':>7} {'growth':>7} {'s':>9} {'growth':>7}")
    before: dict[tuple[str, str, str], tuple[int, float]] = {}
    for row in sorted(rows, key=lambda row: (row["place"], [*STEPS].index(row["step"]))):
        for when in ("first", "again"):
            key = row["place"], row["step"], when
            count, seconds = sum(row[when].values()), row[f"{when}_seconds"]
            grown = before.get(key, (0, 0.0))
            factors = [
                f"{now / then:.1f}" if then else ""
                for now, then in zip((count, seconds), grown, strict=True)
            ]
            before[key] = count, seconds
            print(f"{row['place']:7} {row['step']:8} {row['runs']:7,} {when:6}", end="")
            print("".join(f"{row[when][kind]:8,}" for kind in KINDS), end="")
            print(f" {count:8,} {count / row['runs']:7.2f} {factors[0]:>7}", end="")
            print(f" {seconds:9.3f} {factors[1]:>7}")


if __name__ == "__main__":
    main()
