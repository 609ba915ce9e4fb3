"""Hand-made evidence: arms with given accuracies, as a study or an import would show them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdgap.judge import judging
from kdgap.judge.evidence import Candidate, Evidence, Run, Tuning
from kdgap.judge.recorded import History, Scores, Validation
from kdgap.methods import METHODS
from kdgap.spec.claims import Claim, Statistics
from kdgap.spec.slot import Slot

Values = Sequence[float | None]


def runs_of(
    slot: Slot, percents: Values, *, configuration: str = "", first_seed: int = 0, **changes: Any
) -> list[Run]:
    """Return one run a value: test accuracy in percent; None for a run that failed."""
    runs = []
    for seed, percent in enumerate(percents, first_seed):
        known: dict[str, Any] = {
            "id": f"{slot.role}-{slot.text}-{configuration}-{seed}",
            "configuration": configuration or slot.text + slot.role,
            "seed": seed,
            "slots": (slot,),
            "state": "failed" if percent is None else "done",
            "remark": "diverged at step 3 of epoch 2" if percent is None else "",
            "epochs": 3,
            "paths": (f"runs/{slot.role}/{slot.text}/{seed}",),
        }
        if percent is not None:
            known |= {
                "test": {
                    "best": {"accuracy": percent / 100},
                    "last": {"accuracy": percent / 100 - 0.001},
                },
                "validation": {"best": percent / 100, "last": percent / 100},
                "history": [
                    {"epoch": epoch, "val_acc": percent / 100, "train_acc": 0.9, "loss_ce": 0.5}
                    for epoch in (1, 2, 3)
                ],
            }
        runs.append(Run(**as_read(known | changes)))
    return runs


def as_read(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a run with what its files hold in the classes that read it."""

    def scores(test: Mapping[str, Any]) -> dict[str, Scores]:
        return {weights: Scores(document) for weights, document in test.items()}

    kinds: dict[str, Callable[[Any], Any]] = {
        "validation": Validation,
        "test": scores,
        "baseline_test": scores,
        "history": History,
    }
    return {name: kinds[name](v) if name in kinds else v for name, v in fields.items()}


def but(run: Run, **fields: Any) -> Run:
    """Return a run with other fields, given as its files hold them."""
    return replace(run, **as_read(fields))


def final(teacher: str, student: str, method: str) -> Slot:
    return Slot("final", teacher, student, method)


def plain(student: str) -> Slot:
    return Slot("baseline", None, student, "none")


def evidence(runs: Sequence[Run], **changes: Any) -> Evidence:
    slots = tuple(dict.fromkeys(slot for run in runs for slot in run.slots))
    names = {name for slot in slots for name in (slot.teacher, slot.student) if name}
    models: Mapping[str, Any] = {
        name: {"name": name, "parameters": 1000 * number}
        for number, name in enumerate(sorted(names), 1)
    }
    known: dict[str, Any] = {
        "name": "made",
        "path": "runs/made",
        "origin": "study",
        "runs": tuple(runs),
        "models": dict(models),
        "methods": {name: METHODS[name].about() for name in ("none", "logit", "feature")},
        "primary": "best",
        "statistics": Statistics(),
        "paired": True,
        "slots": slots,
    }
    return Evidence(**(known | changes))


def pair_of(baseline: Values, method: Values, **changes: Any) -> Evidence:
    """Return a study of one pair: big → little by Logit-KD."""
    runs = runs_of(plain("little"), baseline)
    runs += runs_of(final("big", "little", "logit"), method, parameters={"alpha": 0.5})
    return evidence(runs, **changes)


def claim(name: str, terms: Sequence[dict[str, Any]], **changes: Any) -> Claim:
    return Claim.model_validate(
        {"name": name, "text": f"Claim {name}", "terms": list(terms), **changes}
    )


def analyse(evidence: Evidence) -> Any:
    """Return `judging.analyse`, as `Any`: a test knows which numbers are there."""
    return judging.analyse(evidence)


def tuning(winner: dict[str, Any], scores: Mapping[float, float | None]) -> Tuning:
    candidates = tuple(
        Candidate({"alpha": alpha}, (f"selection-{alpha}",), score)
        for alpha, score in scores.items()
    )
    return Tuning(
        "big", "little", "logit", candidates, winner, (1000,), "val", "best_val_acc", "Logit-KD"
    )
