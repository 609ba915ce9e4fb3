"""What may be odd about an import: its kinds, their words, and how they are counted.

Apart from what judges, so that `kdgap import` can say them without loading statistics.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kdgap.notice import FileNotice

FINDINGS = {
    "failed": "runs that diverged, are unfinished or were repeated",
    "overlap": "runs that chose hyper-parameters and are finals",
    "unreadable": "files that could not be read",
    "passed": "files, folders and links that were passed over",
    "duplicate": "runs under several paths, each counted once",
    "conflict": "seeds with contradicting runs under the same settings, none of which counts",
    "copy": "pairs of runs with one history under different settings or seeds",
    "split": "configurations that differ in a setting or two, and are never averaged",
    "aside": "kinds of keys that differ between runs and are averaged over",
    "contradiction": "files that contradict themselves or hold what is no number",
    "fidelity": "finals without fidelity",
    "role": "files outside the known folders",
    "ablation": "ablations with nothing to compare with",
}
EACH_PATH = ("fidelity", "passed")
"""Kinds of findings of which each path is one."""


def finding(code: str, text: str, paths: Iterable[str]) -> FileNotice:
    """Return something odd about files: one of `FINDINGS`, what it is, and where it is seen."""
    return FileNotice(code, text, paths=tuple(paths))


def write_findings(findings: Iterable[FileNotice]) -> list[dict[str, Any]]:
    """Return what `import.json` says of them."""
    return [
        {"code": notice.code, "text": notice.text, "paths": list(notice.paths)}
        for notice in findings
    ]


def read_findings(about: Mapping[str, Any]) -> tuple[FileNotice, ...]:
    """Return what `import.json` says was found; imports of before call the code a kind."""
    return tuple(
        finding(entry.get("code") or entry["kind"], entry["text"], entry["paths"])
        for entry in about["findings"]
    )


def count_findings(findings: Iterable[FileNotice]) -> Counter[str]:
    """Return how many there are of each kind; what several files lack is counted by files."""
    counts: Counter[str] = Counter()
    for notice in findings:
        counts[notice.code] += len(notice.paths) if notice.code in EACH_PATH else 1
    return counts
