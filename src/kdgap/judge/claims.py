"""Claims meet runs: every term of a claim becomes arms with weights, or one line says why not."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from kdgap.errors import ClaimError, nearest
from kdgap.judge.evidence import Arm, Evidence, ids
from kdgap.judge.names import method_meant
from kdgap.spec.claims import Claim, Term
from kdgap.spec.slot import PLAIN, Slot


@dataclass(frozen=True)
class Weighted:
    """An arm with its weight in a contrast; without an arm, the text names what is missing.

    Attributes:
        slot: whose arm it is, or would be.
        lack: why there is no arm.
    """

    arm: Arm | None
    weight: float
    slot: Slot
    text: str
    lack: str = "there are no runs of it"


def weighted(arm: Arm, weight: float) -> Weighted:
    """Return an arm that there is, with its weight."""
    return Weighted(arm, weight, arm.slot, arm.slot.text)


def weighted_arms(claim: Claim, evidence: Evidence, arms: Sequence[Arm]) -> list[Weighted]:
    """Return the arms of a claim with summed weights: arms that cancel are left out.

    A `gain` enters as its method's arm with the weight and its baseline with the negative weight,
    so two pairs of one student share their baseline and lose it in a difference. Arms of the same
    runs are one arm under two names, as what an ablation starts from often is.

    Raises:
        ClaimError: a term names no arm of these runs, or one that has several configurations.
    """
    parts: dict[Hashable, Weighted] = {}

    def add(weighted: Weighted) -> None:
        key = weighted.slot if weighted.arm is None else frozenset(ids(weighted.arm))
        known = parts.get(key)
        total = weighted.weight + (0.0 if known is None else known.weight)
        parts[key] = replace(weighted, weight=total)

    for number, term in enumerate(claim.terms, 1):
        place = f"claim {claim.name!r}, term {number}"
        slot = _slot(term, claim.measure, evidence, place)
        arm = _only([arm for arm in arms if arm.slot == slot], place)
        add(Weighted(arm, term.weight, slot, slot.text))
        if claim.measure == "gain":
            add(weighted_baseline(arm, slot.student, -term.weight, arms))
    left = [part for part in parts.values() if abs(part.weight) > 1e-9]
    if not left:
        raise ClaimError(f"claim {claim.name!r}: its terms cancel, so it compares nothing")
    return left


def weighted_baseline(
    arm: Arm | None, student: str, weight: float, arms: Sequence[Arm]
) -> Weighted:
    """Return the baseline that an arm's gain is measured from, or why none of those fits."""
    slot, text = Slot("baseline", None, student, PLAIN), f"baseline of {student}"
    plain = None if arm is None else baseline_of(arm, arms)
    others = [
        other for other in arms if other.slot.role == "baseline" and other.slot.student == student
    ]
    if plain is not None or arm is None or not others:
        return Weighted(plain, weight, slot, text)
    epochs = [" or ".join(sorted({str(run.epochs) for member in side for run in member.runs}))
              for side in ([arm], others)]  # fmt: skip
    what = f"epochs ({epochs[1]} against {epochs[0]})" if epochs[0] != epochs[1] else "settings"
    count = sum(len(other.runs) for other in others)
    return Weighted(
        None, weight, slot, text, f"its {count} runs have other {what} than the method's"
    )


def baseline_of(arm: Arm, arms: Iterable[Arm]) -> Arm | None:
    """Return the plainly trained student of an arm: the same data, recipe and epochs.

    Of several that differ in what a method alone uses, it is the one of the most seeds.
    """
    baselines = baselines_of(arm, arms)
    return max(baselines, key=_finished, default=None)


def _finished(arm: Arm) -> int:
    return sum(run.state == "done" for run in arm.runs)


def baselines_of(arm: Arm, arms: Iterable[Arm]) -> list[Arm]:
    """Return every arm of plain training with an arm's student and recipe."""
    return [
        other
        for other in arms
        if other.slot.role == "baseline"
        and other.slot.student == arm.slot.student
        and other.runs[0].recipe == arm.runs[0].recipe
    ]


def _only(arms: list[Arm], place: str) -> Arm | None:
    if len(arms) > 1:
        configurations = "; ".join(str(arm.parameters) for arm in arms[:4])
        raise ClaimError(
            f"{place}: {arms[0].slot.text} has {len(arms)} unlike configurations"
            f" ({configurations}); runs are never averaged over unlike ones"
        )
    return arms[0] if arms else None


def _slot(term: Term, measure: str, evidence: Evidence, place: str) -> Slot:
    if term.ablation is not None:
        wanted = (term.ablation, term.arm)
        arms = {(s.ablation, s.arm): s for s in evidence.slots if s.role == "ablation"}
        if wanted not in arms:
            known = sorted({name for name, _ in arms})
            raise ClaimError(
                f"{place}: unknown ablation {term.ablation!r}{nearest(term.ablation, known)};"
                f" these runs have {', '.join(known) or 'none'}"
            )
        return arms[wanted]
    plain = term.method in (None, PLAIN) and term.teacher is None
    if plain and measure == "gain":
        raise ClaimError(f"{place}: a gain needs teacher, student and method")
    role = "baseline" if plain else "final"
    asked = (term.teacher, term.student, PLAIN if plain else term.method)
    slots = [slot for slot in evidence.slots if slot.role == role]
    of_pair = [
        slot
        for slot in slots
        if _is(evidence, slot.student, term.student)
        and (slot.teacher is None or _is(evidence, slot.teacher, term.teacher))  # or a control
    ]
    called = [slot.method for slot in of_pair]
    method = method_meant(str(asked[2]), called, evidence.methods, f"{place}: method")
    if method is not None:
        return of_pair[called.index(method)]
    text = Slot(role, asked[0], str(asked[1]), str(asked[2])).text
    known = [slot.text for slot in slots]
    raise ClaimError(
        f"{place}: {text} is no arm of these runs{nearest(text, known)};"
        f" they have {'; '.join(known[:8]) or f'no {role}'}{'; …' if len(known) > 8 else ''}"
    )


def _is(evidence: Evidence, name: str | None, given: str | None) -> bool:
    """Whether a study's name is what a claim calls it: the name itself, or its architecture."""
    if name == given:
        return True
    about = evidence.models.get(name or "", {})
    alike = [key for key, other in evidence.models.items() if other.get("name") == given]
    usual = about.get("width", 1) == 1 and about.get("stem", "cifar") == "cifar"
    return given is not None and about.get("name") == given and (usual or alike == [name])
