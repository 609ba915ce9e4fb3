"""Tables of what was judged: gains, claims, ablations, and the same seen in other ways."""

from functools import partial

from kdgap.judge.analysis import (
    Ablation,
    Analysis,
    ClaimGlance,
    ClaimResult,
    GainGlance,
    Glance,
    Level,
    ReferenceGlance,
    Settings,
)
from kdgap.judge.baselines import by_baseline
from kdgap.judge.entries import Gain, ReferenceGain, by_method
from kdgap.judge.kinds import KINDS
from kdgap.numbers import counted, level, p_value
from kdgap.report.tables import cells
from kdgap.report.tables.cells import Line
from kdgap.report.tables.forms import STAR, Table, Value
from kdgap.text import settings_text

_OWN = ("estimate_pp", "p_claim", "p_claim_holm", "seeds_needed_claim")
_LEVELS = (
    *("tried", "n", "n_baseline", "mean_pp", "std_pp", "baseline_mean_pp", "baseline_std_pp"),
    "gain_pp",
)
_REFERENCE = (
    *("reference_slot", "reference_configuration", "tried", "tried_reference", "n", "n_reference"),
    *("mean_pp", "std_pp", "reference_mean_pp", "reference_std_pp", "gain_pp"),
)
_PAIRED = ("n", "gain_pp", "se_pp", "df", "p", "p_permutation", "p_permutation_exact")
_TEACHERS = (
    *("teachers", "seeds", "teacher_std_pp", "seed_std_pp", "residual_std_pp", "teacher_share"),
    "gain_over_teachers_pp",
)


def gains(analysis: Analysis) -> Table:
    """Return the gain of every method over the plainly trained student, with its verdict."""
    settings, entries = analysis.settings, analysis.gains
    reference, over = settings.reference, by_method(analysis.reference_gains)
    # A pair and method with several configurations needs them told apart.
    several = len({cells.slot_of(gain) for gain in entries}) < len(entries)

    pairs = {number: group.name for group in by_baseline(analysis) for number, _ in group.gains}

    def line(number: int, gain: Gain) -> Line:
        configuration = settings_text(gain.parameters)
        star = cells.star(gain.p_holm, settings)
        shown = [
            pairs[number],
            gain.label,
            *([configuration] if several else []),
            f"{gain.n} / {gain.n_baseline}",
            cells.level_text(gain.mean_pp, gain.std_pp),
            cells.level_text(gain.baseline_mean_pp, gain.baseline_std_pp),
            cells.difference(gain.gain_pp, gain.ci95_pp, star),
            p_value(gain.p),
            p_value(gain.p_holm),
            gain.verdict_text,
            cells.needed(gain),
            *([cells.over_reference(gain, reference, over, settings)] if reference else []),
        ]
        values = {
            **cells.fields(gain, ("teacher", "student", "method", "slot", "configuration")),
            "parameters": configuration,
            **cells.fields(gain, _LEVELS),
            **cells.numbers(gain),
            **_part("paired", gain.paired, _PAIRED, "ci95"),
            **_part("teachers", gain.teachers, _TEACHERS, "ci95_over_teachers"),
        }
        return shown, values

    names = ["Pair", "Method", *(["Settings"] if several else []), "n", "Accuracy", "Baseline"]
    names += [cells.interval_head("Gain", settings), "p", "Holm p", "Verdict", "Seeds needed"]
    beside = ""
    if reference:
        names.append(f"Over {reference.label}")
        beside = (
            f" Over {reference.label}: the difference to it, corrected for"
            f" {counted(reference.gains_in_family, 'such difference')}, a family apart."
        )
    caption = (
        f"Test accuracy in % of the {settings.primary} weights, mean ± std over seeds, and its"
        " gain over the baseline of the same student in percentage points, with a"
        f" {cells.test_name(settings)} interval. n: seeds of the method / of the baseline."
        f" {cells.star_note(settings, settings.gains_in_family, 'gain')} Equivalent: any effect"
        f" is smaller than {settings.smallest_effect_pp:g} pp (TOST)."
        f" {cells.seeds_note(settings)}{beside}"
    )
    lines = (line(number, gain) for number, gain in enumerate(entries, 1))
    return cells.table("gains", "Gains over plain training", names, lines, caption)


