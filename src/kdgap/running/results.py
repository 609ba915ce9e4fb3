"""What a run's files say: the header, the weights' cards, and the results."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

from kdgap.data import Dataset, Parts
from kdgap.data.listing import remark
from kdgap.engine.device import environment, environment_digest
from kdgap.engine.student import State
from kdgap.engine.teacher import Teacher
from kdgap.errors import BadInputError
from kdgap.methods import METHODS
from kdgap.methods.hyperparameters import deployed_model
from kdgap.methods.method import flat_fields
from kdgap.models.build import model_cost
from kdgap.notice import Notice
from kdgap.planning.fit import stage_pairs
from kdgap.spec.identity import canonical_json, identity, run_id
from kdgap.spec.run import RunSpec
from kdgap.store.card import Card, MeasuredAccuracy
from kdgap.store.notices import (
    OTHER_IMAGES,
    SEEN_VALIDATION,
    SMOKE,
    SMOKE_TEACHER,
    TEST_CHOSEN,
    UNMEASURED,
    copied,
    in_record,
)
from kdgap.store.provenance import provenance
from kdgap.store.weights import weight_hash


@dataclass(frozen=True)
class Prepared:
    """Everything a run needs in memory, checked; nothing is written yet."""

    run: RunSpec
    device: torch.device
    dataset: Dataset
    parts: Parts
    teacher: Teacher | None
    card: Card | None

    def refuse_other_view(self, recorded: Mapping[str, Any] | None, place: str) -> None:
        """Refuse a teacher that sees images otherwise than the recorded one did.

        Raises:
            BadInputError: normalisation, size or classes of its card are not the recorded card's.
        """
        if self.card is None or recorded is None:
            return
        for key in ("image_size", "classes"):  # which older states do not have
            before, after = list(recorded.get(key, ())), list(getattr(self.card, key))
            if before and before != after:
                raise BadInputError(
                    f"{place}: its teacher's {key} was {before}, the card of these weights says"
                    f" {after}; use the former file, or another output directory"
                )
        now = [list(self.card.mean), list(self.card.std)]
        if now != [list(recorded["mean"]), list(recorded["std"])]:
            raise BadInputError(
                f"{place}: its teacher normalised with mean {recorded['mean']} and std"
                f" {recorded['std']}, the card of these weights says {now[0]} and {now[1]}; use the"
                " former file, or another output directory"
            )


def make_card(
    prepared: Prepared,
    state: State,
    checkpoint: Literal["best", "last"],
    epoch: int,
    history: Sequence[Mapping[str, Any]],
) -> Card:
    """Return the card of weights taken after `epoch` (from 1)."""
    run, dataset = prepared.run, prepared.dataset
    seen = dataset.seen_by(run.model.input)
    return Card(
        model=deployed_model(run),
        classes=dataset.classes,
        channels=dataset.channels,
        image_size=seen.size,
        mean=seen.mean,
        std=seen.std,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        weight_hash=weight_hash(state),
        checkpoint=checkpoint,
        epoch=epoch,
        run_id=run_id(run),
        accuracy=MeasuredAccuracy(
            value=history[epoch - 1]["val_acc"],
            split_seed=run.data.split_seed,
            val_size=run.data.val_size,
            limit=run.data.limit,
            choose_on=run.data.choose_on,
            precision=run.precision,
            environment=environment_digest(prepared.device),
        ),
    )


def run_header(prepared: Prepared) -> dict[str, Any]:
    """Return what `run.json` holds: what was asked, of what code, on what data and teacher."""
    run, dataset, parts = prepared.run, prepared.dataset, prepared.parts
    parameters, flops = model_cost(
        deployed_model(run), len(dataset.classes), dataset.channels, dataset.image_size
    )
    card = prepared.card
    pairs = stage_pairs(run)
    return {
        "format": 2,
        "id": run_id(run),
        "spec": run.model_dump(mode="json"),
        "provenance": _provenance(),
        "environment": environment(prepared.device),
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "source": dataset.source,
            "train": len(parts.train),
            "val": len(parts.val),
            "test": len(parts.test),
            "classes": list(dataset.classes),
            "mean": list(dataset.mean),
            "std": list(dataset.std),
            **_own_files(dataset),
        },
        "model": {"parameters": parameters, "flops": flops},
        **({"pairs": pairs} if pairs else {}),
        "teacher": None if card is None else card.model_dump(mode="json"),
        **in_record(notices_of(prepared)),
    }


def remarks(dataset: Dataset) -> list[str]:
    """Return what to say of the user's own files: what was left out, and how they were split."""
    lines = [remark(dataset.left_out)] if dataset.left_out else []
    if (split := dataset.split) is not None:
        lines.append(
            f"the images come without a split: {len(dataset.test):,} of"
            f" {len(dataset.train) + len(dataset.test):,} were set apart as test images"
            f" (test_share {split.test_share:g}, split_seed {split.seed}); {split.alike:,} are"
            f" near-duplicates in {split.groups:,} groups, each kept on one side"
        )
    return lines


