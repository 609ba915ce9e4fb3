"""The making of a plan; see `plan.py` for what it is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from kdgap.data import DATASETS, Request, Shape, check_request
from kdgap.errors import BadInputError, placed
from kdgap.methods import build_method
from kdgap.models import MODELS
from kdgap.models.build import check_model, with_code
from kdgap.notice import Notice
from kdgap.planning.changes import applicable, changed_run, check_amounts
from kdgap.planning.devices import check_shared_method
from kdgap.planning.fit import check_stages
from kdgap.planning.given import given_teacher
from kdgap.planning.plan import (
    Choice,
    Parameters,
    Plan,
    PlannedRun,
    SlotKey,
    check_method,
    count_runs,
    method_class,
    slot_key,
    variant_text,
)
from kdgap.spec.complaints import Where
from kdgap.spec.identity import configuration_taught_by, run_id, slot_name
from kdgap.spec.model import ModelSpec
from kdgap.spec.run import DataSpec, MethodSpec, Placement, RecipeSpec, RunSpec, TeacherSpec
from kdgap.spec.slot import PLAIN, Slot
from kdgap.spec.study import Ablation, Recipe, StudySpec
from kdgap.spec.validation import build
from kdgap.store.record import BEST

MOST_RUNS = 20_000


def plan_study(
    study: StudySpec,
    where: Where,
    winners: Mapping[SlotKey, Parameters] | None = None,
    shape: Shape | None = None,
) -> Plan:
    """Plan a study.

    Args:
        study: what was asked.
        where: tells where a key was given, for error messages.
        winners: what selection has chosen so far.
        shape: numbers and sizes of the user's own images, where they are known.

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
    return _Planner(study, where, shape).make(dict(winners or {}))


