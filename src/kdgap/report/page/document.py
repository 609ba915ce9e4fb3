"""The report: one HTML file that holds everything it shows, runs nothing and fetches nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kdgap.files import read_text
from kdgap.glossary import explained
from kdgap.judge.analysis import Analysis, GainGlance, ReferenceGlance
from kdgap.judge.answers import Thumbnails
from kdgap.judge.baselines import by_baseline
from kdgap.judge.causes import causes
from kdgap.judge.context import Context
from kdgap.judge.entries import Gain, ReferenceGain, by_method
from kdgap.judge.evidence import Evidence, choice_words
from kdgap.judge.fidelity import MEASURES, accuracy_interval
from kdgap.judge.headline import headline, trained
from kdgap.judge.kinds import kind_of
from kdgap.judge.measures import Interval, Measures
from kdgap.judge.ranking import rankings
from kdgap.judge.reasons import contrast_sentence
from kdgap.judge.words import gain_sentence, reference_sentence
from kdgap.numbers import (
    compact,
    counted,
    decimals,
    interval,
    level,
    p_value,
    seeds,
    signed,
    spread,
)
from kdgap.report.page.answers import MOST_GAINS, disputed_images, pictured_gains
from kdgap.report.page.figures import Hang, recorded
from kdgap.report.page.runs import (
    anchors_of,
    findings_by_kind,
    run_links,
    run_rows,
    tips_of,
    undone,
)
from kdgap.report.tables import cells
from kdgap.report.tables.measured import difference
from kdgap.store.imports.findings import FINDINGS
from kdgap.text import settings_text

TEMPLATES = Path(__file__).parent / "templates"
MARKS = {
    "gain": "▲",
    "harm": "▼",
    "equivalent": "≈",
    "inconclusive": "?",
    "established": "✓",
    "contradicted": "✗",
    "not established": "?",
}
"""A sign beside each verdict: no meaning is by colour alone."""
CAVEATS = {
    "small": "smaller than of interest",
    "equivalence-uncorrected": "before correction only",
    "only-uncorrected": "p small before correction",
}
"""Flags of a verdict that stand directly under it."""
MOST_CLASSES = 20
MOST_LISTED = 100
"""Blocks or lines of one kind: above it, a sentence says where the rest is."""


def report_html(
    evidence: Evidence, analysis: Analysis, thumbnails: Thumbnails | None = None
) -> str:
    """Return the report as one HTML document.

    It has no script, no link that leaves it, and a policy that forbids both. Whatever a name or a
    path holds is shown as text. The same evidence and analysis give the same bytes.

    Args:
        evidence: the runs.
        analysis: what `analyse` made of them.
        thumbnails: draws test images, which then are part of the page; None = it has none.
    """
    shown = _shown(evidence, analysis, thumbnails)
    page = _environment().get_template("report.html").render(shown)
    page = explained(page)
    # A path of somebody's disk may hold half a character: it is shown escaped.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(evidence: Evidence, analysis: Analysis, thumbnails: Thumbnails | None) -> dict[str, Any]:
    """Return everything that the templates show."""
    anchors, by_id = anchors_of(evidence), {run.id: run for run in evidence.runs}
    hang = Hang(evidence, analysis, anchors, tips_of(evidence, anchors))
    context = Context(evidence)
    gains, ranked = analysis.gains, rankings(context)
    pictured = pictured_gains(context, analysis)
    pairs = {group.name: group.gains for group in by_baseline(analysis)}
    reference_pairs: dict[str, list[ReferenceGain]] = {}
    for entry in analysis.reference_gains:
        reference_pairs.setdefault(cells.pair(entry), []).append(entry)
    shown = {
        "style": Markup(read_text(TEMPLATES / "report.css")),  # noqa: S704  # ours
        "analysis": analysis,
        "evidence": evidence,
        "study": analysis.study,
        "settings": analysis.settings,
        "headline": headline(analysis),
        "choosing": choice_words(evidence.chosen_on),
        "trained": trained(evidence, analysis),
        "gains": gains,
        "pairs": pairs,
        "methods": {name: card for name, card in analysis.methods.items() if card.keys},
        "claims": analysis.contrasts,
        "levels": [
            *(("teacher", teacher) for teacher in analysis.teachers),
            *(("baseline", baseline) for baseline in analysis.baselines),
        ],
        "tally": Counter(gain.verdict for gain in gains),
        "reference": analysis.settings.reference,
        "over": by_method(analysis.reference_gains),
        "reference_pairs": reference_pairs,
        "reference_tally": Counter(entry.verdict for entry in analysis.reference_gains),
        "outcomes": Counter(claim.outcome for claim in analysis.contrasts),
        "galleries": hang.galleries(ranked, pictured),
        "ranked": ranked,
        "pictured": pictured,
        "disputed": disputed_images(context, pictured, thumbnails),
        "recorded": recorded(evidence),
        "links": partial(run_links, by_id=by_id, anchors=anchors),
        "anchors": anchors,
        "classes": _classes(gains),
        "views": _views(analysis),
        "undone": undone(evidence, analysis),
        "findings": findings_by_kind(analysis.findings),
        "provenance": list(_flat(analysis.provenance)),
        "run_rows": run_rows(evidence, anchors),
    }
    return {**shown, "contents": _contents(shown)}


def _contents(shown: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (id, words) of every section that the page has."""
    analysis, gains, galleries = shown["analysis"], shown["gains"], shown["galleries"]
    wanted = [
        ("answer", "What the runs show", True),
        ("gains", "Every gain", gains),
        ("which", "Which method?", shown["ranked"]),
        ("reference", _over_words(analysis), analysis.reference_gains),
        ("claims", "Claims in numbers", shown["claims"]),
        ("levels", "Teachers and baselines", shown["levels"]),
        ("seeds", "Seeds behind every mean", galleries["seeds"].panels),
        ("curves", "Training", True),
        ("fidelity", "Fidelity", gains),
        ("predictions", "Image by image", shown["pictured"]),
        ("capacity", "Capacity", galleries["capacity"].panels),
        ("power", "What these seeds could find", gains),
        ("selection", "Selection", analysis.selection),
        ("ablations", "Ablations", analysis.ablations),
        ("sensitivity", "Other ways of looking", shown["views"]),
        ("diagnosis", "Where nothing was gained", any(gain.diagnosis for gain in gains)),
        ("details", "Each gain in detail", gains),
        ("failures", "Failures and findings", shown["undone"] or shown["findings"]),
        ("protocol", "Protocol and provenance", True),
        ("reading", "How to read this page", True),
        ("runs", "Every run", True),
    ]
    return [(place, words) for place, words, there in wanted if there]


