"""What a reader must know before believing a study's numbers, at length and as a mark."""

from dataclasses import dataclass
from typing import Any

from kdgap.planning.plan import Plan
from kdgap.spec import StudySpec
from kdgap.spec.study_file import tested_seeds
from kdgap.store.preregistration import CHANGED_BY_HAND, is_whole


@dataclass(frozen=True)
class Caution:
    """A sentence; and the few words that stand under every table, where it weighs that much."""

    text: str
    mark: str | None = None


def cautions_of(study: StudySpec, plan: Plan) -> list[Caution]:
    """Return what follows from the protocol itself."""
    found, selection = [], study.selection
    if study.smoke:
        text = "smoke run: the data is limited, so no number is a result"
        found.append(Caution(text, "smoke run"))
    if selection is not None and selection.split == "test":
        found.append(
            Caution(
                "epochs and hyper-parameters are chosen on the test images (declared): every"
                " accuracy and gain is optimistic",
                "chosen on the test images",
            )
        )
    if selection is not None:
        shared = sorted(set(selection.seeds) & tested_seeds(study))
        if shared:
            seeds = ", ".join(map(str, shared))
            found.append(
                Caution(
                    f"selection seed {seeds} is among the final seeds (declared): their means"
                    " contain the runs that they were selected by",
                    f"selection seed {seeds} is a final seed",
                )
            )
    tried = {choice.key[2]: len(choice.candidates) for choice in plan.choices}
    if len(set(tried.values())) > 1:
        counts = ", ".join(f"{method} {count}" for method, count in tried.items())
        found.append(Caution(f"unequal tuning budgets, in configurations: {counts}"))
    if len(study.teachers.teach) == 1:
        found.append(
            Caution(
                "one teacher checkpoint a pair: conclusions hold for that checkpoint, not for"
                " teachers of its kind"
            )
        )
    return found + [Caution(note) for note in plan.notes]


def post_hoc(locked: Any, now: dict[str, Any], plan: Plan) -> list[Caution]:
    """Return what was changed of the protocol after the first final was tested.

    Args:
        locked: the pre-registration as it was locked.
        now: what would be locked today.
        plan: the plan of today.
    """
    if not is_whole(locked):
        return [
            Caution(
                "the pre-registration was changed by hand: nothing here is confirmatory",
                CHANGED_BY_HAND,
            )
        ]
    before, content = locked["content"], dict(now["content"])
    if plan.open_slots:
        content["winners"] = before["winners"]  # not chosen yet, so not yet changed
    changed = [key for key in content if before.get(key) != content[key]]
    found = [
        Caution(f"post hoc: {key} was changed after the first final was tested", f"post hoc: {key}")
        for key in changed
    ]
    if "finals" in changed and set(content["finals"]["seeds"]) > set(before["finals"]["seeds"]):
        found.append(
            Caution(
                "optional stopping: final seeds were added after results were seen, so p-values"
                " and intervals are too narrow",
                "optional stopping",
            )
        )
    return found
