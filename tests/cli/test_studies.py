"""`kdgap run`, `status`, `show`, `verify`, `clean`, `export` on a small finished study."""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kdgap import disk
from kdgap.cli.reference import collect_app
from kdgap.store.progress import keep_left, kept_left
from kdgap.store.record import BEST, RunDirectory
from kdgap.store.seal import read_sealed, write_sealed
from kdgap.store.study import StudyDirectory
from kdgap.study.live import Live
from kdgap.study.supervise import Supervisor
from kdgap.study.worker import Worker
from kdgap.study.workspace import open_study, start_study
from tests.e2e.study import study_text

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]
ABLATIONS = {
    "clip": {
        "of": {"teacher": "big", "student": "little", "method": "feature"},
        "change": {"recipe.clip_scope": "student_only"},
        "seeds": [0],
    },
}


@pytest.fixture(scope="session")
def _studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studied")
    file = folder / "study.yaml"
    file.write_text(study_text(recipe={"epochs": 1, "batch_size": 64}, ablations=ABLATIONS))
    work(file, folder / "small")
    return folder


def work(file: Path, out: Path) -> StudyDirectory:
    """Do a whole study in this process."""
    workspace = open_study(file, {}, out)
    directory = start_study(workspace, lambda _: None)
    Worker(workspace, "cpu").work()
    return directory


@pytest.fixture
def study(_studied: Path, workdir: Path) -> StudyDirectory:
    """This test's own copy of a finished study, at runs/small beside its file study.yaml."""
    shutil.copytree(_studied / "small", workdir / "runs" / "small")
    shutil.copy(_studied / "study.yaml", workdir / "study.yaml")
    return StudyDirectory(Path("runs/small"))


@pytest.fixture
def collect(
    _run: Callable[[Any, str, tuple[object, ...]], "CompletedProcess[str]"],
) -> Command:
    return lambda *words: _run(collect_app, "collect_results.py", words)


def paths(study: StudyDirectory, role: str) -> list[str]:
    return [run["path"] for run in study.plan()["runs"] if role in run["roles"]]


def edit(path: Path) -> None:
    """Change a record by hand."""
    text = path.read_text()
    path.write_text(text.replace('"epochs": 1', '"epochs": 9'))
    assert path.read_text() != text


# status


@pytest.mark.usefixtures("study")
def test_status_counts_by_role_from_the_directory_or_the_file(kdgap: Command) -> None:
    for target in ("runs/small", "study.yaml"):
        done = kdgap("status", target)
        assert done.returncode == 0, done.stderr
        assert "12 of 12 runs done; selection is over; 0 stale" in " ".join(done.stdout.split())
    status = json.loads(kdgap("status", "runs/small", "--json").stdout)
    assert {run["state"] for run in status["runs"]} == {"done"}
    assert status["live"] == []


def test_status_names_a_damaged_record_and_counts_the_others(
    study: StudyDirectory, kdgap: Command
) -> None:
    victim = paths(study, "final")[0]
    edit(study.path / victim / "results.json")
    done = kdgap("status", "runs/small", "--json")
    assert done.returncode == 4
    assert f"{victim}/results.json" in done.stderr
    states = [run["state"] for run in json.loads(done.stdout)["runs"]]
    assert (states.count("damaged"), states.count("done")) == (1, 11)


def test_status_says_the_time_left_that_run_shows(study: StudyDirectory, kdgap: Command) -> None:
    def words() -> tuple[str, float | None]:
        done = kdgap("status", "runs/small")
        assert done.returncode == 0, done.stderr
        left: float | None = json.loads(kdgap("status", "runs/small", "--json").stdout)["left"]
        return done.stdout, left

    keep_left(study.path, 80.4)
    shown, left = words()
    assert " left" not in shown  # nobody works on it any more
    assert left is None
    runner = Live(study.path)
    runner.write({"phase": "loading data"})
    shown, left = words()
    assert left == 80.4
    assert shown.endswith("loading data\nabout 1 min 20 s left\n")
    keep_left(study.path, None)
    shown, left = words()
    assert " left" not in shown
    assert left is None


