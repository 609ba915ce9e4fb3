"""What is not hashed is not believed: careless edits of a study's own files are named.

Only the command line is used here, on files as they lie on the disk: of this version, and of before
seals, which have no checksum and are held to the records that they speak of.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgap.store.study import StudyDirectory
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study
from tests.faults.conftest import Command

Change = Callable[[Any], object]


def edit(path: Path, change: Change) -> None:
    """Change a JSON file by hand."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content if (new := change(content)) is None else new, indent=2))


def before_seals(study: Path) -> None:
    """Make of a study what an earlier kdgap would have left."""
    for path in [*study.rglob("*.json")]:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or "checksum" not in content:
            continue
        content = {k: v for k, v in content.items() if k not in ("checksum", "study_file")}
        if path.parent.name == "locked":
            content = content["value"]
        elif path.name == "run.json":
            continue  # under its manifest
        else:
            content["format"] = 1
        path.write_text(json.dumps(content, indent=2))


def first(plan: Any, role: str) -> Any:
    return next(run for run in plan["runs"] if role in run["roles"])


PLAN: dict[str, Change] = {
    "seed": lambda plan: first(plan, "final").update(seed=1),
    "cell": lambda plan: first(plan, "final").update(cell="0" * 64),
    "parameters": lambda plan: first(plan, "final")["parameters"].update(alpha=0.5),
    "teacher": lambda plan: first(plan, "final").update(teacher="0" * 64),
    "no teacher": lambda plan: first(plan, "final").update(teacher=None),
    "method": lambda plan: first(plan, "final")["slots"][0].update(method="feature"),
    "student": lambda plan: first(plan, "final")["slots"][0].update(student="big"),
    "slot's teacher": lambda plan: first(plan, "final")["slots"][0].update(teacher="little"),
    "role": lambda plan: first(plan, "baseline")["slots"][0].update(role="final"),
    "teacher's role": lambda plan: first(plan, "teacher")["slots"][0].update(role="baseline"),
    "roles": lambda plan: first(plan, "final").update(roles=["ablation"]),
    "id": lambda plan: first(plan, "final").update(id="0" * 64),
    "winner": lambda plan: plan["winners"][0]["parameters"].update(alpha=0.5),
    "smallest effect": lambda plan: plan["study"]["statistics"].update(smallest_effect_pp=9.0),
    "primary": lambda plan: plan["study"]["finals"].update(primary="last"),
    "metric": lambda plan: plan["study"]["selection"].update(metric="last_val_acc"),
}
SELECTION: dict[str, Change] = {
    "score": lambda s: s["choices"][0]["candidates"][0].update(score=0.125),
    "winner": lambda s: s["choices"][0].update(winner=s["choices"][0]["candidates"][1]["parameters"]
        if s["choices"][0]["winner"] == s["choices"][0]["candidates"][0]["parameters"]
        else s["choices"][0]["candidates"][0]["parameters"]),
    "parameters": lambda s: s["choices"][0]["candidates"][0]["parameters"].update(alpha=0.4),
    "tried": lambda s: s["choices"][0].update(tried=9),
    "student": lambda s: s["choices"][0].update(student="big"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("what", "sealed"),
    [*((what, False) for what in PLAN), ("seed", True), ("winner", True), ("primary", True)],
)
def test_a_changed_plan_is_named_by_all(
    directory: StudyDirectory, kdgap: Command, what: str, sealed: bool
) -> None:
    if not sealed:
        before_seals(directory.path)
    edit(directory.path / "plan.json", PLAN[what])
    for command in ("status", "analyze"):
        code, output = kdgap(command, directory.path)
        if command == "analyze" and what in ("smallest effect", "primary") and not sealed:
            assert f"post hoc: {'statistics' if 'effect' in what else 'primary'}" in output
        else:
            assert (command, code) == (command, 4), output
            assert "error: " in output


@pytest.mark.parametrize(
    ("what", "sealed"), [*((what, False) for what in SELECTION), ("score", True)]
)
def test_a_changed_selection_is_named_by_all(
    directory: StudyDirectory, kdgap: Command, what: str, sealed: bool
) -> None:
    if not sealed:
        before_seals(directory.path)
    edit(directory.path / "selection.json", SELECTION[what])
    for command in ("status", "verify", "analyze"):
        code, output = kdgap(command, directory.path)
        assert (command, code) == (command, 4), output
        assert "selection.json" in output


def test_one_letter_of_the_selection_is_no_traceback(
    directory: StudyDirectory, kdgap: Command
) -> None:
    path = directory.path / "selection.json"
    path.write_text(path.read_text().replace('"runs"', '"rums"'))
    for command in ("status", "verify", "analyze", "report", "show"):
        assert kdgap(command, directory.path)[0] == 4


@pytest.mark.parametrize("name", ["data", "threads", "preregistration", "format"])
@pytest.mark.parametrize("how", ["changed", "gone", "odd"])
def test_what_is_locked_is_verified(
    directory: StudyDirectory, kdgap: Command, name: str, how: str
) -> None:
    path = directory.path / "locked" / f"{name}.json"
    if how == "changed":
        text = path.read_text()
        key = '"sha256": "' if name == "preregistration" else '"value": '
        at = text.index(key) + len(key)
        path.write_text(text[:at] + ("[" if text[at] == "{" else "7") + text[at + 1 :])
    elif how == "gone":
        path.unlink()
    else:
        path.write_text("[]")
    for command in ("verify", "status"):
        code, output = kdgap(command, directory.path)
        assert code == 4, output
        assert f"locked/{name}.json" in output


@pytest.mark.parametrize(
    ("name", "value"),
    [("threads", 7), ("data", None), ("teacher", "0" * 64), ("threads", "one"), ("threads", -1)],
)
def test_what_was_locked_before_seals_is_held_to_the_records(
    directory: StudyDirectory, kdgap: Command, name: str, value: Any
) -> None:
    before_seals(directory.path)
    (path,) = (directory.path / "locked").glob(f"{name}*.json")
    edit(path, lambda old: value or {**old, "fingerprint": "0" * 64})
    code, output = kdgap("verify", directory.path)
    assert code == 4
    assert f"locked/{path.name}" in output


def test_a_lock_that_is_gone_is_locked_as_the_runs_had_it(
    directory: StudyDirectory, kdgap: Command
) -> None:
    path = directory.path / "locked" / "threads.json"
    content = path.read_bytes()
    path.unlink()
    assert directory.lock_fact("threads", 5) == json.loads(content)["value"]
    assert path.read_bytes() == content
    assert kdgap("verify", directory.path)[0] == 0


def test_a_registration_that_is_gone_cannot_be_made_again(
    directory: StudyDirectory, kdgap: Command
) -> None:
    path = directory.path / "locked" / "preregistration.json"
    locked = json.loads(path.read_text())
    path.unlink()
    code, output = kdgap("analyze", directory.path)
    assert (code, "pre-registration lost" in output) == (4, True)
    directory.lock_fact("preregistration", locked)
    code, output = kdgap("analyze", directory.path)
    assert (code, "pre-registration changed by hand" in output) == (4, True)


def test_a_registration_of_another_study_is_named(
    directory: StudyDirectory, kdgap: Command
) -> None:
    from kdgap.store.preregistration import content_hash

    path = directory.path / "locked" / "preregistration.json"
    content = json.loads(path.read_text())["content"]
    content["finals"]["seeds"] = [0, 1, 2]
    path.write_text(json.dumps({"sha256": content_hash(content), "content": content}))
    code, output = kdgap("verify", directory.path)
    assert (code, "says another finals" in output) == (4, True)


def test_a_study_file_that_was_edited_is_named(directory: StudyDirectory, kdgap: Command) -> None:
    path = directory.path / "study.yaml"
    path.write_text(path.read_text().replace('"seeds": [0, 1]', '"seeds": [0, 2]'))
    code, output = kdgap("verify", directory.path)
    assert (code, "study.yaml" in output) == (4, True)


@pytest.mark.parametrize("role", ["teacher", "selection", "baseline", "final"])
def test_a_run_whose_manifest_is_gone_is_damaged(
    directory: StudyDirectory, kdgap: Command, role: str
) -> None:
    run = directory.path / first(directory.plan(), role)["path"]
    (run / "manifest.json").unlink()
    for command in ("status", "verify", "analyze"):
        code, output = kdgap(command, directory.path)
        assert (command, code) == (command, 4)
        assert str(run.name) in output


@pytest.mark.parametrize("role", ["selection", "final"])
def test_a_run_in_anothers_folder_is_damaged(
    directory: StudyDirectory, kdgap: Command, role: str
) -> None:
    source, target = [directory.path / run["path"] for run in directory.plan()["runs"]
                  if role in run["roles"]][:2]  # fmt: skip
    source.rename(source.with_name("aside"))
    target.rename(source)
    for command in ("status", "verify", "analyze"):
        assert kdgap(command, directory.path)[0] == 4


def test_a_study_of_before_seals_is_read_named_and_sealed(
    directory: StudyDirectory, kdgap: Command
) -> None:
    names = ("selection.json", "study.yaml")
    sealed = [(directory.path / name).read_bytes() for name in names]
    before_seals(directory.path)
    for command in ("status", "verify", "analyze"):
        assert kdgap(command, directory.path)[0] == 0
    assert "not sealed" in kdgap("verify", directory.path)[1]
    edit(directory.path / "selection.json", SELECTION["score"])
    assert kdgap("run", directory.path.parent / "study.yaml", "--out", directory.path)[0] == 0
    code, output = kdgap("verify", directory.path)
    assert (code, "not sealed" in output) == (0, False)
    assert [(directory.path / name).read_bytes() for name in names] == sealed


def test_data_that_is_locked_no_more_is_locked_again(
    directory: StudyDirectory, kdgap: Command
) -> None:
    path = directory.path / "locked" / "data.json"
    before = path.read_bytes()
    path.unlink()
    Worker(open_study(directory.path), "cpu").work()
    assert path.read_bytes() == before
    assert kdgap("verify", directory.path)[0] == 0


def test_a_plan_that_is_gone_is_damage(directory: StudyDirectory, kdgap: Command) -> None:
    (directory.path / "plan.json").unlink()
    for command in ("status", "verify"):
        code, output = kdgap(command, directory.path)
        assert code == 4
        assert "plan.json: is gone" in output
