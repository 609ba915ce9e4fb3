"""A study as it stands at one moment: evidence, its judgement, and the numbers of its parts.

Runs and arms are known by their number, which holds within one snapshot: every document says of
which, and a page that finds it has parts of two begins anew.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kdgap.errors import BadInputError
from kdgap.judge.analysis import Analysis
from kdgap.judge.context import Context
from kdgap.judge.evidence import Arm, Evidence, Run
from kdgap.judge.judging import analyse, with_claims
from kdgap.judge.load import GivenClaims, load


@dataclass(frozen=True)
class Snapshot:
    """What the explorer shows.

    Attributes:
        path: the study's directory, or the import's.
        evidence: its runs.
        analysis: what `analyse` returned; None while there is nothing to judge.
        reason: why there is nothing to judge.
    """

    path: Path
    evidence: Evidence
    analysis: Analysis | None
    reason: str = ""

    @cached_property
    def context(self) -> Context:
        """The arms that are judged, and how."""
        return Context(self.evidence)

    @cached_property
    def arms(self) -> list[Arm]:
        """Every arm that is judged, small students first, then what selection tried."""
        return [*self.context.arms, *self.context.tried]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {id(arm): number for number, arm in enumerate(self.arms)}

    def arm_number(self, arm: Arm | None) -> int | None:
        """Return the number of an arm."""
        return None if arm is None else self._places[id(arm)]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Run id → number."""
        return {run.id: number for number, run in enumerate(self.evidence.runs)}

    @cached_property
    def version(self) -> str:
        """A digest that changes with anything that documents hold, numbers of runs included."""
        known = self.evidence
        runs = [(run.id, run.state, run.remark, run.slots, bool(run.test)) for run in known.runs]
        rest = replace(known, runs=())
        digest = hashlib.sha256(repr((runs, rest, self.analysis, self.reason)).encode())
        return digest.hexdigest()[:16]

    def settle(self) -> None:
        """Compute what is shared before threads share it: caching at first use locks nothing."""
        context = self.context
        _ = (context.finals, context.baselines, context.settings)
        _ = (self.arms, self._places, self.numbers, self.version)

    def run_numbers(self, runs: Sequence[Run]) -> list[int]:
        """Return the numbers of runs."""
        return [self.numbers[run.id] for run in runs]


def take(path: Path, claims: GivenClaims | None = None) -> Snapshot:
    """Read a study or an import, and judge what can be judged.

    Args:
        path: its directory.
        claims: claims in place of the study's own.

    Raises:
        BadInputError: nothing is there, or a claim does not fit.
        StoreDamagedError: a file that everything rests on is damaged.
    """
    snapshot = _taken(path, claims)
    snapshot.settle()
    return snapshot


def _taken(path: Path, claims: GivenClaims | None) -> Snapshot:
    evidence = load(path)
    if claims is not None:
        evidence = with_claims(evidence, *claims)
    if not any(run.accuracy(evidence.primary) is not None for run in evidence.runs):
        reason = "no run has been tested yet" if evidence.runs else "no run is planned"
        return Snapshot(path, evidence, None, reason)
    try:
        return Snapshot(path, evidence, analyse(evidence))
    except BadInputError as error:
        if claims is not None:
            raise
        return Snapshot(path, evidence, None, str(error))