def _own_files(dataset: Dataset) -> dict[str, Any]:
    """Return what became of the user's own files: what is not in the data, how it was split."""
    record: dict[str, Any] = {}
    if dataset.left_out is not None:
        record["left_out"] = [left.record() for left in dataset.left_out]
    if dataset.split is not None:
        record["split"] = vars(dataset.split)
    return record


@cache
def _provenance() -> dict[str, Any]:
    return provenance()  # it asks git, which takes longer than starting a small run


def copied_images(parts: Parts) -> list[Notice]:
    """Return a notice for each part some of whose images are trained on."""
    counts = (
        ("validation", parts.copies.val, len(parts.val)),
        ("test", parts.copies.test, len(parts.test)),
    )
    return [copied(part, copies, images) for part, copies, images in counts if copies]


def notices_of(prepared: Prepared) -> list[Notice]:
    """Return what a reader of the numbers has to know before believing them."""
    run, card, notices = prepared.run, prepared.card, list[Notice]()
    if run.smoke:
        notices.append(SMOKE)
    if run.data.choose_on == "test":
        notices.append(TEST_CHOSEN)
    notices += copied_images(prepared.parts)
    if card is not None and card.accuracy is None:
        notices.append(UNMEASURED)
    if card is not None and card.accuracy is not None and card.accuracy.limit is not None:
        notices.append(SMOKE_TEACHER)
    if card is not None and card.fingerprint not in (None, prepared.dataset.fingerprint):
        notices.append(OTHER_IMAGES)
    own = (prepared.dataset.name, prepared.dataset.fingerprint)
    if card is not None and run.data.choose_on == "val" and card.has_seen_validation(*own):
        notices.append(SEEN_VALIDATION)
    return notices


def results_of(
    run: RunSpec,
    history: Sequence[Mapping[str, Any]],
    hashes: dict[str, str | None],
    test: Mapping[str, Any] | None,
    notices: Iterable[Notice],
) -> dict[str, Any]:
    """Return what `results.json` holds: the reference's keys first, then ours.

    The test keys are None while the test door is closed.

    Args:
        run: the run.
        history: its epochs.
        hashes: weight hashes of `best`, `last` and `teacher` (None without one).
        test: the test record, if the door was opened.
        notices: what a reader has to know before believing the numbers.
    """
    settings = {key: value for key, value in identity(run).items() if key != "seed"}
    best = max(history, key=lambda entry: (entry["val_acc"], -entry["epoch"]))
    own = flat_fields(METHODS[run.method.name])
    flat = {key: run.method.parameters.get(field) for key, field in own.items()}
    given = {**run.place.dropped, **flat}
    recorded = [entry.get("proj_grad_norm_max") for entry in history]
    projection_norms = [norm for norm in recorded if norm is not None]
    teacher = run.teacher.model.name if run.teacher else None
    return {
        "model": run.model.name,
        "teacher": teacher,
        "kd_type": run.method.name,
        "alpha": given.get("alpha"),
        "temperature": given.get("temperature"),
        "feat_beta": given.get("feat_beta"),
        "stem": run.model.stem,
        "seed": run.seed,
        "no_proj_clip": run.recipe.clip_scope == "student_only" or "no_proj_clip" in given,
        "grad_norm_max_overall": max(entry["grad_norm_max"] for entry in history),
        "proj_grad_norm_max_overall": max(
            (n for n in projection_norms if n is not None), default=None
        ),
        "epochs": run.recipe.epochs,
        "best_val_acc": best["val_acc"],
        "best_val_epoch": best["epoch"],
        "test_acc_best": test["best"]["accuracy"] if test else None,
        "test_acc_final": test["last"]["accuracy"] if test else None,
        "run_id": run_id(run),
        "data": run.data.name,
        "limit": run.data.limit,
        "smoke": run.smoke,
        "width": run.model.width,
        "precision": run.precision,
        **({} if run.devices == 1 else {"devices": run.devices, "batch_norm": run.batch_norm}),
        "method_parameters": dict(run.method.parameters),
        "dropped": dict(run.place.dropped),
        "clip_scope": run.recipe.clip_scope,
        "last_val_acc": history[-1]["val_acc"],
        "weight_hash_best": hashes["best"],
        "weight_hash_last": hashes["last"],
        "teacher_weight_hash": hashes["teacher"],
        "settings": hashlib.sha256(canonical_json(settings).encode()).hexdigest(),
        **in_record(notices),
        "history": history,
    }