def reference_gains(analysis: Analysis) -> Table:
    """Return the gain of every method over the reference; without a row where none is named."""
    settings, reference = analysis.settings, analysis.settings.reference
    label = reference.label if reference else "a reference"
    entries = analysis.reference_gains
    several = len({cells.slot_of(entry) for entry in entries}) < len(entries)

    def line(entry: ReferenceGain) -> Line:
        configuration = settings_text(entry.parameters)
        shown = [
            cells.pair(entry),
            entry.label,
            *([configuration] if several else []),
            f"{entry.n} / {entry.n_reference}",
            cells.level_text(entry.mean_pp, entry.std_pp),
            cells.level_text(entry.reference_mean_pp, entry.reference_std_pp),
            cells.difference(entry.gain_pp, entry.ci95_pp, cells.star(entry.p_holm, settings)),
            p_value(entry.p),
            p_value(entry.p_holm),
            entry.verdict_text,
            cells.needed(entry),
        ]
        values = {
            **cells.fields(entry, ("teacher", "student", "method", "slot", "configuration")),
            "parameters": configuration,
            **cells.fields(entry, _REFERENCE),
            **cells.numbers(entry),
            **_part("paired", entry.paired, _PAIRED, "ci95"),
            **_part("teachers", entry.teachers, _TEACHERS, "ci95_over_teachers"),
        }
        return shown, values

    names = ["Pair", "Method", *(["Settings"] if several else []), "n", "Accuracy", label]
    names += [cells.interval_head("Difference", settings), "p", "Holm p", "Verdict", "Seeds needed"]
    family = reference.gains_in_family if reference else 0
    caption = (
        f"Test accuracy in % of the {settings.primary} weights, mean ± std over seeds, and the"
        f" method minus {label} in percentage points, with a {cells.test_name(settings)} interval."
        f" n: seeds of the method / of {label}. A gain is better than {label}, a harm worse."
        f" {cells.star_note(settings, family, 'such difference')} Equivalent: any difference is"
        f" smaller than {settings.smallest_effect_pp:g} pp (TOST). {cells.seeds_note(settings)}"
    )
    title = f"Gains over {label}"
    return cells.table("reference_gains", title, names, map(line, entries), caption)


def _part(
    name: str, entry: object | None, keys: tuple[str, ...], interval: str
) -> dict[str, Value]:
    """Return a part of an entry, with its interval, under its name; nothing known where None."""
    values: dict[str, Value] = {key: getattr(entry, key, None) for key in keys}
    values |= cells.bounds_of(interval, getattr(entry, f"{interval}_pp", None))
    return {f"{name}_{key}": value for key, value in values.items()}


def contrasts(analysis: Analysis) -> Table:
    """Return every claim with what became of it."""
    settings = analysis.settings

    def line(claim: ClaimResult) -> Line:
        adjusted = claim.p_claim_holm
        shown = [
            claim.text,
            claim.outcome,
            cells.difference(claim.estimate_pp, claim.ci95_pp),
            cells.counts([term.n for term in claim.terms]),
            p_value(claim.p_claim),
            p_value(adjusted) + cells.star(adjusted, settings),
            claim.verdict,
            "yes" if claim.post_hoc else "no",
            cells.needed(claim),
        ]
        kept = ("name", "text", "says", "measure", "outcome", "post_hoc", "n_smallest")
        values = {
            **cells.fields(claim, kept),
            "terms": "; ".join(f"{term.slot} ({term.weight:g})" for term in claim.terms),
            **cells.fields(claim, _OWN),
            **cells.numbers(claim),
        }
        return shown, values

    names = ["Claim", "Outcome", cells.interval_head("Estimate", settings), "n", "p", "Holm p"]
    names += ["Verdict", "Post hoc", "Seeds needed"]
    margin = f"{settings.smallest_effect_pp:g} pp"
    caption = (
        f"Each claim as a difference in percentage points, with a {cells.test_name(settings)}"
        " interval. n: seeds of each arm. p: of the test that the claim needs, which is of"
        f" {_tests(settings.smallest_effect_pp)}."
        f" {cells.star_note(settings, settings.claims_in_family, 'claim')}"
        " Verdict: of the difference itself. Post hoc: not registered before the first test. Seeds"
        f" needed: in each arm, to show the claim with {level(settings.power)} power where it"
        f" is true by {margin}, or where there is no difference for a claim of none or of no loss."
    )
    entries = map(line, analysis.contrasts)
    return cells.table("contrasts", "Claims", names, entries, caption)


def _tests(margin: float) -> str:
    """Return what the tests of all kinds of claims are of."""
    *first, last = [kind.words(margin).tested for _, kind in KINDS.items()]
    return f"{', of '.join(first)}, or of {last}"


def ablations(analysis: Analysis) -> Table:
    """Return what each ablation changed."""
    settings, entries = analysis.settings, analysis.ablations

    def line(entry: Ablation) -> Line:
        base, changed = (_level(side) for side in (entry.base, entry.changed))
        star = cells.star(entry.p_holm, settings)
        shown = [
            entry.name,
            entry.slot,
            entry.change,
            f"{entry.n} / {entry.n_baseline}",
            cells.level_text(*changed),
            cells.level_text(*base),
            cells.difference(entry.effect_pp, entry.ci95_pp, star),
            p_value(entry.p),
            p_value(entry.p_holm),
            entry.verdict_text,
        ]
        values = {
            **cells.fields(entry, ("name", "slot", "change", "n", "n_baseline")),
            "changed_mean_pp": changed[0],
            "changed_std_pp": changed[1],
            "base_mean_pp": base[0],
            "base_std_pp": base[1],
            "effect_pp": entry.effect_pp,
            **cells.numbers(entry),
        }
        return shown, values

    names = ["Ablation", "Of", "What changes", "n", "Changed", "Unchanged"]
    names += [cells.interval_head("Effect", settings), "p", "Holm p", "Verdict"]
    family = max((entry.family for entry in entries), default=0)
    caption = (
        f"Test accuracy in % of the {settings.primary} weights, mean ± std over seeds. Effect:"
        f" changed minus unchanged in percentage points, with a {cells.test_name(settings)}"
        f" interval. n: seeds changed / unchanged. {cells.star_note(settings, family, 'ablation')}"
    )
    return cells.table("ablations", "Ablations", names, map(line, entries), caption)


