"""A study's plan kept true while runs end one after the other."""

from collections.abc import Callable

from kdgap.planning.plan import Plan
from kdgap.store.storage import stamp
from kdgap.store.study import LOCKED, PLAN, PREREGISTRATION, SELECTION, STUDY
from kdgap.study.selection import Selected
from kdgap.study.workspace import Workspace, write_plan

_FILES = (PLAN, SELECTION, STUDY, f"{LOCKED}/{PREREGISTRATION}.json")


class KeptPlan:
    """Keeps a workspace's `plan.json`, of which a large study's takes seconds to make.

    Args:
        workspace: the study.
        pause: called while others hold the plan's lock, and may raise to stop waiting.
    """

    def __init__(self, workspace: Workspace, pause: Callable[[], None]) -> None:
        self._workspace, self._pause = workspace, pause
        self._written: tuple[Plan, Selected] | None = None
        self._stamps: list[str] = []

    def refresh(self) -> tuple[Plan, Selected]:
        """Look at the disk, plan, and write what has changed; see `write_plan`.

        Nothing is made anew while the plan, what selection says and the files are those of the
        last time: a file that somebody else has written is looked at.
        """
        plan, selected = self._workspace.plan()
        before = self._written
        same = before is not None and before[0] is plan and before[1] == selected
        if not same or self._stamps != self._look():
            write_plan(self._workspace, plan, selected, replace=False, pause=self._pause)
            self._written, self._stamps = (plan, selected), self._look()
        return plan, selected

    def _look(self) -> list[str]:
        return [stamp(self._workspace.directory.path / name) for name in _FILES]
