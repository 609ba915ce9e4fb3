"""The test door: the only place that reads test images for a record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from kdgap.store.predictions import predictions_bytes
from kdgap.store.weights import weight_hash


@dataclass(frozen=True)
class Opened:
    """What came of opening a door.

    Attributes:
        record: what `test.json` holds.
        predictions: what `predictions_test.safetensors` holds.
    """

    record: dict[str, Any]
    predictions: bytes


Answers = dict[tuple[str, DataSpec, str, Preprocessing], Tensor]
"""Logits on the test images by weight hash, data, precision and preprocessing."""


def loaded(prepared: Prepared, model: ModelSpec, state: State, source: str) -> Network:
    """Return a run's network with some weights, ready to answer on its device."""
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
) -> Opened:
    """Return the test record of a finished run, and what its networks answered.

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

    def measure(
        states: dict[str, State], model: ModelSpec
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        measured, answered = dict[str, Any](), dict[str, Tensor]()
        preprocessing = dataset.seen_by(model.input)
        for name, state in states.items():
            digest = weight_hash(state)

            def compute(state: State = state, name: str = name) -> Tensor:
                network = loaded(prepared, model, state, f"{name} weights")
                return predict(network, test, preprocessing, run.precision, prepared.device, pause)

            answered[name] = logits = answers(digest, preprocessing, compute)
            measured[name] = {
                "weight_hash": digest,
                **scores(logits, test.labels, dataset.classes),
                **(fidelity(logits, teacher_logits) if teacher_logits is not None else {}),
            }
        return measured, answered

    own, answered = measure(states, deployed_model(run))
    record |= own
    hashes = {name: str(own[name]["weight_hash"]) for name in own}
    if teacher_logits is not None and run.teacher is not None:
        hashes["teacher"] = record["teacher"]["weight_hash"]
        if run.teacher.run is None:
            answered["teacher"] = teacher_logits  # nothing else keeps what it answered
    if baseline is not None:
        plain, _ = measure(baseline["states"], run.model)
        record["baseline"] = {"run_id": baseline["run_id"], **plain}
    kept = {name: logits.numpy() for name, logits in answered.items()}
    predictions = predictions_bytes(run_id(run), test.labels.cpu().numpy(), kept, hashes)
    return Opened(record, predictions)


def validated(prepared: Prepared, states: dict[str, State]) -> bytes:
    """Return what `predictions_val.safetensors` of a trained run holds.

    Args:
        prepared: the run with its data.
        states: `best` and `last` weights.
    """
    run, val, logits = prepared.run, prepared.parts.val, dict[str, Tensor]()
    hashes = {name: weight_hash(state) for name, state in states.items()}
    model = deployed_model(run)
    preprocessing = prepared.dataset.seen_by(model.input)
    by_hash = {hashes[name]: state for name, state in states.items()}
    for digest, state in by_hash.items():
        network = loaded(prepared, model, state, "weights")
        logits[digest] = predict(network, val, preprocessing, run.precision, prepared.device)
    kept = {name: logits[digest].numpy() for name, digest in hashes.items()}
    return predictions_bytes(run_id(run), val.labels.cpu().numpy(), kept, hashes)
