"""The reference study's layout: small result files where its tools leave and look for them.

    select/TEACHER_to_STUDENT/METHOD/a0.5_t4/seed0/results.json
    final/TEACHER_to_STUDENT_METHOD/seed0/{results,fidelity}.json   final/baseline/STUDENT/seed0/
    bug_ablation/TEACHER_to_STUDENT/METHOD_bugged/a0.7/seed0/       stem_ablation/MODEL_STEM/seed0/
    teachers/NAME/seed0/                                            ablation/NAME/ARM/seed0/

Each file carries the id of the run it comes from, so it can be traced and is never a result by
itself. It also carries the names that the study gave, where `kd_type` does not say them. The runs
stay where the study keeps them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, KdgapError, StoreDamagedError
from kdgap.files import entries, json_text, read_json, remove
from kdgap.methods import METHODS, build_method
from kdgap.spec.slot import Slot
from kdgap.staging import Staging
from kdgap.store.instead import FIDELITY
from kdgap.store.record import BEST, MANIFEST, RESULTS, Record
from kdgap.store.study import StudyDirectory
from kdgap.text import sized

METHOD, ABLATION, ARM = "study_method", "study_ablation", "study_arm"
"""Keys of a result file: what the study calls the method, and the ablation with its arm."""
_LONGEST_FOLDER = 150
"""Bytes of a method's name in that of a folder, which may have 255."""
TOP = ("select", "final", "bug_ablation", "stem_ablation", "teachers", "ablation")


def export_study(directory: StudyDirectory, target: Path) -> tuple[list[Path], list[str]]:
    """Write a study's finished runs in the reference's layout; drop what is stale there.

    Args:
        directory: the study.
        target: the folder that gets `select/`, `final/` and so on.

    Returns:
        The folders written, and what was left out and why.

    Raises:
        BadInputError: two runs would stand in one place; nothing was written.
        OSError: the disk failed; the files of an earlier export are still there.
    """
    with Staging() as staging:
        written, left_out = _stage(directory, target, staging)
    _drop_stale(target, directory.plan()["study"]["name"], set(written))
    return written, left_out


def _stage(
    directory: StudyDirectory, target: Path, staging: Staging
) -> tuple[list[Path], list[str]]:
    plan = directory.plan()
    study = plan["study"]
    written: dict[Path, str] = {}
    left_out = []
    for planned in plan["runs"]:
        if not directory.run(planned["path"]).is_done():
            continue
        try:
            record = directory.record(planned["path"])
        except KdgapError as error:
            left_out.append(str(error))
            continue
        for slot in planned["slots"]:
            registered = record.results["kd_type"]
            place = target / _place(study, planned, slot, registered)
            if (place / MANIFEST).exists():
                left_out.append(f"{place}: holds a run of its own")
                continue
            if written.setdefault(place, planned["id"]) != planned["id"]:
                raise BadInputError(
                    f"{place}: two runs of {directory.path} belong there; the reference's layout"
                    " has no place for several teachers of a kind, or models that differ in their"
                    " stem alone"
                )
            content = {
                **record.results,
                "study": study["name"],
                "role": slot["role"],
                "cell": planned["cell"],
                "source": str(record.path),
                **_names(slot, registered),
                **(_as_selected(plan, planned, slot) if slot["role"] == "selection" else {}),
            }
            staging.write(place / RESULTS, (json_text(content) + "\n").encode())
            if slot["role"] in ("final", "ablation") and "teacher" in (record.test or {}):
                fidelity = json_text(fidelity_of(record)) + "\n"
                staging.write(place / FIDELITY, fidelity.encode())
    return list(written), left_out


def _names(slot: Mapping[str, Any], registered: str) -> dict[str, str]:
    """Return the study's own names for an arm, where `kd_type` and folders do not say them."""
    own = Slot.read(slot)
    names = {METHOD: own.method} if own.method != registered else {}
    return names | ({ABLATION: own.ablation, ARM: own.arm} if own.ablation else {})


