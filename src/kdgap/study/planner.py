"""The making of a plan; see `plan.py` for what it is made of."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from kdgap.data import DATASETS
from kdgap.engine.student import check_stages
from kdgap.errors import BadInputError
from kdgap.methods import METHODS, build_method
from kdgap.models import MODELS
from kdgap.models.build import check_model
from kdgap.spec import (
    DataSpec,
    MethodSpec,
    ModelSpec,
    Placement,
    RecipeSpec,
    RunSpec,
    StudySpec,
    TeacherSpec,
    cell_id,
    run_id,
    slot_name,
)
from kdgap.spec.study import Ablation
from kdgap.spec.study_file import Where
from kdgap.spec.validation import Scalar, build
from kdgap.store.card import read_card
from kdgap.store.record import BEST
from kdgap.study.plan import (
    Choice,
    Parameters,
    Plan,
    PlannedRun,
    Slot,
    SlotKey,
    count_runs,
    variant_text,
)

MOST_RUNS = 20_000


def plan_study(
    study: StudySpec, where: Where, winners: Mapping[SlotKey, Parameters] | None = None
) -> Plan:
    """Plan a study.

    Args:
        study: what was asked.
        where: tells where a key was given, for error messages.
        winners: what selection has chosen so far.

    Raises:
        BadInputError: unknown names, values out of range, or more runs than anybody can train.
    """
    counts = count_runs(study)
    if sum(counts.values()) > MOST_RUNS:
        parts = ", ".join(f"{count:,} {role}" for role, count in counts.items() if count)
        raise BadInputError(
            f"{where(())}: the study asks for {sum(counts.values()):,} runs ({parts});"
            f" the most is {MOST_RUNS:,}; shorten the grids or the seeds"
        )
    return _Planner(study, where, dict(winners or {})).plan


class _Planner:
    """Builds the plan in the order of work."""

    def __init__(self, study: StudySpec, where: Where, winners: dict[SlotKey, Parameters]) -> None:
        self._study, self._where = study, where
        self._models = {name: self._model(name) for name in study.models}
        self._recipe = self._recipe_of({**study.recipe}, ("recipe",))
        self._teacher_recipe = self._recipe_of(
            {**study.recipe, **study.teachers.recipe}, ("teachers", "recipe")
        )
        self.plan = Plan(study, self._data())
        for method in study.methods:
            self._check_method(method)
        candidates = {method: list(self._candidates(method)) for method in study.methods}
        self._teachers = {
            name: self._teacher(name) for name in dict.fromkeys(p.teacher for p in study.pairs)
        }
        for pair in study.pairs:
            for method, configurations in candidates.items():
                self._choose((pair.teacher, pair.student, method), configurations, winners)
        for student in dict.fromkeys(pair.student for pair in study.pairs):
            for seed in study.finals.seeds:
                self._add(self._plain(student, seed), Slot("baseline", None, student, "none"))
        for pair in study.pairs:
            for method in candidates:
                self._finals((pair.teacher, pair.student, method))
        for name, ablation in study.ablations.items():
            self._ablate(name, ablation)

    # What runs are made of

    def _check_method(self, method: str) -> None:
        place = self._where(("methods", method))
        try:
            entry = METHODS[method]
        except BadInputError as error:
            raise BadInputError(f"{place}: {error}") from None
        if not entry.needs_teacher:
            raise BadInputError(
                f"{place}: {method} is what every method is compared with; it is always there"
            )

    def _model(self, name: str) -> ModelSpec:
        place, fields = ("models", name), self._study.models[name].model_dump()
        with_place = lambda key: self._where((*place, key))  # noqa: E731
        spec = build(ModelSpec, fields, with_place, fields)
        try:
            MODELS[spec.name]
            check_model(spec)
        except BadInputError as error:
            raise BadInputError(f"{self._where(place)}: {error}") from None
        return spec

    def _data(self) -> DataSpec:
        data, selection = self._study.data, self._study.selection
        try:
            entry = DATASETS[data.name]
        except BadInputError as error:
            raise BadInputError(f"{self._where(('data', 'name'))}: {error}") from None
        fields = {
            "name": data.name,
            "image_size": data.image_size,
            "augmentation": data.augmentation or entry.augmentation,
            "split_seed": data.split_seed,
            "choose_on": selection.split if selection else "val",
            "val_size": entry.val_size if data.val_size is None else data.val_size,
            "limit": data.limit,
        }
        return build(DataSpec, fields, lambda key: self._where(("data", key)), fields)

    def _recipe_of(self, fields: dict[str, Scalar], place: tuple[str, ...]) -> RecipeSpec:
        return build(
            RecipeSpec, fields, lambda key: self._where((*place, key)), RecipeSpec.model_fields
        )

    def _candidates(self, method: str) -> Iterator[Parameters]:
        grid = self._study.methods[method]
        axes = [values if isinstance(values, list) else [values] for values in grid.values()]
        place = lambda key: self._where(("methods", method, key))  # noqa: E731
        for values in product(*axes):
            built = build_method(method, dict(zip(grid, values, strict=True)), place)
            yield built.parameters()

    def _teacher(self, name: str) -> dict[int, TeacherSpec]:
        """Plan a teacher's runs; return the teacher by teaching seed."""
        given = self._study.teachers.weights.get(name)
        model = self._models[name]
        if given is not None:
            place = self._where(("teachers", "weights", name))
            try:
                card = read_card(Path(given))
            except BadInputError as error:
                raise BadInputError(f"{place}: {error}") from None
            if card.model != model:
                raise BadInputError(f"{place}: {given} holds a {card.model.name}, not {name}")
            spec = TeacherSpec(model=model, weight_hash=card.weight_hash, weights=given)
            return {self._study.teachers.teach[0]: spec}
        specs = {}
        for seed in self._study.teachers.seeds:
            planned = self._add(self._teacher_run(name, seed), Slot("teacher", None, name, "none"))
            weights = f"{planned.path}/{BEST}"
            specs[seed] = TeacherSpec(model=model, run=planned.id, weights=weights)
        return {seed: specs[seed] for seed in self._study.teachers.teach}

    # Runs

    def _run(
        self,
        model: str,
        method: MethodSpec,
        teacher: TeacherSpec | None,
        recipe: RecipeSpec,
        seed: int,
    ) -> RunSpec:
        study = self._study
        place = Placement(
            data_root=study.data.root,
            threads=study.threads,
            tracker="none",
            save_seconds=study.save_seconds,
        )
        return RunSpec(
            data=self.plan.data,
            model=self._models[model],
            method=method,
            teacher=teacher,
            recipe=recipe,
            precision=study.precision,
            seed=seed,
            place=place,
        )

    def _plain(self, student: str, seed: int) -> RunSpec:
        return self._run(student, MethodSpec(name="none"), None, self._recipe, seed)

    def _teacher_run(self, name: str, seed: int) -> RunSpec:
        return self._run(name, MethodSpec(name="none"), None, self._teacher_recipe, seed)

    def _distilled(
        self, key: SlotKey, parameters: Parameters, seed: int, teaching_seed: int
    ) -> RunSpec:
        teacher, student, method = key
        spec = MethodSpec(name=method, parameters=parameters)
        return self._run(student, spec, self._teachers[teacher][teaching_seed], self._recipe, seed)

    def _add(self, run: RunSpec, slot: Slot) -> PlannedRun:
        run = _applicable(run)
        identifier = run_id(run)
        planned = self.plan.runs.get(identifier)
        if planned is None:
            check_stages(run)
            path = f"runs/{slot_name(run)}/{run.seed}-{identifier[:8]}"
            run = run.model_copy(
                update={"place": run.place.model_copy(update={"output_dir": path})}
            )
            trains = run.teacher.run if run.teacher else None
            teacher = self.plan.runs[trains].run if trains else None
            planned = PlannedRun(identifier, run, path, cell_id(run, teacher), trains)
            self.plan.runs[identifier] = planned
        if slot not in planned.slots:
            planned.slots.append(slot)
        return planned

    # Stages

    def _choose(
        self,
        key: SlotKey,
        candidates: list[Parameters],
        winners: dict[SlotKey, Parameters],
    ) -> None:
        study = self._study
        if len(candidates) == 1 or study.selection is None:
            self.plan.winners[key] = candidates[0]
            self.plan.choices.append(Choice(key, candidates, [[] for _ in candidates]))
            return
        runs = []
        for parameters in candidates:
            slot = Slot("selection", *key, variant_text(parameters, study.methods[key[2]]))
            made = [
                self._add(self._distilled(key, parameters, seed, study.teachers.teach[0]), slot)
                for seed in study.selection.seeds
            ]
            runs.append([planned.id for planned in made])
        self.plan.choices.append(Choice(key, candidates, runs))
        if key in winners:
            self.plan.winners[key] = winners[key]

    def _finals(self, key: SlotKey) -> None:
        slot, study = Slot("final", *key), self._study
        count = len(study.finals.seeds) * len(study.teachers.teach)
        if key not in self.plan.winners:
            self.plan.open_slots[slot] = count
            return
        for seed in study.finals.seeds:
            for teaching_seed in study.teachers.teach:
                run = self._distilled(key, self.plan.winners[key], seed, teaching_seed)
                self._add(run, slot)

    def _ablate(self, name: str, ablation: Ablation) -> None:
        of, study = ablation.of, self._study
        teaching_seed = study.teachers.teach[0]
        slot = Slot("ablation", of.teacher, of.student or of.teacher or "", of.method or "none")
        if of.student is None:
            slot = Slot("ablation", None, of.teacher or "", "none")
        for seed in ablation.seeds:
            if of.method is not None:
                key = (str(of.teacher), str(of.student), of.method)
                if key not in self.plan.winners:
                    for arm in ("base", "changed"):
                        pending = _with_variant(slot, f"{name}: {arm}")
                        self.plan.open_slots[pending] = len(ablation.seeds)
                    return
                base = self._distilled(key, self.plan.winners[key], seed, teaching_seed)
            elif of.student is not None:
                base = self._plain(of.student, seed)
            else:
                base = self._teacher_run(str(of.teacher), seed)
            changed = self._changed(base, name, ablation.change)
            if run_id(_applicable(changed)) == run_id(_applicable(base)):
                place = self._where(("ablations", name, "change"))
                raise BadInputError(f"{place}: ablation {name!r} changes nothing")
            self._add(base, _with_variant(slot, f"{name}: base"))
            self._add(changed, _with_variant(slot, f"{name}: changed"))

    def _changed(self, run: RunSpec, name: str, change: Mapping[str, Scalar]) -> RunSpec:
        values: dict[str, Any] = run.model_dump()
        for path, value in change.items():
            place = f"{self._where(('ablations', name, 'change', path))}: {path}"
            group, _, key = path.partition(".")
            if group == "method" and key:
                values["method"]["parameters"][key] = value
                build_method(run.method.name, values["method"]["parameters"], lambda _: place)  # noqa: B023  (called at once)
            elif group in ("data", "model", "recipe") and key in values[group]:
                values[group][key] = value
                cls = {"data": DataSpec, "model": ModelSpec, "recipe": RecipeSpec}[group]
                build(cls, values[group], lambda _: place, values[group])  # noqa: B023
            else:
                raise BadInputError(
                    f"{place}: no field of a run; a change names data.…, model.…, recipe.… or"
                    " method.… and a field of it"
                )
        changed = RunSpec.model_validate(values)
        check_model(changed.model)
        return changed


def _with_variant(slot: Slot, variant: str) -> Slot:
    return Slot(slot.role, slot.teacher, slot.student, slot.method, variant)


def _applicable(run: RunSpec) -> RunSpec:
    """Return a run without what does not apply to it, so that equal runs have equal ids."""
    recipe: dict[str, Any] = {}
    if run.recipe.clip_scope == "student_only" and not METHODS[run.method.name].has_projections:
        recipe["clip_scope"] = "all"  # without projections the student alone is the union
    if run.recipe.clip_scope == "off":
        recipe["clip_norm"] = RecipeSpec.model_fields["clip_norm"].default
    if not recipe:
        return run
    return run.model_copy(update={"recipe": run.recipe.model_copy(update=recipe)})
