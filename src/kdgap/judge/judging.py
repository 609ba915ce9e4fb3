"""From evidence to verdicts: one analysis."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import kdgap
from kdgap.errors import BadInputError, ClaimError
from kdgap.judge.analysis import (
    FORMAT,
    Analysis,
    ClaimGlance,
    ClaimResult,
    Failure,
    GainGlance,
    OtherView,
    ReferenceGlance,
    Settings,
    StudyFacts,
)
from kdgap.judge.comparison import View
from kdgap.judge.context import Context, reference_of
from kdgap.judge.contrasts import ablation_entries, contrast_entries, judged_claims
from kdgap.judge.entries import Gain, ReferenceGain
from kdgap.judge.evidence import Evidence
from kdgap.judge.family import Judged
from kdgap.judge.flags import sensitive, study_flags
from kdgap.judge.gains import gain_entries, judged_gains
from kdgap.judge.reasons import contrast_sentence
from kdgap.judge.references import judged_references, reference_entries, unmatched_flags
from kdgap.judge.words import gain_sentence, reference_sentence
from kdgap.notice import by_severity
from kdgap.spec.claims import ClaimsFile, Statistics
from kdgap.spec.slot import slots_text
from kdgap.stats.permutation import MOST_SPLITS, RESAMPLES
from kdgap.stats.power import smallest_permutation_p, smallest_sign_flip_p
from kdgap.store.preregistration import judged_otherwise


def with_claims(
    evidence: Evidence, given: ClaimsFile, origin: dict[str, str] | None = None
) -> Evidence:
    """Return evidence judged by a file of claims, which replace the study's own.

    Args:
        evidence: what is judged.
        given: the claims.
        origin: name and digest of their file, for the provenance.
    """
    evidence = replace(
        evidence,
        claims=tuple(given.claims),
        main_claim=given.main_claim,
        title=given.title or evidence.title,
        paper=given.paper or evidence.paper,
        data=given.data or evidence.data,
    )
    if origin is not None:
        evidence = replace(evidence, provenance={**evidence.provenance, "claims": origin})
    return judged_by(evidence, given.statistics, given.primary)


def judged_by(
    evidence: Evidence, statistics: Statistics | None = None, primary: str | None = None
) -> Evidence:
    """Return evidence judged in another way; for a study that declared one, this is post hoc.

    Args:
        evidence: what is judged.
        statistics: smallest effect, test, levels and reference; None = as before.
        primary: `best` or `last`: whose test accuracy counts; None = as before.
    """
    statistics, primary = statistics or evidence.statistics, primary or evidence.primary
    with suppress(ClaimError):  # `analyse` refuses it, where the caller says which flag it was
        if meant := reference_of(replace(evidence, statistics=statistics)):
            statistics = statistics.model_copy(update={"reference": meant.method})
    before, after = vars(evidence.statistics), vars(statistics)
    changed = {
        name: [f"{name} {after[name] or 'none'} in place of {before[name] or 'none'}"]
        for name in after
        if after[name] != before[name]
    }
    reference = changed.pop("reference", [])  # no gain or claim is judged otherwise by it
    differences = {
        "statistics": [text for texts in changed.values() for text in texts],
        "reference": reference,
        "primary": [f"{primary} weights in place of {evidence.primary}"]
        if primary != evidence.primary else [],
    }  # fmt: skip
    evidence = replace(evidence, statistics=statistics, primary=primary)
    if evidence.origin == "import":  # it declares nothing
        return evidence
    prefix = "post hoc: judged otherwise than the study declares"
    more = [
        replace(judged_otherwise(what), text=f"{prefix}: {', '.join(changes)}")
        for what, changes in differences.items()
        if changes
    ]
    return replace(evidence, notices=(*evidence.notices, *more))


def analyse(evidence: Evidence) -> Analysis:
    """Judge everything that the runs allow; `docs/statistics.md` says what each field is.

    Raises:
        BadInputError: no run has a test accuracy, or a claim names an arm that is not there, or
            the reference is no method of the runs.
    """
    if not any(run.accuracy(evidence.primary) is not None for run in evidence.runs):
        states = ", ".join(sorted({run.state for run in evidence.runs})) or "none"
        raise BadInputError(
            f"{evidence.path}: no run has a test accuracy yet ({len(evidence.runs)} runs:"
            f" {states}), so there is nothing to judge"
        )
    context = Context(evidence)
    gains, claims, views = gain_entries(context), contrast_entries(context), _views(context)
    references, reference = reference_entries(context), context.reference
    if reference is not None:
        family = max((entry.family for entry in references), default=0)
        reference = replace(reference, gains_in_family=family)
    settings = replace(
        context.settings,
        reference=reference,
        gains_in_family=max((gain.family for gain in gains), default=0),
        contrasts_in_family=max((claim.family for claim in claims), default=0),
        claims_in_family=max((claim.claims_in_family for claim in claims), default=0),
        smallest_p=_smallest_p(context),
    )
    return Analysis(
        format=FORMAT,
        made_with=f"kdgap {kdgap.__version__}",
        study=_study(evidence),
        settings=settings,
        models=evidence.models,
        methods=evidence.methods,
        teachers=tuple(context.level(arm) for arm in context.of("teacher")),
        baselines=tuple(context.level(arm) for arm in context.of("baseline")),
        gains=tuple(_worded_gain(*numbered, views, settings) for numbered in enumerate(gains)),
        contrasts=tuple(
            _worded_claim(*numbered, views, settings) for numbered in enumerate(claims)
        ),
        ablations=tuple(ablation_entries(context)),
        selection=evidence.tunings,
        sensitivity=views,
        flags=tuple(by_severity([*study_flags(evidence, context.arms), *unmatched_flags(context)])),
        findings=evidence.findings,
        failures=_failures(evidence),
        provenance=evidence.provenance,
        reference_gains=tuple(
            _worded_reference(*numbered, views, settings) for numbered in enumerate(references)
        ),
    )


def _worded_gain(index: int, gain: Gain, views: Iterable[OtherView], settings: Settings) -> Gain:
    """Return a gain with what other ways of looking make of it, and its sentence."""
    elsewhere = [(_under(view), view.gains[index].verdict) for view in views]
    gain = replace(gain, flags=(*gain.flags, *sensitive(gain.verdict, elsewhere)))
    return replace(gain, sentence=gain_sentence(gain, settings))


def _worded_reference(
    index: int, entry: ReferenceGain, views: Iterable[OtherView], settings: Settings
) -> ReferenceGain:
    elsewhere = [(_under(view), view.reference_gains[index].verdict) for view in views]
    entry = replace(entry, flags=(*entry.flags, *sensitive(entry.verdict, elsewhere)))
    return replace(entry, sentence=reference_sentence(entry, settings))


def _worded_claim(
    index: int, claim: ClaimResult, views: Iterable[OtherView], settings: Settings
) -> ClaimResult:
    elsewhere = [(_under(view), view.contrasts[index].outcome) for view in views]
    claim = replace(claim, flags=(*claim.flags, *sensitive(claim.outcome, elsewhere)))
    return replace(claim, sentence=contrast_sentence(claim, settings))


def _under(view: OtherView) -> str:
    return view.name if view.code == "unshared" else f"with {view.name}"


def _study(evidence: Evidence) -> StudyFacts:
    return StudyFacts(
        name=evidence.name,
        path=evidence.path,
        origin=evidence.origin,
        description=evidence.description,
        runs=len(evidence.runs),
        done=sum(run.state == "done" for run in evidence.runs),
        open_runs=evidence.open_runs,
        marks=evidence.marks,
        title=evidence.title,
        paper=evidence.paper,
        main_claim=evidence.main_claim,
    )


def _failures(evidence: Evidence) -> tuple[Failure, ...]:
    return tuple(
        Failure(
            id=run.id,
            path=run.paths[0] if run.paths else "",
            seed=run.seed,
            slot=slots_text(run.slots),
            state=run.state,
            remark=run.remark,
        )
        for run in evidence.runs
        if run.state in ("failed", "damaged", "conflict")
    )


def _smallest_p(context: Context) -> float | None:
    """Return the smallest p that a permutation test of any gain could reach, uncorrected."""
    smallest = []
    for arm in context.finals:
        n, other = len(context.values(arm)), len(context.values(context.baseline(arm)))
        if min(n, other) == 0:
            continue
        paired = context.primary.test == "paired"
        splits = 2 ** min(n, other) if paired else math.comb(n + other, n)
        exact = smallest_sign_flip_p(min(n, other)) if paired else smallest_permutation_p(n, other)
        # A sampled test counts the labels that were seen among those that it drew.
        smallest.append(exact if splits <= MOST_SPLITS else 1 / (RESAMPLES + 1))
    return min(smallest, default=None)


def _views(context: Context) -> tuple[OtherView, ...]:
    """Return gains and claims under every other way of looking that the runs allow."""
    evidence = context.evidence
    primary = context.unpermuted
    views: list[tuple[str, str, View]] = []
    if any(evidence.shared_seeds(arm) for arm in context.finals):
        views.append(
            ("unshared", "without shared selection seeds", replace(primary, drop_shared=True))
        )
    other = "last" if primary.weights == "best" else "best"
    views.append((other, f"{other} weights", replace(primary, weights=other)))
    if evidence.paired:
        test = "paired" if primary.test == "welch" else "welch"
        views.append((test, f"{test} test", replace(primary, test=test)))
    return tuple(_view(context, *way) for way in views)


def _view(context: Context, code: str, name: str, view: View) -> OtherView:
    return OtherView(
        code=code,
        name=name,
        gains=tuple(
            GainGlance(
                teacher=arm.slot.teacher,
                student=arm.slot.student,
                method=arm.slot.method,
                label=context.evidence.label(arm.slot.method),
                configuration=arm.configuration,
                gain_pp=judged.comparison.point,
                **_glance(context, judged),
            )
            for arm, judged in judged_gains(context, view)
        ),
        contrasts=tuple(
            ClaimGlance(
                name=claim.name,
                estimate_pp=judged.comparison.point,
                **_glance(context, judged),
                **vars(outcome),
            )
            for claim, judged, outcome in judged_claims(context, view)
        ),
        reference_gains=tuple(
            ReferenceGlance(
                teacher=match.teacher,
                student=match.arm.slot.student,
                method=match.arm.slot.method,
                label=context.evidence.label(match.arm.slot.method),
                configuration=match.arm.configuration,
                reference_slot=match.reference.slot.text,
                gain_pp=judged.comparison.point,
                **_glance(context, judged),
            )
            for match, judged in judged_references(context, view)
        ),
    )


def _glance(context: Context, judged: Judged) -> dict[str, Any]:
    """Return the fields of `Glance`, by name."""
    numbers = vars(judged.numbers(context.evidence.statistics))
    kept = ("ci95_pp", "p", "p_holm", "p_tost", "verdict", "seeds_needed")
    return {"n": judged.comparison.ns, **{name: numbers[name] for name in kept}}
