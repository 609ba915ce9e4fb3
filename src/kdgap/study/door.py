"""The test door: the only place that reads test images for a record."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdgap.engine.evaluate import fidelity, predict, scores
from kdgap.engine.student import State
from kdgap.models import Network, build_model, load_state
from kdgap.spec import run_id
from kdgap.store.weights import weight_hash
from kdgap.study.results import Prepared


def open_door(
    prepared: Prepared,
    role: str,
    states: dict[str, State],
    *,
    baseline: dict[str, Any] | None = None,
    pause: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return the test record of a finished run: what `test.json` holds.

    Args:
        prepared: the run with its data, and the teacher to compare with if it had one.
        role: why the door may be opened, such as `single` or `final`.
        states: `best` and `last` weights.
        baseline: `run_id` and the `best` and `last` weights (`states`) of the same student trained
            plainly under the same seed, whose fidelity to the teacher is recorded beside.
        pause: called before each batch, and may raise to stop.
    """
    run, dataset, test = prepared.run, prepared.dataset, prepared.parts.test
    record: dict[str, Any] = {
        "format": 1,
        "run_id": run_id(run),
        "role": role,
        "images": len(test),
        "smoke": run.smoke,
    }

    def answers(network: Network) -> Tensor:
        network = network.to(prepared.device).to(memory_format=torch.channels_last)
        return predict(
            network, test, dataset.mean, dataset.std, run.precision, prepared.device, pause
        )

    teacher_logits = None
    if prepared.teacher is not None and prepared.card is not None:
        teacher_logits = answers(prepared.teacher.network)
        record["teacher"] = {
            "weight_hash": prepared.card.weight_hash,
            **scores(teacher_logits, test.labels, dataset.classes),
        }

    def measure(states: dict[str, State]) -> dict[str, Any]:
        measured = {}
        for name, state in states.items():
            network = build_model(
                run.model, len(dataset.classes), dataset.channels, dataset.image_size, 0
            )
            load_state(network, state, f"{name} weights")
            logits = answers(network)
            measured[name] = {
                "weight_hash": weight_hash(state),
                **scores(logits, test.labels, dataset.classes),
                **(fidelity(logits, teacher_logits) if teacher_logits is not None else {}),
            }
        return measured

    record |= measure(states)
    if baseline is not None:
        record["baseline"] = {"run_id": baseline["run_id"], **measure(baseline["states"])}
    return record
