"""A small finished study as somebody else's result files, in the reference's layout."""

import json
from pathlib import Path
from typing import Any

SEEDS = (0, 1, 2, 3)
LIFT = {"logit": 0.001, "feature": 0.012}
"""What each method gains over the baseline, as a share of one, seeds apart."""


def write_run(folder: Path, place: str, seed: int, accuracy: float, **changes: Any) -> Path:
    """Write one `results.json` of five epochs, and return its path."""
    # A curve that differs from run to run and ends at its best.
    curve = [round(accuracy - 0.02 * (5 - epoch) - 0.0001 * seed, 6) for epoch in range(1, 6)]
    run = {
        "model": "resnet18",
        "teacher": None,
        "kd_type": "none",
        "alpha": None,
        "temperature": None,
        "feat_beta": None,
        "stem": "cifar",
        "seed": seed,
        "no_proj_clip": False,
        "epochs": 5,
        "best_val_acc": curve[-1],
        "best_val_epoch": 5,
        "test_acc_best": accuracy,
        "test_acc_final": round(accuracy - 0.001, 6),
        "history": [
            {"epoch": epoch, "val_acc": value, "train_acc": value, "loss_ce": 0.5, "loss_kd": 0.2}
            for epoch, value in enumerate(curve, 1)
        ],
    }
    path = folder / place / f"seed{seed}" / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(run | changes))
    return path


def write_finals(folder: Path) -> None:
    """Write `final/`: baselines, both methods of one pair, and their fidelity."""
    for seed in SEEDS:
        plain = 0.94 + 0.001 * (seed % 3)
        write_run(folder, "final/baseline/resnet18", seed, plain)
        for method, lift in LIFT.items():
            settings: dict[str, Any] = {
                "logit": {"temperature": 4.0},
                "feature": {"feat_beta": 0.5},
            }
            accuracy = round(plain + lift + 0.0005 * ((seed * 2) % 3), 6)
            distilled = {"teacher": "resnet50", "kd_type": method, "alpha": 0.5, **settings[method]}
            path = write_run(
                folder, f"final/resnet50_to_resnet18_{method}", seed, accuracy, **distilled
            )
            fidelity = {
                "student_arch": "resnet18",
                "teacher_arch": "resnet50",
                "student_test_acc": accuracy,
                "teacher_test_acc": 0.9536,
                "top1_agreement": round(0.95 + 0.001 * seed, 6),
                "kl_t1": 0.15,
                "kl_t4": 0.03,
            }
            (path.parent / "fidelity.json").write_text(json.dumps(fidelity))
