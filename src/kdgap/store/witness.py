"""What finished runs say of what a study's own files speak of: specs, scores, data, teachers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdgap.spec.run import DataSpec, RunSpec
from kdgap.store.record import Record

View = tuple[tuple[Any, ...], ...]
"""Two facts of a teacher's card: mean and deviation, or image size and classes."""


@dataclass(frozen=True)
class Witness:
    """What a finished run's record says; a record is whole, and its id follows from its spec."""

    spec: RunSpec
    scores: dict[str, float | None]
    fingerprint: str
    threads: int | None
    teacher_hash: str | None
    teacher_normalisation: View | None
    teacher_view: View | None
    split: bool = False
    """Whether the test images were set apart by a seed, for the images came without a split."""

    @classmethod
    def of(cls, record: Record) -> "Witness":
        """Return what a record says."""
        results = record.results
        return cls(
            spec=record.spec,
            scores={key: results.get(key) for key in ("best_val_acc", "last_val_acc")},
            fingerprint=record.run["data"]["fingerprint"],
            threads=record.run["environment"].get("threads"),
            teacher_hash=results.get("teacher_weight_hash"),
            teacher_normalisation=_of_card(record.run.get("teacher"), "mean", "std"),
            teacher_view=_of_card(record.run.get("teacher"), "image_size", "classes"),
            split="split" in record.run["data"],
        )


Witnesses = Mapping[str, Witness]
"""By run id, of the runs that are finished and whole."""


def data_fact(data: DataSpec, study: tuple[int | None, int | None]) -> str:
    """Return the name under which a study locks the images of a run.

    Args:
        data: what the run asks for.
        study: the study's own image size, and its split seed where that changes the test images,
            else None.
    """
    size, seed = study
    other_split = seed not in (None, data.split_seed)
    if data.image_size == size and not other_split:
        return "data"
    return f"data-{data.image_size}" + f"-{data.split_seed}" * other_split


def recorded_facts(plan: Mapping[str, Any], witnesses: Witnesses) -> dict[str, set[Any]]:
    """Return what records say of the facts that a study locks: one value each if all is well.

    Of the data it is the fingerprint.
    """
    data = plan["study"]["data"]
    facts: dict[str, set[Any]] = {}
    for planned in plan["runs"]:
        witness = witnesses.get(planned["id"])
        if witness is None:
            continue
        asked = (data.get("image_size"), data.get("split_seed") if witness.split else None)
        name = data_fact(witness.spec.data, asked)
        facts.setdefault(name, set()).add(witness.fingerprint)
        facts.setdefault("threads", set()).add(witness.threads)
        teacher = witness.spec.teacher
        if teacher is not None:
            given = next((slot["teacher"] for slot in planned["slots"] if slot["teacher"]), "")
            name = f"teacher-{teacher.run[:12] if teacher.run else given}"
            facts.setdefault(name, set()).add(witness.teacher_hash)
            if teacher.run is None:
                own = witness.teacher_normalisation
                facts.setdefault(f"normalisation-{given}", set()).add(own)
                facts.setdefault(f"view-{given}", set()).add(witness.teacher_view)
    return {name: values - {None} for name, values in facts.items() if values - {None}}


def as_recorded(fact: Any) -> Any:
    """Return what a locked fact is compared by."""
    if isinstance(fact, list):
        return tuple(map(tuple, fact))
    return fact["fingerprint"] if isinstance(fact, dict) else fact


def _of_card(card: Any, *keys: str) -> View | None:
    """Return lists that a teacher's card holds."""
    return None if card is None else tuple(tuple(card[key]) for key in keys)
