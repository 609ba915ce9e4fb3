"""What a study's runs are made on: its data and teachers, checked against what is locked."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from kdgap.data import Dataset, Parts, Request, load_dataset, split_dataset
from kdgap.engine.teacher import Teacher
from kdgap.errors import BadInputError, StoreDamagedError, TeacherError
from kdgap.models.build import check_model
from kdgap.planning.changes import check_amounts
from kdgap.planning.fit import check_trainable
from kdgap.planning.parts import part_sizes
from kdgap.planning.plan import PlannedRun
from kdgap.running.results import Prepared, remarks
from kdgap.running.teacher import TeacherWeights, check_teacher, open_teacher
from kdgap.spec.run import DataSpec, RunSpec
from kdgap.spec.study import StudyData, Teachers
from kdgap.store.remote import local_place
from kdgap.store.study import StudyDirectory
from kdgap.store.witness import data_fact


@dataclass
class Loaded:
    """What was loaded and split so far: one process may serve a study several times."""

    datasets: dict[tuple[str, Request], Dataset] = field(default_factory=dict)
    parts: dict[DataSpec, Parts] = field(default_factory=dict)


class Inputs:
    """Loads data and teachers of one study, each once.

    Args:
        directory: the study's directory.
        device: where runs are trained.
        asked: the study's own data, which is locked as "data".
        pause: raises to stop, between batches of a teacher's measurement.
        loading: called before data is loaded, which may take a while.
        say: told what was left out of the data.
        planned: returns the runs that are refused together if one of them does not fit the data.
        teachers: what the study says of them.
        loaded: what was loaded for this study before, which is added to.
        find: returns where on this machine data or the file of a given teacher is.
    """

    def __init__(
        self,
        directory: StudyDirectory,
        device: torch.device,
        asked: StudyData | None = None,
        pause: Callable[[], None] = lambda: None,
        loading: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        planned: Callable[[], Iterable[PlannedRun]] = tuple,
        teachers: Teachers | None = None,
        loaded: Loaded | None = None,
        find: Callable[[str], Path] | None = None,
    ) -> None:
        self._directory, self.device = directory, device
        self._asked, self._pause = asked, pause
        self._loading, self._say, self._planned = loading, say, planned
        self._teachers = teachers or Teachers()
        self._find = find or partial(local_place, pause=pause)
        loaded = loaded or Loaded()
        self._datasets, self._parts = loaded.datasets, loaded.parts
        self._fitting: set[Hashable] = set()

    def dataset(self, planned: PlannedRun) -> Dataset:
        """Load the data once, and refuse other data than the study began with."""
        data = planned.run.data
        root = planned.run.place.data_root
        key = (data.name, Request.of(data, Path(root)))
        if key not in self._datasets:
            self._loading()
            dataset = load_dataset(data.name, Request.of(data, self._find(root)))
            shape = dataset.shape
            for other in self._planned():  # before anything is locked or trained
                check_amounts(other.run, shape)
                if other.run.data == data:
                    self._check_parts(other.run, dataset)
            fact = {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "shape": shape.known(),
            }
            asked = self._asked or data
            seed = asked.split_seed if dataset.split else None
            name = data_fact(data, (asked.image_size, seed))
            locked = self._directory.lock_fact(name, fact)
            if locked["fingerprint"] != dataset.fingerprint:
                raise BadInputError(
                    f"{self._directory.path}: the data is not what this study began with"
                    f" (fingerprint {dataset.fingerprint[:12]}, locked"
                    f" {locked['fingerprint'][:12]}); bring back the data, or use another --out"
                )
            for text in remarks(dataset):
                self._say(text)
            self._datasets[key] = dataset
        return self._datasets[key]

    def teacher(self, planned: PlannedRun) -> TeacherWeights:
        """Open the teacher of a run, and refuse other weights than the study began with.

        Raises:
            StoreDamagedError: the record of a teacher that was trained here is damaged.
            TeacherError: a given file is.
            BadInputError: these are other weights.
        """
        teacher = planned.run.teacher
        assert teacher is not None
        own = teacher.run is not None
        path = self._directory.path / teacher.weights if own else self._find(teacher.weights)
        names = [slot.teacher for slot in planned.slots if slot.teacher] or ["NAME"]
        try:
            weights = open_teacher(
                path,
                teacher.model.name,
                unmeasured=not own and bool({*names} & {*self._teachers.allow_unmeasured}),
                data_root=planned.run.place.data_root,
                otherwise=f", or set teachers.allow_unmeasured: [{names[0]}]",
                subset=not own and bool({*names} & {*self._teachers.subset}),
                subset_key=f"teachers.subset: [{names[0]}]",
            )
        except TeacherError as error:
            if own:
                raise StoreDamagedError(str(error)) from None
            raise
        # A trained teacher is locked by its run, a given one by the name it has in the study.
        name = str(teacher.run)[:12]
        if not own:
            name = names[0]
        if own and weights.run_id != teacher.run:
            raise StoreDamagedError(f"{path}: not the best weights of run {name}")
        locked = self._directory.lock_fact(f"teacher-{name}", weights.card.weight_hash)
        if locked != weights.card.weight_hash or teacher.weight_hash not in (None, locked):
            raise BadInputError(
                f"{path}: these are not the teacher's weights that this study began with"
                f" (hash {weights.card.weight_hash[:12]}, locked {locked[:12]})"
            )
        if not own:  # what is trained here sees this study's data as this study does
            view = [list(weights.card.mean), list(weights.card.std)]
            locked = self._directory.lock_fact(f"normalisation-{name}", view)
            if locked != view:
                raise BadInputError(
                    f"{path}: this study began with a teacher that normalised with mean {locked[0]}"
                    f" and std {locked[1]}; its card says {view[0]} and {view[1]} now"
                )
            seen = [list(weights.card.image_size), list(weights.card.classes)]
            if self._directory.lock_fact(f"view-{name}", seen) != seen:
                raise BadInputError(
                    f"{path}: this study began with a teacher whose card had another image size, or"
                    " its classes in another order"
                )
        return weights

    def prepare(
        self,
        planned: PlannedRun,
        weights: TeacherWeights | None,
        beside: Prepared | None = None,
    ) -> Prepared:
        """Return everything that a run needs in memory, checked.

        Args:
            planned: the run.
            weights: its teacher's.
            beside: a run that was prepared before; one teacher answers both if these very weights
                teach it, too.

        Raises:
            BadInputError: the run does not fit the data.
            TeacherError: the teacher does not.
        """
        run, dataset = planned.run, self.dataset(planned)
        parts = self._split(run.data, dataset)
        check_model(run.model, dataset.image_size)
        check_trainable(run, len(parts.train))
        self._check_parts(run, dataset)
        teacher, card = None, None if weights is None else weights.card
        if beside is not None and beside.card is card and beside.dataset is dataset:
            teacher = beside.teacher if beside.run.precision == run.precision else None
        if weights is not None and teacher is None:
            check_teacher(weights, dataset, self.device, pause=self._pause)
            teacher = Teacher(
                weights.network,
                run,
                self.device,
                weights.preprocessing,
                weights.order(dataset.classes),
            )
        return Prepared(run, self.device, dataset, parts, teacher, card)

    def _check_parts(self, run: RunSpec, dataset: Dataset) -> None:
        """Refuse what a method cannot do with these images, now that their classes are known."""
        labels, size = self._split(run.data, dataset).train.labels, dataset.image_size
        networks = (run.model, run.teacher and run.teacher.model)
        split = run.recipe.batch_size, run.devices, run.batch_norm
        key = (*networks, run.method.model_dump_json(), run.data, *split)
        if key not in self._fitting:
            part_sizes(run, dataset.channels, size, len(dataset.classes), labels)
            self._fitting.add(key)

    def _split(self, data: DataSpec, dataset: Dataset) -> Parts:
        """Split once: the members of a cohort share their images."""
        if data not in self._parts:
            self._parts[data] = split_dataset(
                dataset, data.val_size, data.split_seed, data.limit, data.choose_on
            )
        return self._parts[data]
