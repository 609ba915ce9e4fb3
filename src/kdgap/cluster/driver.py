"""The driver of a study on several machines: plans, submits, watches, and alone writes the study.

What there is to do follows from the plan and from what is committed, as it does for a worker on one
machine (`study/worker.py`). So a driver may die and be started again, anywhere: it commits what
machines left meanwhile, and submits what is not done.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdgap.cluster.commit import Commits
from kdgap.cluster.engine import Ended, Engine, Node
from kdgap.cluster.job import GIVEN, Job, JobMaker, Kind, Needs
from kdgap.cluster.machines import Machines, refused
from kdgap.cluster.pending import Door, cohorts, doors
from kdgap.errors import (
    BadInputError,
    RunFailedError,
    StoppedError,
)
from kdgap.files import json_text, make_folder
from kdgap.planning.cost import costs_of
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.store.mirror import Mirror, shared_facts
from kdgap.store.record import ATTEMPTS, FAILURE
from kdgap.store.storage import Storage
from kdgap.store.study import PREREGISTRATION
from kdgap.study.inventory import give_up
from kdgap.study.kept_plan import KeptPlan
from kdgap.study.live import Live
from kdgap.study.selection import Selected
from kdgap.study.trainer import lock_threads
from kdgap.study.workspace import Workspace

WAIT_SECONDS = 0.5
STOP_SECONDS = 60.0
"""How long jobs have to save when the study is stopped; nothing is lost but time if they do not."""
_LOST = 20
"""How often in a row jobs may be lost with their machines before the study is given up."""


class Driver:
    """Does what is missing of a study on the machines of an engine.

    Args:
        workspace: the study, whose directory is here.
        storage: where it is kept.
        mirror: brings it here; None where the two are one folder.
        engine: runs jobs.
        device: what to compute on.
        stages: the stages, and ablations by their names, that are to be done.
        pause: raises `StoppedError` when it is time to stop.
        say: takes one-line remarks for the user.
        tell: called a few times a second.
        one_environment: whether all runs must come from equal environments.
    """

    def __init__(
        self,
        workspace: Workspace,
        storage: Storage,
        mirror: Mirror | None,
        engine: Engine,
        device: str,
        stages: Collection[str],
        pause: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        tell: Callable[[], None] = lambda: None,
        *,
        one_environment: bool = False,
    ) -> None:
        self._workspace, self._directory = workspace, workspace.directory
        self._storage, self._mirror, self._engine = storage, mirror, engine
        self._device, self._stages = device, stages
        self._pause, self._say, self._tell = pause, say, tell
        self._one_environment = one_environment
        self._inventory = workspace.inventory
        self._kept = KeptPlan(workspace, pause)
        self._commits = Commits(storage, workspace.directory, mirror)
        self._live = Live(workspace.directory.path)
        self._jobs: dict[str, tuple[Job, list[PlannedRun]]] = {}
        self._lost = 0
        self._noted: set[str] = set()
        self._dropped: set[str] = set()

    @property
    def damaged(self) -> list[str]:
        """What is wrong with each record that turned out to be damaged."""
        return list(self._inventory.damaged.values())

    @property
    def dropped(self) -> int:
        """How many runs came a second time, with an equal record."""
        return self._commits.dropped

    def work(self) -> None:
        """Do everything that can be done.

        Raises:
            BadInputError: a machine does not fit the study.
            RunFailedError: nothing more can be done.
            StoppedError: it was told to stop; everything is saved.
        """
        try:
            self._begin()
            plan, selected = self._refresh()
            looked = -1
            while True:
                self._pause()
                slots = self._machines.room()
                # What can be submitted changes when a job ends or a machine comes.
                submitted = slots != looked and self._submit(plan, selected, slots)
                looked = slots
                if not self._jobs:
                    if not submitted:
                        break
                    plan, selected = self._refresh()  # runs were given up
                    looked = -1
                    continue
                ended = self._engine.wait(WAIT_SECONDS)
                self._show()
                if ended:
                    for job in ended:
                        self._settle(job, plan)
                    plan, selected = self._refresh()
                    looked = -1
            self._storage.remove(self._maker.given.values())
        except StoppedError:
            self._stop()
            raise
        finally:
            self._live.close()
            if self._mirror is not None:
                self._mirror.keep()

    # Beginning and ending

    def _begin(self) -> None:
        """Look at every machine before anything is trained: code, environment, data."""
        threads = lock_threads(self._directory, self._workspace.study.threads, 1)
        self._maker = JobMaker(self._workspace, self._storage.where, self._device, threads)
        self._machines = Machines(
            self._engine,
            self._directory,
            self._device,
            threads,
            one_environment=self._one_environment,
        )
        self._push()
        there = self._storage.listing(GIVEN)
        for file, name in self._maker.given.items():
            if name not in there:
                self._storage.send(name, Path(file))
        plan, _ = self._workspace.plan()
        self._commits.all(plan.runs.values())
        first = list(plan.runs.values())[:1]
        left = {self._send("look", first, Needs(0, node=n.id)): n for n in self._machines.able()}
        while left:
            self._pause()
            self._tell()
            for ended in self._engine.wait(WAIT_SECONDS):
                node = left.pop(ended.job, None)
                if node is not None:
                    self._looked(node, ended)
        self._jobs.clear()
        kinds = self._machines.environments()
        if self._one_environment and len(kinds) > 1:
            self._say(f"note: of {len(kinds)} environments, {self._machines.required()} is used")

    def _looked(self, node: Node, ended: Ended) -> None:
        """Take what a machine says of itself."""
        answer = ended.answer
        if answer is None:
            self._say(f"note: {node.address} does not answer ({ended.why}); left out until it does")
            return
        if answer.get("error"):
            raise refused(node.address, answer, self._maker.code)
        self._take_facts(answer)
        self._machines.note(node, answer)

    def _stop(self) -> None:
        """Have every job save and end; commit what has ended."""
        self._engine.stop()
        until = time.monotonic() + STOP_SECONDS
        while self._jobs and time.monotonic() < until:
            for ended in self._engine.wait(WAIT_SECONDS):
                self._jobs.pop(ended.job, None)
        plan, _ = self._workspace.plan()
        self._commits.all(plan.runs.values())
        self._refresh()

    # What is to be done

    def _refresh(self) -> tuple[Plan, Selected]:
        """Look at what is committed, and keep the plan true here and where it is kept."""
        plan, selected = self._kept.refresh()
        self._push()
        if selected.complete and not self._workspace.study.keep_selection_weights:
            self._drop_weights(plan)
        return plan, selected

    def _drop_weights(self, plan: Plan) -> None:
        """Drop the weights of runs that served selection alone; their manifests keep the hashes."""
        for planned in plan.runs.values():
            if planned.roles != ["selection"] or planned.id in self._dropped:
                continue
            if not self._inventory.is_done(planned):
                continue
            self._dropped.add(planned.id)
            self._commits.drop_weights(planned)

    def _push(self) -> None:
        if self._mirror is not None:
            self._mirror.push(shared_facts(self._directory.path))

    def _submit(self, plan: Plan, selected: Selected, slots: int) -> bool:
        """Submit what is ready as far as there is room; return whether anything changed."""
        going = {planned.id for _, runs in self._jobs.values() for planned in runs}
        changed = False
        for group in cohorts(plan, self._inventory, self._stages, going, slots):
            # One more than there is room for: it begins as soon as a machine is free.
            if len(self._jobs) > slots:
                return True
            self._train(group)
            changed = True
        for part in doors(plan, self._inventory, going) if selected.complete else ():
            self._test(plan, part)
            changed = True
        return changed

    def _train(self, group: list[PlannedRun]) -> None:
        """Submit a cohort, without those of its runs that were tried often enough."""
        left = [planned for planned in group if not self._given_up(planned)]
        if left:
            shape = self._workspace.shape()
            costs = {} if shape is None else costs_of(left, shape)
            memory = 2 * sum(cost.memory_bytes for cost in costs.values())
            devices = left[0].run.devices  # such a run is a cohort by itself
            self._send("train", left, self._machines.needs(memory, devices))

    def _given_up(self, planned: PlannedRun) -> bool:
        attempts = self._inventory.attempts(planned)
        if attempts < self._workspace.study.budgets.attempts:
            return False
        directory = self._directory.run(planned.path)
        give_up(directory, attempts)
        self._commits.bring(planned, FAILURE)
        return True

    def _test(self, plan: Plan, part: list[Door]) -> None:
        """Submit doors to be opened; the first one locks the protocol."""
        if any(role in ("final", "ablation") for _, _, role in part):
            self._directory.lock_fact(PREREGISTRATION, self._workspace.preregistration(plan))
            self._push()
        known = {planned.id: (role, baseline) for planned, baseline, role in part}
        runs = [planned for planned, _, _ in part]
        self._send("test", runs, self._machines.needs(0), known)

    def _send(
        self,
        kind: Kind,
        runs: list[PlannedRun],
        needs: Needs,
        doors: Mapping[str, tuple[str, PlannedRun | None]] | None = None,
    ) -> str:
        """Submit a job; return its id."""
        required = None if kind == "look" else self._machines.required()
        job = self._maker.make(kind, runs, required, doors)
        self._jobs[job.id] = job, list(runs)
        self._engine.submit(job, needs)
        return job.id

    # What came of it

    def _settle(self, ended: Ended, plan: Plan) -> None:
        """Take what came of a job."""
        known = self._jobs.pop(ended.job, None)
        if known is None:
            return
        job, runs = known
        answer = ended.answer
        if answer is None:
            self._lost_job(ended, job, runs)
        elif answer.get("error"):
            if answer["exit_code"] not in (130, 143):
                raise refused(job.id, answer, self._maker.code)
        else:
            self._lost = 0
            self._take_facts(answer)
            for note in answer.get("notes", ()):
                if note not in self._noted:
                    self._noted.add(note)
                    self._say(note)
            for identifier, opened in answer.get("opened", {}).items():
                self._commits.opened(plan.runs[identifier], opened)
                self._inventory.look_at(plan.runs[identifier], mine=True)
            for identifier, text in answer.get("damaged", {}).items():
                self._inventory.damage(plan.runs[identifier], text)
        if job.kind == "train":
            self._commits.all(runs)

    def _lost_job(self, ended: Ended, job: Job, runs: list[PlannedRun]) -> None:
        """A machine or a process is gone; its runs go on from their states, elsewhere."""
        self._say(f"a job was lost with its {ended.lost} ({ended.why}); its runs go on elsewhere")
        if ended.lost == "machine":
            self._lost += 1
            if self._lost > _LOST:
                raise RunFailedError(f"{_LOST} jobs in a row were lost with their machines")
            return
        if job.kind != "train":
            self._lost += 1
            if self._lost > self._workspace.study.budgets.attempts:
                raise RunFailedError(f"a process died again and again: {ended.why}")
            return
        for planned in runs:
            directory = self._directory.run(planned.path)
            if not directory.is_done():
                now = datetime.now(UTC).isoformat(timespec="seconds")
                make_folder(directory.path)
                directory.note_attempt({"began": now, "from": [0, 0]})
                directory.note_attempt({"ended": "failed", "when": now, "reason": ended.why})
                self._commits.bring(planned, ATTEMPTS)

    def _take_facts(self, answer: Mapping[str, Any]) -> None:
        for name, value in answer["facts"].items():
            if value is not None and name != "threads":
                locked = self._directory.lock_fact(name, value)
                if locked != value:
                    raise BadInputError(
                        f"{answer['host']}: {name} is not what this study began with on other"
                        f" machines ({_short(value)}, locked {_short(locked)})"
                    )
        self._push()

    def _show(self) -> None:
        runs: dict[str, Any] = {}
        phase = "waiting for machines"
        for now in self._engine.going_on().values():
            phase = str(now.get("phase", phase))
            at = now.get("runs")
            runs |= at if isinstance(at, dict) else {}
        self._live.write({"phase": "training" if runs else phase, "runs": runs})
        self._tell()


def _short(value: object) -> str:
    return json_text(value, indent=None)[:60]