def _over_words(analysis: Analysis) -> str:
    reference = analysis.settings.reference
    return f"Every gain over {reference.label}" if reference else ""


@cache
def _environment() -> Environment:
    """Return the templates with what they may call; every value that they show is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "configuration": settings_text,
        "counted": _counted,
        "images": lambda count: signed(count, 1),
        "interval": interval,
        "largest_difference": _largest,
        "level": level,
        "p": p_value,
        "percent": lambda share: "–" if share is None else decimals(100 * share),
        "signed": lambda value: "–" if value is None else signed(value),
        "size": lambda count: "–" if count is None else compact(count),
    }
    environment.globals |= {
        "CAVEATS": CAVEATS,
        "FINDINGS": FINDINGS,
        "MARKS": MARKS,
        "MOST_CLASSES": MOST_CLASSES,
        "MOST_GAINS": MOST_GAINS,
        "MOST_LISTED": MOST_LISTED,
        "accuracy_interval": accuracy_interval,
        "causes": causes,
        "counted": counted,
        "contrast_sentence": partial(contrast_sentence, named=False),
        "difference": difference,
        "gain_sentence": partial(gain_sentence, named=False),
        "reference_sentence": partial(reference_sentence, named=False),
        "kind_of": kind_of,
        "measured": cells.measured,
        "needed": cells.needed,
        "pair": cells.pair,
        "seeds": seeds,
        "spread": spread,
        "star": cells.star,
        "tint": _tint,
    }
    return environment


def _counted(measures: Measures) -> int:
    """Return the seeds behind a line of the fidelity table."""
    return max((measure.n for name in MEASURES if (measure := measures.named(name))), default=0)


def _largest(rows: Sequence[Mapping[str, Any]]) -> float:
    return max(
        (abs(float(cell["value"])) for row in rows for cell in row["cells"].values()), default=0.0
    )


def _classes(gains: Iterable[Gain]) -> dict[str, Any]:
    """Return accuracy by class in percent: minus the baseline's, or alone where it has none.

    `names` of the classes, and the rows `differences` and `accuracies`, each a gain with its
    `cells` by class: `value`, `ci` and, of a difference, whether it is `marked`: its interval,
    which holds for all classes of the row at once, excludes zero.
    """
    classes: dict[str, Any] = {"names": {}, "differences": [], "accuracies": []}
    for gain in gains:
        if gain.fidelity is None:
            continue
        kind, by_class = "accuracies", {}
        for name, own in (gain.fidelity.per_class_accuracy or {}).items():
            by_class[name] = _class_cell(own.mean, own.ci95, marked=False)
        if gain.fidelity.per_class_difference:
            kind, by_class = "differences", {}
            for name, class_difference in gain.fidelity.per_class_difference.items():
                ends = class_difference.ci95_simultaneous
                marked = ends is not None and (ends[0] > 0 or ends[1] < 0)
                by_class[name] = _class_cell(class_difference.difference, ends, marked=marked)
        if by_class:
            classes["names"] |= dict.fromkeys(by_class)
            classes[kind].append({"gain": gain, "cells": by_class})
    return {**classes, "names": list(classes["names"])}


def _class_cell(value: float, ends: Interval | None, *, marked: bool) -> dict[str, Any]:
    ci = None if ends is None else [100 * end for end in ends]
    return {"value": 100 * value, "ci": ci, "marked": marked}


def _tint(value: float, largest: float) -> str:
    """Return the background of a difference: light enough for dark words on it."""
    share = 0.0 if largest == 0 else min(1.0, abs(value) / largest)
    colour = "0, 120, 90" if value > 0 else "150, 60, 140"
    return f"background: rgba({colour}, {0.32 * share:.2f})"


def _views(analysis: Analysis) -> list[dict[str, Any]]:
    """Return a row for each gain and claim: its verdict as declared and under every other view."""
    views = analysis.sensitivity
    gains = [{_of(gain): gain for gain in view.gains} for view in views]
    references = [{_of_pair(glance): glance for glance in view.reference_gains} for view in views]
    claims = [{claim.name: claim for claim in view.contrasts} for view in views]
    label = analysis.settings.reference.label if analysis.settings.reference else ""
    rows = []
    for gain in analysis.gains:
        seen = [gain, *(view.get(_of(gain)) for view in gains)]
        rows.append(_gain_row(f"{gain.label}, {cells.pair(gain)}", seen))
    for entry in analysis.reference_gains:
        others = [entry, *(view.get(_of_pair(entry)) for view in references)]
        rows.append(_gain_row(f"{entry.label} over {label}, {cells.pair(entry)}", others))
    for claim in analysis.contrasts:
        looked = [claim, *(view.get(claim.name) for view in claims)]
        rows.append(
            {
                "text": claim.text,
                "post_hoc": claim.post_hoc,
                "points": [glance and glance.estimate_pp for glance in looked],
                "verdicts": [glance and glance.outcome for glance in looked],
                "intervals": [glance and glance.ci95_pp for glance in looked],
            }
        )
    return rows if views else []


def _gain_row(
    text: str, seen: Sequence[Gain | ReferenceGain | GainGlance | ReferenceGlance | None]
) -> dict[str, Any]:
    """Return a gain as declared, first, and under every other view."""
    return {
        "text": text,
        "post_hoc": False,
        "points": [glance and glance.gain_pp for glance in seen],
        "verdicts": [glance and glance.verdict for glance in seen],
        "intervals": [glance and glance.ci95_pp for glance in seen],
    }


def _of_pair(entry: ReferenceGain | ReferenceGlance) -> tuple[str | None, ...]:
    return entry.teacher, entry.student, entry.method, entry.configuration


def _of(gain: Gain | GainGlance) -> tuple[str | None, ...]:
    return gain.teacher, gain.student, gain.method, gain.configuration


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """Yield (path of keys, text) of whatever a study says of where it comes from."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(element, dict | list) for element in value):
        for number, inner in enumerate(value, 1):
            yield from _flat(inner, f"{name} {number}")
    elif value is not None and value != []:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
