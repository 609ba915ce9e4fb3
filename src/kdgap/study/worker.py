"""One runner of a study: takes what is free, trains it, opens the doors that may be opened.

Several may work on one study at once. A runner owns a run while it holds the lock in its directory;
the system frees the lock when the runner ends, however that happens. What there is to do follows
from the plan and from what is on disk, so runners need not know of each other.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from kdgap.engine.device import make_deterministic, pick_device
from kdgap.errors import BadInputError, RunFailedError
from kdgap.spec import canonical_json
from kdgap.spec.study import STAGES, preregistered
from kdgap.store.locks import Lock
from kdgap.store.study import SELECTION
from kdgap.study.bench import Bench
from kdgap.study.cost import cohort_key, cohorts, store_rate, total_flops
from kdgap.study.evaluation import open_recorded, recorded_states
from kdgap.study.inventory import Inventory, give_up
from kdgap.study.live import Live
from kdgap.study.plan import ROLES, Plan, PlannedRun
from kdgap.study.selection import Selected
from kdgap.study.training import Attempt, train_attempts
from kdgap.study.workspace import Workspace, costs_of, write_plan

if TYPE_CHECKING:
    from kdgap.study.teacher import TeacherWeights

POLL_SECONDS = 1.0
DOOR_ROLES = ("teacher", "baseline", "final", "ablation")


class Worker:
    """Works on a study until nothing is left that it may do.

    Args:
        workspace: the study.
        device: name of the device to train on.
        stages: which stages to do, or which ablations by name; all of `STAGES` by default.
        share: how many workers there are, so that none takes everything.
        pause: raises `StoppedError` when it is time to stop.
        say: takes one-line remarks for the user.
    """

    def __init__(
        self,
        workspace: Workspace,
        device: str,
        stages: Sequence[str] = tuple(STAGES),
        share: int = 1,
        pause: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._workspace, self._directory = workspace, workspace.directory
        self._bench = Bench(
            self._directory,
            pick_device(device),
            lambda: self._live.write({"phase": "loading data"}),
        )
        self._only = set(stages)
        self._share, self._pause, self._say = share, pause, say
        self._inventory = Inventory(self._directory, workspace.study.budgets.attempts)
        self._live = Live(self._directory.path)

    def work(self) -> None:
        """Do everything that can be done.

        Raises:
            BadInputError: the data or a teacher is not what the study is locked to.
            RunFailedError: nothing more can be written.
            StoppedError: it was told to stop; everything is saved.
        """
        self._set_threads()
        try:
            while True:
                self._pause()
                plan, selected = self._refresh()
                if self._train_some(plan) or self._open_doors(plan, selected):
                    continue
                if not self._inventory.waiting(plan, self._asked):
                    break
                self._live.write({"phase": "waiting for runs that others hold"})
                time.sleep(POLL_SECONDS)
        except OSError as error:
            place = error.filename or self._directory.path
            raise RunFailedError(f"{place}: {error.strerror or error}") from None
        finally:
            self._live.close()

    def _asked(self, planned: PlannedRun, roles: Sequence[str] = ROLES) -> bool:
        """Whether this runner was asked to do a run, in one of some roles."""
        for slot in planned.slots:
            stage = next(stage for stage, roles_ in STAGES.items() if slot.role in roles_)
            named = slot.variant.partition(": ")[0] if slot.role == "ablation" else ""
            if slot.role in roles and self._only & {stage, named}:
                return True
        return False

    def _set_threads(self) -> None:
        asked = self._workspace.study.threads
        threads = self._directory.lock_fact("threads", asked or torch.get_num_threads())
        if asked is not None and asked != threads:
            raise BadInputError(
                f"{self._directory.path}: this study runs with threads: {threads} since its first"
                f" use, which {asked} would mix with; set it back, or use another --out"
            )
        make_deterministic(0, threads)

    def _refresh(self) -> tuple[Plan, Selected]:
        """Look at the disk, choose winners that can be chosen, and keep `plan.json` true."""
        if self._directory.plan()["study"] != self._workspace.study.model_dump(mode="json"):
            raise BadInputError(
                f"{self._directory.path}: another `kdgap run` has changed the study meanwhile;"
                " start this one again"
            )
        plan, _ = self._workspace.plan()
        self._inventory.look(plan)
        plan, selected = self._workspace.plan(self._inventory.given_up(plan))
        self._inventory.look(plan)
        if selected.complete:
            self._directory.write(SELECTION, selected.report)
            self._drop_selection_weights(plan)
        write_plan(self._workspace, plan, selected)
        return plan, selected

    def _drop_selection_weights(self, plan: Plan) -> None:
        if self._workspace.study.keep_selection_weights:
            return
        for planned in plan.of_role("selection"):
            if planned.roles == ["selection"] and self._inventory.is_done(planned):
                directory = self._directory.run(planned.path)
                if directory.has_weights():
                    lock = directory.try_lock()
                    if lock is not None:
                        with lock:
                            directory.drop_weights()

    # Training

    def _train_some(self, plan: Plan) -> bool:
        """Train one cohort of what is ready and free; return whether there was any."""
        ready = [p for p in plan.runs.values() if self._inventory.is_ready(p)]
        for roles in STAGES.values():
            mine = [p for p in ready if self._asked(p, roles)]
            if not mine:
                continue
            alone = [p for p in mine if self._inventory.attempts(p)]
            groups = [[p] for p in alone] + _joined([p for p in mine if p not in alone], ready)
            for group in groups:
                size = -(-len(group) * min(len(groups), self._share) // self._share)
                with ExitStack() as locks:
                    taken = self._take(group, size, locks)
                    if taken:
                        self._train(plan, taken)
                        return True
        return False

    def _take(
        self, group: list[PlannedRun], size: int, locks: ExitStack
    ) -> list[tuple[PlannedRun, Lock]]:
        """Take the locks of up to `size` runs of a group that are free and still to be done."""
        taken: list[tuple[PlannedRun, Lock]] = []
        for planned in group:
            if len(taken) == size:
                break
            directory = self._directory.run(planned.path)
            directory.refuse_other(planned.id)
            lock = directory.try_lock()
            if lock is None:
                continue
            if not self._inventory.still_ready(planned):
                lock.release()  # another runner did it since we looked
                continue
            locks.callback(lock.release)
            if self._inventory.attempts(planned) >= self._workspace.study.budgets.attempts:
                give_up(directory, self._inventory.attempts(planned))
                lock.release()
                continue
            taken.append((planned, lock))
        return taken

    def _train(self, plan: Plan, taken: list[tuple[PlannedRun, Lock]]) -> None:
        first = taken[0][0]
        self._live.write({"phase": "preparing", "runs": [planned.id for planned, _ in taken]})
        owner = next((p for p, _ in taken if p.run.teacher is not None), None)
        weights = None if owner is None else self._bench.teacher(owner)
        attempts: list[Attempt] = []
        held: dict[int, tuple[PlannedRun, Lock]] = {}
        begun = time.monotonic()
        for planned, lock in taken:
            prepared = self._bench.prepare(planned, weights if planned.run.teacher else None)
            if attempts and attempts[0].prepared.teacher and planned.run.teacher:
                prepared = replace(prepared, teacher=attempts[0].prepared.teacher)
            directory = self._directory.run(planned.path)
            watcher = self._live.watch(planned.id, planned.run.recipe.epochs)
            attempt = Attempt(prepared, directory, [watcher], self._say)
            attempts.append(attempt)
            held[id(attempt)] = (planned, lock)

        def ended(attempt: Attempt) -> None:
            planned, lock = held[id(attempt)]
            self._inventory.forget(planned)
            if attempt.member.failure is not None:
                self._say(f"failed: {planned.path}: {attempt.member.failure}")
            lock.release()

        resumed = any(attempt.member.place != (0, 0) for attempt in attempts)
        train_attempts(attempts, pause=self._pause, open_test=lambda *_: None, ended=ended)
        failed = any(attempt.member.failure for attempt in attempts)
        if not resumed and not failed:
            group = [planned for planned, _ in taken]
            costs = costs_of(_only(plan, group), self._bench.dataset(first).shape)
            flops = total_flops([group], costs)
            seconds = time.monotonic() - begun
            store_rate(self._bench.device, torch.get_num_threads(), first.run, flops, seconds)

    # The test door

    def _open_doors(self, plan: Plan, selected: Selected) -> bool:
        """Open the test doors of finished runs, once selection is over; return whether any was."""
        if not selected.complete:
            return False
        opened = False
        weights: dict[str, TeacherWeights] = {}
        for planned in self._inventory.closed_doors(plan, DOOR_ROLES):
            role = next(role for role in reversed(planned.roles) if role in DOOR_ROLES)
            baseline = self._inventory.baseline_of(planned, plan) if role == "final" else None
            if baseline is not None and not self._inventory.is_over(baseline):
                continue  # its fidelity is recorded beside the student's
            directory = self._directory.run(planned.path)
            lock = directory.try_lock()
            if lock is None:
                continue
            with lock:
                record = directory.read()
                if record.test is None:
                    if role in ("final", "ablation"):
                        self._preregister()
                    self._live.write({"phase": "testing", "runs": [planned.id]})
                    teacher = planned.run.teacher
                    key = str(teacher and (teacher.run or teacher.weight_hash))
                    if teacher is not None and key not in weights:
                        weights[key] = self._bench.teacher(planned)
                    prepared = self._bench.prepare(planned, weights.get(key))
                    beside = None if baseline is None else self._beside(baseline)
                    open_recorded(
                        prepared,
                        directory,
                        record,
                        role,
                        "run",
                        baseline=beside,
                        pause=self._pause,
                    )
                    opened = True
                self._inventory.door_is_open(planned)
        return opened

    def _beside(self, baseline: PlannedRun) -> dict[str, Any] | None:
        if not self._inventory.is_done(baseline):
            return None  # it failed for good: the final says so by its absence
        directory = self._directory.run(baseline.path)
        record = directory.read()
        return {"run_id": record.id, "states": recorded_states(directory, record)}

    def _preregister(self) -> None:
        content = preregistered(self._workspace.study)
        digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
        self._directory.lock_fact("preregistration", {"sha256": digest, "content": content})


def _joined(mine: list[PlannedRun], ready: list[PlannedRun]) -> list[list[PlannedRun]]:
    """Group a stage's runs into cohorts; ready baselines of the same seed and schedule join in."""
    groups = cohorts(mine)
    known = {planned.id for planned in mine}
    for guest in (p for p in ready if p.id not in known and p.roles == ["baseline"]):
        for group in groups:
            if group[0].run.teacher and cohort_key(group[0].run) == cohort_key(guest.run):
                group.append(guest)
                break
    return groups


def _only(plan: Plan, group: list[PlannedRun]) -> Plan:
    return Plan(plan.study, plan.data, {planned.id: planned for planned in group})
