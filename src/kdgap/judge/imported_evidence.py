"""Evidence from imported files: their roles, their tuning grids, and what was found odd."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from kdgap.judge.evidence import Candidate, Evidence, Run, Tuning, label_of
from kdgap.judge.recorded import History, Scores, Validation
from kdgap.notice import Notice, codes, serious
from kdgap.spec.claims import Statistics
from kdgap.spec.identity import canonical_json
from kdgap.spec.method_card import UNKNOWN, MethodCard, read_cards
from kdgap.spec.slot import Slot
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.findings import read_findings
from kdgap.store.imports.recipe import DIGESTS, order_of, recipe_of
from kdgap.store.notices import SMOKE, SMOKE_TEACHER, TEST_CHOSEN, chosen_on, of_runs, recorded
from kdgap.text import value_text


def imported_evidence(directory: ImportedDirectory) -> Evidence:
    """Read an import.

    Raises:
        BadInputError: there is no import here.
        StoreDamagedError: a file of it is damaged.
    """
    return evidence_of(*directory.read(), str(directory.path))


def evidence_of(
    about: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], path: str
) -> Evidence:
    """Return evidence of an import at hand, as `import_runs` returns it."""
    # Imports of before do not say which keys are hyper-parameters of methods that are not ours.
    further = {key for keys in about.get("hyperparameters", {}).values() for key in keys}
    runs = tuple(_run(line, further) for line in lines)
    methods = _methods(runs, read_cards(about.get("methods", {})))
    chosen = chosen_on(notice for run in runs for notice in run.notices)
    return Evidence(
        name=about["name"],
        path=path,
        origin="import",
        runs=runs,
        models=about["models"],
        primary="best",
        statistics=Statistics(),
        paired=False,
        description=f"imported from {about['source']['path']}",
        methods=methods,
        tunings=tuple(_tunings(runs, chosen, methods)),
        notices=_notices(runs, chosen, smoke=any(line["settings"].get("smoke") for line in lines)),
        chosen_on=chosen,
        slots=tuple(dict.fromkeys(slot for run in runs for slot in run.slots)),
        changes=_changes(lines),
        findings=read_findings(about),
        provenance={"source": about["source"], "files": about["files"], **_choices(about)},
    )


def _choices(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the import was told of keys and units, where it was told something."""
    choices = about.get("choices") or {}
    return {"choices": choices} if any(choices.values()) else {}


def _run(line: Mapping[str, Any], hyperparameters: Collection[str]) -> Run:
    settings, fidelity = line["settings"], line["fidelity"] or {}
    test = {
        weights: {"accuracy": accuracy}
        for weights, accuracy in line["test"].items()
        if accuracy is not None
    }
    if "best" in test:
        kept = ("top1_agreement", "kl_t1", "kl_t4", "ece", "per_class_acc")
        test["best"] |= {key: fidelity[key] for key in kept if fidelity.get(key) is not None}
    return Run(
        id=line["id"],
        configuration=line["cell"],
        seed=line["seed"],
        slots=tuple(Slot.read(slot) for slot in line["slots"]),
        state=line["state"],
        remark=line["remark"],
        parameters=line["parameters"],
        recipe=canonical_json(recipe_of(settings, hyperparameters)),
        epochs=line["epochs"],
        validation=Validation(line["validation"]),
        test={weights: Scores(scores) for weights, scores in test.items()},
        teacher_accuracy=fidelity.get("teacher_test_acc"),
        history=History(line["history"]),
        paths=tuple(line["paths"]),
        notices=recorded(line),
    )


def _methods(runs: Iterable[Run], declared: Mapping[str, MethodCard]) -> dict[str, MethodCard]:
    """Return the methods that runs are of, as they are drawn: by their place, then by name."""
    methods = {
        slot.method: declared.get(slot.method, UNKNOWN) for run in runs for slot in run.slots
    }

    def place(name: str) -> tuple[bool, int, str]:
        colour = methods[name].colour
        return colour is None, colour or 0, name

    return {name: methods[name] for name in sorted(methods, key=place)}


def _tunings(
    runs: Iterable[Run], chosen: Literal["val", "test"], methods: Mapping[str, MethodCard]
) -> Iterable[Tuning]:
    """Return the grids that the files show; the winner is what the finals used, if they agree."""
    grids: dict[tuple[str, str, str], dict[str, list[Run]]] = {}
    finals: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        for slot in run.slots:
            key = (slot.teacher or "", slot.student, slot.method)
            if slot.role == "selection":
                grids.setdefault(key, {}).setdefault(run.configuration, []).append(run)
            elif slot.role == "final" and run.parameters not in finals.setdefault(key, []):
                finals[key].append(run.parameters)
    for key, configurations in sorted(grids.items()):
        tried = sorted(configurations.values(), key=lambda members: order_of(members[0].parameters))
        used = finals.get(key, [])
        yield Tuning(
            *key,
            candidates=tuple(
                Candidate(
                    members[0].parameters,
                    tuple(run.id for run in members),
                    _mean_validation(members),
                )
                for members in tried
            ),
            winner=used[0] if len(used) == 1 else None,
            seeds=tuple(sorted({run.seed for members in tried for run in members})),
            split=chosen,
            metric="best_val_acc",
            label=label_of(key[2], methods),
        )


def _mean_validation(runs: list[Run]) -> float | None:
    known = [run.validation.best for run in runs if run.state == "done"]
    scores = [score for score in known if score is not None]
    return sum(scores) / len(scores) if len(scores) == len(runs) else None


def _changes(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the two arms of each ablation have different in their settings."""
    arms: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        for slot in map(Slot.read, line["slots"]):
            if slot.role == "ablation":
                arms.setdefault(slot.ablation, {})[slot.arm] = line["settings"]
    changes = {}
    for name, sides in arms.items():
        before, after = sides.get("base", {}), sides.get("changed", {})
        changes[name] = ", ".join(
            f"{key} {value_text(before[key])} becomes {value_text(after[key])}"
            for key in before
            if key in after and before[key] != after[key] and key not in DIGESTS
        )
    return changes


def _notices(
    runs: Iterable[Run], chosen: Literal["val", "test"], *, smoke: bool
) -> tuple[Notice, ...]:
    """Return what holds for all of it because of what single runs say."""
    notices = [notice for run in runs for notice in run.notices]
    general = []
    if smoke or {SMOKE.code, SMOKE_TEACHER.code} & codes(notices):
        general.append(serious(SMOKE.code, "holds smoke runs", "holds smoke runs"))
    if chosen == "test":
        words = "chosen on the test images"
        general.append(serious(TEST_CHOSEN.code, words, words))
    return (*general, *of_runs(notices))
