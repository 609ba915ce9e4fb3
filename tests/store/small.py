"""Small studies and runs, made without training: whole records of runs with real specifications."""

from pathlib import Path
from typing import Any

from kdgap.spec.identity import run_id
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, RecipeSpec, RunSpec, TeacherSpec
from kdgap.spec.study import StudySpec
from kdgap.store.record import BEST, LAST, RunDirectory

TEACHER = "f" * 64
FINGERPRINT = "of the images"
BIG, LITTLE = ModelSpec(name="resnet20"), ModelSpec(name="resnet8")


def asked(**changes: Any) -> dict[str, Any]:
    """A study of one pair, as `plan.json` holds it."""
    study = {
        "name": "made",
        "data": {"name": "digits"},
        "models": {"big": {"name": "resnet20"}, "little": {"name": "resnet8"}},
        "pairs": [{"teacher": "big", "student": "little"}],
        "methods": {"logit": {"alpha": 0.5}},
    }
    return StudySpec.model_validate(study | changes).model_dump(mode="json")


def spec(role: str, seed: int, taught_by: str | None = None, lr: float = 0.1) -> RunSpec:
    """A run of that study: in the role of a teacher, of a baseline, or taught."""
    parts: dict[str, Any] = {"method": MethodSpec(name="none")}
    if role in ("final", "ablation"):
        parts["method"] = MethodSpec(name="logit", parameters={"alpha": 0.5})
        parts["teacher"] = TeacherSpec(model=BIG, run=taught_by or TEACHER, weights="teacher")
    return RunSpec(
        data=DataSpec(name="digits", val_size=100),
        model=BIG if role == "teacher" else LITTLE,
        recipe=RecipeSpec(lr=lr),
        seed=seed,
        **parts,
    )


def header(run: RunSpec, **changes: Any) -> dict[str, Any]:
    """What `run.json` holds of a run."""
    return {
        "format": 2,
        "id": run_id(run),
        "spec": run.model_dump(mode="json"),
        "provenance": {},
        "environment": {"device": "cpu", "threads": 1},
        "data": {"fingerprint": FINGERPRINT},
        "flags": [],
    } | changes


def finished(folder: Path, run: RunSpec, accuracy: float) -> None:
    """Record a finished run of some accuracy, as little of one as evidence reads."""
    directory = RunDirectory(folder)
    history = [{"epoch": 1, "val_acc": accuracy}]
    directory.start(header(run))
    directory.append_history(history[0])
    for name in (BEST, LAST):
        (folder / name).write_bytes(b"weights")
    part = {"accuracy": accuracy, "top1_agreement": 0.5}
    results = {"best_val_acc": accuracy, "test_acc_best": accuracy, "flags": [], "history": history}
    test = {"images": 100, "best": part, "last": {**part, "accuracy": accuracy / 2}}
    directory.finish(results | {"seed": run.seed}, test)
