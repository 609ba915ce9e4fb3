"""The test door: the only place that reads test images for a record."""

from typing import Any

import torch

from kdgap.data import Dataset, Images
from kdgap.engine.evaluate import fidelity, predict, scores
from kdgap.engine.train import State, Teacher
from kdgap.models import build_model, load_state
from kdgap.spec import RunSpec, run_id
from kdgap.store.weights import weight_hash


def open_door(
    run: RunSpec,
    role: str,
    states: dict[str, State],
    dataset: Dataset,
    test: Images,
    teacher: Teacher | None,
    device: torch.device,
) -> dict[str, Any]:
    """Return the test record of a finished run: what `test.json` holds.

    Args:
        run: the run.
        role: why the door may be opened, such as `single` or `final`.
        states: `best` and `last` weights.
        dataset: the data, for class names and normalisation.
        test: the test images.
        teacher: whom to compare with, if the run had one.
        device: where to compute.
    """
    record: dict[str, Any] = {
        "format": 1,
        "run_id": run_id(run),
        "role": role,
        "images": len(test),
        "smoke": run.smoke,
    }
    teacher_logits = None
    if teacher is not None and run.teacher is not None:
        teacher_logits = predict(
            teacher.network, test, dataset.mean, dataset.std, run.precision, device
        )
        record["teacher"] = {
            "weight_hash": run.teacher.weight_hash,
            **scores(teacher_logits, test.labels, dataset.classes),
        }
    # One network serves both sets of weights; most of the time it takes is the forward passes.
    network = build_model(run.model, len(dataset.classes), dataset.channels, dataset.image_size, 0)
    for name, state in states.items():
        load_state(network.cpu(), state, f"{name} weights")
        network = network.to(device).to(memory_format=torch.channels_last)
        logits = predict(network, test, dataset.mean, dataset.std, run.precision, device)
        record[name] = {
            "weight_hash": weight_hash(state),
            **scores(logits, test.labels, dataset.classes),
            **(fidelity(logits, teacher_logits) if teacher_logits is not None else {}),
        }
    return record
