"""What may be odd about an import: its kinds, their words, and how they are counted.

Apart from what judges, so that `kdgap import` can say them without loading statistics.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

FINDINGS = {
    "failed": "runs that diverged, are unfinished or were repeated",
    "overlap": "runs that chose hyper-parameters and are finals",
    "unreadable": "files that could not be read",
    "passed": "files, folders and links that were passed over",
    "duplicate": "runs under several paths, each counted once",
    "conflict": "seeds with contradicting runs under the same settings, none of which counts",
    "copy": "pairs of runs with one history under different settings or seeds",
    "split": "cells that differ in a setting or two, and are never averaged",
    "aside": "kinds of keys that differ between runs and are averaged over",
    "contradiction": "files that contradict themselves or hold what is no number",
    "fidelity": "finals without fidelity",
    "role": "files outside the known folders",
    "ablation": "ablations with nothing to compare with",
}
EACH_PATH = ("fidelity", "passed")
"""Kinds of findings of which each path is one."""


@dataclass(frozen=True)
class Finding:
    """Something odd about the files: its kind, of `FINDINGS`, what it is, and where it is seen."""

    kind: str
    text: str
    paths: list[str]


def count_findings(findings: Iterable[Finding]) -> Counter[str]:
    """Return how many there are of each kind; what several files lack is counted by files."""
    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.kind] += len(finding.paths) if finding.kind in EACH_PATH else 1
    return counts
