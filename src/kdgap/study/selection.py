"""Choosing each pair's hyper-parameters: on validation accuracy, from finished selection runs."""

from dataclasses import dataclass
from math import fsum
from typing import Any

from kdgap.errors import KdgapError
from kdgap.planning.plan import Choice, Parameters, Plan, SlotKey
from kdgap.store.study import StudyDirectory


@dataclass(frozen=True)
class Selected:
    """What selection says so far.

    Attributes:
        winners: (teacher, student, method) → hyper-parameters.
        complete: whether every choice was made, or cannot be made any more.
        report: what `selection.json` holds.
    """

    winners: dict[SlotKey, Parameters]
    complete: bool
    report: dict[str, Any]


class Selector:
    """Reads selection runs as they finish, each once."""

    def __init__(self, directory: StudyDirectory) -> None:
        self._directory = directory
        self._scores: dict[str, float] = {}

    def select(self, plan: Plan, given_up: set[str]) -> Selected:
        """Choose a winner wherever every candidate is finished or given up.

        The highest mean over the selection seeds wins; a tie goes to the candidate that stands
        first in the grid. A candidate that failed on some seed cannot win.

        Args:
            plan: the plan, whose choices name the selection runs.
            given_up: ids of runs that failed for good or are blocked.
        """
        winners: dict[SlotKey, Parameters] = {}
        rows, complete = [], True
        for choice in plan.choices:
            scores = [self._score(plan, runs, given_up) for runs in choice.runs]
            tuned = any(choice.runs)
            if tuned and any(score == "open" for score in scores):
                complete = False
                continue
            rated = [score if isinstance(score, float) else None for score in scores]
            best = 0
            if tuned:
                valid = [(score, -i) for i, score in enumerate(rated) if score is not None]
                if not valid:
                    rows.append(_row(choice, rated, None))
                    continue
                best = -max(valid)[1]
            winners[choice.key] = choice.candidates[best]
            rows.append(_row(choice, rated, best))
        selection = plan.study.selection
        report = {
            "metric": selection.metric if selection else None,
            "split": selection.split if selection else None,
            "seeds": selection.seeds if selection else [],
            "choices": rows,
        }
        return Selected(winners, complete, report)

    def _score(self, plan: Plan, runs: list[str], given_up: set[str]) -> float | str | None:
        """Return a candidate's mean score, None if it failed, or "open" if a run is missing."""
        if any(identifier in given_up for identifier in runs):
            return None
        for identifier in runs:
            if identifier not in self._scores:
                score = self._read(plan, identifier)
                if score is None:
                    return "open"
                self._scores[identifier] = score
        return fsum(self._scores[i] for i in runs) / len(runs) if runs else None

    def _read(self, plan: Plan, identifier: str) -> float | None:
        path = plan.runs[identifier].path
        if not self._directory.run(path).is_done():
            return None
        try:
            record = self._directory.record(path)
        except KdgapError:
            return None  # damaged: named elsewhere, and never counted
        metric = plan.study.selection.metric if plan.study.selection else "best_val_acc"
        return float(record.results[metric])


def _row(choice: Choice, scores: list[float | None], best: int | None) -> dict[str, Any]:
    teacher, student, method = choice.key
    candidates = zip(choice.candidates, choice.runs, scores, strict=True)
    return {
        "teacher": teacher,
        "student": student,
        "method": method,
        "winner": None if best is None else choice.candidates[best],
        "tried": len(choice.candidates),
        "failed": sum(score is None for score in scores) if any(choice.runs) else 0,
        "candidates": [{"parameters": p, "runs": r, "score": s} for p, r, s in candidates],
    }