def _as_selected(
    plan: Mapping[str, Any], planned: Mapping[str, Any], slot: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the file of a selection run says otherwise: no test, but whether it was chosen.

    A collector cannot find that out by itself: the metric and the order of the grid, which breaks
    ties, are the study's. `selection_winner` is None while its pair and method have no winner.
    """
    winners = [
        winner["parameters"]
        for winner in plan["winners"]
        if all(winner[key] == slot[key] for key in ("teacher", "student", "method"))
    ]
    return {
        "test_acc_best": None,  # a shared run's test is its final's
        "test_acc_final": None,
        "selection_metric": plan["study"]["selection"]["metric"],
        "selection_winner": planned["parameters"] in winners if winners else None,
    }


def fidelity_of(record: Record) -> dict[str, Any]:
    """Return what the reference's `fidelity.json` holds, from a tested run with a teacher."""
    test = record.test or {}
    best = test["best"]
    kept = ("top1_agreement", "kl_t1", "kl_t4", "per_class_acc", "ece")
    fidelity = {
        "student_arch": record.results["model"],
        "student_weights": str(record.path / BEST),
        "teacher_arch": record.results["teacher"],
        "student_test_acc": best["accuracy"],
        "teacher_test_acc": test["teacher"]["accuracy"],
        **{key: best[key] for key in kept},
        "run_id": record.id,
    }
    if "baseline" in test:
        plain = test["baseline"]["best"]
        fidelity["baseline"] = {
            "run_id": test["baseline"]["run_id"],
            "test_acc": plain["accuracy"],
            **{key: plain[key] for key in kept},
        }
    return fidelity


def _place(
    study: Mapping[str, Any], planned: Mapping[str, Any], slot: Mapping[str, Any], registered: str
) -> Path:
    def model(name: str) -> str:
        return sized(study["models"][name]["name"], study["models"][name]["width"])

    seed = f"seed{planned['seed']}"
    student, method = model(slot["student"]), _folder(slot["method"])
    parameters = _folder(parameters_text(planned["parameters"], registered))
    pair = f"{model(slot['teacher'])}_to_{student}" if slot["teacher"] else student
    if slot["role"] == "teacher":
        return Path("teachers", slot["student"], seed)
    if slot["role"] == "selection":
        return Path("select", pair, method, parameters, seed)
    if slot["role"] == "baseline":
        return Path("final", "baseline", student, seed)
    if slot["role"] == "final":
        return Path("final", f"{pair}_{method}", seed)
    own = Slot.read(slot)
    name, arm = own.ablation, own.arm
    change = study["ablations"][name]["change"]
    if set(change) == {"recipe.clip_scope"} and slot["teacher"]:
        kind = f"{method}_bugged" if arm == "changed" else method
        return Path("bug_ablation", pair, kind, parameters, seed)
    if set(change) == {"model.stem"} and not slot["teacher"]:
        stem = study["models"][slot["student"]]["stem"] if arm == "base" else change["model.stem"]
        return Path("stem_ablation", f"{student}_{stem}", seed)
    return Path("ablation", name, arm, seed)


def _folder(name: str) -> str:
    """Return any printable text as the name of one folder, which cannot lead out of the target."""
    text = name.replace("%", "%25").replace("/", "%2F")
    if not text.strip("."):
        text = text.replace(".", "%2E")
    if len(text.encode()) > _LONGEST_FOLDER:
        text = f"{text[:20]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return text


def parameters_text(parameters: Mapping[str, object], method: str) -> str:
    """Return a configuration as the reference names its folders, such as `a0.5_t4`.

    Its names leave out a method's other hyper-parameters where they are at their defaults.
    """
    parts = []
    if "alpha" in parameters:
        parts.append(f"a{_short(parameters['alpha'])}")
    if "temperature" in parameters:
        parts.append(f"t{_short(parameters['temperature'])}")
    defaults = build_method(method, {}).parameters() if method in METHODS else {}
    for key, value in parameters.items():
        if key not in ("alpha", "temperature") and defaults.get(key) != value:
            parts.append(f"{key}{value:g}" if isinstance(value, float) else f"{key}-{value}")
    return "_".join(parts) or "default"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _drop_stale(target: Path, study: str, written: set[Path]) -> None:
    """Remove files of this study that an earlier export left and the plan no longer has."""
    for top in TOP:
        for path in _results_below(target / top):
            if path.parent in written:
                continue
            try:
                ours = read_json(path).get("study") == study
            except (StoreDamagedError, AttributeError):
                continue  # not ours to judge
            if ours:
                remove(path)
                remove(path.parent / FIDELITY)


def _results_below(folder: Path) -> Iterator[Path]:
    """Yield the result files below a folder; no link is followed."""
    for path in entries(folder):
        if path.name == RESULTS and path.is_file():
            yield path
        elif path.is_dir() and not path.is_symlink():
            yield from _results_below(path)
