"""A study file becomes a `StudySpec`, or one line says what is wrong, where, and what to do."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from kdgap.errors import BadInputError, nearest, one_line, placed
from kdgap.paths import data_place, user_path
from kdgap.spec.claims import Term
from kdgap.spec.claims_file import ABLATION_ALONE, check_main, check_sum, check_twins
from kdgap.spec.complaints import Where, complaints
from kdgap.spec.method_name import method_name, written_method
from kdgap.spec.presets import preset, preset_values, recipe_beside
from kdgap.spec.slot import PLAIN
from kdgap.spec.study import Ablation, StudySpec
from kdgap.yamlio import Document, Key


def read_study(document: Document, overrides: Mapping[str, object]) -> tuple[StudySpec, Where]:
    """Read a study; `overrides` (`teachers.recipe.epochs` → value) beat the file.

    Returns:
        The study, and a function that tells where a key was given, for error messages.

    Raises:
        BadInputError: naming file, line, key and what was expected.
    """
    if not isinstance(document.value, dict):
        raise BadInputError(f"{document.source}: expected `key: value` lines")
    value = _copied(document.value)
    for path, given in overrides.items():
        _override(value, path.split("."), given, path)

    def where(key: Key) -> str:
        dotted = [".".join(map(str, key[: end + 1])) for end in range(len(key))]
        below = key and any(given.startswith(f"{dotted[-1]}.") for given in overrides)
        return "command line" if below or set(dotted) & set(overrides) else document.where(key)

    _expand_presets(value, where)
    try:
        study = StudySpec.model_validate(value)
    except ValidationError as error:
        raise BadInputError("; ".join(complaints(error, where, value, StudySpec))) from None
    _check(study, where)
    return _expanded(study, where), where


def _expanded(study: StudySpec, where: Where) -> StudySpec:
    """Return the study with its paths as `user_path` understands them."""

    def expand(path: str, *key: str) -> str:
        with placed(where(key), ".".join(key)):
            return str(user_path(path))

    with placed(where(("data", "root")), "data.root"):
        root = data_place(study.data.root)
    weights = {
        name: expand(path, "teachers", "weights", name)
        for name, path in study.teachers.weights.items()
    }
    return study.model_copy(
        update={
            "data": study.data.model_copy(update={"root": root}),
            "teachers": study.teachers.model_copy(update={"weights": weights}),
        }
    )


def _expand_presets(value: dict[str, Any], where: Where) -> None:
    """Put what presets say in place of what is not written: of the recipe, and of each method."""
    general, methods = value.pop("preset", None), value.get("methods") or {}
    if general is not None:
        with placed(where(("preset",)), "preset"):
            written = value.get("recipe") or {}
            value["recipe"] = {**recipe_beside(general, written), **written}
    for name, grid in list(methods.items()) if isinstance(methods, dict) else ():
        if not isinstance(grid, dict):
            continue
        own = grid.pop("preset", None)
        key = f"methods.{one_line(name, 40)}.method"
        with placed(where(("methods", name, "method")), key):
            method = written_method(grid["method"]) if "method" in grid else method_name(name)
        chosen = general if own is None else own
        if chosen is None:
            continue
        with placed(where(("methods", name, "preset")), "preset"):
            values = preset_values(chosen, method)
            if own is not None and method not in (known := preset(own).methods):
                raise BadInputError(f"{own} has no {method}; it has {', '.join(known)}")
        methods[name] = {**values, **grid}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _override(value: Any, path: list[str], given: object, text: str) -> None:
    for key in path[:-1]:
        if value.get(key) is None:
            value[key] = {}
        value = value[key]
        if not isinstance(value, dict):
            raise BadInputError(f"--set {text}: {key} is no group of keys")
    value[path[-1]] = given


def _check(study: StudySpec, where: Where) -> None:
    """Check what concerns several keys at once and needs no knowledge of methods or data."""
    _check_names(study, where)
    lists: dict[Key, list[int]] = {
        ("teachers", "seeds"): study.teachers.seeds,
        ("teachers", "teach"): study.teachers.teach,
        ("finals", "seeds"): study.finals.seeds,
        **{("ablations", name, "seeds"): a.seeds for name, a in study.ablations.items()},
    }
    if study.selection is not None:
        lists["selection", "seeds"] = study.selection.seeds
    for key, seeds in lists.items():
        twice = [seed for seed, count in Counter(seeds).items() if count > 1]
        if twice:
            raise BadInputError(f"{where(key)}: {'.'.join(map(str, key))}: seed {twice[0]} twice")
    for method, grid in study.grids.items():
        for name, values in grid.items():
            if values == []:
                raise BadInputError(f"{where(('methods', method, name))}: {name}: an empty grid")
            if isinstance(values, list) and len(set(map(_alike, values))) < len(values):
                raise BadInputError(
                    f"{where(('methods', method, name))}: {name}: a value is given twice"
                )
    _check_pairs(study, where)
    _check_selection(study, where)
    for name, ablation in study.ablations.items():
        _check_ablation(study, name, ablation, where)
    _check_reference(study, where)
    check_main(study.main_claim, study.claims, where)
    for index, claim in enumerate(study.claims):
        for number, term in enumerate(claim.terms):
            place = where(("claims", index, "terms", number))
            _check_term(study, term, claim.measure, f"{place}: claim {claim.name!r}")
        check_sum(claim, where(("claims", index)))


def _alike(value: object) -> object:
    """Return what two values share if they mean the same: 1 and 1.0 do, 1 and true do not."""
    return (type(value), value) if isinstance(value, bool | str) else value


def _check_names(study: StudySpec, where: Where) -> None:
    groups: dict[str, list[str]] = {
        "models": list(study.models),
        "ablations": list(study.ablations),
        "claims": [claim.name for claim in study.claims],
    }
    for group, names in groups.items():
        check_twins(group, names, where)


def _model(study: StudySpec, name: str, place: str) -> None:
    if name not in study.models:
        known = ", ".join(study.models)
        raise BadInputError(
            f"{place}: unknown model {name!r}{nearest(name, study.models)}; known: {known}"
        )


def _check_pairs(study: StudySpec, where: Where) -> None:
    seen = set()
    for index, pair in enumerate(study.pairs):
        for role in ("teacher", "student"):
            _model(study, getattr(pair, role), f"{where(('pairs', index, role))}: {role}")
        if (pair.teacher, pair.student) in seen:
            raise BadInputError(f"{where(('pairs', index))}: this pair is given twice")
        seen.add((pair.teacher, pair.student))
    teachers = {pair.teacher for pair in study.pairs}
    for name in study.teachers.weights:
        if name not in teachers:
            raise BadInputError(
                f"{where(('teachers', 'weights', name))}: {name!r} is no pair's teacher"
                f"{nearest(name, teachers)}"
            )
    for key in ("allow_unmeasured", "subset"):
        for name in getattr(study.teachers, key):
            if name not in study.teachers.weights:
                raise BadInputError(
                    f"{where(('teachers', key))}: teachers.{key}: {name!r} is no teacher that"
                    f" teachers.weights gives{nearest(name, study.teachers.weights)}"
                )
    if study.teachers.weights and len(study.teachers.teach) > 1:
        raise BadInputError(
            f"{where(('teachers', 'weights'))}: a weights file is one teacher; use one teach seed"
        )


def _check_selection(study: StudySpec, where: Where) -> None:
    selection = study.selection
    if selection is None:
        for method, grid in study.grids.items():
            for name, values in grid.items():
                if isinstance(values, list) and len(values) > 1:
                    raise BadInputError(
                        f"{where(('methods', method, name))}: {name} has {len(values)} values to"
                        " choose from, but the study has no selection; add one, or give one value"
                    )
        return
    shared = sorted(set(selection.seeds) & tested_seeds(study))
    if shared and not selection.allow_overlap:
        raise BadInputError(
            f"{where(('selection', 'seeds'))}: selection seed {shared[0]} is among the final"
            " seeds, so a final mean would contain the run it was selected by; choose another, or"
            " declare it with selection.allow_overlap: true"
        )
    if (study.data.val_size == 0) != (selection.split == "test"):
        raise BadInputError(
            f"{where(('data', 'val_size'))}: val_size: 0 and selection.split: test go together"
        )


def tested_seeds(study: StudySpec) -> set[int]:
    """Return the seeds of winners that are tested: of the finals, and of ablations of a winner."""
    seeds = set(study.finals.seeds)
    for ablation in study.ablations.values():
        if ablation.of.method is not None:
            seeds |= set(ablation.seeds)
    return seeds


def _check_ablation(study: StudySpec, name: str, ablation: Ablation, where: Where) -> None:
    of, place = ablation.of, where(("ablations", name, "of"))
    if of.method is not None:
        _check_slot(study, of.teacher, of.student, of.method, place)
        return
    if of.student is not None:
        _model(study, of.student, place)
    elif of.teacher is not None:
        _model(study, of.teacher, place)
        teachers = {pair.teacher for pair in study.pairs}
        if of.teacher not in teachers:
            hint = nearest(of.teacher, teachers)
            raise BadInputError(f"{place}: {of.teacher!r} is no pair's teacher{hint}")


def _check_reference(study: StudySpec, where: Where) -> None:
    reference = study.statistics.reference
    if reference is not None and reference not in study.methods:
        raise BadInputError(
            f"{where(('statistics', 'reference'))}: statistics.reference: unknown method"
            f" {reference!r}{nearest(reference, study.methods)}; this study has"
            f" {', '.join(study.methods)}"
        )


def _check_slot(
    study: StudySpec, teacher: str | None, student: str | None, method: str | None, place: str
) -> None:
    if None in (teacher, student, method):
        raise BadInputError(f"{place}: give teacher, student and method")
    pairs = [(pair.teacher, pair.student) for pair in study.pairs]
    if (teacher, student) not in pairs:
        known = ", ".join(f"{a} → {b}" for a, b in pairs[:8])
        raise BadInputError(
            f"{place}: {teacher} → {student} is no pair of this study; it has {known}"
        )
    if method not in study.methods:
        raise BadInputError(
            f"{place}: unknown method {method!r}{nearest(str(method), study.methods)};"
            f" this study has {', '.join(study.methods)}"
        )


def _check_term(study: StudySpec, term: Term, measure: str, place: str) -> None:
    if term.ablation is not None:
        if measure == "gain" or term.student or term.teacher or term.method:
            raise BadInputError(f"{place}: {ABLATION_ALONE}")
        if term.ablation not in study.ablations:
            raise BadInputError(
                f"{place}: unknown ablation {term.ablation!r}"
                f"{nearest(term.ablation, study.ablations)}"
            )
    elif measure == "accuracy" and term.teacher is None and term.student is not None:
        if term.method not in (None, PLAIN):
            raise BadInputError(f"{place}: {term.method} of {term.student!r} needs its teacher")
        if term.student not in {pair.student for pair in study.pairs}:
            raise BadInputError(f"{place}: {term.student!r} is no student of this study")
    else:
        _check_slot(study, term.teacher, term.student, term.method, place)
