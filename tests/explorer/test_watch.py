"""The page follows its study: whatever changes on disk is shown, and what cannot be read is not."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap.explorer import watch as watching
from kdgap.explorer.documents import runs_document
from kdgap.explorer.snapshot import Snapshot, take
from kdgap.explorer.watch import Watch
from kdgap.store.imports.directory import ImportedDirectory
from kdgap.store.imports.imported import import_runs
from kdgap.store.mirror import pulled
from kdgap.store.record import RunDirectory
from kdgap.store.study import PLAN, StudyDirectory
from tests.judge.test_study_evidence import BASELINE, METHOD, study
from tests.report.result_files import write_finals


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks, looks anew."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watching, "REST", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return study(tmp_path / "study", BASELINE, METHOD).path


def planned(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the plan of a study as its runner does, which replaces the file."""
    plan = json.loads((path / PLAN).read_text())
    change(plan)
    StudyDirectory(path).write(PLAN, plan)


def run_of(path: Path, number: int = 0) -> RunDirectory:
    return RunDirectory(path / json.loads((path / PLAN).read_text())["runs"][number]["path"])


def test_a_study_at_a_url_is_followed_there(path: Path) -> None:
    here = pulled(f"local://{path}")
    watch = Watch(here)
    before = watch.look()
    planned(path, lambda plan: plan["study"].update(description="told later"))
    after = watch.look()
    assert after.version != before.version
    assert "told later" in (here / PLAN).read_text()


def test_a_test_that_a_finished_run_gets_later_is_shown(path: Path) -> None:
    """Test images are opened when everything is trained: that is when the results come."""
    run = run_of(path)
    test = json.loads((run.path / "test.json").read_text())
    results = json.loads((run.path / "results.json").read_text())
    for name in ("test.json", "manifest.json"):
        (run.path / name).unlink()
    run.finish(results, None)
    watch = Watch(path)
    before = watch.look()
    assert not before.evidence.runs[0].test
    run.finish(results, test)
    after = watch.look()
    assert after.evidence.runs[0].test["best"].accuracy == BASELINE[0]
    assert after.version != before.version


@pytest.mark.parametrize("state", ["new", "damaged"])
def test_a_finished_run_that_is_no_more_is_shown_as_what_it_is(path: Path, state: str) -> None:
    watch, run = Watch(path), run_of(path)
    assert watch.look().evidence.runs[0].state == "done"
    if state == "damaged":
        (run.path / "manifest.json").write_text("{}")
    else:
        for file in run.path.iterdir():
            file.unlink()
    assert watch.look().evidence.runs[0].state == state


def test_what_is_locked_meanwhile_is_seen(path: Path) -> None:
    watch = Watch(path)
    before = watch.look()
    (path / "locked" / "preregistration.json").write_text('{"content": {}, "sha256": "wrong"}')
    after = watch.look()
    assert set(after.evidence.marks) - set(before.evidence.marks)
    assert after.version != before.version


def test_another_import_in_its_place_is_seen(tmp_path: Path) -> None:
    write_finals(tmp_path / "files")
    directory = ImportedDirectory(tmp_path / "imported")
    directory.write(*import_runs(tmp_path / "files", "theirs"))
    watch = Watch(directory.path)
    before = len(watch.look().evidence.runs)
    next((tmp_path / "files").rglob("results.json")).unlink()
    directory.write(*import_runs(tmp_path / "files", "theirs"))
    assert len(watch.look().evidence.runs) == before - 1


def test_a_file_that_is_replaced_within_one_tick_of_the_clock_is_seen(path: Path) -> None:
    watch, then = Watch(path), (path / PLAN).stat().st_mtime_ns
    planned(
        path,
        lambda plan: plan.update(
            notices=[{"code": "smoke-run", "text": "smoke run", "short": "smoke run"}]
        ),
    )
    os.utime(path / PLAN, ns=(then, then))
    assert "smoke run" in watch.look().evidence.marks


def test_what_did_not_change_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Snapshot] = []

    def counted(*words: Any) -> Snapshot:
        read.append(take(*words))
        return read[-1]

    monkeypatch.setattr(watching, "take", counted)
    watch = Watch(path)
    for _ in range(3):
        watch.look()
    assert len(read) == 1
    planned(path, lambda plan: plan.update(notices=[{"code": "smoke-run", "text": "smoke run"}]))
    for _ in range(3):
        watch.look()
    assert len(read) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan["study"]["finals"].update(primary="last"),
        lambda plan: plan["study"].update(description="another"),
        lambda plan: plan.update(notices=[{"code": "another", "text": "another"}]),
        lambda plan: plan["models"]["big"].update(parameters=7),
        lambda plan: plan.update(open_runs=3),
    ],
)
def test_every_change_of_what_documents_hold_is_another_version(
    path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    watch = Watch(path)
    before = watch.look().version
    assert take(path).version == before
    planned(path, change)
    assert watch.look().version != before


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan.clear(),
        lambda plan: plan["runs"][0].update(path=7),
        lambda plan: plan["runs"][0].update(path="../elsewhere"),
        lambda plan: plan["runs"][0].update(path="runs/../elsewhere"),
        lambda plan: plan["runs"][0].update(path="runs/a/" + "x" * 300),
        lambda plan: plan["runs"][0].update(path="/etc/ssl"),
        lambda plan: plan["runs"][0].update(slots=[]),
        lambda plan: plan["runs"][0].update(slots=[{"role": "final"}]),
        lambda plan: plan["runs"][0].update(seed="x"),
        lambda plan: plan["runs"][0].update(parameters="x"),
        lambda plan: plan["study"].update(claims=[7]),
        lambda plan: plan.update(models=[]),
    ],
)
def test_a_plan_that_cannot_be_read_leaves_what_was_shown(
    path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    watch, content = Watch(path), (path / PLAN).read_bytes()
    before = watch.look()
    planned(path, change)
    assert watch.look() is before
    json.loads(watch.document("study"))
    (path / PLAN).write_bytes(content)
    assert runs_document(watch.look()) == runs_document(before)


def test_nobody_waits_while_another_visitor_has_the_study_read(path: Path) -> None:
    watch = Watch(path)
    before = watch.look()
    planned(path, lambda plan: plan.update(notices=[{"code": "smoke-run", "text": "smoke run"}]))
    with watch._lock:
        assert watch.look() is before
    assert watch.look() is not before


def test_nothing_that_threads_share_is_left_to_be_made_by_the_first_two_at_once(
    path: Path,
) -> None:
    snapshot = take(path)
    names = {"context", "arms", "_places", "numbers", "version"}
    assert names <= set(vars(snapshot))
    assert {"arms", "tried", "finals", "baselines", "settings"} <= set(vars(snapshot.context))
