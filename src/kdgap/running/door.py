"""The test door: the only place that reads test images for a record."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from kdgap.data import Preprocessing
from kdgap.engine.evaluate import fidelity, predict, scores
from kdgap.engine.layout import place
from kdgap.engine.student import State
from kdgap.methods.hyperparameters import deployed_model
from kdgap.models.build import build_model, load_state
from kdgap.models.output import Network
from kdgap.running.results import Prepared
from kdgap.spec.identity import run_id
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec
from kdgap.store.weights import weight_hash

Answers = dict[tuple[str, DataSpec, str, Preprocessing], Tensor]
"""Logits on the test images by weight hash, data, precision and preprocessing."""


def _loaded(prepared: Prepared, model: ModelSpec, state: State, source: str) -> Network:
    data = prepared.dataset
    network = build_model(model, len(data.classes), data.channels, data.image_size, 0)
    load_state(network, state, source)
    return place(network, model, prepared.device)


def open_door(
    prepared: Prepared,
    role: str,
    states: dict[str, State],
    *,
    baseline: Mapping[str, Any] | None = None,
    known: Answers | None = None,
    pause: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return the test record of a finished run: what `test.json` holds.

    Args:
        prepared: the run with its data, and the teacher to compare with if it had one.
        role: why the door may be opened, such as `single` or `final`.
        states: `best` and `last` weights.
        baseline: `run_id` and the `best` and `last` weights (`states`) of the same student trained
            plainly under the same seed, whose fidelity to the teacher is recorded beside.
        known: answers to the test images so far, which are used again and added to: a teacher
            answers once for all its students, a baseline once for all its teachers.
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

    known = {} if known is None else known

    def answers(
        weights: str, preprocessing: Preprocessing, compute: Callable[[], Tensor]
    ) -> Tensor:
        key = (weights, run.data, run.precision, preprocessing)
        if key not in known:
            known[key] = compute()
        return known[key]

    teacher_logits = None
    if prepared.teacher is not None and prepared.card is not None:
        teacher = prepared.teacher
        teacher_logits = answers(
            prepared.card.weight_hash,
            teacher.preprocessing,
            lambda: teacher.predict(test, run.precision, pause),
        )
        record["teacher"] = {
            "weight_hash": prepared.card.weight_hash,
            **scores(teacher_logits, test.labels, dataset.classes),
        }

    def measure(states: dict[str, State], model: ModelSpec) -> dict[str, Any]:
        measured, preprocessing = {}, dataset.seen_by(model.input)
        for name, state in states.items():
            digest = weight_hash(state)

            def compute(state: State = state, name: str = name) -> Tensor:
                network = _loaded(prepared, model, state, f"{name} weights")
                return predict(network, test, preprocessing, run.precision, prepared.device, pause)

            logits = answers(digest, preprocessing, compute)
            measured[name] = {
                "weight_hash": digest,
                **scores(logits, test.labels, dataset.classes),
                **(fidelity(logits, teacher_logits) if teacher_logits is not None else {}),
            }
        return measured

    record |= measure(states, deployed_model(run))
    if baseline is not None:
        plain = measure(baseline["states"], run.model)
        record["baseline"] = {"run_id": baseline["run_id"], **plain}
    return record
