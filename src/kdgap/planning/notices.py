"""What a reader must know before believing a study's numbers, by its protocol."""

from collections.abc import Mapping
from typing import Any

from kdgap.notice import Notice, serious
from kdgap.planning.fit import clipped_weights, deployed_words
from kdgap.planning.plan import Plan
from kdgap.spec.study import StudySpec
from kdgap.spec.study_file import tested_seeds
from kdgap.store.preregistration import CHANGED_BY_HAND, POST_HOC, is_whole


def protocol_notices(study: StudySpec, plan: Plan) -> list[Notice]:
    """Return what follows from the protocol itself."""
    notices, selection = [], study.selection
    if study.smoke:
        text = "smoke run: the data is limited, so no number is a result"
        notices.append(serious("smoke-run", text, "smoke run"))
    if selection is not None and selection.split == "test":
        text = (
            "epochs and hyper-parameters are chosen on the test images (declared): every accuracy"
            " and gain is optimistic"
        )
        notices.append(serious("chosen-on-test", text, "chosen on the test images"))
    if selection is not None:
        shared = sorted(set(selection.seeds) & tested_seeds(study))
        if shared:
            seeds = ", ".join(map(str, shared))
            text = (
                f"selection seed {seeds} is among the final seeds (declared): their means contain"
                " the runs that they were selected by"
            )
            short = f"selection seed {seeds} is a final seed"
            notices.append(serious("shared-selection-seed", text, short))
    tried = {choice.key[2]: len(choice.candidates) for choice in plan.choices}
    if len(set(tried.values())) > 1:
        counts = ", ".join(f"{method} {count}" for method, count in tried.items())
        text = f"unequal tuning budgets, in configurations: {counts}"
        notices.append(Notice("unequal-tuning", text))
    if len(study.teachers.teach) == 1:
        text = (
            "one teacher checkpoint a pair: conclusions hold for that checkpoint, not for teachers"
            " of its kind"
        )
        notices.append(Notice("one-teacher", text))
    called = [
        (planned.run, slot.method) for planned in plan.runs.values() for slot in planned.slots
    ]
    weighed = {text for run, name in called if (text := clipped_weights(run, name))}
    notices += [Notice("weight-clipped", text) for text in sorted(weighed)]
    larger = {text for run, name in called if (text := deployed_words(run, name))}
    notices += [Notice("other-network", text) for text in sorted(larger)]
    return notices + plan.notices


def post_hoc(locked: Any, now: Mapping[str, Any], plan: Plan) -> list[Notice]:
    """Return what was changed of the protocol after the first final was tested.

    Args:
        locked: the pre-registration as it was locked.
        now: what would be locked today.
        plan: the plan of today.
    """
    if not is_whole(locked):
        text = "the pre-registration was changed by hand: nothing here is confirmatory"
        return [serious(CHANGED_BY_HAND.code, text, CHANGED_BY_HAND.short)]
    before, content = locked["content"], dict(now["content"])
    if plan.open_slots:
        content["winners"] = before["winners"]  # not chosen yet, so not yet changed
    changed = [key for key in content if before.get(key) != content[key]]
    notices = [
        serious(
            f"{POST_HOC}{key}",
            f"post hoc: {key} was changed after the first final was tested",
            f"post hoc: {key}",
        )
        for key in changed
    ]
    if "finals" in changed and set(content["finals"]["seeds"]) > set(before["finals"]["seeds"]):
        text = (
            "optional stopping: final seeds were added after results were seen, so p-values and"
            " intervals are too narrow"
        )
        notices.append(serious("optional-stopping", text, "optional stopping"))
    return notices