@pytest.mark.parametrize("text", ["{", "{}", '{"when": 1e999, "seconds": 1}', '{"seconds": -1}'])
def test_a_time_left_that_nobody_wrote_is_passed_over_and_named(
    study: StudyDirectory, kdgap: Command, text: str
) -> None:
    Live(study.path).write({"phase": "loading data"})
    (study.path / "live" / "a-1.left").write_text(text)
    done = kdgap("status", "runs/small")
    assert done.returncode == 0
    assert " left" not in done.stdout
    assert "a-1.left" in done.stderr
    assert "passed over" in " ".join(done.stderr.split())


@pytest.mark.parametrize("age", [-120.0, 120.0])
def test_a_time_left_of_another_time_is_not_shown(study: StudyDirectory, age: float) -> None:
    keep_left(study.path, 5.0)
    assert kept_left(study.path) == 5.0
    (file,) = (study.path / "live").glob("*.left")
    file.write_text(json.dumps({"when": time.time() - age, "seconds": 5.0}))
    assert kept_left(study.path) is None


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `kdgap run` work itself, in the place of its workers."""

    def work(supervisor: Supervisor) -> tuple[int, str]:
        Worker(open_study(supervisor._study), "cpu").work()
        return 0, ""

    monkeypatch.setattr(Supervisor, "run", work)
    monkeypatch.setattr("kdgap.cli.judging.write_report", lambda *_: None)  # which takes long


@pytest.mark.usefixtures("_in_this_process")
def test_run_says_how_many_runs_were_trained_in_its_time(
    study: StudyDirectory, kdgap: Command
) -> None:
    for path in paths(study, "final")[:2]:
        shutil.rmtree(study.path / path)
    for words in ("2 of them now, in ", "none of them now · "):
        done = " ".join(kdgap("run", "runs/small").stdout.split())
        assert f"small: 12 runs, {words}" in done


def test_status_says_when_the_file_was_edited_since(
    study: StudyDirectory, kdgap: Command, workdir: Path
) -> None:
    file = workdir / "study.yaml"
    file.write_text(file.read_text().replace("[0, 1]", "[0, 1, 2]"))
    assert "is not what was last run" in kdgap("status", "study.yaml").stderr


def test_a_folder_without_a_study_is_refused(
    kdgap: Command, refused: Callable[..., str], workdir: Path
) -> None:
    (workdir / "empty").mkdir()
    for command in ("status", "verify", "clean", "export"):
        assert "no study was run here" in refused(kdgap, command, "empty")


@pytest.mark.parametrize("words", [("analyze",), ("report",), ("show",), ("analyze", "--json")])
def test_what_is_judged_beside_a_damaged_record_is_shown_and_ends_with_4(
    kdgap: Command, study: StudyDirectory, words: tuple[str, ...]
) -> None:
    first = paths(study, "final")[0]
    edit(study.path / first / "results.json")
    done = kdgap(words[0], study.path, *words[1:])
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].endswith(f"1 damaged, left out of every number: {first}")
    if words[0] == "report":
        assert first in (study.path / "report.html").read_text()
    else:
        assert "gain" in done.stdout


@pytest.mark.parametrize("text", ['{"format": 1}', '{"format": 1, "runs": [1]}'])
def test_a_plan_edited_to_nonsense_is_damaged_until_the_study_is_run_again(
    study: StudyDirectory, kdgap: Command, text: str
) -> None:
    (study.path / "plan.json").write_text(text)
    for command in ("status", "show", "verify", "clean", "export", "plan", "run"):
        done = kdgap(command, "runs/small")
        assert (done.returncode, len(done.stderr.splitlines())) == (4, 1), command
        assert "runs/small/plan.json: " in done.stderr
    start_study(open_study(Path("study.yaml"), {}, study.path), lambda _: None)
    assert kdgap("status", "runs/small").returncode == 0


# show


@pytest.mark.usefixtures("study")
def test_show_prints_every_gain_with_an_interval(kdgap: Command) -> None:
    done = kdgap("show", "runs/small")
    assert done.returncode == 0, done.stderr
    assert "Logit-KD" in done.stdout
    assert "Feature-KD" in done.stdout
    table = json.loads(kdgap("show", "runs/small", "--json").stdout)
    assert [row["method"] for row in table["gains"]] == ["logit", "feature"]
    for row in table["gains"]:
        assert row["ci95_pp"][0] < row["gain_pp"] < row["ci95_pp"][1]
        assert row["tried"] == 2
    assert "smoke run" in done.stderr


def test_show_counts_no_configurations_from_a_damaged_selection(
    study: StudyDirectory, kdgap: Command
) -> None:
    (study.path / "selection.json").write_text("{}")
    done = kdgap("show", "runs/small")
    assert (done.returncode, done.stdout) == (4, "")
    assert "runs/small/selection.json: choices is missing" in done.stderr.splitlines()[-1]


# verify


@pytest.mark.usefixtures("study")
def test_verify_hashes_all_and_trains_again(kdgap: Command) -> None:
    done = kdgap("verify", "runs/small", "--rerun", "2")
    assert done.returncode == 0, done.stderr
    assert "12 finished runs verified, 0 damaged" in done.stdout
    assert done.stderr.count("equal, bit for bit") == 2


def test_verify_trains_a_named_run_again(study: StudyDirectory, kdgap: Command) -> None:
    (first, *_) = (run for run in study.plan()["runs"] if "final" in run["roles"])
    for words in ((), ("--rerun", "12")):
        done = kdgap("verify", "runs/small", "--run", first["id"][:12].upper(), "--json", *words)
        assert done.returncode == 0, done.stderr
        again = json.loads(done.stdout)["reruns"]
        assert again[0] == {"path": first["path"], "differs": [], "same_environment": True}
        assert len(again) == len({entry["path"] for entry in again}) == (12 if words else 1)


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("named", ["", "xyz", "0" * 64, "runs/small"])
def test_verify_refuses_a_run_that_nobody_planned(
    refused: Callable[..., str], kdgap: Command, named: str
) -> None:
    error = refused(kdgap, "verify", "runs/small", "--run", named)
    assert "runs/small plans no run whose id begins so" in error


def test_verify_refuses_an_ambiguous_id_and_an_unfinished_run(
    study: StudyDirectory, refused: Callable[..., str], kdgap: Command
) -> None:
    ids = [run["id"] for run in study.plan()["runs"]]
    common = next((d for d in "0123456789abcdef" if sum(i[0] == d for i in ids) > 1), "")
    assert common, "twelve ids of which no two begin alike: change the study"
    error = refused(kdgap, "verify", "runs/small", "--run", common)
    assert "whose ids begin so, such as " in error
    path = paths(study, "final")[0]
    (study.path / path / "manifest.json").unlink()
    (name,) = (run["id"] for run in study.plan()["runs"] if run["path"] == path)
    error = refused(kdgap, "verify", "runs/small", "--run", name)
    assert error.endswith(f"{path} is not finished: nothing to compare with")


def test_verify_finds_one_flipped_bit_in_weights(study: StudyDirectory, kdgap: Command) -> None:
    path = study.path / paths(study, "final")[0] / BEST
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert kdgap("status", "runs/small").returncode == 0  # which does not hash weights
    done = kdgap("verify", "runs/small")
    assert done.returncode == 4
    assert BEST in done.stderr


def test_verify_finds_a_run_copied_over_another(study: StudyDirectory, kdgap: Command) -> None:
    first, second = (study.path / path for path in paths(study, "final")[:2])
    shutil.rmtree(second)
    shutil.copytree(first, second)
    for command in ("status", "verify"):
        done = kdgap(command, "runs/small")
        assert done.returncode == 4
        assert f"{second}: holds run" in done.stderr


def test_a_slot_that_is_a_symbolic_link_is_named_and_cleaned_but_not_what_it_leads_to(
    study: StudyDirectory, kdgap: Command, workdir: Path
) -> None:
    slot = (study.path / paths(study, "final")[0]).parent
    slot.rename(workdir / "elsewhere")
    slot.symlink_to(workdir / "elsewhere")
    before = sorted(workdir.glob("elsewhere/*/*"))
    for command in ("status", "verify"):
        done = kdgap(command, "runs/small")
        assert done.returncode == 4
        assert f"{slot}: is a symbolic link" in done.stderr
    assert kdgap("clean", "runs/small", "--yes").returncode == 0
    assert not slot.is_symlink()
    assert sorted(workdir.glob("elsewhere/*/*")) == before
    assert kdgap("verify", "runs/small").returncode == 0


def test_a_forged_record_verifies_and_fails_its_rerun(
    study: StudyDirectory, kdgap: Command
) -> None:
    for path in paths(study, "final"):
        folder = study.path / path
        for name in ("results.json", "history.jsonl"):
            text = (folder / name).read_text()
            (folder / name).write_text(text.replace('"val_loss": ', '"val_loss": 1'))
        manifest = read_sealed(folder / "manifest.json")
        for name in ("results.json", "history.jsonl"):
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            manifest["files"][name] = digest
        write_sealed(folder / "manifest.json", manifest)
    assert kdgap("verify", "runs/small").returncode == 0
    done = kdgap("verify", "runs/small", "--rerun", "12", "--json")
    assert done.returncode == 4
    differ = [r["path"] for r in json.loads(done.stdout)["reruns"] if r["differs"]]
    assert sorted(differ) == sorted(paths(study, "final"))


# clean


def test_clean_removes_what_is_stale_failed_or_damaged_and_nothing_else(
    study: StudyDirectory, kdgap: Command, refused: Callable[..., str], workdir: Path
) -> None:
    assert "nothing to remove" in kdgap("clean", "runs/small").stdout
    damaged, failed = paths(study, "final")[:2]
    edit(study.path / damaged / "results.json")
    (study.path / failed / "manifest.json").unlink()
    RunDirectory(study.path / failed).fail({"reason": "no luck"}, {})
    stale = study.path / "runs/old/0-12345678"
    stale.mkdir(parents=True)
    (stale / "run.json").write_text('{"id": "1"}')
    done = kdgap("clean", "runs/small")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert [line.rpartition("  ")[2].partition(":")[0] for line in done.stdout.splitlines()] == [
        "stale",
        "damaged",
        "failed",
    ]
    assert stale.exists()
    lock = RunDirectory(study.path / failed).try_lock()
    assert lock is not None
    with lock:
        done = kdgap("clean", "runs/small", "--yes")
    assert done.returncode == 0, done.stderr
    assert "2 removed" in done.stdout
    left = {str(path.relative_to(study.path)) for path in study.path.glob("runs/*/*")}
    assert left == {run["path"] for run in study.plan()["runs"]} - {damaged}


# export and the collector


def test_clean_tidies_what_nobody_owns_and_asks_before_it_removes_a_run(
    study: StudyDirectory, kdgap: Command
) -> None:
    loose = study.path / paths(study, "final")[0] / "state-000003.safetensors"
    for ask in (False, True):
        loose.write_bytes(b"loose")
        if ask:
            edit(study.path / paths(study, "final")[1] / "results.json")
        done = kdgap("clean", "runs/small")
        assert done.returncode == (2 if ask else 0)
        assert "tidied: 1 left-over file of ended processes" in done.stderr
        assert not loose.exists()
        assert (done.stdout == "no runs to remove\n") is not ask
    assert (study.path / paths(study, "final")[1]).exists()


@pytest.mark.usefixtures("sketched")
def test_run_tidies_before_it_trains_and_after(
    study: StudyDirectory, kdgap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = study.path / paths(study, "final")[0] / "state-000003.safetensors"
    loose.write_bytes(b"loose")

    def killed_once(_: object) -> tuple[int, str]:
        assert not loose.exists()
        loose.write_bytes(b"loose")
        return 0, ""

    monkeypatch.setattr("kdgap.study.supervise.Supervisor.run", killed_once)
    done = kdgap("run", "study.yaml")
    assert done.returncode == 0
    assert done.stderr.count("tidied: 1 left-over file of ended processes") == 2
    assert not loose.exists()


def test_a_folder_that_is_no_study_is_not_tidied(
    kdgap: Command, refused: Callable[..., str], workdir: Path
) -> None:
    (workdir / "mine" / "runs" / "empty").mkdir(parents=True)
    assert "no study was run here" in refused(kdgap, "clean", "mine")


def test_an_export_that_fails_leaves_the_earlier_one(
    study: StudyDirectory, kdgap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kdgap("export", "runs/small", "--to", "out").returncode == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    for path in before:
        path.write_text(path.read_text().replace('"small"', '"small" '))
    before = {path: path.read_bytes() for path in before}
    left, sync = [5], disk.current.sync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(disk.current, "sync", full)
        assert kdgap("export", "runs/small", "--to", "out").returncode != 0
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("words", [("report",), ("report", "--figures", "figures"), ("analyze",)])
def test_a_report_that_fails_leaves_the_earlier_one(
    study: StudyDirectory, kdgap: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    command = (words[0], study.path, *words[1:])
    assert kdgap(*command).returncode == 0

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}

    # What an earlier version wrote says other things.
    for path in contents():
        if path.suffix in (".html", ".csv", ".svg", ".png") or path.name == "analysis.json":
            path.write_bytes(b"earlier")
    before, rename, renamed = contents(), disk.current.rename, [0]

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def counted(source: Path, target: Path) -> None:
        renamed[0] += 1
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(disk.current, "rename", counted)
        patch.setattr(disk.current, "sync", full)
        assert kdgap(*command).returncode != 0
    assert renamed == [0]
    assert contents() == before


def test_export_leaves_the_references_layout_with_run_ids(
    study: StudyDirectory, kdgap: Command, collect: Command, workdir: Path
) -> None:
    assert kdgap("export", "runs/small", "--to", "out").returncode == 0
    names = {str(path.relative_to("out")) for path in Path("out").rglob("*.json")}
    pair = "resnet8x0.5_to_resnet8x0.125"
    assert f"select/{pair}/logit/a0.3_t4/seed1000/results.json" in names
    assert f"select/{pair}/feature/a0.7/seed1000/results.json" in names
    assert f"final/{pair}_logit/seed1/fidelity.json" in names
    assert "final/baseline/resnet8x0.125/seed0/results.json" in names
    assert "teachers/big/seed0/results.json" in names
    assert any(name.startswith(f"bug_ablation/{pair}/feature_bugged/a") for name in names)
    ids = {run["id"] for run in study.plan()["runs"]}
    for path in Path("out").rglob("results.json"):
        assert json.loads(path.read_text())["run_id"] in ids
        assert not path.is_symlink()
    done = collect("out/select", "--write-best", "best.json", "--csv", "runs.csv")
    assert done.returncode == 0, done.stderr
    best = json.loads(Path("best.json").read_text())
    winners = {w["method"]: w["parameters"] for w in study.plan()["winners"]}
    assert {name.rpartition("_")[2]: b["alpha"] for name, b in best.items()} == {
        method: parameters["alpha"] for method, parameters in winners.items()
    }
    assert all(b["smoke"] and b["tried"] == 2 for b in best.values())
    assert len(Path("runs.csv").read_text().splitlines()) == 5
    assert collect("out/select", "--check-best", "best.json").returncode == 0


def test_the_best_configurations_are_what_the_finals_use_whatever_the_metric_and_the_order(
    study: StudyDirectory, kdgap: Command, collect: Command
) -> None:
    def exported() -> None:
        assert kdgap("export", "runs/small", "--to", "out").returncode == 0

    def alphas() -> dict[str, float]:
        assert collect("out/select", "--write-best", "best.json").returncode == 0
        best = json.loads(Path("best.json").read_text())
        return {settings["kd_type"]: settings["alpha"] for settings in best.values()}

    exported()
    before = alphas()
    plan = study.plan()
    plan["study"]["selection"]["metric"] = "last_val_acc"
    for winner in plan["winners"]:
        alpha = winner["parameters"]["alpha"]
        winner["parameters"]["alpha"] = {0.3: 0.7, 0.7: 0.3}[alpha]
    study.write("plan.json", plan)
    exported()
    assert collect("out/select", "--check-best", "best.json").returncode == 2
    after = alphas()
    assert all(after[method] != before[method] for method in before)
    assert collect("out/select", "--check-best", "best.json").returncode == 0
    assert '"last_val_acc"' in Path("best.json").read_text()
    # Until selection has ended nothing is the best.
    study.write("plan.json", plan | {"winners": []})
    exported()
    done = collect("out/select", "--check-best", "best.json")
    assert done.returncode == 2
    assert "finish its selection" in done.stderr


def test_an_export_with_a_given_teacher_has_the_fidelity_too(
    study: StudyDirectory, kdgap: Command, workdir: Path
) -> None:
    weights = str(study.path / paths(study, "teacher")[0] / BEST)
    file = workdir / "given.yaml"
    file.write_text(
        study_text(
            recipe={"epochs": 1, "batch_size": 64},
            teachers={"weights": {"big": weights}},
            methods={"logit": {"alpha": 0.5}, "feature": {"alpha": 0.5}},
        )
    )
    work(file, Path("runs/given"))
    assert kdgap("export", "runs/given", "--to", "out").returncode == 0
    pair = "resnet8x0.5_to_resnet8x0.125"
    files = sorted(Path("out").rglob("fidelity.json"))
    assert {str(path) for path in files} == {
        f"out/final/{pair}_{method}/seed{seed}/fidelity.json"
        for method in ("logit", "feature")
        for seed in (0, 1)
    }
    for path in files:
        fidelity = json.loads(path.read_text())
        assert 0 <= fidelity["top1_agreement"] <= 1
        assert 0 <= fidelity["baseline"]["top1_agreement"] <= 1


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": NaN}'])
def test_a_malformed_best_file_is_refused(kdgap: Command, collect: Command, content: str) -> None:
    kdgap("export", "runs/small", "--to", "out")
    Path("best.json").write_text(content)
    done = collect("out/select", "--check-best", "best.json")
    assert done.returncode == 2
    assert "best.json" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_export_removes_what_its_study_no_longer_plans_and_nothing_else(
    study: StudyDirectory, kdgap: Command
) -> None:
    kdgap("export", "runs/small", "--to", "out")
    theirs = Path("out/select/mine/results.json")
    theirs.parent.mkdir()
    theirs.write_text('{"model": "resnet18"}')
    plan = study.plan()
    gone = plan["runs"].pop()
    study.write("plan.json", plan)
    before = set(Path("out").rglob("results.json"))
    kdgap("export", "runs/small", "--to", "out")
    (lost,) = before - set(Path("out").rglob("results.json"))
    assert gone["path"].startswith("runs/digits_")
    assert "bug_ablation" in str(lost)
    assert theirs.exists()


# run


def test_the_studys_directory_has_to_be_its_own(
    kdgap: Command, study: StudyDirectory, workdir: Path
) -> None:
    (workdir / "file").write_text("a file")
    (workdir / "strange").mkdir()
    (workdir / "strange/thesis.tex").write_text("years of work")
    (workdir / "link").symlink_to(workdir / "strange")
    for out, words in (
        ("file/study", "file/study: "),
        ("file", "file: "),
        ("strange", "thesis.tex"),
        ("link", "symbolic link"),
    ):
        done = kdgap("run", "study.yaml", "--out", out)
        assert done.returncode == 2, out
        assert words in done.stderr.splitlines()[-1]
    assert [path.name for path in (workdir / "strange").iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("out", ["runs/new", "runs/small"])
def test_output_that_cannot_be_written_is_found_before_training(
    kdgap: Command, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    class ReadOnly(disk.Disk):
        def make_folder(self, path: Path) -> None:
            if not path.exists():
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            super().make_folder(path)

        def open(self, path: Path, flags: int) -> int:
            if flags & os.O_ACCMODE != os.O_RDONLY:
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return super().open(path, flags)

    def train(*_: object) -> None:
        pytest.fail("a worker was started")

    monkeypatch.setattr("kdgap.study.supervise.Supervisor.run", train)
    monkeypatch.setattr(disk, "current", ReadOnly())
    error = refused(kdgap, "run", "study.yaml", "--out", out)
    assert out in error
    assert "Read-only file system" in error


@pytest.mark.usefixtures("study")
def test_what_run_cannot_do_is_refused(kdgap: Command, refused: Callable[..., str]) -> None:
    assert "did you mean 'finals'" in refused(kdgap, "run", "study.yaml", "--only", "final")
    assert "clip" in refused(kdgap, "run", "study.yaml", "--only", "clipp")
    assert "--set" in refused(kdgap, "run", "runs/small", "--set", "finals.seeds=[0]")
    assert "not usable" in refused(kdgap, "run", "study.yaml", "--device", "cuda:7")
    assert "study.yml" in refused(kdgap, "run", "study.yml")


def test_a_worker_that_met_damage_ends_with_4_and_names_it(
    study: StudyDirectory, kdgap: Command
) -> None:
    (path,) = (study.path / relative for relative in paths(study, "teacher"))
    content = bytearray((path / BEST).read_bytes())
    content[-1] ^= 1
    (path / BEST).write_bytes(content)
    shutil.rmtree(study.path / paths(study, "final")[0])
    done = kdgap("worker", "runs/small")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith(
        "error: runs/small: 1 damaged, and what needs it"
    )
    assert str(path) in done.stderr
    assert kdgap("clean", "runs/small", "--yes").stdout.startswith(f"{path}  damaged")


@pytest.mark.usefixtures("study", "sketched")
def test_damage_that_a_worker_met_is_the_end_of_a_run_after_all_is_shown(
    kdgap: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = (4, "runs/small: 1 damaged")
    monkeypatch.setattr("kdgap.study.supervise.Supervisor.run", lambda _: outcome)
    done = kdgap("run", "study.yaml")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == "error: runs/small: 1 damaged"
    assert "Report: runs/small/report.html" in done.stderr


@pytest.mark.usefixtures("one_process")
def test_students_without_their_teacher_are_not_done_in_silence(
    kdgap: Command, study: StudyDirectory, workdir: Path
) -> None:
    done = kdgap("run", "study.yaml", "--only", "selection", "--out", "fresh")
    assert done.returncode == 3
    assert "add --only teachers" in done.stderr.splitlines()[-1]


def test_the_gravest_warnings_stand_under_the_table(kdgap: Command, study: StudyDirectory) -> None:
    for command in ("show", "status"):
        assert "smoke run" in kdgap(command, study.path).stdout


def test_a_studys_run_is_not_evaluated_past_its_door(
    study: StudyDirectory, kdgap: Command, refused: Callable[..., str]
) -> None:
    path = study.path / paths(study, "selection")[0]
    assert "its test door belongs to the study" in refused(kdgap, "evaluate", path)