def sensitivity(analysis: Analysis) -> Table:
    """Return gains and claims under every other way of looking, beside the declared one."""
    settings = analysis.settings
    lines = [
        line
        for view in analysis.sensitivity
        for line in (
            *map(partial(_seen_gain, view.name, settings), view.gains, analysis.gains),
            *map(
                partial(_seen_reference, view.name, settings),
                view.reference_gains,
                analysis.reference_gains,
            ),
            *map(partial(_seen_claim, view.name, settings), view.contrasts, analysis.contrasts),
        )
    ]
    names = ["Seen", "Gain or claim", "n", cells.interval_head("Estimate", settings), "Holm p"]
    names += ["Outcome", "As declared"]
    reference = settings.reference
    beside = f", {reference.gains_in_family} over {reference.label}" if reference else ""
    caption = (
        f"As declared: {settings.primary} weights, {cells.test_name(settings)} test,"
        f" {level(settings.confidence)} intervals; n: seeds of each arm. {STAR} Holm p ≤"
        f" {settings.alpha:g}, corrected for"
        f" {counted(settings.gains_in_family, 'gain')}{beside} or"
        f" {counted(settings.claims_in_family, 'claim')}."
    )
    return cells.table("sensitivity", "Other ways of looking", names, lines, caption)


def _seen_gain(view: str, settings: Settings, glance: GainGlance, declared: Gain) -> Line:
    """Return a gain as one other way of looking has it."""
    text = f"{cells.pair(glance)} {glance.label}"
    named = cells.fields(glance, ("teacher", "student", "method", "configuration"))
    verdicts = (glance.verdict, declared.verdict)
    return _seen(
        view, "gain", text, glance, settings, (glance.gain_pp, glance.p_holm), verdicts, named
    )


def _seen_reference(
    view: str, settings: Settings, glance: ReferenceGlance, declared: ReferenceGain
) -> Line:
    """Return a gain over the reference as one other way of looking has it."""
    label = settings.reference.label if settings.reference else "the reference"
    text = f"{cells.pair(glance)} {glance.label} over {label}"
    named = cells.fields(glance, ("teacher", "student", "method", "configuration"))
    verdicts, numbers = (glance.verdict, declared.verdict), (glance.gain_pp, glance.p_holm)
    return _seen(view, "reference_gain", text, glance, settings, numbers, verdicts, named)


def _seen_claim(view: str, settings: Settings, glance: ClaimGlance, declared: ClaimResult) -> Line:
    """Return a claim as one other way of looking has it."""
    named = {"claim": glance.name, **cells.fields(glance, ("p_claim", "p_claim_holm"))}
    outcomes = (glance.outcome, declared.outcome)
    numbers = (glance.estimate_pp, glance.p_claim_holm)
    return _seen(view, "claim", declared.text, glance, settings, numbers, outcomes, named)


def _seen(
    view: str,
    kind: str,
    text: str,
    glance: Glance,
    settings: Settings,
    numbers: tuple[float | None, float | None],
    outcomes: tuple[str, str],
    named: dict[str, Value],
) -> Line:
    """Return a line; `numbers` are value and corrected p, `outcomes` as seen and as declared."""
    point, adjusted = numbers
    shown = [
        view,
        text,
        cells.counts(glance.n),
        cells.difference(point, glance.ci95_pp),
        p_value(adjusted) + cells.star(adjusted, settings),
        *outcomes,
    ]
    values = {
        "view": view,
        "kind": kind,
        **{
            key: named.get(key)
            for key in ("teacher", "student", "method", "configuration", "claim")
        },
        "n": " / ".join(map(str, glance.n)),
        "estimate_pp": point,
        **cells.bounds_of("ci95", glance.ci95_pp),
        **cells.fields(glance, ("p", "p_holm", "p_tost")),
        **{key: named.get(key) for key in ("p_claim", "p_claim_holm")},
        **cells.fields(glance, ("verdict", "seeds_needed")),
        "outcome": outcomes[0],
        "outcome_as_declared": outcomes[1],
    }
    return shown, values


def _level(side: Level | None) -> tuple[float | None, float | None]:
    return (None, None) if side is None else (side.mean_pp, side.std_pp)
