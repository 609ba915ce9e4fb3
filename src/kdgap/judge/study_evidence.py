"""Evidence from a study of ours: `plan.json`, `selection.json` and verified records."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from kdgap.errors import KdgapError, StoreDamagedError, one_line
from kdgap.files import read_json
from kdgap.judge.evidence import PRIMARY, STATISTICS, Evidence, Run, Tuning
from kdgap.spec.study import Claim, Slot, Statistics
from kdgap.store.flags import copied_marks
from kdgap.store.preregistration import CHANGED_BY_HAND, is_whole
from kdgap.store.progress import standing
from kdgap.store.record import RUN, TEST
from kdgap.store.study import PLAN, StudyDirectory


def study_evidence(directory: StudyDirectory) -> Evidence:
    """Read a study; every record is verified, and what is damaged is named and left out.

    Raises:
        BadInputError: there is no study here.
        StoreDamagedError: one of the study's own files is damaged.
    """
    plan = directory.plan()
    try:
        return _evidence(directory, plan)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise StoreDamagedError(
            f"{directory.path / PLAN}: is missing something or damaged"
            f" ({type(error).__name__}: {one_line(error, 120)}); `kdgap run` with the study's file"
            " writes it anew"
        ) from None


def _evidence(directory: StudyDirectory, plan: dict[str, Any]) -> Evidence:
    study = plan["study"]
    runs = _standing([_run(directory, planned) for planned in plan["runs"]])
    claims, marks = _registered(directory, study)
    marks += copied_marks(flag for run in runs for flag in run.flags)
    return Evidence(
        name=study["name"],
        path=str(directory.path),
        origin="study",
        runs=runs,
        models=plan.get("models", {}),
        primary=study["finals"]["primary"],
        statistics=Statistics.model_validate(study["statistics"]),
        paired=True,
        description=study["description"],
        methods=plan.get("methods", {}),
        tunings=_tunings(directory, plan),
        claims=tuple(Claim.model_validate(claim) for claim in study["claims"]),
        locked_claims=claims,
        warnings=(*plan["warnings"], *(mark for mark in marks if mark not in plan["marks"])),
        marks=tuple(dict.fromkeys((*plan["marks"], *marks))),
        provenance=_provenance(directory, plan, runs),
        slots=_slots(plan),
        changes={
            name: ", ".join(
                f"{field} becomes {value}" for field, value in ablation["change"].items()
            )
            for name, ablation in study.get("ablations", {}).items()
        },
        images=_images(directory, plan),
        open_runs=plan["open_runs"],
    )


def _registered(
    directory: StudyDirectory, study: dict[str, Any]
) -> tuple[tuple[dict[str, Any], ...] | None, list[str]]:
    """Return the claims as locked before the first test, and marks of what is judged otherwise."""
    locked = directory.locked("preregistration")
    if locked is None:
        return None, []
    if not is_whole(locked):
        return None, [CHANGED_BY_HAND]
    content, marks = locked["content"], []
    if content.get("statistics", study["statistics"]) != study["statistics"]:
        marks.append(STATISTICS)
    if content.get("finals", study["finals"])["primary"] != study["finals"]["primary"]:
        marks.append(PRIMARY)
    return tuple(content.get("claims", ())), marks


def _run(directory: StudyDirectory, planned: dict[str, Any]) -> Run:
    slots = tuple(Slot(**slot) for slot in planned["slots"])
    known: dict[str, Any] = {
        "id": planned["id"],
        "cell": planned["cell"],
        "seed": planned["seed"],
        "slots": slots,
        "parameters": planned.get("parameters", {}),
        "teacher": planned["teacher"],
        "paths": (planned["path"],),
    }
    place = directory.run(planned["path"])
    if not place.is_done():
        status = directory.status(planned["path"], verify=False)
        return Run(**known, state=status.state, remark=status.remark)
    try:
        record = directory.record(planned["path"])
        if record.id != planned["id"]:
            raise KdgapError(f"{record.path}: holds run {record.id[:12]}")
        results, test = record.results, record.test or {}
        environment = record.run["environment"]
        return Run(
            **known,
            state="done",
            epochs=results.get("epochs"),
            validation={
                "best": results["best_val_acc"],
                "best_epoch": results.get("best_val_epoch"),
                "last": results.get("last_val_acc"),
            },
            test={name: test[name] for name in ("best", "last") if name in test},
            baseline_test={
                name: test["baseline"][name]
                for name in ("best", "last")
                if name in test.get("baseline", {})
            },
            teacher_accuracy=test.get("teacher", {}).get("accuracy"),
            history=results.get("history") or place.history(),
            flags=tuple(results.get("flags", ())),
            environment=", ".join(f"{key} {value}" for key, value in environment.items()),
        )
    except (KdgapError, KeyError, TypeError, AttributeError) as error:
        return Run(**known, state="damaged", remark=str(error))


def _standing(runs: list[Run]) -> tuple[Run, ...]:
    """Return the runs; those whose teacher failed as blocked."""
    states = {run.id: run.state for run in runs}
    found = []
    for run in runs:
        state, remark = standing(run.state, run.remark, states.get(run.teacher or "", "done"))
        found.append(replace(run, state=state, remark=remark) if state != run.state else run)
    return tuple(found)


def _slots(plan: dict[str, Any]) -> tuple[Slot, ...]:
    planned = [slot for run in plan["runs"] for slot in run["slots"]]
    still_open = [{k: v for k, v in slot.items() if k != "runs"} for slot in plan.get("open", ())]
    return tuple(dict.fromkeys(Slot(**slot) for slot in [*planned, *still_open]))


def _tunings(directory: StudyDirectory, plan: dict[str, Any]) -> tuple[Tuning, ...]:
    selection = directory.selection() or {"choices": []}
    asked = plan["study"]["selection"] or {}
    return tuple(
        Tuning(
            teacher=choice["teacher"],
            student=choice["student"],
            method=choice["method"],
            candidates=tuple(choice.get("candidates", ())),
            winner=choice.get("winner"),
            seeds=tuple(asked.get("seeds", ())),
            split=asked.get("split", "val"),
            metric=asked.get("metric", "best_val_acc"),
        )
        for choice in selection["choices"]
        if choice["tried"] > 1
    )


def _images(directory: StudyDirectory, plan: dict[str, Any]) -> int | None:
    """Return how many test images the accuracies are of, from any tested record."""
    for planned in plan["runs"]:
        path = directory.run(planned["path"]).path / TEST
        if path.exists():
            try:
                images = read_json(path).get("images")
            except (KdgapError, AttributeError):
                continue
            return images if isinstance(images, int) else None
    return None


def _provenance(
    directory: StudyDirectory, plan: dict[str, Any], runs: tuple[Run, ...]
) -> dict[str, Any]:
    """Return code, libraries and data of the study, from one of its records."""
    study = plan["study"]
    found: dict[str, Any] = {
        "environments": sorted({run.environment for run in runs if run.environment}),
        "data": study["data"],
        "precision": study["precision"],
        "recipe": study["recipe"],
        "teachers": study["teachers"],
        "data_fingerprint": directory.locked("data"),
        "preregistration": (directory.locked("preregistration") or {}).get("sha256"),
    }
    for run in runs:
        if run.state == "done":
            found["code"] = read_json(directory.run(run.paths[0]).path / RUN).get("provenance")
            break
    return found
