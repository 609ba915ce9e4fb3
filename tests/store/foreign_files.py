"""Result files of others as the tests of imports write them: one valid file, and its changes."""

import json
from pathlib import Path
from typing import Any

EPOCHS = 3
FINAL = "runs/final/resnet50_to_resnet18_logit/seed0"
SELECT = "runs/select/resnet50_to_resnet18/logit/a0.5_t4/seed0"
PLAIN = {"kd_type": "none", "teacher": None}
FIDELITY = {
    "student_arch": "resnet18",
    "teacher_arch": "resnet50",
    "student_test_acc": 0.8,
    "teacher_test_acc": 0.95,
    "top1_agreement": 0.85,
    "kl_t1": 0.1,
    "kl_t4": 0.02,
    "per_class_acc": {"cat": 0.7, "dog": None},
}


def history(start: float = 0.9) -> list[dict[str, Any]]:
    return [
        {"epoch": e, "val_acc": start + e / 1000, "train_acc": 0.9, "loss_ce": 0.4, "loss_kd": 0.2}
        for e in range(1, EPOCHS + 1)
    ]


def write(
    folder: Path, place: str, *, fidelity: Any = None, without: Any = (), **changes: Any
) -> Path:
    """Write a `results.json` with changed keys, or without some; a text is its fidelity's own."""
    seed = changes.get("seed", 0)
    start = 0.9 + seed / 100 if isinstance(seed, int) and abs(seed) < 10 else 0.9
    epochs = changes.get("history", history(start))
    scores = [entry.get("val_acc", 0) for entry in epochs]
    run = {
        "model": "resnet18",
        "teacher": "resnet50",
        "kd_type": "logit",
        "alpha": 0.5,
        "temperature": 4.0,
        "feat_beta": 0.5,
        "stem": "cifar",
        "seed": 0,
        "epochs": EPOCHS,
        "best_val_acc": max((s for s in scores if isinstance(s, int | float)), default=0.5),
        "best_val_epoch": EPOCHS,
        "test_acc_best": 0.8,
        "test_acc_final": 0.81,
        "history": epochs,
    }
    path = folder / place / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in (run | changes).items() if key not in without}
    path.write_text(json.dumps(kept))
    if fidelity is not None:
        text = fidelity if isinstance(fidelity, str) else json.dumps(fidelity)
        (path.parent / "fidelity.json").write_text(text)
    return path


ACCURACIES = {"baseline/resnet18": (0.90, 0.91, 0.905), "resnet50_to_resnet18_logit": (
    0.901, 0.911, 0.903)}  # fmt: skip


def write_pair(folder: Path) -> None:
    """Write three baselines and three students that gain nothing to speak of, with fidelity."""
    for name, accuracies in ACCURACIES.items():
        plain = name.startswith("baseline")
        for seed, accuracy in enumerate(accuracies):
            write(
                folder,
                f"runs/final/{name}/seed{seed}",
                fidelity=None if plain else FIDELITY | {"student_test_acc": accuracy},
                **(PLAIN if plain else {}),
                seed=seed,
                test_acc_best=accuracy,
                test_acc_final=accuracy,
                history=history(0.5 + seed / 10 + 0.05 * plain),
            )


def findings(about: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [finding for finding in about["findings"] if finding["code"] == kind]
