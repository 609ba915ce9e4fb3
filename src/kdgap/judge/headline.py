"""The first words of every page: what became of the main claim, and what it rests on."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from kdgap.judge.analysis import Analysis, ClaimResult, Outcome
from kdgap.judge.entries import Gain
from kdgap.judge.evidence import Evidence
from kdgap.judge.words import lack_words, uncorrected_words, without_result
from kdgap.numbers import compact, counted, interval, level, signed
from kdgap.spec.slot import pair_text
from kdgap.stats.verdict import Verdict

SHOWN: dict[Outcome, str] = {
    "established": "Shown",
    "contradicted": "Contradicted",
    "not established": "Not shown",
}
DECIDED: tuple[Verdict, ...] = ("gain", "harm", "equivalent")


@dataclass(frozen=True)
class Headline:
    """The answer of a study in one sentence.

    Attributes:
        text: the sentence.
        verdict: the outcome or verdict that it is about, for its colour.
        claim: the name of the claim that it is about; None where it is about the gains.
    """

    text: str
    verdict: Outcome | Verdict
    claim: str | None = None


def headline(analysis: Analysis) -> Headline:
    """Return what became of the main claim, or of the gains where nothing is claimed."""
    claim = main_claim(analysis)
    if claim is not None:
        return Headline(_claim_text(claim, analysis), claim.outcome, claim.name)
    gains = [gain for gain in analysis.gains if gain.gain_pp is not None]
    if len(gains) == 1:
        (gain,) = gains
        text = _gain_text(gain, analysis)
        return Headline(text, "inconclusive" if gain.open else gain.verdict)
    return _of_gains(list(analysis.gains) if gains else [])


def main_claim(analysis: Analysis) -> ClaimResult | None:
    """Return the claim that stands first: the one that the study names, or else its first."""
    by_name = {claim.name: claim for claim in reversed(analysis.contrasts)}
    first = next(iter(analysis.contrasts), None)
    return by_name.get(analysis.study.main_claim or "", first)


def _claim_text(claim: ClaimResult, analysis: Analysis) -> str:
    # Where it is so of every claim, that is said once, beside them.
    late = claim.post_hoc and not all(other.post_hoc for other in analysis.contrasts)
    text = f"{SHOWN[claim.outcome]}{', post hoc' if late else ''}: {claim.text.rstrip('.')}"
    if claim.estimate_pp is None:
        return f"{text}. It cannot be judged: {lack_words(claim)}."
    return f"{text}. {_number(claim.estimate_pp, claim.ci95_pp, analysis)}."


def _number(value: float, ends: tuple[float, float] | None, analysis: Analysis) -> str:
    """Return a difference and what it could still be."""
    measured = f"{signed(value)} pp"
    if ends is None:
        return f"{measured}, with no interval"
    sure = level(analysis.settings.confidence)
    return f"{measured}, somewhere between {signed(ends[0])} and {signed(ends[1])} ({sure})"


def _gain_text(gain: Gain, analysis: Analysis) -> str:
    margin = analysis.settings.smallest_effect_pp
    only = " (uncorrected)" if gain.uncorrected else ""
    taught = f"{gain.student} taught by {gain.teacher}" if gain.teacher else gain.student
    words = {
        "gain": f"{gain.label} helps {taught}",
        "harm": f"{gain.label} harms {taught}",
        "equivalent": f"{gain.label} changes {taught} by less than {margin:g} pp{only}",
        "inconclusive": f"Not decided: whether {gain.label} helps {taught}",
    }
    return f"{words[gain.verdict]}. {_number(gain.gain_pp or 0.0, gain.ci95_pp, analysis)}."


def _of_gains(gains: list[Gain]) -> Headline:
    """Return how many of several gains are decided, and the largest of those that are gains.

    They are as many as are corrected for: one without a result is one of them, and not decided.
    """
    if not gains:
        return Headline("No method was compared with plain training yet.", "inconclusive")
    counts = Counter(gain.verdict for gain in gains)
    text = f"Of {counted(len(gains), 'gain')} over plain training, "
    text += f"{counts['gain'] or 'none'} {'are' if counts['gain'] > 1 else 'is'} shown"
    lost = without_result(gains)
    others: dict[Verdict, str] = {
        "harm": "of harm",
        "inconclusive": f"not decided, {lost}" if lost else "not decided",
        "equivalent": "equivalent",
    }
    rest = [f"{counts[kind]} {words}" for kind, words in others.items() if counts[kind]]
    if alone := uncorrected_words(gains):
        rest.append(alone)
    text += f" ({', '.join(rest)})." if rest else "."
    shown = [gain for gain in gains if gain.verdict == "gain"]
    if not shown:
        settled = {gain.verdict for gain in gains if not gain.open}
        return Headline(text, next((kind for kind in DECIDED if kind in settled), "inconclusive"))
    best = max(shown, key=lambda gain: gain.gain_pp or 0.0)
    pair = pair_text(best.teacher, best.student)
    ends = f" {interval(best.ci95_pp)}" if best.ci95_pp else ""
    return Headline(
        f"{text} Largest: {best.label}, {pair}, {signed(best.gain_pp or 0.0)} pp{ends}.", "gain"
    )


def trained(evidence: Evidence, analysis: Analysis) -> list[tuple[str, str]]:
    """Return what was trained, as (what, how much): data, networks, methods, seeds."""
    facts = [
        ("data", _data(evidence)),
        ("teachers (parameters)", _networks((gain.teacher for gain in analysis.gains), evidence)),
        ("students (parameters)", _networks((gain.student for gain in analysis.gains), evidence)),
        ("methods", ", ".join(dict.fromkeys(gain.label for gain in analysis.gains))),
        ("seeds", _range(seeds := [gain.n for gain in analysis.gains if gain.n])
         + (" a method" if seeds else "")),
        ("epochs", _range(_epochs(evidence))),
    ]  # fmt: skip
    return [(what, text) for what, text in facts if text]


def _data(evidence: Evidence) -> str:
    """Return the data set with its images; of an import, what the file of claims says of them."""
    about = evidence.provenance.get("data")
    name = str(about.get("name", "")) if isinstance(about, dict) else ""
    if name and name in ("imagefolder", "manifest", "webdataset") and isinstance(about, dict):
        name = PurePath(str(about.get("root", name))).name or name
    locked = evidence.provenance.get("data_fingerprint")
    shape = locked.get("shape") if isinstance(locked, dict) else None
    if not name and evidence.data:
        return f"{evidence.data} (said by the claims' file)"
    parts = [name]
    if isinstance(shape, dict):
        parts.append(f"{shape['classes']} classes")
    if evidence.train_images:
        parts.append(f"{evidence.train_images:,} training images")
    if evidence.images:
        parts.append(f"{evidence.images:,} test images")
    return ", ".join(filter(None, parts))


def _networks(names: Iterable[str | None], evidence: Evidence) -> str:
    """Return networks with what they are, where the study calls them otherwise, and their size."""
    texts = []
    for name in dict.fromkeys(filter(None, names)):
        about = evidence.models.get(name, {})
        more = [str(about["name"])] if about.get("name", name) != name else []
        if (parameters := about.get("parameters")) is not None:
            more.append(compact(parameters))
        texts.append(f"{name} ({', '.join(more)})" if more else name)
    return ", ".join(texts)


def _epochs(evidence: Evidence) -> list[int]:
    finals = [run for run in evidence.runs if run.has_role("final") or run.has_role("baseline")]
    return [run.epochs for run in finals if run.epochs is not None]


def _range(numbers: Iterable[int]) -> str:
    """Return one number, or the least and the most."""
    kept = sorted(set(numbers))
    if not kept:
        return ""
    return str(kept[0]) if len(kept) == 1 else f"{kept[0]} to {kept[-1]}"
