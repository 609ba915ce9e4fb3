"""What an analysis holds: everything that `analysis.json`, tables, report and explorer show.

`document.py` turns it into JSON and back; `docs/statistics.md` says what each number is. Fields in
`later` joined after others, and are left out of JSON at their default: an analysis that does not
use them is written as before. Endings of names say the unit: `_pp` is percentage points of test
accuracy; what has no ending is a share of one, a count, nats (KL) or a p-value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from kdgap.judge.entries import Gain, Numbers, ReferenceGain
from kdgap.judge.evidence import Tuning
from kdgap.judge.measures import Interval
from kdgap.notice import FileNotice, Notice
from kdgap.spec.method_card import MethodCard
from kdgap.stats.verdict import Verdict

FORMAT = 2
"""Rises with every change of the document that a reader of it could notice."""


Outcome = Literal["established", "contradicted", "not established"]
"""What became of a claim."""


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What was judged; `open_runs` are those that cannot be planned yet.

    Attributes:
        title, paper: what it is called on pages, and where it was published.
        main_claim: the name of the claim that stands first; None = the first one.
    """

    later: ClassVar[Mapping[str, object]] = {"title": None, "paper": None, "main_claim": None}

    name: str
    path: str
    origin: str
    description: str
    runs: int
    done: int
    open_runs: int
    marks: tuple[str, ...]
    title: str | None = None
    paper: str | None = None
    main_claim: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The method that every other is compared with, beside plain training.

    Attributes:
        gains_in_family: what Holm's correction of these comparisons is over.
    """

    method: str
    label: str
    gains_in_family: int = 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it was judged.

    Attributes:
        smallest_effect_pp: the smallest effect of interest.
        expected_std_pp: the guess of the spread where seeds show none.
        test: `welch` or `paired`.
        confidence, power: in [0, 1].
        primary: `best` or `last`: the weights whose test accuracy counts.
        alpha: 1 − confidence.
        gains_in_family, contrasts_in_family, claims_in_family: what each correction is over; 0
            until all are judged.
        smallest_p: the smallest p that a permutation test of any gain could reach.
        reference: the method that the study names as a reference, if it names one.
    """

    later: ClassVar[Mapping[str, object]] = {"reference": None}

    smallest_effect_pp: float
    expected_std_pp: float
    test: str
    confidence: float
    power: float
    primary: str
    alpha: float
    gains_in_family: int = 0
    contrasts_in_family: int = 0
    claims_in_family: int = 0
    smallest_p: float | None = None
    reference: Reference | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """The accuracy of one arm: a teacher, a baseline, or a side of an ablation.

    Attributes:
        name: the network.
        n: seeds that are in the mean.
        mean_pp, std_pp, ci95_pp: over seeds, by the primary weights.
        mean_best_pp, mean_last_pp: the same mean by the best and by the last weights.
        missing: a line for each run without a result.
    """

    name: str
    slot: str
    configuration: str
    n: int
    mean_pp: float | None
    std_pp: float | None
    ci95_pp: Interval | None
    mean_best_pp: float | None
    mean_last_pp: float | None
    epochs: int | None
    seeds: tuple[int, ...]
    missing: tuple[str, ...]
    runs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimOutcome:
    """What became of a claim by its own test, corrected over all claims.

    Attributes:
        outcome: `established`, `contradicted` or `not established`.
        seeds_needed_claim: seeds an arm that show it, were it true.
    """

    p_claim: float | None
    p_claim_holm: float | None
    p_against_holm: float | None
    claims_in_family: int
    outcome: Outcome
    seeds_needed_claim: int | None


@dataclass(frozen=True, kw_only=True)
class Term:
    """One arm of a claim's sum, with its weight."""

    slot: str
    weight: float
    n: int
    runs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimResult(ClaimOutcome, Numbers):
    """A declared claim: a weighted sum of arms, what is said of it, and what the runs say.

    Attributes:
        says: the kind of claim.
        n, n_baseline: seeds of the smallest arm with a positive and with a negative weight.
        post_hoc: whether it was not registered before the first test.
    """

    inherited_after: ClassVar[str] = "n_baseline"

    name: str
    text: str
    says: str
    measure: str
    estimate_pp: float | None
    n: int | None
    n_baseline: int | None
    post_hoc: bool
    terms: tuple[Term, ...]
    sentence: str = ""


@dataclass(frozen=True, kw_only=True)
class Ablation(Numbers):
    """One declared change: the changed arm minus what it was changed from."""

    inherited_after: ClassVar[str] = "effect_pp"

    name: str
    slot: str
    change: str
    base: Level | None
    changed: Level | None
    n: int
    n_baseline: int
    effect_pp: float | None


@dataclass(frozen=True, kw_only=True)
class Glance:
    """The few numbers of a comparison that another way of looking shows; `n` is by arm."""

    n: tuple[int, ...]
    ci95_pp: Interval | None
    p: float | None
    p_holm: float | None
    p_tost: float | None
    verdict: Verdict
    seeds_needed: int | None


@dataclass(frozen=True, kw_only=True)
class GainGlance(Glance):
    """A gain, looked at in another way."""

    inherited_after: ClassVar[str] = "gain_pp"

    teacher: str | None
    student: str
    method: str
    label: str
    configuration: str
    gain_pp: float | None


@dataclass(frozen=True, kw_only=True)
class ReferenceGlance(Glance):
    """A gain over the reference, looked at in another way."""

    inherited_after: ClassVar[str] = "gain_pp"

    teacher: str | None
    student: str
    method: str
    label: str
    configuration: str
    reference_slot: str
    gain_pp: float | None


@dataclass(frozen=True, kw_only=True)
class ClaimGlance(ClaimOutcome, Glance):
    """A claim, looked at in another way."""

    inherited_after: ClassVar[str] = "estimate_pp"

    name: str
    estimate_pp: float | None


@dataclass(frozen=True, kw_only=True)
class OtherView:
    """All seen otherwise, in the analysis's order; `code` is `unshared`, weights, or a test."""

    later: ClassVar[Mapping[str, object]] = {"reference_gains": ()}

    code: str
    name: str
    gains: tuple[GainGlance, ...]
    contrasts: tuple[ClaimGlance, ...]
    reference_gains: tuple[ReferenceGlance, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that failed, is damaged, or contradicts another: in no mean."""

    id: str
    path: str
    seed: int
    slot: str
    state: str
    remark: str


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything that runs allow to be said.

    Attributes:
        format: of the document, `FORMAT`.
        models: name → architecture, parameters, FLOPs, citation.
        methods: name → what the method declares (`Method.about`).
        contrasts: the claims.
        selection: how each pair's method was tuned.
        sensitivity: the same seen in other ways.
        flags: what holds for all of it.
        findings: what an import found odd.
        provenance: code, libraries and data that it comes from.
        reference_gains: every method over the reference, if one is named.
    """

    later: ClassVar[Mapping[str, object]] = {"reference_gains": ()}

    format: int
    made_with: str
    study: StudyFacts
    settings: Settings
    models: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, MethodCard]
    teachers: tuple[Level, ...]
    baselines: tuple[Level, ...]
    gains: tuple[Gain, ...]
    contrasts: tuple[ClaimResult, ...]
    ablations: tuple[Ablation, ...]
    selection: tuple[Tuning, ...]
    sensitivity: tuple[OtherView, ...]
    flags: tuple[Notice, ...]
    findings: tuple[FileNotice, ...]
    failures: tuple[Failure, ...]
    provenance: Mapping[str, object]
    reference_gains: tuple[ReferenceGain, ...] = ()
