"""The driver of a study on several machines: plans, submits, watches, and alone writes the study.

What there is to do follows from the plan and from what is committed, as it does for a worker on one
machine (`study/worker.py`). So a driver may die and be started again, anywhere: it commits what
machines left meanwhile, and submits what is not done.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from kdgap.cluster.commit import Commits
from kdgap.cluster.engine import Ended, Engine, Node
from kdgap.cluster.job import Job, Needs, written
from kdgap.errors import BadInputError, RunFailedError, StoppedError, StoreDamagedError
from kdgap.files import json_text
from kdgap.planning.cost import joined
from kdgap.planning.plan import Plan, PlannedRun
from kdgap.running.places import moved
from kdgap.spec.study import STAGES
from kdgap.store.manifest import MANIFEST, RESULTS, TEST, WEIGHTS, read_manifest
from kdgap.store.mirror import Mirror, shared_facts
from kdgap.store.provenance import source_digest
from kdgap.store.record import ATTEMPTS, FAILURE, TIMING
from kdgap.store.seal import sealed_bytes
from kdgap.store.storage import Storage
from kdgap.store.study import DOORS, PREREGISTRATION
from kdgap.study.inventory import give_up
from kdgap.study.live import Live
from kdgap.study.selection import Selected
from kdgap.study.workspace import Workspace, costs_of, write_plan

WAIT_SECONDS = 0.5
STOP_SECONDS = 60.0
"""How long jobs have to save when the study is stopped; nothing is lost but time if they do not."""
_MANY = 64
"""Doors opened by one job: they share their teacher's answers."""
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
        asked: whether a run is to be done, in some roles.
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
        asked: Callable[[PlannedRun, Sequence[str]], bool],
        pause: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
        tell: Callable[[], None] = lambda: None,
        *,
        one_environment: bool = False,
    ) -> None:
        self._workspace, self._directory = workspace, workspace.directory
        self._storage, self._mirror, self._engine = storage, mirror, engine
        self._device, self._asked = device, asked
        self._pause, self._say, self._tell = pause, say, tell
        self._one_environment = one_environment
        self._inventory = workspace.inventory
        self._commits = Commits(storage, workspace.directory, mirror)
        self._live = Live(workspace.directory.path)
        study = workspace.study
        files = {n: str(Path(path).resolve()) for n, path in study.teachers.weights.items()}
        self._study = moved(study, str(Path(study.data.root).resolve()), files)
        self._code = source_digest()
        self._jobs: dict[str, tuple[Job, list[PlannedRun]]] = {}
        self._threads = 1
        self._environments: dict[str, str] = {}
        self._gpus: dict[str, float] = {}
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
            while True:
                self._pause()
                submitted = self._submit(plan, selected)
                if not self._jobs:
                    if not submitted:
                        break
                    continue
                ended = self._engine.wait(WAIT_SECONDS)
                self._show()
                if ended:
                    for job in ended:
                        self._settle(job, plan)
                    plan, selected = self._refresh()
        except StoppedError:
            self._stop()
            raise
        finally:
            self._live.close()

    # Beginning and ending

    def _begin(self) -> None:
        """Look at every machine before anything is trained: code, environment, data."""
        asked = self._workspace.study.threads
        self._threads = self._directory.lock_fact("threads", asked or 1)
        if asked is not None and asked != self._threads:
            raise BadInputError(
                f"{self._directory.path}: this study runs with threads: {self._threads} since its"
                f" first use, which {asked} would mix with; set it back, or use another --out"
            )
        self._push()
        plan, _ = self._workspace.plan()
        self._commits.all(plan.runs.values())
        nodes = [node for node in self._engine.nodes() if node.cpus >= self._threads]
        if not nodes:
            most = max((node.cpus for node in self._engine.nodes()), default=0)
            raise BadInputError(
                f"no machine of the cluster has {self._threads} CPUs (threads: {self._threads}; the"
                f" largest has {most:g})"
            )
        first = list(plan.runs.values())[:1]
        for node in nodes:
            self._send("look", first, Needs(cpus=0, node=node.id))
        left = dict(zip(self._jobs, nodes, strict=True))
        while left:
            self._pause()
            self._tell()
            for ended in self._engine.wait(WAIT_SECONDS):
                node = left.pop(ended.job, None)
                if node is not None:
                    self._looked(node, ended)
        self._jobs.clear()
        if self._one_environment and len(set(self._environments.values())) > 1:
            names = ", ".join(sorted(set(self._environments.values())))
            self._say(f"note: machines of several environments ({names}); one of them is used")

    def _looked(self, node: Node, ended: Ended) -> None:
        """Take what a machine says of itself."""
        answer = ended.answer
        if answer is None:
            self._say(f"note: {node.address} does not answer ({ended.why}); left out until it does")
            return
        if answer.get("error"):
            raise self._refused(node.address, answer)
        self._take_facts(answer)
        self._environments[node.id] = str(answer["environment"])
        if answer["device"] == "cuda":
            self._gpus[node.id] = float(answer["device_memory"])

    def _refused(self, where: str, answer: Mapping[str, Any]) -> Exception:
        host = f"{answer.get('host')} ({where})"
        if answer["error"] == "other code":
            import kdgap

            return BadInputError(
                f"{host} runs other code of kdgap: {answer['version']}, source"
                f" {str(answer['code'])[:12]}; this machine {kdgap.__version__}, source"
                f" {self._code[:12]}. Install one version everywhere"
            )
        kind = {2: BadInputError, 4: StoreDamagedError}.get(answer["exit_code"], RunFailedError)
        return kind(f"{host}: {answer['error']}")

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
        plan, selected = self._workspace.plan()
        write_plan(self._workspace, plan, selected, replace=False, pause=self._pause)
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
            directory = self._directory.run(planned.path)
            if not set(WEIGHTS) & set(read_manifest(directory.path).files):
                continue
            directory.drop_weights()
            self._bring(planned, MANIFEST)
            self._storage.remove(f"{planned.path}/{name}" for name in WEIGHTS)

    def _push(self) -> None:
        if self._mirror is not None:
            self._mirror.push(shared_facts(self._directory.path))

    def _submit(self, plan: Plan, selected: Selected) -> bool:
        """Submit what is ready as far as there is room; return whether anything was."""
        going = {planned.id for _, runs in self._jobs.values() for planned in runs}
        room = self._room() - len(self._jobs)
        before = len(self._jobs)
        ready = [
            p
            for p in plan.runs.values()
            if self._inventory.is_ready(p) and not self._inventory.is_held(p) and p.id not in going
        ]
        for roles in STAGES.values():
            mine = [p for p in ready if self._asked(p, roles)]
            alone = [p for p in mine if self._inventory.alone(p)]
            guests = [p for p in ready if self._asked(p, ()) and not self._inventory.alone(p)]
            groups = [[p] for p in alone] + joined([p for p in mine if p not in alone], guests)
            for group in groups:
                for part in self._parts(group, len(groups)):
                    if room <= 0:
                        return True
                    if self._train(part):
                        room -= 1
                    ready = [p for p in ready if p not in part]
            if mine:
                break  # a later stage may join what the next machine that is free begins with
        self._test(plan, selected, going)
        return len(self._jobs) > before

    def _room(self) -> int:
        """Return how many jobs may be submitted: as many as run at once, and as many that wait."""
        slots = sum(int(node.cpus // self._threads) for node in self._engine.nodes())
        if self._gpus:
            slots = min(slots, sum(int(node.gpus) for node in self._engine.nodes()))
        return max(1, slots) + 1

    def _parts(self, group: list[PlannedRun], groups: int) -> list[list[PlannedRun]]:
        """Divide a cohort among the machines, as far as memory asks for it or room is left."""
        slots = max(1, self._room() - 1)
        share = -(-len(group) * min(groups, slots) // slots)
        return [group[i : i + share] for i in range(0, len(group), share)]

    def _train(self, group: list[PlannedRun]) -> bool:
        """Submit a cohort; False where its runs are given up."""
        spent = [p for p in group if self._given_up(p)]
        group = [p for p in group if p not in spent]
        if not group:
            return False
        shape = self._workspace.shape()
        memory = 0
        if shape is not None:
            costs = costs_of(group, shape)
            memory = 2 * sum(cost.memory_bytes for cost in costs.values())
        self._send("train", group, self._needs(memory))
        return True

    def _needs(self, memory: int) -> Needs:
        largest = max((node.memory for node in self._engine.nodes()), default=0.0)
        if largest and memory > largest:
            raise BadInputError(
                f"a cohort needs {memory / 2**30:.1f} GB of memory, and the largest machine of the"
                f" cluster gives {largest / 2**30:.1f} GB"
            )
        gpus = 0.0
        if self._device.startswith("cuda") or (self._device == "auto" and self._gpus):
            # What a cohort takes of a GPU's memory, as far as the smallest is known.
            least = min(self._gpus.values(), default=0.0)
            gpus = 1.0 if not least else max(0.05, min(1.0, round(memory / least + 0.05, 2)))
            if not any(node.gpus for node in self._engine.nodes()):
                raise BadInputError("the cluster has no GPU; give --device cpu, or add one")
        return Needs(self._threads, gpus, memory, self._one_node())

    def _one_node(self) -> str | None:
        """Return a machine of the required environment, where there are others."""
        kinds = sorted(set(self._environments.values()))
        if not self._one_environment or len(kinds) < 2:
            return None
        wanted = self._required()
        fitting = [node for node, kind in self._environments.items() if kind == wanted]
        return fitting[len(self._jobs) % len(fitting)]

    def _required(self) -> str | None:
        """Return the environment that all runs must come from; None = any."""
        if not self._one_environment or not self._environments:
            return None
        kinds = list(self._environments.values())
        return str(self._directory.lock_fact("environment", max(set(kinds), key=kinds.count)))

    def _given_up(self, planned: PlannedRun) -> bool:
        attempts = self._inventory.attempts(planned)
        if attempts < self._workspace.study.budgets.attempts:
            return False
        directory = self._directory.run(planned.path)
        give_up(directory, attempts)
        self._bring(planned, FAILURE)
        return True

    def _test(self, plan: Plan, selected: Selected, going: set[str]) -> None:
        """Submit the doors that may be opened; the first one locks the protocol."""
        if not selected.complete:
            return
        by_teacher: dict[str, list[tuple[PlannedRun, PlannedRun | None, str]]] = {}
        for planned, baseline in self._inventory.closed_doors(plan, DOORS):
            role = next(role for role in DOORS if role in planned.roles)
            late = baseline is not None and not self._inventory.is_settled(baseline)
            if planned.id in going or late or self._inventory.is_held(planned):
                continue
            by_teacher.setdefault(str(planned.teacher), []).append((planned, baseline, role))
        for doors in by_teacher.values():
            for start in range(0, len(doors), _MANY):
                part = doors[start : start + _MANY]
                if any(role in ("final", "ablation") for _, _, role in part):
                    fact = self._workspace.preregistration(plan)
                    self._directory.lock_fact(PREREGISTRATION, fact)
                    self._push()
                known = {
                    planned.id: {
                        "role": role,
                        "baseline": baseline
                        and (
                            self._written(baseline) if self._inventory.is_done(baseline) else None
                        ),
                    }
                    for planned, baseline, role in part
                }
                runs = [planned for planned, _, _ in part]
                self._send("test", runs, self._needs(0), known)

    def _written(self, planned: PlannedRun) -> dict[str, Any]:
        """Return a run as it travels: machines have other current folders."""
        entry = written(planned)
        entry["run"]["place"]["data_root"] = self._study.data.root
        teacher = planned.run.teacher
        if teacher is not None and teacher.run is None:
            entry["run"]["teacher"]["weights"] = str(Path(teacher.weights).resolve())
        return entry

    def _send(
        self,
        kind: Any,
        runs: list[PlannedRun],
        needs: Needs,
        doors: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        facts = {
            name.removeprefix("locked/").removesuffix(".json"): None
            for name in shared_facts(self._directory.path)
            if name.startswith("locked/")
        }
        facts.pop(PREREGISTRATION, None)
        job = Job(
            id=token_hex(8),
            kind=kind,
            place=self._storage.where,
            study=self._study.model_dump(mode="json"),
            facts={name: self._directory.locked(name) for name in facts},
            runs=[self._written(planned) for planned in runs],
            code=self._code,
            device=self._device,
            threads=self._threads,
            environment=None if kind == "look" else self._required(),
            doors=doors or {},
        )
        self._jobs[job.id] = job, list(runs)
        self._engine.submit(job, needs)

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
                raise self._refused(job.id, answer)
        else:
            self._lost = 0
            self._take_facts(answer)
            for note in answer.get("notes", ()):
                if note not in self._noted:
                    self._noted.add(note)
                    self._say(note)
            for identifier, opened in answer.get("opened", {}).items():
                self._opened(plan.runs[identifier], opened)
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
                directory.path.mkdir(parents=True, exist_ok=True)
                directory.note_attempt({"began": now, "from": [0, 0]})
                directory.note_attempt({"ended": "failed", "when": now, "reason": ended.why})
                self._bring(planned, ATTEMPTS)

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

    def _opened(self, planned: PlannedRun, opened: Mapping[str, Any]) -> None:
        """Take a door that was opened into the record."""
        directory = self._directory.run(planned.path)
        for opening in opened["openings"]:
            directory.log_opening(opening)
        before = read_manifest(directory.path)
        directory.finish(opened["results"], opened["test"])
        if self._mirror is not None:
            # As `finish` does it: what is cut off leaves a manifest that vouches for what is there.
            after = read_manifest(directory.path)
            replaced = {n: before.files[n] for n in (RESULTS, TEST) if n in before.files}
            between = {"files": after.files, "dropped": after.dropped, "before": replaced}
            if TEST not in replaced:
                self._bring(planned, TEST)
            self._storage.write(f"{planned.path}/{MANIFEST}", sealed_bytes(between))
            self._bring(planned, RESULTS, TEST, MANIFEST, TIMING)
        self._inventory.look_at(planned, mine=True)

    def _bring(self, planned: PlannedRun, *names: str) -> None:
        if self._mirror is not None:
            self._mirror.push(f"{planned.path}/{name}" for name in names)

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