class _Planner:
    """Builds the plan in the order of work."""

    def __init__(self, study: StudySpec, where: Where, shape: Shape | None) -> None:
        self._study, self._where, self._own_shape = study, where, shape
        self.plan = Plan(study, self._data())
        self._models = {name: self._model(name) for name in study.models}
        self._recipe = self._recipe_of({**study.recipe}, ("recipe",))
        self._teacher_recipe = self._recipe_of(
            {**study.recipe, **study.teachers.recipe}, ("teachers", "recipe")
        )
        for method in study.methods:
            with placed(where(("methods", method))):
                check_method(study, method)
        self._configurations = {method: list(self._candidates(method)) for method in study.methods}
        self._teachers = {
            name: self._teacher(name) for name in dict.fromkeys(p.teacher for p in study.pairs)
        }

    def make(self, winners: dict[SlotKey, Parameters]) -> Plan:
        """Return the plan, with what selection has chosen so far."""
        study = self._study
        seeds = (study.finals.seeds[0], study.teachers.teach[0])
        asked: dict[SlotKey, None] = {}
        for index, pair in enumerate(study.pairs):
            for method, configurations in self._configurations.items():
                key = slot_key(study, pair.teacher, pair.student, method)
                with placed(self._where(("pairs", index))):
                    check_stages(self._distilled(key, configurations[0], *seeds))
                if key not in asked:  # a method without a teacher is asked for by every pair
                    self._choose(key, configurations, winners)
                asked[key] = None
        for student in dict.fromkeys(pair.student for pair in study.pairs):
            for seed in study.finals.seeds:
                self._add(self._plain(student, seed), Slot("baseline", None, student, PLAIN))
        for key in asked:
            self._finals(key)
        for name, ablation in study.ablations.items():
            self._ablate(name, ablation)
        for planned in self.plan.runs.values():
            with placed(partial(self._where_of_misfit, planned.slots[0].method)):
                check_amounts(planned.run, self._shape())
        return self.plan

    # What runs are made of

    def _model(self, name: str) -> ModelSpec:
        place, fields = ("models", name), self._study.models[name].model_dump()
        with_place = lambda key: self._where((*place, key))  # noqa: E731
        spec = build(ModelSpec, fields, with_place, fields)
        with placed(self._where(place)):
            MODELS[spec.name]
            spec = with_code(spec)
            check_model(spec, self._image_size())
        return spec

    def _image_size(self) -> tuple[int, int] | None:
        """Return the images' size as far as it is known without loading them."""
        data = self._study.data
        if data.image_size is not None:
            return data.image_size, data.image_size
        shape = self._shape()
        return None if shape is None else shape.image_size

    def _shape(self) -> Shape | None:
        """Return the images' numbers and sizes, where they are known."""
        return DATASETS[self._study.data.name].shape or self._own_shape

    def _data(self) -> DataSpec:
        data, selection = self._study.data, self._study.selection
        with placed(self._where(("data", "name"))):
            entry = DATASETS[data.name]
        fields = {
            "name": data.name,
            "image_size": data.image_size,
            "augmentation": data.augmentation or entry.augmentation,
            "split_seed": data.split_seed,
            "choose_on": selection.split if selection else "val",
            "val_size": entry.val_size if data.val_size is None else data.val_size,
            "limit": data.limit,
            "skip_broken": data.skip_broken,
            **({} if data.test_share is None else {"test_share": data.test_share}),
        }
        spec = build(DataSpec, fields, lambda key: self._where(("data", key)), fields)
        with placed(lambda key: self._where(("data", key))):
            check_request(data.name, Request.of(spec, Path(data.root)), data.expected)
        if entry.shape is not None and spec.val_size >= entry.shape.train:
            raise BadInputError(
                f"{self._where(('data', 'val_size'))}: val_size {spec.val_size:,} leaves no"
                f" training image: {data.name} has {entry.shape.train:,}"
            )
        return spec

    def _recipe_of(self, fields: Recipe, place: tuple[str, ...]) -> RecipeSpec:
        return build(
            RecipeSpec, fields, lambda key: self._where((*place, key)), RecipeSpec.model_fields
        )

    def _candidates(self, method: str) -> Iterator[Parameters]:
        grid = self._study.grid_of(method)
        axes = [values if isinstance(values, list) else [values] for values in grid.values()]
        place = lambda key: self._where(("methods", method, key))  # noqa: E731
        for values in product(*axes):
            given = dict(zip(grid, values, strict=True))
            built = build_method(self._study.method_of(method), given, place, flat=False)
            yield built.parameters()

    def _teacher(self, name: str) -> dict[int, TeacherSpec]:
        """Plan a teacher's runs; return the teacher by teaching seed."""
        model = self._models[name]
        if name in self._study.teachers.weights:
            with placed(self._where(("teachers", "weights", name))):
                spec, notices = given_teacher(self._study, name, model, self.plan.data)
            self.plan.notices += notices
            return {self._study.teachers.teach[0]: spec}
        specs = {}
        for seed in self._study.teachers.seeds:
            planned = self._add(self._teacher_run(name, seed), Slot("teacher", None, name, PLAIN))
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
        devices: int,
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
            devices=devices,
            batch_norm=study.batch_norm if devices > 1 else None,
            place=place,
        )

    def _plain(self, student: str, seed: int) -> RunSpec:
        devices = self._study.finals.devices
        return self._run(student, MethodSpec(name=PLAIN), None, self._recipe, seed, devices)

    def _teacher_run(self, name: str, seed: int) -> RunSpec:
        devices = self._study.teachers.devices
        return self._run(name, MethodSpec(name=PLAIN), None, self._teacher_recipe, seed, devices)

    def _distilled(
        self,
        key: SlotKey,
        parameters: Parameters,
        seed: int,
        teaching_seed: int,
        devices: int | None = None,
    ) -> RunSpec:
        spec = MethodSpec(name=method_class(self._study, key[2]).name, parameters=parameters)
        given = None if key[0] is None else self._teachers[key[0]][teaching_seed]
        devices = devices or self._study.finals.devices
        return self._run(key[1], spec, given, self._recipe, seed, devices)

    def _add(self, run: RunSpec, slot: Slot) -> PlannedRun:
        with placed(self._where(("methods", slot.method))):
            check_shared_method(run)
        run = applicable(run)
        identifier = run_id(run)
        planned = self.plan.runs.get(identifier)
        if planned is None:
            path = f"runs/{slot_name(run)}/{run.seed}-{identifier[:8]}"
            run = run.model_copy(
                update={"place": run.place.model_copy(update={"output_dir": path})}
            )
            trains = run.teacher.run if run.teacher else None
            teacher = self.plan.runs[trains].configuration if trains else None
            configuration = configuration_taught_by(run, teacher)
            planned = PlannedRun(identifier, run, path, configuration, trains)
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
        runs, devices, teach = [], study.selection.devices, study.teachers.teach[0]
        for parameters in candidates:
            slot = Slot("selection", *key, variant_text(parameters, study.grid_of(key[2])))
            added = [
                self._add(self._distilled(key, parameters, seed, teach, devices), slot)
                for seed in study.selection.seeds
            ]
            runs.append([planned.id for planned in added])
        self.plan.choices.append(Choice(key, candidates, runs))
        if key in winners:
            self.plan.winners[key] = winners[key]

    def _finals(self, key: SlotKey) -> None:
        slot, study = Slot("final", *key), self._study
        teach = study.teachers.teach if key[0] is not None else study.teachers.teach[:1]
        count = len(study.finals.seeds) * len(teach)
        if key not in self.plan.winners:
            self.plan.open_slots[slot] = count
            return
        for seed in study.finals.seeds:
            for teaching_seed in teach:
                run = self._distilled(key, self.plan.winners[key], seed, teaching_seed)
                self._add(run, slot)

    def _ablate(self, name: str, ablation: Ablation) -> None:
        of, study = ablation.of, self._study
        teacher, *_ = slot_key(study, of.teacher, "", of.method or PLAIN)
        slot = Slot("ablation", teacher, *_named(ablation))
        open_winner = False
        where = partial(self._where_of_change, name)
        for seed in ablation.seeds:
            if of.method is not None:
                key = slot_key(study, of.teacher, str(of.student), of.method)
                choice = next(choice for choice in self.plan.choices if choice.key == key)
                open_winner = key not in self.plan.winners
                parameters = self.plan.winners.get(key, choice.candidates[0])
                base = self._distilled(key, parameters, seed, study.teachers.teach[0])
            elif of.student is not None:
                base = self._plain(of.student, seed)
            else:
                base = self._teacher_run(str(of.teacher), seed)
            changed = changed_run(base, ablation.change, where, self._image_size())
            with placed(where(next(iter(ablation.change)))):
                check_amounts(changed, self._shape())
            arms = {"base": base, "changed": changed}
            if run_id(applicable(changed)) == run_id(applicable(base)):
                if not any(path.startswith("method.") for path in ablation.change):
                    place = self._where(("ablations", name, "change"))
                    raise BadInputError(f"{place}: ablation {name!r} changes nothing")
                if not open_winner:  # a winner that is known just happens to have it
                    text = (
                        f"ablation {name}: the winner has these values; there is nothing to compare"
                    )
                    self.plan.notices.append(Notice("nothing-changed", text, severity="info"))
                    return
            for arm, run in arms.items():
                named = replace(slot, ablation=name, arm=arm)
                if open_winner:
                    self.plan.open_slots[named] = len(ablation.seeds)
                else:
                    self._add(run, named)

    def _where_of_misfit(self, method: str, fault: str) -> str:
        return self._where(("methods", method) if fault == "method" else ("data", "val_size"))

    def _where_of_change(self, name: str, path: str) -> str:
        return self._where(("ablations", name, "change", path))


def _named(ablation: Ablation) -> tuple[str, str]:
    """Return the student's name and the method of an ablation's slots."""
    of = ablation.of
    return of.student or str(of.teacher), of.method or PLAIN
