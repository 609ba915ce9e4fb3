#!/usr/bin/env python3
"""How long a reader waits for the explorer's page: the first view and the list of runs.

    python benchmarks/explorer.py                      # studies of about 1,000 and 10,000 runs
    python benchmarks/explorer.py --runs 50 --loads 3
    python benchmarks/explorer.py --json benchmarks/results/explorer.json

Needs Chromium and Playwright. Made studies, all of whose runs are finished, are served on this
machine. A load is a fresh browser context, so nothing is cached: from the start of the navigation
until the view is drawn. The aim is less than 1 s at 1,000 runs and less than 3 s at 10,000.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RUNS = (1_000, 10_000)
VIEWS = ("overview", "runs")
BINARIES = ("chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


def main() -> None:
    """Print a row a view; write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS)
    parser.add_argument("--loads", type=int, default=7, help="of each view")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements there")
    given = parser.parse_args()
    measurements = [row for count in given.runs for row in measure(count, given.loads)]
    print(f"{'runs':>8} {'view':10} {'median s':>9} {'least s':>9} {'most s':>9} {'server s':>9}")
    for row in measurements:
        print(
            f"{row['runs']:8,} {row['view']:10} {row['median_seconds']:9.3f}"
            f" {row['least_seconds']:9.3f} {row['most_seconds']:9.3f}"
            f" {row['server_start_seconds']:9.3f}"
        )
    if given.json:
        about = {"machine": platform.machine(), "cores": os.cpu_count(), "loads": given.loads}
        given.json.write_text(json.dumps({**about, "measurements": measurements}, indent=2) + "\n")


def measure(count: int, loads: int) -> list[dict[str, Any]]:
    """Serve a finished study of about so many runs, and load each view of it."""
    from playwright.sync_api import sync_playwright

    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        sys.exit(f"none of {', '.join(BINARIES)} is here")
    with tempfile.TemporaryDirectory(prefix="kdgap-bench-") as folder:
        runs = make_study(Path(folder), count)
        with served(Path(folder) / "study") as (address, starting), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=binary, args=list(FLAGS))
            load(browser, address, VIEWS[0])  # the browser's own start is nobody's page
            seconds: dict[str, list[float]] = {view: [] for view in VIEWS}
            for _ in range(loads):
                for view, taken in seconds.items():
                    taken.append(load(browser, address, view))
            about = {"chromium": browser.version, "server_start_seconds": round(starting, 3)}
            browser.close()
    return [
        {
            "runs": runs,
            "view": view,
            "median_seconds": round(statistics.median(taken), 3),
            "least_seconds": round(min(taken), 3),
            "most_seconds": round(max(taken), 3),
            **about,
        }
        for view, taken in seconds.items()
    ]


def make_study(folder: Path, count: int) -> int:
    """Write a study of about so many finished runs, a tenth of them finals; return how many."""
    sys.path.insert(0, str(ROOT))  # a script finds what stands beside it, but not by its full name
    from benchmarks.growth import finish_all, write_growing

    file = folder / "study.yaml"
    write_growing(file, seeds=max(2, count // 10), alphas=8)
    return finish_all(file, folder / "study")


@contextmanager
def served(study: Path) -> Iterator[tuple[str, float]]:
    """Serve a study; give the page's address and how long that took to come up."""
    begun = time.perf_counter()
    words = ["-m", "kdgap", "explore", str(study), "--port", "0"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            address = re.search(r"http://\S+", line)
            if address is None:
                sys.exit(line + server.stderr.read())
            yield address[0], time.perf_counter() - begun
        finally:
            server.terminate()


def load(browser: "Browser", address: str, view: str) -> float:
    """Open a view as somebody does who never was there; return the seconds until it is drawn.

    The page's own clock is read, in the first frame after the view is there: what the browser needs
    to be told to look does not count.
    """
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.add_init_script(
        "new MutationObserver((_, watch) => {"
        "  if (!document.querySelector('main[data-ready]')) return;"
        "  watch.disconnect();"
        "  requestAnimationFrame(() => { window.drawn_ms = performance.now(); });"
        "}).observe(document, { subtree: true, childList: true, attributes: true });"
    )
    page.goto(f"{address}#{view}")
    page.locator(f"main[data-ready='{view}']").wait_for(timeout=120_000)
    page.wait_for_function("() => window.drawn_ms > 0")
    milliseconds = float(page.evaluate("window.drawn_ms"))
    context.close()
    return milliseconds / 1000


if __name__ == "__main__":
    main()
